package socketio

import (
	"errors"
	"slices"

	"github.com/wsrouter/wsrouter"
)

// client is what a session's packets mean: the namespaces it has joined, and the
// event whose attachments are still to come. It belongs to whoever reads: the
// post that is being handled, or the WebSocket's read loop.
type client struct {
	session *session
	joined  map[string]*wsrouter.Router // asked for by the client, and not left by it
	pending *packet
	parts   [][]byte
	size    int // of the pending packet and its parts
}

// errNotJoined is a packet for a namespace that the client is not in.
var errNotJoined = errors.New("namespace not joined")

// receive takes one message of the session. An error ends the session.
func (c *client) receive(m enginePacket) error {
	if m.binary {
		return c.attachment(m.data)
	}
	if c.pending != nil {
		return errPacket // text where an attachment has to come
	}
	p, err := parsePacket(m.data, c.session.handler.limits.MaxName)
	if err != nil {
		return err
	}
	if p.attachments > 0 {
		c.pending, c.size = &p, len(m.data)
		c.session.awaitParts(true)
		return nil
	}
	return c.handle(&p, nil, len(m.data))
}

// attachment takes one of the pending packet's. All together are one message,
// with its limits of size and time.
func (c *client) attachment(data []byte) error {
	if c.pending == nil {
		return errPacket
	}
	c.parts, c.size = append(c.parts, data), c.size+len(data)
	if c.size > c.session.handler.limits.MaxMessage {
		return errTooBig
	}
	if len(c.parts) < c.pending.attachments {
		return nil
	}
	c.session.awaitParts(false)
	p, parts := c.pending, c.parts
	c.pending, c.parts = nil, nil
	return c.handle(p, parts, c.size)
}

var errTooBig = errors.New("message too big")

// handle does what a complete packet says.
func (c *client) handle(p *packet, attachments [][]byte, size int) error {
	if p.kind == typeConnect {
		return c.connect(p)
	}
	m, err := p.message(attachments)
	if err != nil {
		return err
	}
	if len(m.Event) > c.session.handler.limits.MaxName {
		return errPacket
	}
	m.Size = size
	ns := c.joined[p.namespace]
	if ns == nil {
		return errNotJoined
	}
	if p.kind == typeDisconnect {
		delete(c.joined, p.namespace)
	}
	if conn := c.session.link.Conn(ns); conn != nil {
		conn.Receive(m)
	} // else our side has ended it, which the client did not know
	return nil
}

// connect joins a namespace. Whether the client is let in the link will say.
func (c *client) connect(p *packet) error {
	h, link := c.session.handler, c.session.link
	ns := h.router.Lookup(p.namespace)
	if ns != nil && link.Conn(ns) != nil {
		return errPacket // twice
	}
	if ns == nil || h.opts.Namespaces != nil && !slices.Contains(h.opts.Namespaces, p.namespace) {
		return c.invalidNamespace(p.namespace)
	}
	auth := p.data
	if len(auth) == 0 {
		auth = nil
	}
	f := format{namespace: p.namespace, errors: h.opts.Errors}
	c.joined[p.namespace] = ns
	// A client that is refused does not come back by itself: so where all are about
	// to be sent away, this one is not told, and comes back with them.
	if _, err := link.Join(ns, f, auth); err != nil && link.Err() == nil && !link.Draining() {
		told, _ := f.refusal([]any{err}) // this namespace is closing, or broken
		link.Send(told)
	}
	return nil
}

func (c *client) invalidNamespace(name string) error {
	frame, err := format{namespace: name}.plain(typeConnectError, connectError{Message: "Invalid namespace"})
	if err != nil {
		return err
	}
	c.session.link.Send(frame)
	return nil
}
