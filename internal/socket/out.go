package socket

import (
	"crypto/rand"
	"sync"

	"github.com/wsrouter/wsrouter/adapter"
)

// batchBuffers are shared: a connection that sends nothing holds none.
var batchBuffers = sync.Pool{New: func() any { b := make([]byte, 0, batchSize); return &b }}

// out is the sending half of an endpoint, without I/O: frames are added to a batch,
// which the owner of the connection writes.
type out struct {
	client  bool    // frames are masked
	deflate bool    // messages may be compressed
	batch   *[]byte // whole frames, or what is left of them; nil if there is none
	sent    int     // how many bytes of the batch have been written
}

// start makes sure that there is a batch. It may hold what is left of the one
// before.
func (o *out) start() {
	if o.batch == nil {
		o.batch = batchBuffers.Get().(*[]byte)
	}
}

// rest returns what has not been written.
func (o *out) rest() []byte { return (*o.batch)[o.sent:] }

// wrote says that n bytes of the batch have been written.
func (o *out) wrote(n int) {
	if o.sent += n; o.sent == len(*o.batch) {
		*o.batch, o.sent = (*o.batch)[:0], 0
	}
}

// message adds a message of prefix and data, of which s may hold a compressed copy.
// If the batch has become long, bytes may be returned in place of being copied:
// they have to be written after the batch.
func (o *out) message(opcode byte, prefix string, data []byte, s *adapter.Shared, mayReturn bool) (more []byte) {
	switch {
	case !o.deflate || len(prefix)+len(data) < CompressAt:
	case s != nil:
		if small := deflated(s, prefix, data); small != nil {
			return o.frame(final|compressed|opcode, "", small, mayReturn)
		}
	case deflate(prefix, data, func(small []byte) { o.frame(final|compressed|opcode, "", small, false) }):
		return nil
	}
	return o.frame(final|opcode, prefix, data, mayReturn)
}

// frame adds a frame of prefix and data.
func (o *out) frame(first byte, prefix string, data []byte, mayReturn bool) (more []byte) {
	b := appendHeader(*o.batch, first, len(prefix)+len(data))
	if o.client {
		b, key := appendKey(b, len(prefix)+len(data))
		at := len(b)
		b = append(append(b, prefix...), data...)
		mask(b[at:], b[at:], key, 0)
		*o.batch = b
		return nil
	}
	b = append(b, prefix...)
	if !mayReturn || len(b)+len(data) <= flushAt {
		*o.batch = append(b, data...)
		return nil
	}
	*o.batch = b
	return data
}

// appendKey turns the header at the end of b, of a frame with size bytes, into one
// with a mask.
func appendKey(b []byte, size int) (_ []byte, key [4]byte) {
	rand.Read(key[:])
	switch length := len(b) - 1; {
	case size < 126:
		b[length] |= masked
	case size < 1<<16:
		b[length-2] |= masked
	default:
		b[length-8] |= masked
	}
	return append(b, key[:]...), key
}

// appendControl appends a control frame.
func (o *out) appendControl(b []byte, opcode byte, payload []byte) []byte {
	b = appendHeader(b, final|opcode, len(payload))
	if !o.client {
		return append(b, payload...)
	}
	b, key := appendKey(b, len(payload))
	at := len(b)
	b = append(b, payload...)
	mask(b[at:], b[at:], key, 0)
	return b
}

// free gives the buffer back.
func (o *out) free() {
	if cap(*o.batch) == batchSize {
		*o.batch = (*o.batch)[:0]
		batchBuffers.Put(o.batch)
	}
	o.batch, o.sent = nil, 0
}
