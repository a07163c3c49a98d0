package wsrouter

import "net/http"

// This file says what things cost in memory. What a client makes the process
// hold is charged at that from the time that it is taken until it is let go of,
// whether it waits or a handler has it: so few bytes on the wire that become many
// count as many, and what a client keeps for as long as it is connected counts as
// long. It is what [Stats] shows and [Options.MaxBuffered] bounds.

// What things cost besides their bytes.
const (
	messageOverhead    = 256     // of a message with one argument, and of the event that it becomes
	handlerOverhead    = 1 << 10 // of its handler while that runs: the context, the goroutine
	argumentOverhead   = 48
	frameOverhead      = 64
	attachmentOverhead = 64
	headerOverhead     = 128 // of one value of a header or form
)

// held is what an inbound message costs, which mostly has one argument.
func (m *Message) held() int {
	n := m.Size + messageOverhead + max(len(m.Args)-1, 0)*argumentOverhead
	for _, arg := range m.Args {
		if e, ok := arg.(Encoded); ok {
			n += len(e.Attachments) * attachmentOverhead
		}
	}
	return n
}

// held is what a queued frame costs.
func (f *Frame) held() int {
	n := frameOverhead + len(f.Text)
	for _, a := range f.Attachments {
		n += attachmentOverhead + len(a)
	}
	if f.Next != nil {
		n += f.Next.held()
	}
	return n
}

// RefusedRequest is the [Refusal] of a client whose request cannot be kept for as
// long as it is connected: its headers hold more than 256 KiB, at 128 bytes for
// each value besides its letters.
const RefusedRequest Refusal = "request"

const (
	maxRequest = 256 << 10
	freeKept   = 8 << 10 // of what is kept; it is part of what every connection costs
)

// requestHeld is what a request costs that is kept.
func requestHeld(r *http.Request) int {
	n := len(r.RequestURI) + len(r.Host) + len(r.RemoteAddr)
	if u := r.URL; u != nil {
		n += len(u.Path) + len(u.RawPath) + len(u.RawQuery) + len(u.Host) + len(u.Fragment)
	}
	for _, values := range []map[string][]string{r.Header, r.Trailer, r.Form, r.PostForm} {
		for name, list := range values {
			n += len(name)
			for _, v := range list {
				n += headerOverhead + len(v)
			}
		}
	}
	return n
}

// holding is what a link's client makes the process hold besides the outbox, in
// bytes.
type holding struct {
	waiting int // messages in the inboxes
	inHand  int // messages whose handlers have the turn
	yielded int // messages whose handlers have given it up
	answers int // to our calls, which nobody has taken yet
	kept    int // as long as the connection lasts: request, auth, data
}

func (h *holding) sum() int {
	return h.waiting + h.inHand + h.yielded + h.answers + h.chargedKept()
}

func (h *holding) chargedKept() int { return max(h.kept-freeKept, 0) }

// holdLocked charges n bytes to a part of the link's holding, or lets go of them
// where n is negative.
func (l *Link) holdLocked(part *int, n int) {
	*part += n
	l.bufferLocked(n)
}

// keepLocked is holdLocked for what is kept.
func (l *Link) keepLocked(n int) {
	before := l.in.chargedKept()
	l.in.kept += n
	l.bufferLocked(l.in.chargedKept() - before)
}

// moveLocked is for bytes that stay charged.
func moveLocked(from, to *int, n int) {
	*from -= n
	*to += n
}
