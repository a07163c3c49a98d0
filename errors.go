package wsrouter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/internal/bind"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/payload"
)

// Errors that the package returns as they are or wrapped.
var (
	// ErrReplied is returned by [Context.Reply], [Stream] and [StreamSeq] when
	// the event has been answered already.
	ErrReplied = errors.New("wsrouter: event already answered")

	// ErrNotConnected is returned by calls on a connection that [Router.OnConnect]
	// has not let in yet.
	ErrNotConnected = errors.New("wsrouter: not connected yet")

	// ErrStream is returned by a call that the other side answers with a stream.
	ErrStream = errors.New("wsrouter: call answered by a stream")

	// ErrTooManyOpen is returned by a call when [Options.MaxOpen] are waiting.
	ErrTooManyOpen = errors.New("wsrouter: too many open calls")

	// ErrUnreached is wrapped by the errors of cluster-wide operations that did
	// not reach other nodes, or not all of them. Those of this process are done.
	ErrUnreached = broker.ErrUnreached
)

// Codes of the errors that the package itself sends.
const (
	CodeInvalid  = "invalid"   // the body has the wrong shape, or the frame is none
	CodeNotFound = "not_found" // a request for an event that nobody handles
	CodeCanceled = "canceled"  // the asker canceled
	CodeTimeout  = "timeout"   // Options.HandlerTimeout ended the handler
	CodeTooMany  = "too_many"  // too many handlers running, rooms joined, or rooms named at once
	CodeShutdown = "shutdown"  // the server shuts down: it ended the stream, or did not begin the request
)

// WsError is an error that the client may see. Returned from a handler it is
// sent as event "exception" with the body
//
//	{"status":"error","message":"…","code":"…","data":…}
//
// of which code and data are left out when empty. A call that fails on the other
// side returns one, too. Make them with [NewError]; a WsError is not changed
// after that, so it may be a package variable and be used concurrently.
type WsError struct {
	Status  string // "error" if empty
	Message string
	Code    string // for programs; left out if empty
	Data    any    // more for programs, encoded as JSON; left out if nil. See BindData

	raw    payload.Value // of a received error: Data as it came, unless it is the same again
	cause  error
	origin *WsError // what this is a copy of
}

// Errorf returns an error with a formatted message for the client. As in
// [fmt.Errorf] a %w keeps the error it stands for as the cause, but the client sees
// its text.
func Errorf(format string, args ...any) *WsError {
	err := fmt.Errorf(format, args...)
	e := NewError(err.Error())
	e.cause = errors.Unwrap(err)
	return e
}

// NewError returns an error with a message for the client.
func NewError(message string) *WsError {
	return &WsError{Status: "error", Message: message}
}

// WithCode returns a copy with a code. Like all copies it still matches e in
// [errors.Is].
func (e *WsError) WithCode(code string) *WsError {
	c := e.copy()
	c.Code = code
	return c
}

// WithData returns a copy that carries v, encoded as JSON when it is sent.
func (e *WsError) WithData(v any) *WsError {
	c := e.copy()
	c.Data, c.raw = v, payload.Value{}
	return c
}

// BindData stores the data in v, a pointer, as [Context.Bind] does; no data leaves v
// as it is. Of an error that was received, Data has numbers as float64, which rounds
// integers above 2^53: BindData has all digits. The error says what does not fit.
func (e *WsError) BindData(v any) error {
	data, err := payload.Encode(e.data())
	if err == nil && e.Data != nil {
		err = bind.Named("data", data, v)
	}
	if err != nil {
		return fmt.Errorf("wsrouter: error's data of the wrong shape: %v", err)
	}
	return nil
}

// data is what is sent as the error's data: of a received error that which came,
// with all digits and bytes.
func (e *WsError) data() any {
	if e.raw.IsZero() || e.Data == nil {
		return e.Data
	}
	return e.raw
}

// WithCause returns a copy that wraps err. The cause is logged and found by
// [errors.Is] and [errors.As]; it is never sent.
func (e *WsError) WithCause(err error) *WsError {
	c := e.copy()
	c.cause = err
	return c
}

func (e *WsError) copy() *WsError {
	c := *e
	c.origin = e.first()
	return &c
}

func (e *WsError) first() *WsError {
	if e != nil && e.origin != nil {
		return e.origin
	}
	return e
}

// Error returns the message, and the cause if there is one.
func (e *WsError) Error() string {
	if e == nil {
		return "<nil>"
	}
	if e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *WsError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.cause
}

// Is reports whether target is the error that e was copied from, or another
// copy of it. An error that was received is a copy of none here: compare its Code.
func (e *WsError) Is(target error) bool {
	t, ok := target.(*WsError)
	return ok && t.first() == e.first()
}

// CloseCause tells why a connection ended.
type CloseCause uint8

