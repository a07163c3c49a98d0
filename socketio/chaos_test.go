package socketio_test

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

// chaosPackets are what the clients of TestChaos send, in any order.
var chaosPackets = []string{
	"40", "40", "40/chat,", "41", "41/chat,", `42["echo",1]`, `421["echo",[1]]`, `42/chat,["echo"]`, `42["slow"]`, `42["stream"]`,
	`451-["echo",{"_placeholder":true,"num":0}]`, "3", "6", "5", "430[]", `42["close"]`,
}

// TestChaos: requests of every kind at once, several on each session, end in order.
// Nothing is left of them, and there are no races.
func TestChaos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newChaosRouter()
		s := serveInBubble(t, router, nil)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 30 {
					p := s.open()
					var one sync.WaitGroup
					for range 3 {
						one.Go(p.misbehave)
					}
					one.Wait()
				}
			})
		}
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		for ended := false; !ended; {
			require.NoError(t, router.Emit("all", []byte("x")))
			select {
			case <-time.After(time.Millisecond):
			case <-done:
				ended = true
			}
		}
		require.NoError(t, router.Shutdown(t.Context()))
		require.Zero(t, socketio.Sessions(s.handler))
	})
}

// misbehave does some of the things that a session allows.
func (p *poller) misbehave() {
	packet := func() string { return chaosPackets[rand.IntN(len(chaosPackets))] }
	for range rand.IntN(15) {
		ctx, cancel := context.WithTimeout(p.t.Context(), time.Duration(rand.IntN(50))*time.Millisecond)
		defer cancel()
		switch rand.IntN(8) {
		case 0, 1, 2:
			request(ctx, p, http.MethodPost, packet()+"\x1e"+packet())
		case 3, 4, 5, 6:
			request(ctx, p, http.MethodGet, "")
		case 7:
			conn, _, err := websocket.Dial(ctx, "ws"+p.url[len("http"):]+"?EIO=4&transport=websocket&sid="+p.sid,
				&websocket.DialOptions{HTTPClient: p.client})
			if err != nil {
				continue
			}
			for _, text := range []string{"2probe", "5", packet(), packet()} {
				conn.Write(ctx, websocket.MessageText, []byte(text))
			}
			for range 3 {
				conn.Read(ctx)
			}
			conn.CloseNow()
		}
	}
}

func request(ctx context.Context, p *poller, method, body string) {
	req, err := http.NewRequestWithContext(ctx, method, p.url+"?"+p.query(), strings.NewReader(body))
	if err != nil {
		return
	}
	if resp, err := p.client.Do(req); err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

func newChaosRouter() *wsrouter.Router {
	router := newRouter(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
	router.On("slow", func(c *wsrouter.Context) error {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-c.Context().Done():
		}
		return c.Reply(1)
	})
	router.On("stream", func(c *wsrouter.Context) error {
		return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
			for i := 0; i < 50 && yield(i, nil); i++ {
			}
		})
	})
	router.On("close", func(c *wsrouter.Context) error { return c.Conn().Close(1000, "") })
	router.Namespace("/chat")
	return router
}
