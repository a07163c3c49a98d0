package serve

import (
	"net/http"

	"github.com/lxzan/gws"
)

// gwsServer serves with the callbacks of gws and broadcasts with its Broadcaster.
type gwsServer struct {
	gws.BuiltinEventHandler
	conns *gws.ConcurrentMap[*gws.Conn, struct{}]
}

func newGWS() http.Handler {
	s := &gwsServer{conns: gws.NewConcurrentMap[*gws.Conn, struct{}]()}
	upgrader := gws.NewUpgrader(s, &gws.ServerOption{ReadMaxPayloadSize: maxMessage})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		go conn.ReadLoop() // returning frees what net/http holds, as gws's README says
	})
}

func (s *gwsServer) OnOpen(conn *gws.Conn) { s.conns.Store(conn, struct{}{}) }

func (s *gwsServer) OnClose(conn *gws.Conn, _ error) { s.conns.Delete(conn) }

func (s *gwsServer) OnPing(conn *gws.Conn, payload []byte) { conn.WritePong(payload) }

func (s *gwsServer) OnMessage(conn *gws.Conn, message *gws.Message) {
	defer message.Close()
	answer, err := handle(message.Bytes())
	switch {
	case err != nil:
		conn.WriteClose(1007, nil)
	case answer.everybody:
		b := gws.NewBroadcaster(gws.OpcodeText, answer.frame)
		defer b.Close()
		s.conns.Range(func(conn *gws.Conn, _ struct{}) bool {
			b.Broadcast(conn)
			return true
		})
	default:
		conn.WriteMessage(gws.OpcodeText, answer.frame)
	}
}
