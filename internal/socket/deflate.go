package socket

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"sync"

	"github.com/wsrouter/wsrouter/adapter"
)

// RFC 7692: each message is compressed on its own. Nothing is carried over to the
// next one, so an idle connection keeps no window.

// CompressAt is the size in bytes from which messages are compressed.
const CompressAt = 512

// extension is the answer to an offer that is accepted.
const extension = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// negotiate returns the Sec-WebSocket-Extensions header that accepts the first of
// the client's offers that we support, or "".
func negotiate(offers []string) string {
	for _, list := range offers {
		for offer := range splitQuoted(list, ',') {
			if answer := acceptOffer(offer); answer != "" {
				return answer
			}
		}
	}
	return ""
}

// acceptOffer answers one element of the list, section 7.1. Our window has 15 bits.
func acceptOffer(offer string) (answer string) {
	seen := make(map[string]bool)
	for param := range splitQuoted(offer, ';') {
		name, value, hasValue := strings.Cut(param, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		value = strings.Trim(strings.TrimSpace(value), `"`)
		if seen[name] || len(seen) == 0 && name != "permessage-deflate" {
			return ""
		}
		seen[name] = true
		switch name {
		case "permessage-deflate":
			answer = extension
		case "server_no_context_takeover", "client_no_context_takeover":
		case "client_max_window_bits":
			if hasValue && !isWindow(value) {
				return ""
			}
			continue
		case "server_max_window_bits":
			if value != "15" {
				return ""
			}
			answer += "; server_max_window_bits=15"
			continue
		default:
			return ""
		}
		if hasValue {
			return ""
		}
	}
	return answer
}

func isWindow(bits string) bool {
	switch bits {
	case "8", "9", "10", "11", "12", "13", "14", "15":
		return true
	}
	return false
}

// splitQuoted splits the list in a header, whose elements may contain quoted
// strings.
func splitQuoted(s string, sep byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		begin, quoted := 0, false
		for i := range len(s) {
			if s[i] == '"' {
				quoted = !quoted
			}
			if s[i] != sep || quoted {
				continue
			}
			if !yield(strings.TrimSpace(s[begin:i])) {
				return
			}
			begin = i + 1
		}
		yield(strings.TrimSpace(s[begin:]))
	}
}

// A deflater takes 1.2 MB, an inflater 45 KB. However many connections compress at
// once, there are no more deflaters in use than processors.
var (
	deflaters = sync.Pool{New: func() any { return new(deflater) }}
	deflating = make(chan struct{}, runtime.GOMAXPROCS(0))
	inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}
)

type deflater struct {
	w   *flate.Writer
	out bytes.Buffer
}

const (
	keepDeflated = 64 << 10           // the largest buffer, in bytes, that goes back to the pool
	flushed      = "\x00\x00\xff\xff" // what Flush ends with; a message is sent without it
)

// deflate passes the compressed message to use, which must not keep it. If
// compressing saves nothing it reports false, without calling use.
func deflate(prefix string, data []byte, use func([]byte)) bool {
	deflating <- struct{}{} // held only while this goroutine computes
	defer func() { <-deflating }()
	d := deflaters.Get().(*deflater)
	defer deflaters.Put(d)
	if d.w == nil {
		d.w, _ = flate.NewWriter(nil, flate.BestSpeed)
	}
	if d.out.Cap() > keepDeflated {
		d.out = bytes.Buffer{}
	}
	d.out.Reset()
	d.w.Reset(&d.out)
	io.WriteString(d.w, prefix)
	d.w.Write(data)
	d.w.Flush()
	small := bytes.TrimSuffix(d.out.Bytes(), []byte(flushed))
	if len(small) >= len(prefix)+len(data) {
		return false
	}
	use(small)
	return true
}

// deflated returns the compressed message, or nil if compressing saves nothing. It
// is compressed once for all connections that share it, and must not be changed.
func deflated(s *adapter.Shared, prefix string, data []byte) []byte {
	return s.Made(func() (small []byte) {
		deflate(prefix, data, func(b []byte) { small = bytes.Clone(b) })
		return small
	})
}

// packed is a compressed message, followed by the end of a stream.
type packed struct {
	message []byte
	tail    string
}

func (p *packed) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	if n = copy(b, p.message); n > 0 {
		p.message = p.message[n:]
		return n, nil
	}
	if n = copy(b, p.tail); n > 0 {
		p.tail = p.tail[n:]
		return n, nil
	}
	return 0, io.EOF
}

// ReadByte keeps flate from reading more than it needs.
func (p *packed) ReadByte() (c byte, err error) {
	switch {
	case len(p.message) > 0:
		c, p.message = p.message[0], p.message[1:]
	case p.tail != "":
		c, p.tail = p.tail[0], p.tail[1:]
	default:
		err = io.EOF
	}
	return c, err
}

var errTrailing = errors.New("bytes after the last block")

// inflate returns the message, which may have up to limit bytes. It stops at the
// limit, however much more would follow.
func inflate(message []byte, limit int64) ([]byte, error) {
	if len(message) == 0 { // the encoder had nothing to flush
		return nil, nil
	}
	src := &packed{message, flushed + "\x01\x00\x00\xff\xff"}
	r := inflaters.Get().(io.Reader)
	r.(flate.Resetter).Reset(src, nil)
	defer func() {
		r.(flate.Resetter).Reset(&packed{}, nil) // let the pool keep no message
		inflaters.Put(r)
	}()
	limit = min(limit, math.MaxInt64-1)
	out, err := readUpTo(r, min(4*len(message), 8<<10), limit)
	switch {
	case err == nil && int64(len(out)) > limit:
		return nil, fmt.Errorf("%w: inflated", ErrTooBig)
	case err == nil && len(src.message) > 1: // one byte may be left if the last block is marked as such
		err = errTrailing
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return out, nil
}

// readUpTo reads to the end, or to one byte beyond the limit.
func readUpTo(r io.Reader, guess int, limit int64) ([]byte, error) {
	out := make([]byte, 0, min(int64(guess), limit)+1)
	for {
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case err == io.EOF:
			return bytes.Clone(out), nil // of the right size
		case err != nil || int64(len(out)) > limit:
			return out, err
		case len(out) == cap(out):
			out = append(make([]byte, 0, min(2*int64(cap(out)), limit+1)), out...)
		}
	}
}
