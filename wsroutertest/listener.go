package wsroutertest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/payload"
)

// listener is a connection, its transport and its wire format in one. It hears
// everything before a wire could change it: several arguments as several, and bytes
// as bytes. It never has a full queue.
type listener struct {
	*wsrouter.Conn
	tb    testing.TB
	link  adapter.Link
	in    chan string // its id, once it has been let in
	heard chan string // see spell

	once    sync.Once
	closing chan struct{} // closed when the router ends the connection
}

// Encode implements [adapter.Format]. The zero Frame is not sent.
func (l *listener) Encode(m *adapter.Message) (adapter.Frame, error) {
	switch m.Kind {
	case adapter.KindConnect:
		l.in <- m.ID
	case adapter.KindEvent:
		l.heard <- spell(m.Event, m.Args...)
	}
	return adapter.Frame{}, nil
}

// The listener is an adapter.Transport that writes nothing.
func (l *listener) Write([]adapter.Frame) (pending bool, err error) { return false, nil }
func (l *listener) Ping()                                           { l.link.Alive() }
func (l *listener) Resume()                                         {}
func (l *listener) Close(adapter.End)                               { l.Abort() }
func (l *listener) Abort()                                          { l.once.Do(func() { close(l.closing) }) }

// spell writes an event and its arguments as a string, so that equal events are
// equal strings: bytes as such, numbers as float64, objects with sorted keys.
func spell(name string, args ...any) string {
	text := name
	for _, arg := range args {
		encoded, err := payload.Encode(arg)
		if err != nil {
			return fmt.Sprintf("%s, which cannot be encoded: %v", text, err)
		}
		raw := encoded.Append(nil, func(b []byte, i int) []byte {
			return append(b, `{"bytes":"`+base64.StdEncoding.EncodeToString(encoded.Attachments[i].Data)+`"}`...)
		})
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Sprintf("%s, which has invalid JSON: %q", text, raw)
		}
		raw, _ = json.Marshal(v)
		text += " " + string(raw)
	}
	return text
}

// named reports whether an event, written by spell, has that name.
func named(event, name string) bool { return event == name || strings.HasPrefix(event, name+" ") }

// next returns what the listener hears next.
func (l *listener) next(want string) string {
	l.tb.Helper()
	timeout := time.NewTimer(patience())
	defer timeout.Stop()
	select {
	case got := <-l.heard:
		return got
	case <-timeout.C:
		l.tb.Fatalf("heard nothing, want %s", short(want))
		return ""
	}
}

// wants fails the test unless the listener hears these next, in any order.
func (l *listener) wants(events ...string) {
	l.tb.Helper()
	for left := slices.Clone(events); len(left) > 0; {
		got := l.next(left[0])
		i := slices.Index(left, got)
		if i < 0 {
			l.tb.Fatalf("heard %s, want %s", short(got), short(strings.Join(left, " or ")))
		}
		left = slices.Delete(left, i, i+1)
	}
}

// wantsFirst fails the test unless the listener hears want, and before it only
// events of the other names.
func (l *listener) wantsFirst(want string, others ...string) {
	l.tb.Helper()
	for {
		got := l.next(want)
		if got == want {
			return
		}
		if !slices.ContainsFunc(others, func(other string) bool { return named(got, other) }) {
			l.tb.Fatalf("heard %s, want %s", short(got), short(want))
		}
	}
}

// forget discards what the listener has heard.
func (l *listener) forget() {
	for {
		select {
		case <-l.heard:
		default:
			return
		}
	}
}

// wantsEnd fails the test unless the connection ends.
func (l *listener) wantsEnd() {
	l.tb.Helper()
	timeout := time.NewTimer(patience())
	defer timeout.Stop()
	select {
	case <-l.Context().Done():
	case <-timeout.C:
		l.tb.Fatal("the connection goes on, want its end")
	}
}

// short returns s in a form that can be printed.
func short(s string) string {
	if len(s) > 300 {
		return fmt.Sprintf("%s… (%d bytes)", s[:300], len(s))
	}
	return s
}
