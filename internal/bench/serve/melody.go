package serve

import (
	"net/http"

	"github.com/olahol/melody"
)

func newMelody() http.Handler {
	m := melody.New()
	m.Config.MaxMessageSize = maxMessage
	m.HandleMessage(func(session *melody.Session, frame []byte) {
		answer, err := handle(frame)
		switch {
		case err != nil:
			session.Close()
		case answer.everybody:
			m.Broadcast(answer.frame)
		default:
			session.Write(answer.frame)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.HandleRequest(w, r) })
}
