package socket

import (
	"bytes"
	"fmt"
	"math"
	"unicode/utf8"
)

// in is the receiving half of an endpoint, without I/O: next is given the bytes
// that have arrived and returns what they mean. It keeps the bytes of an incomplete
// message, and none between messages. RFC 6455 sections 5.4 to 5.6 and 8.1.
type in struct {
	client  bool  // the peer is a server, whose frames have no mask
	deflate bool  // messages may be compressed
	max     int64 // bytes in a message

	head  [maxHeader]byte // the beginning of an incomplete header
	heads uint8           // how many bytes of it have arrived

	inFrame bool // a header has arrived, but not all of its payload
	frame   header
	left    uint64 // bytes of the payload that are still missing

	message byte   // the bits and opcode that the current message began with; 0 between messages
	data    []byte // of the message
	checked int    // how many bytes of data are known to be UTF-8
	control []byte // the payload of a control frame, which may arrive within a message

	failed error // nothing is parsed after it
}

// event is what arriving bytes mean.
type event struct {
	kind eventKind
	text bool   // for gotMessage
	code int    // for gotClose; 1005 if there is none
	data []byte // a message, the payload of a ping or the reason of a close frame: the receiver may keep it
	err  error  // for gotFailure: wraps ErrTooBig, ErrProtocol or ErrUTF8
}

type eventKind uint8

const (
	gotNothing  eventKind = iota // all bytes have been used, more are needed
	gotMessage                   // whole
	gotFragment                  // a frame that is not the last of its message
	gotPing
	gotPong
	gotClose
	gotFailure // the peer broke the rules, or exceeded a limit
)

// begun reports whether part of a frame, or of a message, has arrived.
func (r *in) begun() bool { return r.heads > 0 || r.inFrame || r.message != 0 }

// next uses the first n bytes of p, and stores in ev, which must be zero, what they
// mean. It uses all of p if that does not mean anything yet. It does not keep p.
func (r *in) next(p []byte, ev *event) (n int) {
	for r.failed == nil {
		if !r.inFrame {
			size, ok := r.header(p[n:])
			n += size
			if !ok {
				return n
			}
			if r.beginFrame(); r.failed != nil {
				break
			}
		}
		size := r.payload(p[n:])
		n += size
		r.arrived(size, ev)
		if ev.kind != gotNothing || r.inFrame {
			return n
		}
	}
	*ev = event{kind: gotFailure, err: r.failed}
	return len(p)
}

// header takes a frame's header, or the part that has arrived, off p.
func (r *in) header(p []byte) (n int, ok bool) {
	if r.heads == 0 {
		if r.frame, ok = parseHeader(p); ok {
			return int(r.frame.size), true
		}
	}
	before := int(r.heads)
	n = copy(r.head[before:], p)
	r.heads += uint8(n)
	if r.frame, ok = parseHeader(r.head[:r.heads]); ok {
		r.heads = 0
		return int(r.frame.size) - before, true
	}
	return n, false
}

func (r *in) fail(kind error, detail string) {
	r.failed = fmt.Errorf("%w: %s", kind, detail)
	r.data, r.control = nil, nil
}

// beginFrame interprets a complete header.
func (r *in) beginFrame() {
	h := &r.frame
	r.inFrame, r.left = true, h.payload
	switch {
	case h.first&reserved != 0 || h.first&compressed != 0 && !r.mayBeCompressed():
		r.fail(ErrProtocol, "reserved bits")
	case h.masked == r.client:
		r.fail(ErrProtocol, "masked wrongly")
	case h.payload > math.MaxInt64:
		r.fail(ErrProtocol, "length beyond 63 bits")
	case h.isControl():
		r.beginControl()
	default:
		r.beginData()
	}
}

func (r *in) mayBeCompressed() bool {
	return r.deflate && (r.frame.opcode() == opText || r.frame.opcode() == opBinary)
}

func (r *in) beginControl() {
	switch h := &r.frame; {
	case !h.isFinal() || h.payload > maxControl:
		r.fail(ErrProtocol, "control frame in pieces, or too long")
	case h.opcode() > opPong:
		r.fail(ErrProtocol, "unknown opcode")
	case h.payload > 0:
		r.control = make([]byte, 0, h.payload)
	}
}

