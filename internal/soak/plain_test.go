package soak

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/coder/websocket"
)

// plainWire is the plain protocol over somebody else's WebSocket.
type plainWire struct {
	conn *websocket.Conn
}

func (m *member) talkPlain() {
	srv := m.fleet.pick(m)
	path := one(m, "/ws", "/detached", "/chat")
	conn := m.dialSocket(srv, "ws://"+srv.addr+path)
	if conn != nil {
		m.talk(srv, plainWire{conn})
	}
}

// dialSocket returns nil if the server is about to go.
func (m *member) dialSocket(srv *server, url string) (conn *websocket.Conn) {
	srv.watch(m.name+": dial", func() {
		var err error
		if conn, _, err = websocket.Dial(context.Background(), url, nil); err != nil && !srv.closing.Load() {
			m.fault("%s: dial: %v", srv.name, err)
		}
	})
	if conn != nil {
		conn.SetReadLimit(-1)
	}
	return conn
}

func (w plainWire) send(m message) error {
	return w.conn.Write(context.Background(), websocket.MessageText, encode(m))
}

func (w plainWire) receive() (m message, err error) {
	_, data, err := w.conn.Read(context.Background())
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%w in %.200s", err, data)
	}
	return m, nil
}

func (w plainWire) cancels() bool { return true }
func (w plainWire) goodbye()      { w.conn.Close(websocket.StatusNormalClosure, "") }
func (w plainWire) cut()          { w.conn.CloseNow() }

// isEnd requires the code of the shutdown, or our own, unless the connection was cut.
func (w plainWire) isEnd(code int, err error) error {
	if code == 0 {
		code = int(websocket.StatusNormalClosure)
	}
	if got := websocket.CloseStatus(err); got != -1 && got != websocket.StatusCode(code) {
		return err
	}
	return nil
}
