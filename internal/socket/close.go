package socket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter/internal/closecode"
)

// RFC 6455 section 7: how a connection ends.

const (
	codeNone     = 1005 // the close frame has no code
	codeProtocol = 1002

	closeWait  = 5 * time.Second // how long our close frame may take to be sent, and the peer's to arrive
	lingerWait = time.Second     // how long what still arrives is discarded
)

// CloseError is the error of Read after the peer's close frame.
type CloseError struct {
	Code   int // 1005 if it has none
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("close frame: code %d, reason %q", e.Code, e.Reason)
}

// CloseStatus returns the code and reason of a close frame that ended a Read.
func CloseStatus(err error) (code int, reason string, ok bool) {
	var ce *CloseError
	if !errors.As(err, &ce) {
		return 0, "", false
	}
	return ce.Code, ce.Reason, true
}

// parseClose returns the code and reason in the payload of a close frame.
func parseClose(p []byte) (code int, reason []byte, err error) {
	switch {
	case len(p) == 0:
		return codeNone, nil, nil
	case len(p) == 1:
		return 0, nil, ErrProtocol
	}
	code, reason = int(binary.BigEndian.Uint16(p)), p[2:]
	switch {
	case !closecode.Sendable(code):
		return 0, nil, ErrProtocol
	case !utf8.Valid(reason):
		return 0, nil, ErrUTF8
	}
	return code, reason, nil
}

// closePayload returns the payload of a close frame. It is empty for code 1005. The
// reason is cut to what fits, and made valid UTF-8.
func closePayload(code int, reason string) []byte {
	if code == codeNone {
		return nil
	}
	if !closecode.Sendable(code) {
		code = codeProtocol
	}
	var p [maxControl]byte
	binary.BigEndian.PutUint16(p[:], uint16(code))
	n := 2
	for _, r := range reason { // invalid UTF-8 becomes U+FFFD
		if n+utf8.RuneLen(r) > maxControl {
			break
		}
		n += utf8.EncodeRune(p[n:], r)
	}
	return p[:n]
}

// ending is the closing handshake as a state machine. It is told what has happened;
// its phase says what to do, and until says for how long.
//
//	open ── our close frame is sent ──▶ waiting ── the peer's has come ──▶ lingering ──▶ over
//	  │                                    └── the peer broke the rules ──────▲
//	  └── the peer's has come, or it broke the rules ──▶ owing ── ours is sent ┘
//
// Every phase but the first goes to over when the network fails or its time is up.
type ending struct {
	phase phase
	until time.Time // when the phase has lasted too long; zero if it has no limit
}

type phase uint8

const (
	open      phase = iota // frames go both ways
	waiting                // our close frame is sent; the peer is still read
	owing                  // the peer is no longer read; our close frame has to be sent
	lingering              // the write side is closed, and what arrives is discarded
	over                   // the connection has to be closed
)

// sent says that our close frame has been written.
func (e *ending) sent(now time.Time) {
	switch e.phase {
	case open:
		e.phase, e.until = waiting, now.Add(closeWait)
	case owing:
		e.phase, e.until = lingering, now.Add(lingerWait)
	}
}

// heard says that the peer's close frame has arrived, or that the peer broke the
// rules.
func (e *ending) heard(now time.Time) {
	switch e.phase {
	case open:
		e.phase, e.until = owing, now.Add(closeWait)
	case waiting:
		e.phase, e.until = lingering, now.Add(lingerWait)
	}
}

// end says that nothing more can be read or written.
func (e *ending) end(time.Time) { e.phase, e.until = over, time.Time{} }
