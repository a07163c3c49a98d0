package adapter

// Turn is a message that waits to be handled. Work calls its handler, and then the
// handlers of the messages that have arrived since; it returns when none is left or
// another goroutine has taken over. It must be called exactly once.
type Turn interface{ Work() }

// Taker is implemented by the Conns of a router. Take is Receive for an adapter
// that can spare the goroutine that calls it: where Receive would start a goroutine
// to handle the message, Take returns the Turn for the adapter to do so, and
// otherwise nil. Handlers may take long, so the adapter calls Work only when
// another goroutine can read. Unlike Receive, Take does not keep m, but what m refers
// to.
type Taker interface {
	Take(m *Message) (Flow, Turn)
}

// Take calls the Take method of a Conn that has one, and otherwise Receive with a copy
// of m.
func Take(c Conn, m *Message) (Flow, Turn) {
	if t, ok := c.(Taker); ok {
		return t.Take(m)
	}
	kept := *m
	return c.Receive(&kept), nil
}
