package adapter

// Turn is a message that waits to be handled. Work calls its handler, and those of the
// messages that have come behind it; it returns when nothing is left to do, or somebody
// else does it. It is called once.
type Turn interface{ Work() }

// Taker is implemented by the Conns of a router. Take is Receive for an adapter with a
// goroutine to spare: it returns the turn that begins with the message, or nil if none
// does, where Receive starts a goroutine for it. The adapter calls Work when somebody
// else can read, since handlers may take their time.
type Taker interface {
	Take(m *Message) (Flow, Turn)
}

// Take calls the Take of a Conn that has one, and Receive otherwise.
func Take(c Conn, m *Message) (Flow, Turn) {
	if t, ok := c.(Taker); ok {
		return t.Take(m)
	}
	return c.Receive(m), nil
}