// The causes. The zero value stands in a [CloseError] that has not been used yet.
const (
	CausePeer     CloseCause = iota + 1 // the peer closed, or the network was cut (code 1006)
	CauseLocal                          // our side closed: Close, Disconnect, a refusal
	CauseTimeout                        // the peer fell silent, or took too long
	CauseSlow                           // the peer did not read as fast as it was sent to
	CauseShutdown                       // our side shuts down
	CauseProtocol                       // the peer broke the protocol or a limit
)

func (c CloseCause) String() string {
	names := [...]string{"unknown", "peer", "local", "timeout", "slow", "shutdown", "protocol"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("CloseCause(%d)", uint8(c))
}

// Close codes, of RFC 6455 section 7.4.1 and the IANA registry behind it.
// Codes from 3000 to 4999 are the application's; those below 4000 are for what is
// registered with IANA.
const (
	CloseNormal         = 1000
	CloseGoingAway      = 1001
	CloseProtocol       = 1002
	CloseAbnormal       = 1006 // never sent: there was no close frame
	CloseInvalidUTF8    = 1007
	ClosePolicy         = 1008
	CloseTooBig         = 1009
	CloseInternal       = 1011
	CloseServiceRestart = 1012
	CloseTryAgainLater  = 1013

	// CloseResume asks a client that can to come back to its connection, with a new
	// Auth: the connection is away until then, see [Options.Recovery]. Others connect
	// anew.
	CloseResume = 4900

	// CloseResumed tells a client that somebody has come back to its connection by
	// another transport. It does not come back itself.
	CloseResumed = 4409
)

// CloseError tells how a connection ended. It is what OnDisconnect gets, the cause
// of [Conn.Context], and the error of calls and emits on a connection that is gone.
// OnConnect may return a new one, without a Cause, to refuse a client with a code.
// It matches [net.ErrClosed] in [errors.Is].
type CloseError struct {
	Code   int    // a WebSocket close code
	Reason string // at most 123 bytes are sent
	Cause  CloseCause

	err error // what was behind it, for logs
}

// Error returns cause, code and reason.
func (e *CloseError) Error() string {
	if e == nil {
		return "<nil>"
	}
	s := fmt.Sprintf("wsrouter: closed (%v): code %d", e.Cause, e.Code)
	if e.Reason != "" {
		s += fmt.Sprintf(" %q", e.Reason)
	}
	if e.err != nil {
		s += ": " + e.err.Error()
	}
	return s
}

// Unwrap returns the error behind it, if there was one.
func (e *CloseError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.err
}

// Is makes errors.Is(err, net.ErrClosed) true.
func (e *CloseError) Is(target error) bool { return target == net.ErrClosed }

// isTemporary reports whether the client shall come back. Who finds that a namespace
// cannot open, or has shut down, finds it again.
func (e *CloseError) isTemporary() bool {
	switch e.Code {
	case CloseInternal, CloseServiceRestart, CloseTryAgainLater, CloseResume:
		return e.Cause != CauseShutdown && e.err != error(errInitFailed)
	}
	return false
}

// isLoss reports whether a client that ends so may come back to its connection.
func (e *CloseError) isLoss() bool {
	return e.Code == CloseResume || e.Code == CloseAbnormal && (e.Cause == CausePeer || e.Cause == CauseTimeout)
}

// sendableCode reports whether RFC 6455 lets an endpoint send the code.
func sendableCode(code int) bool {
	switch code {
	case 1004, 1005, CloseAbnormal:
		return false
	}
	return code >= CloseNormal && code <= 1014 || code >= 3000 && code <= 4999
}

func checkCode(code int) error {
	if !sendableCode(code) {
		return fmt.Errorf("wsrouter: close code %d cannot be sent", code)
	}
	return nil
}

// closeError is an end as users see it.
func closeError(e adapter.End) *CloseError {
	return &CloseError{Code: e.Code, Reason: e.Reason, Cause: CloseCause(e.Cause), err: e.Err}
}

// invalid is what the client is told of data that has the wrong shape.
func invalid(err error) error {
	var wrong *bind.Error
	if errors.As(err, &wrong) {
		return NewError(wrong.Error()).WithCode(CodeInvalid)
	}
	return err
}

// reasonText is a reason as a close frame may carry it, see RFC 6455, section 5.5.1.
func reasonText(s string) string { return truncate(strings.ToValidUTF8(s, "\ufffd"), 123) }

// truncate cuts s to n bytes without cutting a character.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// panicError is a recovered panic, or runtime.Goexit, of user code.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// noTypedNil returns nil for a nil *WsError or *CloseError that was returned as
// an error: whoever declared the variable so meant no error.
func noTypedNil(err error) error {
	switch e := err.(type) {
	case *WsError:
		if e == nil {
			return nil
		}
	case *CloseError:
		if e == nil {
			return nil
		}
	}
	return err
}

// protect runs user code and returns a panic as an error. It cannot stop a
// runtime.Goexit.
func protect(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
	}()
	return noTypedNil(fn())
}

// errGoexit is how user code that called runtime.Goexit has failed.
func errGoexit() error { return &panicError{"runtime.Goexit called", debug.Stack()} }

