package serve

import (
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
)

// gorillaServer is the loop one would write on gorilla/websocket.
type gorillaServer struct {
	upgrader websocket.Upgrader
	crowd[*gorillaConn]
}

// gorillaConn lets one goroutine write at a time, as gorilla requires.
type gorillaConn struct {
	*websocket.Conn
	mu sync.Mutex // held while writing
}

func newGorilla() http.Handler {
	return &gorillaServer{}
}

func (s *gorillaServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upgraded, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	conn := &gorillaConn{Conn: upgraded}
	defer conn.Close()
	conn.SetReadLimit(maxMessage)
	defer s.join(conn)()
	for s.serve(conn) == nil {
	}
}

func (s *gorillaServer) serve(conn *gorillaConn) error {
	_, frame, err := conn.ReadMessage()
	if err != nil {
		return err
	}
	answer, err := handle(frame)
	if err != nil {
		return err
	}
	if answer.everybody {
		return s.broadcast(answer.frame)
	}
	conn.mu.Lock()
	defer conn.mu.Unlock()
	return conn.WriteMessage(websocket.TextMessage, answer.frame)
}

func (s *gorillaServer) broadcast(frame []byte) error {
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, frame)
	if err != nil {
		return err
	}
	s.each(func(conn *gorillaConn) {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		conn.WritePreparedMessage(prepared)
	})
	return nil
}
