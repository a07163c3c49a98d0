package serve

import (
	"net"
	"net/http"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

// nbioServer serves with the callbacks of nbio, whose epoll loops and HTTP parser
// replace net/http: its non-blocking mode, made for many connections.
type nbioServer struct {
	crowd[*websocket.Conn]
}

func newNbio(settings) server {
	logging.SetLevel(logging.LevelNone) // it would write to standard output
	s := &nbioServer{}
	upgrader := websocket.NewUpgrader()
	upgrader.MessageLengthLimit = maxMessage
	upgrader.OnOpen(func(conn *websocket.Conn) {
		leave := s.join(conn)
		conn.OnClose(func(*websocket.Conn, error) { leave() })
	})
	upgrader.OnMessage(s.message)
	return server{serve: func(listener net.Listener) error {
		engine := nbhttp.NewEngine(nbhttp.Config{
			Network:                 "tcp",
			Addrs:                   []string{listener.Addr().String()},
			Listen:                  func(string, string) (net.Listener, error) { return listener, nil },
			MaxLoad:                 1 << 20, // connections
			ReleaseWebsocketPayload: true,
			IOMod:                   nbhttp.IOModNonBlocking,

			MaxWebsocketFramePayloadSize: maxMessage, // it would send fragments
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				upgrader.Upgrade(w, r, nil)
			}),
		})
		if err := engine.Start(); err != nil {
			return err
		}
		select {} // it serves until the process ends
	}}
}

func (s *nbioServer) message(conn *websocket.Conn, _ websocket.MessageType, frame []byte) {
	answer, err := handle(frame)
	switch {
	case err != nil:
		conn.WriteClose(1007, "")
	case answer.everybody:
		s.each(func(conn *websocket.Conn) { conn.WriteMessage(websocket.TextMessage, answer.frame) })
	default:
		conn.WriteMessage(websocket.TextMessage, answer.frame)
	}
}
