package socket

import (
	"sync/atomic"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/lazy"
)

// Transport is a WebSocket as an [adapter.Transport]. Each frame of the adapter is
// a message.
type Transport struct {
	adapter.Gate
	Conn *Conn // must be set before the transport is used

	link atomic.Pointer[adapter.Link] // set by Attach; a Shutdown may close the link before that
	over lazy.Latch                   // closed when Close or Abort is done
}

// Options returns the options of the Conn that the transport will use.
func (t *Transport) Options(limits *adapter.Limits) Options {
	return Options{
		MaxMessage:     int64(limits.MaxMessage),
		MessageTimeout: limits.MessageTimeout,
		WriteTimeout:   limits.WriteTimeout,
		Alive:          t.alive,
		Control:        t.control,
	}
}

// Attach sets the transport's link. Call it before anything is read.
func (t *Transport) Attach(l adapter.Link) { t.link.Store(&l) }

// alive and control are called by the socket, in a closing handshake even if the
// transport has no link.
func (t *Transport) alive() {
	if l := t.link.Load(); l != nil {
		(*l).Alive()
	}
}

func (t *Transport) control() {
	if l := t.link.Load(); l != nil {
		(*l).Arrived(adapter.Frame{})
	}
}

// Read returns the next message, or how the connection ended.
func (t *Transport) Read() (data []byte, text bool, end *adapter.End) {
	data, text, err := t.Conn.Read()
	if err != nil {
		e := EndOf(err)
		return nil, false, &e
	}
	return data, text, nil
}

// Name implements [adapter.Named].
func (t *Transport) Name() string { return "websocket" }

// Write implements [adapter.Transport].
func (t *Transport) Write(batch []adapter.Frame) (pending bool, err error) {
	return t.Conn.Push(func() error { return t.add(batch) }, (*t.link.Load()).Writable)
}

func (t *Transport) add(batch []adapter.Frame) error {
	for _, f := range batch {
		if err := t.Conn.WriteShared("", f.Text, true, f.Shared); err != nil {
			return err
		}
	}
	return nil
}

// Ping implements [adapter.Transport].
func (t *Transport) Ping() { t.Conn.Ping() }

// Close implements [adapter.Transport].
func (t *Transport) Close(e adapter.End) {
	go func() {
		defer t.over.Happen()
		t.Conn.Close(e.Code, e.Reason)
	}()
}

// Abort implements [adapter.Transport].
func (t *Transport) Abort() {
	go func() { // over TLS it may have to wait
		defer t.over.Happen()
		t.Conn.Abort()
	}()
}

// Over returns a channel that is closed when Close or Abort is done.
func (t *Transport) Over() <-chan struct{} { return t.over.Done() }
