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
	"strings"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/internal/bind"
	"github.com/wsrouter/wsrouter/internal/closecode"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/internal/usercode"
	"github.com/wsrouter/wsrouter/payload"
)

// Errors that the package returns, as they are or wrapped.
var (
	// ErrReplied is returned by [Context.Reply], [Stream] and [StreamSeq] if the event
	// has already been answered.
	ErrReplied = errors.New("wsrouter: event already answered")

	// ErrNotConnected is returned by calls on a connection that [Router.OnConnect] has
	// not let in yet.
	ErrNotConnected = errors.New("wsrouter: not connected yet")

	// ErrStream is returned by a call that the other side answers with a stream.
	ErrStream = errors.New("wsrouter: call answered by a stream")

	// ErrTooManyOpen is returned by a call if [Options.MaxOpen] calls are waiting
	// already.
	ErrTooManyOpen = errors.New("wsrouter: too many open calls")

	// ErrUnreached is wrapped by the errors of cluster-wide operations that did not
	// reach some or all of the other nodes. On this process such an operation has taken
	// effect.
	ErrUnreached = broker.ErrUnreached
)

// Codes of the errors that the package itself sends to clients.
const (
	CodeInvalid  = "invalid"   // the data has the wrong shape, or the frame is malformed
	CodeNotFound = "not_found" // a request for an event without a handler
	CodeCanceled = "canceled"  // the client canceled the request
	CodeTimeout  = "timeout"   // Options.HandlerTimeout ended the handler
	CodeTooMany  = "too_many"  // too many running handlers, joined rooms, or rooms named at once
	CodeShutdown = "shutdown"  // the server is shutting down: it ended the stream, or did not handle the request
)

// WsError is an error that the client may see. If a handler returns one, the client
// receives an event "exception" with the body
//
//	{"status":"error","message":"…","code":"…","data":…}
//
// in which code and data are left out if empty. A call also returns a WsError if the
// other side answers it with an exception. Make one with [NewError] or [Errorf] and do
// not modify it afterwards; then it may be a package variable and be used concurrently.
type WsError struct {
	Status  string // empty means "error"
	Message string
	Code    string // for programs; left out if empty
	Data    any    // more for programs, encoded as JSON; left out if nil; see BindData

	raw    payload.Value // of a received error: Data as it arrived, if Data would be encoded differently
	cause  error
	origin *WsError // the error that this is a copy of
}

// Errorf returns an error with a formatted message for the client. As with
// [fmt.Errorf], the operand of a %w becomes the cause; the client does see its text.
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

// WithCode returns a copy with the given code. Like all copies, it still matches e with
// [errors.Is].
func (e *WsError) WithCode(code string) *WsError {
	c := e.copy()
	c.Code = code
	return c
}

// WithData returns a copy that carries v, which is encoded as JSON when the error is
// sent.
func (e *WsError) WithData(v any) *WsError {
	c := e.copy()
	c.Data, c.raw = v, payload.Value{}
	return c
}

// BindData stores the error's data in v, a pointer, as [Context.Bind] does; without
// data it leaves v unchanged. Data of a received error has numbers as float64, which
// rounds integers above 2^53; BindData keeps all digits. The returned error says what
// does not fit.
func (e *WsError) BindData(v any) error {
	data, err := payload.Encode(e.data())
	if err == nil && e.Data != nil {
		err = bind.Named("data", data, v)
	}
	if err != nil {
		return fmt.Errorf("wsrouter: error data has the wrong shape: %v", err)
	}
	return nil
}

// data returns what is sent as the error's data: for a received error exactly what
// arrived, with all digits and bytes.
func (e *WsError) data() any {
	if e.raw.IsZero() || e.Data == nil {
		return e.Data
	}
	return e.raw
}

// WithCause returns a copy that wraps err. The cause is logged, and found by
// [errors.Is] and [errors.As], but never sent.
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

// Error returns the message, followed by the cause if there is one.
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

// Is reports whether target is the error that e was copied from, or another copy of it.
// Errors from the other side are not copies of ours: compare their Code.
func (e *WsError) Is(target error) bool {
	t, ok := target.(*WsError)
	return ok && t.first() == e.first()
}

// CloseCause says why a connection ended.
type CloseCause uint8

// The causes. A [CloseError] that has not ended a connection yet has the zero value.
const (
	CausePeer     CloseCause = iota + 1 // the peer closed, or the network failed (code 1006)
	CauseLocal                          // our side closed: Close, Disconnect, a refusal
	CauseTimeout                        // the peer fell silent, or took too long
	CauseSlow                           // the peer read more slowly than it was sent to
	CauseShutdown                       // our side is shutting down
	CauseProtocol                       // the peer violated the protocol or a limit
)

// String returns the cause in lower case, such as "peer".
func (c CloseCause) String() string {
	names := [...]string{"unknown", "peer", "local", "timeout", "slow", "shutdown", "protocol"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("CloseCause(%d)", uint8(c))
}

// Close codes of RFC 6455 section 7.4.1 and of the IANA registry it refers to. Codes
// from 4000 to 4999 are for applications, codes from 3000 to 3999 for what is
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

	// CloseResume asks a client to resume its connection with a new Auth, if it can;
	// until then the connection is away, see [Options.Recovery]. Other clients make a
	// new connection.
	CloseResume = 4900

	// CloseResumed tells a client that its connection has been resumed over another
	// transport. Such a client does not come back.
	CloseResumed = 4409
)

