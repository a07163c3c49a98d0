package serve

import (
	"net/http"
	"sync"

	"github.com/coder/websocket"
)

// coderServer is the loop one would write on coder/websocket.
type coderServer struct {
	mu    sync.Mutex // guards conns
	conns map[*websocket.Conn]struct{}
}

func newCoder() http.Handler {
	return &coderServer{conns: make(map[*websocket.Conn]struct{})}
}

func (s *coderServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxMessage)
	s.mu.Lock()
	s.conns[conn] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	for s.serve(conn, r) == nil {
	}
}

func (s *coderServer) serve(conn *websocket.Conn, r *http.Request) error {
	_, frame, err := conn.Read(r.Context())
	if err != nil {
		return err
	}
	answer, err := handle(frame)
	if err != nil {
		return err
	}
	if !answer.everybody {
		return conn.Write(r.Context(), websocket.MessageText, answer.frame)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Write(r.Context(), websocket.MessageText, answer.frame)
	}
	return nil
}
