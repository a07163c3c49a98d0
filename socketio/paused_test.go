package socketio_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestNamespaceClosesWhileReadingIsPaused: if a client's inbox is full of events for
// one namespace, it is served in the others when that one closes.
func TestNamespaceClosesWhileReadingIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(&wsrouter.Options{InboxBytes: 1000})
		chat := router.Namespace("/chat")
		chat.On("wait", func(c *wsrouter.Context) error {
			<-c.Context().Done()
			return nil
		})
		s := serveInBubble(t, router, nil)
		ws := s.connected()
		ws.join("40/chat,")
		for range 2 {
			ws.write(`42/chat,["wait","` + strings.Repeat("x", 1000) + `"]`)
		}
		written := make(chan struct{})
		go func() { // not read yet
			defer close(written)
			ws.write(`421["echo",1]`)
		}()
		synctest.Wait()
		for c := range chat.Conns() {
			require.NoError(t, c.Close(wsrouter.CloseNormal, ""))
		}
		require.ElementsMatch(t, []string{"41/chat,", "431[1]"}, []string{ws.read(), ws.read()})
		<-written
	})
}
