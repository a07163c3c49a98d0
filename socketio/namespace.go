package socketio

import (
	"errors"
	"slices"

	"github.com/wsrouter/wsrouter"
)

// client is what a session's packets mean: the namespaces it has joined, and the
// event whose attachments are still to come. It belongs to the read loop.
type client struct {
	session *session
	pending *packet
	parts   [][]byte
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
		c.pending = &p
		return nil
	}
	return c.handle(&p, nil, len(m.data))
}

func (c *client) attachment(data []byte) error {
	if c.pending == nil {
		return errPacket
	}
	c.parts = append(c.parts, data)
	if len(c.parts) < c.pending.attachments {
		return nil
	}
	p, parts := c.pending, c.parts
	c.pending, c.parts = nil, nil
	size := len(p.data)
	for _, part := range parts {
		size += len(part)
	}
	var err error
	if p.data, err = putBack(p.data, parts); err != nil {
		return err
	}
	return c.handle(p, parts, size)
}

// handle does what a complete packet says.
func (c *client) handle(p *packet, attachments [][]byte, size int) error {
	if p.kind == typeConnect {
		return c.connect(p)
	}
	conn := c.conn(p.namespace)
	if conn == nil {
		return errNotJoined
	}
	m := &wsrouter.Message{ID: p.id, Size: size, Attachments: attachments}
	switch p.kind {
	case typeDisconnect:
		m.Kind = wsrouter.KindDisconnect
	case typeEvent, typeBinaryEvent:
		m.Kind = wsrouter.KindEvent
	default:
		m.Kind = wsrouter.KindReply
	}
	if p.data != nil && len(p.data) > 0 {
		event, args, err := p.args()
		if err != nil {
			return err
		}
		m.Event = event
		for _, arg := range args {
			m.Args = append(m.Args, arg)
		}
	}
	if len(m.Event) > c.session.handler.limits.MaxName {
		return errPacket
	}
	conn.Receive(m)
	return nil
}

// conn returns the client's connection in a namespace, nil where it has none.
func (c *client) conn(namespace string) *wsrouter.Conn {
	if ns := c.session.handler.router.Lookup(namespace); ns != nil {
		return c.session.link.Conn(ns)
	}
	return nil
}

// connect joins a namespace. Whether the client is let in the link will say.
func (c *client) connect(p *packet) error {
	h := c.session.handler
	if c.conn(p.namespace) != nil {
		return errPacket // twice
	}
	ns := h.router.Lookup(p.namespace)
	if ns == nil || h.opts.Namespaces != nil && !slices.Contains(h.opts.Namespaces, p.namespace) {
		return c.invalidNamespace(p.namespace)
	}
	auth := p.data
	if len(auth) == 0 {
		auth = nil
	}
	f := format{namespace: p.namespace, errors: h.opts.Errors}
	if _, err := c.session.link.Join(ns, f, auth); err != nil {
		return err
	}
	c.session.connect.Stop()
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