// CloseError says how a connection ended. OnDisconnect receives it, it is the cause of
// [Conn.Context], and calls and emits return it once the connection has ended. To
// refuse a client with a code, OnConnect returns a new one without a Cause. It matches
// [net.ErrClosed] with [errors.Is].
type CloseError struct {
	Code   int    // a WebSocket close code
	Reason string // at most 123 bytes are sent
	Cause  CloseCause

	err error // underlying error, for logs
}

// Error returns the cause, the code and the reason.
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

// Unwrap returns the underlying error, or nil.
func (e *CloseError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.err
}

// Is makes errors.Is(err, net.ErrClosed) true.
func (e *CloseError) Is(target error) bool { return target == net.ErrClosed }

// isTemporary reports whether the client should come back. If a namespace cannot open,
// or has shut down, coming back does not help.
func (e *CloseError) isTemporary() bool {
	switch e.Code {
	case CloseInternal, CloseServiceRestart, CloseTryAgainLater, CloseResume:
		return e.Cause != CauseShutdown && e.err != error(errInitFailed)
	}
	return false
}

// isLoss reports whether a client whose link ends this way may resume its connection.
func (e *CloseError) isLoss() bool {
	return e.Code == CloseResume || e.Code == CloseAbnormal && (e.Cause == CausePeer || e.Cause == CauseTimeout)
}

func checkCode(code int) error {
	if !closecode.Sendable(code) {
		return fmt.Errorf("wsrouter: close code %d cannot be sent", code)
	}
	return nil
}

// closeError returns an end in the form that users see.
func closeError(e adapter.End) *CloseError {
	return &CloseError{Code: e.Code, Reason: e.Reason, Cause: CloseCause(e.Cause), err: e.Err}
}

// invalid returns the error that tells the client about data of the wrong shape.
func invalid(err error) error {
	var wrong *bind.Error
	if errors.As(err, &wrong) {
		return NewError(wrong.Error()).WithCode(CodeInvalid)
	}
	return err
}

// reasonText returns a reason in a form that fits a close frame, see RFC 6455 section
// 5.5.1.
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

// panicError is a recovered panic, or a runtime.Goexit, of user code.
type panicError = usercode.Panic

// noTypedNil returns nil for a nil *WsError or *CloseError that was returned as an
// error: whoever declared the variable that way meant no error.
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

// protect runs user code, and returns a panic as an error. It cannot stop a
// runtime.Goexit.
func protect(fn func() error) error { return noTypedNil(usercode.Call(fn)) }

// errGoexit is the error of user code that called runtime.Goexit.
func errGoexit() error { return usercode.Goexit() }

// protectHook is protect in a goroutine of its own. It waits for the goroutine, however
// that ends.
func protectHook(fn func() error) error { return noTypedNil(usercode.Apart(fn)) }

// wireError is the default body of an exception. The order of its keys is that of
// NestJS.
type wireError struct {
	Status  string     `json:"status"`
	Message string     `json:"message"`
	Code    string     `json:"code,omitempty"`
	Data    any        `json:"data,omitempty"`
	Cause   *wireCause `json:"cause,omitempty"`
}

// wireCause is what NestJS says about the event that failed.
type wireCause struct {
	Pattern string        `json:"pattern"`
	Data    payload.Value `json:"data,omitzero"`
}

var errInternal = NewError("Internal server error")

// errorBody is the only place where an error becomes what the client sees.
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
		body.Cause = &wireCause{Pattern: c.req.msg.Event, Data: c.Value()}
	}
	return body
}

// What [Context.Outcome] returns for errors that have no code.
const (
	OutcomeError    = "error"    // a *WsError without a code: the client's mistake
	OutcomeGone     = "gone"     // the client has left, or its connection has been ended
	OutcomeInternal = "internal" // our failure, which the client is not told about
)

// Outcome says what an error returned by this event's handler means to the client, for
// logs and metrics: the code of a *[WsError], or OutcomeError, OutcomeGone or
// OutcomeInternal; "" for nil. In middleware pass the error that next returned, in
// [Trace.EventEnd] the error it was given.
//
// Outcome is a method because it needs this connection and this event's context to tell
// a client that has left from a failure. The *[CloseError] of another connection, and
// the end of another context, are failures of ours, and are logged and counted as such.
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

// isEnd reports whether err says that this connection has ended, or that ctx ended
// because of that or because the client canceled. The end of another connection or
// context is our failure.
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

// logError logs a handler's error, unless the client is told all of it or has caused it
// by leaving.
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

// logFailure logs with the context that the handler had, in which a [slog.Handler] may
// find the id of a trace.
func (c *Context) logFailure(msg string, attrs ...slog.Attr) {
	c.Logger().LogAttrs(c.req.innermost(), slog.LevelError, msg, attrs...)
}

// remoteError parses the body of an exception that answers a call of ours.
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
// which cuts the connection without a log line, as in net/http.
func abortsConnection(err error) bool {
	var p *panicError
	return errors.As(err, &p) && p.Value == any(http.ErrAbortHandler)
}
