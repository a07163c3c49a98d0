package suite_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestStatsAreNotNegative: whatever is sent and read meanwhile, what is held and
// what waits are never negative, not even for one scrape.
func TestStatsAreNotNegative(t *testing.T) {
	router := newRouter()
	var over atomic.Bool
	var wg sync.WaitGroup
	for range 8 {
		client := wsroutertest.Connect(t, router, nil)
		wg.Go(func() {
			for !over.Load() {
				client.Call(t.Context(), "events", "hi", nil)
			}
		})
	}
	least := router.Stats()
	for range 5_000 {
		stats := router.Stats()
		least.Inbox, least.Outbox = min(least.Inbox, stats.Inbox), min(least.Outbox, stats.Outbox)
	}
	over.Store(true)
	wg.Wait()
	require.GreaterOrEqual(t, least.Inbox, 0)
	require.GreaterOrEqual(t, least.Outbox, 0)
}

// TestStatsOfTakeover: what a client has made the server hold is counted once, however
// many of its old transports have not answered the close frame yet.
func TestStatsOfTakeover(t *testing.T) {
	router := newResuming(wsrouter.Options{})
	block, called := make(chan struct{}), make(chan struct{})
	router.On("x", func(*wsrouter.Context) error { close(called); <-block; return nil })
	server := httptest.NewServer(router)
	defer server.Close()
	t.Cleanup(func() { require.NoError(t, router.Shutdown(context.Background())) })
	dial := func(first string) (conn *websocket.Conn, welcome struct{ Session string }) {
		conn, _, err := websocket.Dial(t.Context(), server.URL, &websocket.DialOptions{Subprotocols: []string{"wsrouter.v1.session"}})
		require.NoError(t, err)
		t.Cleanup(func() { conn.CloseNow() })
		require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte(first)))
		_, text, err := conn.Read(t.Context())
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &welcome))
		return conn, welcome
	}
	conn, welcome := dial(`{"session":""}`)
	text := `{"event":"x","data":"` + strings.Repeat("x", 100<<10) + `"}`
	require.NoError(t, conn.Write(t.Context(), websocket.MessageText, []byte(text)))
	<-called
	defer close(block)
	for range 5 {
		dial(fmt.Sprintf(`{"session":%q,"received":0}`, welcome.Session))
		require.Less(t, router.Stats().Inbox, 2*len(text))
	}
}