// protectHook is protect on a goroutine of its own, for which it waits, whatever
// becomes of it.
func protectHook(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errGoexit()
		defer func() { done <- err }()
		err = protect(fn)
	}()
	return <-done
}

// wireError is the default body of an exception; the order of its keys is
// NestJS's.
type wireError struct {
	Status  string     `json:"status"`
	Message string     `json:"message"`
	Code    string     `json:"code,omitempty"`
	Data    any        `json:"data,omitempty"`
	Cause   *wireCause `json:"cause,omitempty"`
}

// wireCause is what NestJS tells of the event that failed.
type wireCause struct {
	Pattern string        `json:"pattern"`
	Data    payload.Value `json:"data,omitzero"`
}

var errInternal = NewError("Internal server error")

// errorBody is the one place where an error becomes what the client sees.
func (c *Context) errorBody(err error) any {
	if shape := c.conn.router.app.opts.ErrorBody; shape != nil {
		return shape(c, err)
	}
	visible := errInternal // what the client may know
	errors.As(err, &visible)
	body := wireError{Status: visible.Status, Message: visible.Message, Code: visible.Code, Data: visible.data()}
	if body.Status == "" {
		body.Status = "error"
	}
	if c.conn.router.app.opts.ErrorCause {
		body.Cause = &wireCause{Pattern: c.msg.Event, Data: c.Value()}
	}
	return body
}

// What [Context.Outcome] says of errors that have no code.
const (
	OutcomeError    = "error"    // a *WsError without a code: a mistake of the client's
	OutcomeGone     = "gone"     // the client has left, or its connection was ended
	OutcomeInternal = "internal" // a failure of ours, which the client is not told
)

// Outcome says what an error of this event's handler means to the client, for logs
// and metrics: the code of a *[WsError], or one of OutcomeError, OutcomeGone and
// OutcomeInternal; empty for nil. Middleware asks for what next has returned,
// [Trace.EventEnd] for what it is given.
//
// It is a method as it takes this connection, and this event's context, to tell a
// client that has left from a failure: the *[CloseError] of another connection, and
// the end of another context, are failures of ours, and are logged and counted so.
func (c *Context) Outcome(err error) string {
	if err = c.outcome(noTypedNil(err)); err == nil {
		return ""
	}
	var p *panicError
	var ws *WsError
	switch {
	case errors.As(err, &p):
		return OutcomeInternal
	case errors.As(err, &ws) && ws.Code != "":
		return ws.Code
	case ws != nil:
		return OutcomeError
	case c.conn.isEnd(err, c.req.context()):
		return OutcomeGone
	}
	return OutcomeInternal
}

// isEnd reports whether err says that the connection has ended, or ctx by that or
// by its asker: that of another connection or context is a failure of ours.
func (c *Conn) isEnd(err error, ctx context.Context) bool {
	var ce *CloseError
	if errors.As(err, &ce) {
		return c.owns(ce)
	}
	if !errors.Is(err, context.Canceled) {
		return false
	}
	cause := context.Cause(ctx)
	return cause == errCanceled || errors.As(cause, &ce) && c.owns(ce)
}

// logError logs what a handler failed with, unless the client is told all of it
// or caused it by going away.
func (c *Context) logError(err error) {
	var ws *WsError
	var p *panicError
	stats := &c.conn.router.app.counters
	switch {
	case errors.As(err, &p):
		stats.panics.Add(1)
		c.logFailure("wsrouter: handler panicked", panicAttrs(err)...)
	case errors.As(err, &ws) && ws.cause == nil, errors.Is(err, errCanceled), c.conn.isEnd(err, c.req.context()):
	default:
		stats.errors.Add(1)
		c.logFailure("wsrouter: handler failed", slog.Any("err", err))
	}
}

// logFailure writes a line with the context that the handler had, from which a
// [slog.Handler] may take the id of a trace.
func (c *Context) logFailure(msg string, attrs ...slog.Attr) {
	c.Logger().LogAttrs(c.req.innermost(), slog.LevelError, msg, attrs...)
}

// remoteError reads the body of an exception that answers a call of ours.
func remoteError(data payload.Value) *WsError {
	e := NewError(plain.Exception)
	if data.IsZero() {
		return e
	}
	var body struct{ Status, Message, Code string }
	if json.Unmarshal(data.Raw(), &body) == nil && body.Message != "" {
		e.Status, e.Message, e.Code = body.Status, body.Message, body.Code
		data, _ = data.Member("data")
	}
	bind.Value(data, &e.Data)
	if same, err := payload.Encode(e.Data); err != nil || !bytes.Equal(same.JSON, data.JSON) {
		e.raw = data
	}
	return e
}

// abortsConnection reports whether a handler ended with panic(http.ErrAbortHandler),
// which, as in net/http, cuts the connection without a log line.
func abortsConnection(err error) bool {
	var p *panicError
	return errors.As(err, &p) && p.value == any(http.ErrAbortHandler)
}
