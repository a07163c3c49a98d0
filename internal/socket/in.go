package socket

import (
	"encoding/binary"
	"sync"
	"time"
)

// readBuffers are shared: an idle connection has none.
var readBuffers = sync.Pool{New: func() any { b := make([]byte, readSize); return &b }}

// in is the inbound half of a serverConn. It knows where frames begin, and so
// never gives coder/websocket bytes of the frame after the one that it reads.
type in struct {
	buf        *[]byte // nil if nothing is unread
	from, to   int     // what of buf is unread
	left       int64   // of the frame that coder/websocket is reading
	fragmented bool    // more frames of its message will come
}

func (b *in) unread() []byte {
	if b.buf == nil {
		return nil
	}
	return (*b.buf)[b.from:b.to]
}

// put makes bytes unread that come from elsewhere.
func (b *in) put(p []byte) {
	large := append(make([]byte, 0, max(len(p), readSize)), p...)
	large = large[:cap(large)]
	b.buf, b.to = &large, len(p)
}

// take passes n bytes, and gives an empty buffer back.
func (b *in) take(n int) {
	if b.from += n; b.from == b.to {
		if len(*b.buf) == readSize {
			readBuffers.Put(b.buf)
		}
		b.buf, b.from, b.to = nil, 0, 0
	}
}

// header is the beginning of a client's frame.
type header struct {
	first   byte // FIN, three bits that are reserved, and the opcode
	masked  bool
	size    int   // of the header
	payload int64 // bytes; negative ones are coder/websocket's to refuse
}

// parseHeader reports false if there are too few bytes.
func parseHeader(p []byte) (h header, ok bool) {
	if len(p) < 2 {
		return h, false
	}
	h = header{first: p[0], masked: p[1]&0x80 != 0, size: 2, payload: int64(p[1] & 0x7f)}
	switch h.payload {
	case 126:
		h.size = 4
	case 127:
		h.size = 10
	}
	if len(p) < h.size {
		return h, false
	}
	switch h.size {
	case 4:
		h.payload = int64(binary.BigEndian.Uint16(p[2:]))
	case 10:
		h.payload = int64(binary.BigEndian.Uint64(p[2:]))
	}
	if h.masked {
		h.size += 4
	}
	return h, len(p) >= h.size
}

const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
	final    = 0x80
)

// isMessage reports whether the frame is a message for itself.
func (h header) isMessage() bool {
	return h.masked && h.payload >= 0 && (h.first == final|opText || h.first == final|opBinary)
}

// isHeartbeat reports whether the frame is a ping or a pong, as idle clients send.
func (h header) isHeartbeat() bool {
	return h.masked && (h.first == final|opPing || h.first == final|opPong) && h.payload >= 0 && h.payload < 126
}

// message returns the next message if it is a single frame that fits into the
// buffer. It waits for it; false means that coder/websocket has to look at what
// comes.
func (c *serverConn) message() (data []byte, text, ok bool, err error) {
	c.reading.lock()
	defer c.reading.unlock()
	if c.left > 0 || c.fragmented {
		return nil, false, false, nil
	}
	for {
		h, ok := parseHeader(c.unread())
		if ok && (!h.isMessage() && !h.isHeartbeat() || h.payload > min(c.opts.MaxMessage, int64(readSize-h.size))) {
			return nil, false, false, nil
		}
		whole := ok && c.to-c.from >= h.size+int(h.payload)
		if whole {
			data = make([]byte, h.payload)
			frame := c.unread()[:h.size+len(data)]
			unmask(data, frame[h.size:], frame[h.size-4:])
			c.take(len(frame))
			c.frameEnds()
			if h.isMessage() {
				return data, h.first == final|opText, true, nil
			}
			c.opts.Control()
			if h.first == final|opPing {
				c.pong(data)
			}
			continue
		}
		if err := c.fill(); err != nil {
			return nil, false, false, err
		}
	}
}

// unmask stores src in dst, by turns XORed with the four bytes of mask.
func unmask(dst, src, mask []byte) {
	key := uint64(binary.LittleEndian.Uint32(mask))
	key |= key << 32
	i := 0
	for ; i+8 <= len(src); i += 8 {
		binary.LittleEndian.PutUint64(dst[i:], binary.LittleEndian.Uint64(src[i:])^key)
	}
	for ; i < len(src); i++ {
		dst[i] = src[i] ^ mask[i&3]
	}
}

// Read is coder/websocket's.
func (c *serverConn) Read(p []byte) (int, error) {
	c.reading.lock()
	defer c.reading.unlock()
	if c.left == 0 {
		if err := c.beginFrame(); err != nil {
			return 0, err
		}
	}
	p = p[:min(int64(len(p)), c.left)]
	n := 0
	switch {
	case c.from < c.to:
		n = copy(p, c.unread())
		c.take(n)
	case len(p) >= readSize: // a buffer would not save a thing
		var err error
		if n, err = c.receive(p); err != nil {
			return n, err
		}
	default:
		if err := c.fill(); err != nil {
			return 0, err
		}
		n = copy(p, c.unread())
		c.take(n)
	}
	if c.left -= int64(n); c.left == 0 && !c.fragmented {
		c.frameEnds()
	}
	return n, nil
}

// beginFrame waits for a frame's header.
func (c *serverConn) beginFrame() error {
	for {
		if h, ok := parseHeader(c.unread()); ok {
			c.left = int64(h.size) + max(h.payload, 0)
			if h.first&0x08 == 0 { // else it is a control frame, which may come in between
				c.fragmented = h.first&final == 0
				if h.first&0x0f == 0 { // its message counts one of its frames
					c.opts.Control()
				}
			}
			return nil
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// fill waits for more bytes behind those that are unread.
func (c *serverConn) fill() error {
	if c.buf == nil && c.direct != nil && c.readErr == nil {
		c.limit()
		buf, n, err := readDirect(c.direct)
		c.buf, c.to = buf, n
		return c.received(n, err)
	}
	if c.buf == nil {
		c.buf = readBuffers.Get().(*[]byte)
	}
	if c.from > 0 {
		c.to = copy(*c.buf, c.unread())
		c.from = 0
	}
	n, err := c.receive((*c.buf)[c.to:])
	if c.to += n; c.to == 0 {
		c.take(0)
	}
	return err
}

// receive is the network's Read. A message gets MessageTimeout from the second
// time that bytes of it have to be waited for: most arrive whole and cost no
// deadline.
func (c *serverConn) receive(p []byte) (int, error) {
	if c.readErr != nil {
		return 0, c.readErr
	}
	c.limit()
	n, err := c.Conn.Read(p)
	return n, c.received(n, err)
}

func (c *serverConn) limit() {
	begun := c.from < c.to || c.left > 0 || c.fragmented
	if begun && !c.limited.Load() {
		c.limited.Store(true)
		c.Conn.SetReadDeadline(time.Now().Add(c.opts.MessageTimeout))
	}
}

func (c *serverConn) received(n int, err error) error {
	if n > 0 {
		c.opts.Alive()
		return nil // what went wrong will go wrong again
	}
	if err != nil {
		c.broken.Store(true)
		c.readErr = err
	}
	return err
}

// frameEnds tells that no message is under way any more.
func (c *serverConn) frameEnds() {
	if c.limited.Load() {
		c.limited.Store(false)
		c.Conn.SetReadDeadline(time.Time{})
	}
}
