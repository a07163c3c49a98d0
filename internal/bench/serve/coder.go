package serve

import (
	"context"
	"net/http"

	"github.com/coder/websocket"
)

// coderServer is the loop one would write on coder/websocket.
type coderServer struct {
	crowd[*websocket.Conn]
}

func newCoder() http.Handler { return &coderServer{} }

func (s *coderServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxMessage)
	defer s.join(conn)()
	for s.serve(r.Context(), conn) == nil {
	}
}

func (s *coderServer) serve(ctx context.Context, conn *websocket.Conn) error {
	_, frame, err := conn.Read(ctx)
	if err != nil {
		return err
	}
	answer, err := handle(frame)
	if err != nil {
		return err
	}
	if !answer.everybody {
		return conn.Write(ctx, websocket.MessageText, answer.frame)
	}
	s.each(func(conn *websocket.Conn) { conn.Write(ctx, websocket.MessageText, answer.frame) })
	return nil
}