func (r *in) beginData() {
	switch opcode := r.frame.opcode(); {
	case opcode > opBinary:
		r.fail(ErrProtocol, "unknown opcode")
		return
	case opcode == opContinuation && r.message == 0:
		r.fail(ErrProtocol, "continuation of nothing")
		return
	case opcode != opContinuation && r.message != 0:
		r.fail(ErrProtocol, "message within a message")
		return
	case opcode != opContinuation:
		r.message = r.frame.first
	}
	if r.frame.payload > uint64(r.limit()-int64(len(r.data))) {
		r.fail(ErrTooBig, "announced")
	}
}

// payload takes bytes of the frame's payload off p.
func (r *in) payload(p []byte) (n int) {
	p = p[:min(uint64(len(p)), r.left)]
	to := &r.control
	if !r.frame.isControl() {
		r.grow(len(p))
		to = &r.data
	}
	at := len(*to)
	*to = (*to)[:at+len(p)]
	mask((*to)[at:], p, r.frame.mask, r.frame.payload-r.left)
	return len(p)
}

// room returns where the next bytes of a long payload belong, so that they can be
// read into place; nil if that would save nothing. Call placed with the number of
// bytes read.
func (r *in) room() []byte {
	if !r.inFrame || r.frame.isControl() || r.left < readSize {
		return nil
	}
	r.grow(readSize)
	at := len(r.data)
	return r.data[at : at+int(min(uint64(cap(r.data)-at), r.left))]
}

func (r *in) placed(n int, ev *event) {
	at := len(r.data)
	r.data = r.data[:at+n]
	mask(r.data[at:], r.data[at:], r.frame.mask, r.frame.payload-r.left)
	r.arrived(n, ev)
}

// grow makes room for n bytes of the frame. Memory grows with what has arrived,
// whatever length was announced: a short frame gets its own size at once, a long
// one twice what has arrived.
func (r *in) grow(n int) {
	if cap(r.data)-len(r.data) >= n {
		return
	}
	more := int(min(r.left, uint64(max(n, readSize, len(r.data)))))
	if !r.frame.isFinal() {
		more = max(more, len(r.data)) // many such frames may follow
	}
	r.data = append(make([]byte, 0, len(r.data)+more), r.data...)
}

// arrived is called when n more bytes of the payload have been stored.
func (r *in) arrived(n int, ev *event) {
	r.left -= uint64(n)
	r.inFrame = r.left > 0
	switch {
	case !r.frame.isControl():
		r.dataArrived(ev)
	case !r.inFrame:
		r.controlArrived(ev)
	}
	if r.failed != nil {
		*ev = event{kind: gotFailure, err: r.failed}
	}
}

func (r *in) controlArrived(ev *event) {
	ev.data, r.control = r.control, nil
	switch r.frame.opcode() {
	case opPing:
		ev.kind = gotPing
	case opPong:
		ev.kind = gotPong
	default:
		var err error
		if ev.code, ev.data, err = parseClose(ev.data); err != nil {
			r.fail(err, "in a close frame")
		}
		ev.kind = gotClose
	}
}

func (r *in) dataArrived(ev *event) {
	whole := !r.inFrame && r.frame.isFinal()
	packed := r.message&compressed != 0
	text := r.message&0x0f == opText
	switch {
	case text && !packed && !r.isText(whole):
		r.fail(ErrUTF8, "in a text message")
		return
	case r.inFrame:
		return
	case !whole:
		ev.kind = gotFragment
		return
	}
	data := r.data
	r.data, r.checked, r.message = nil, 0, 0
	if packed {
		data, r.failed = inflate(data, r.max)
		if text && !utf8.Valid(data) {
			r.fail(ErrUTF8, "in a text message")
		}
	} else if spare := cap(data) - len(data); spare > 64+len(data)/8 {
		data = bytes.Clone(data) // of the right size: the message may wait for long
	}
	if data == nil {
		data = []byte{}
	}
	ev.kind, ev.text, ev.data = gotMessage, text, data
}

// isText checks the bytes that have not been checked yet. Unless the message is
// whole, its last character may be incomplete.
func (r *in) isText(whole bool) bool {
	p := r.data[r.checked:]
	if !whole {
		p = p[:len(p)-partialRune(p)]
	}
	r.checked += len(p)
	return utf8.Valid(p)
}

// partialRune returns how many bytes at the end of p are the beginning of a
// character.
func partialRune(p []byte) int {
	for n := 1; n <= min(len(p), utf8.UTFMax-1); n++ {
		if tail := p[len(p)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// limit returns how many bytes a message may have as it arrives. Data without
// redundancy gets a little longer when it is compressed.
func (r *in) limit() int64 {
	if r.message&compressed == 0 || r.max > math.MaxInt64/2 {
		return r.max
	}
	return r.max + r.max>>10 + 64
}
