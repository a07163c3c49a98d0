package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/coder/websocket"
)

// packets turns messages into Socket.IO's packets and back.
type packets struct {
	prefix string // of a namespace
}

func (m *member) packets() packets { return packets{one(m, "", "/chat,")} }

func (p packets) encode(m message) string {
	if m.Re != 0 {
		return "43" + p.prefix + strconv.Itoa(m.Re) + "[" + string(m.Data) + "]"
	}
	id := ""
	if m.ID != 0 {
		id = strconv.Itoa(m.ID)
	}
	return "42" + p.prefix + id + string(encode([]any{m.Event, m.Data}))
}

// decode reads a packet; parts is how many attachments follow.
func (p packets) decode(text string) (m message, parts int, err error) {
	broken := fmt.Errorf("a packet %.200q", text)
	if len(text) < 2 || text[0] != '4' {
		return m, 0, broken
	}
	kind, rest := text[1], text[2:]
	if kind == '5' || kind == '6' {
		digits, after, _ := strings.Cut(rest, "-")
		if parts, err = strconv.Atoi(digits); err != nil {
			return m, 0, broken
		}
		kind, rest = kind-3, after
	}
	rest, ok := strings.CutPrefix(rest, p.prefix)
	switch {
	case !ok:
		return m, 0, broken
	case kind == '1':
		return m, 0, io.EOF
	}
	at := strings.IndexByte(rest, '[')
	var args []json.RawMessage
	if at < 0 || json.Unmarshal([]byte(rest[at:]), &args) != nil {
		return m, 0, broken
	}
	id, err := strconv.Atoi("0" + rest[:at])
	if err != nil {
		return m, 0, broken
	}
	switch {
	case kind == '2' && len(args) > 0:
		m.ID = id
		err = json.Unmarshal(args[0], &m.Event)
		args = args[1:]
	case kind == '3':
		m.Re = id
	default:
		err = broken
	}
	if len(args) > 0 {
		m.Data = args[0]
	}
	return m, parts, err
}

// welcome checks the packet with which a namespace lets a client in.
func (p packets) welcome(text string) error {
	if !strings.HasPrefix(text, "40"+p.prefix+`{"sid":`) {
		return fmt.Errorf("not let in: %.200q", text)
	}
	return nil
}

// socketWire is Socket.IO over a WebSocket.
type socketWire struct {
	packets
	conn  *websocket.Conn
	early []string // what arrived over polling before an upgrade
}

func (m *member) talkSocket() {
	srv := m.fleet.pick(m)
	conn := m.dialSocket(srv, "ws://"+srv.addr+"/socket.io/?EIO=4&transport=websocket")
	if conn == nil {
		return
	}
	w := &socketWire{packets: m.packets(), conn: conn}
	if m.enter(srv, w.open) {
		m.talk(srv, w)
	}
	conn.CloseNow()
}

// enter reports whether a client was let in, which it must be.
func (m *member) enter(srv *server, open func() error) bool {
	var err error
	srv.watch(m.name+": be let in", func() { err = open() })
	if err != nil && !srv.closing.Load() {
		m.fault("%s: %v", srv.name, err)
	}
	return err == nil
}

func (w *socketWire) open() error {
	text, err := w.read()
	if err != nil || text[0] != '0' {
		return fmt.Errorf("open: %.200q, %w", text, err)
	}
	if err := w.write("40" + w.prefix); err != nil {
		return err
	}
	if text, err = w.read(); err != nil {
		return err
	}
	return w.welcome(text)
}

// read returns the next packet. It answers pings, and does not return them.
func (w *socketWire) read() (string, error) {
	for {
		text, _, err := w.next()
		switch {
		case err != nil:
			return "", err
		case text == "":
			return "", errors.New("an empty packet")
		case text == "6":
		case text != "2":
			return text, nil
		default:
			if err := w.write("3"); err != nil {
				return "", err
			}
		}
	}
}

func (w *socketWire) next() (text string, binary bool, err error) {
	if len(w.early) > 0 {
		text, w.early = w.early[0], w.early[1:]
		return text, strings.HasPrefix(text, "b"), nil
	}
	kind, data, err := w.conn.Read(context.Background())
	return string(data), kind == websocket.MessageBinary, err
}

func (w *socketWire) write(text string) error {
	return w.conn.Write(context.Background(), websocket.MessageText, []byte(text))
}

func (w *socketWire) send(m message) error { return w.write(w.encode(m)) }

func (w *socketWire) receive() (message, error) {
	text, err := w.read()
	if err != nil {
		return message{}, err
	}
	m, parts, err := w.decode(text)
	for range parts {
		text, binary, failed := w.next()
		if failed == nil && !binary {
			failed = fmt.Errorf("%.200q where an attachment has to come", text)
		}
		err = errors.Join(err, failed)
	}
	return m, err
}

func (w *socketWire) cancels() bool { return false }
func (w *socketWire) goodbye()      { w.conn.Close(websocket.StatusNormalClosure, "") }
func (w *socketWire) cut()          { w.conn.CloseNow() }

// isEnd requires that there is no code, because Socket.IO has none, except for an echo
// of our own.
func (w *socketWire) isEnd(code int, err error) error {
	got := websocket.CloseStatus(err)
	if got != -1 && got != websocket.StatusNoStatusRcvd && (code != 0 || got != websocket.StatusNormalClosure) {
		return err
	}
	return nil
}
