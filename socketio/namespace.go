package socketio

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/scratch"
	"github.com/wsrouter/wsrouter/internal/usercode"
)

// client interprets the packets of a session: it knows the namespaces that the
// client has joined, and the event whose attachments are still to come. It belongs
// to whoever reads: the post being handled, or the read loop of the WebSocket.
type client struct {
	session *session
	joined  map[string]adapter.Conn // the client has asked for it and has not left it; nil if it was refused
	pending *packet
	parts   [][]byte
	size    int // of the pending packet and its attachments
}

// Mistakes of clients, for the log.
var (
	errNotJoined = errors.New("namespace not joined") // a packet for a namespace that the client is not in
	errBinary    = errors.New("binary message without a packet (does the client use another parser, such as msgpack?)")
	errTooBig    = errors.New("message too big")
)

// receive takes one message of the session. An error ends the session.
func (c *client) receive(m enginePacket) (adapter.Flow, adapter.Turn, error) {
	if m.binary {
		return c.attachment(m.data)
	}
	if c.pending != nil {
		return 0, nil, errPacket // text in place of an attachment
	}
	h := c.session.handler
	p, err := parsePacket(m.data, h.limits.MaxName, h.opts.MaxAttachments)
	if err != nil {
		return 0, nil, err
	}
	if p.attachments > 0 {
		pending := p // p itself need not be on the heap
		c.pending, c.size = &pending, len(m.data)
		c.session.awaitParts(true)
		return adapter.Go, nil, nil
	}
	return c.handle(&p, nil, len(m.data))
}

const attachmentOverhead = 64

// attachment takes one attachment of the pending packet. Together they are one
// message, subject to its limits of size and time.
func (c *client) attachment(data []byte) (adapter.Flow, adapter.Turn, error) {
	if c.pending == nil {
		return 0, nil, errBinary
	}
	c.parts, c.size = append(c.parts, data), c.size+len(data)
	if len(c.parts) > usualAttachments {
		c.size += attachmentOverhead // empty ones cost memory, too
	}
	if c.size > c.session.handler.limits.MaxMessage {
		return 0, nil, errTooBig
	}
	if len(c.parts) < c.pending.attachments {
		return adapter.Go, nil, nil
	}
	c.session.awaitParts(false)
	p, parts := c.pending, c.parts
	c.pending, c.parts = nil, nil
	return c.handle(p, parts, c.size)
}

// handle executes a complete packet.
func (c *client) handle(p *packet, attachments [][]byte, size int) (adapter.Flow, adapter.Turn, error) {
	if p.kind == typeConnect {
		return adapter.Go, nil, c.connectElsewhere(*p)
	}
	m := scratch.Get()
	defer m.Put()
	if err := p.message(&m.Message, attachments); err != nil {
		return 0, nil, err
	}
	if len(m.Event) > c.session.handler.limits.MaxName {
		return 0, nil, errPacket
	}
	m.Size = size
	conn, ok := c.joined[p.namespace]
	if !ok {
		return 0, nil, errNotJoined
	}
	if p.kind == typeDisconnect {
		delete(c.joined, p.namespace)
	}
	if conn == nil { // it was refused, which the client did not know yet
		return adapter.Go, nil, nil
	}
	flow, turn := adapter.Take(conn, &m.Message)
	return flow, turn, nil
}

// connectElsewhere is connect, with as little of the reader's stack as possible, which
// stays.
func (c *client) connectElsewhere(p packet) (err error) {
	usercode.Elsewhere(func() { err = c.connect(&p) })
	return err
}

// connect joins a namespace. The link tells the client whether it is let in.
func (c *client) connect(p *packet) error {
	h, link := c.session.handler, c.session.link
	ns := h.host.Lookup(p.namespace)
	if ns == nil || h.opts.Namespaces != nil && !slices.Contains(h.opts.Namespaces, p.namespace) {
		h.host.Refused(link.Request(), string(RefusedNamespace), errors.New("no such namespace"))
		return c.invalidNamespace(p.namespace)
	}
	auth := p.data
	if len(auth) == 0 {
		auth = nil
	}
	f := format{namespace: p.namespace, errors: h.opts.Errors, maxAttachments: h.opts.MaxAttachments}
	conn, err := c.join(ns, f, auth)
	if err == adapter.ErrJoined { // the client connects twice; the first CONNECT is, or will be, answered
		return nil
	}
	c.joined[p.namespace] = conn
	// A client that is refused does not reconnect on its own. So if all clients are
	// about to be sent away this one is not told, and reconnects with the others.
	if refused := new(adapter.Refusal); errors.As(err, &refused) {
		told, _ := f.refusal(adapter.Told{Message: refused.Text}) // only this namespace is closing
		link.Send(told)
	}
	return nil
}

func (c *client) join(ns adapter.Namespace, f format, auth json.RawMessage) (adapter.Conn, error) {
	link := c.session.link
	if c.session.handler.limits.Window == 0 {
		return link.Join(ns, f, auth)
	}
	auth, lost := takeClaim(auth)
	return link.Recover(ns, f, auth, lost)
}

func (c *client) invalidNamespace(name string) error {
	frame, err := format{namespace: name}.plain(typeConnectError, connectError{Message: "Invalid namespace"})
	if err != nil {
		return err
	}
	c.session.link.Send(frame)
	return nil
}

// arrived forgets what need not be sent again. The client may have left a namespace
// and joined it again since then.
func (c *client) arrived(last map[string]offset) {
	for namespace, o := range last {
		if conn, ok := c.joined[namespace].(adapter.Recoverable); ok && fenceOf(conn.Secret()) == o.fence {
			conn.Acknowledge(o.n)
		}
	}
}
