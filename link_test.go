package wsrouter_test

import (
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// recording is a transport that remembers what it was to do, and a wire format of
// names; meet is called when a welcome is encoded.
type recording struct {
	meet func()

	mu  sync.Mutex // guards did
	did []string
}

func (r *recording) Write(batch []wsrouter.Frame) error {
	for _, f := range batch {
		r.add(string(f.Text))
	}
	return nil
}

func (r *recording) Ping()             { r.add("ping") }
func (r *recording) Close(int, string) { r.add("close") }
func (r *recording) Abort()            {}

func (r *recording) add(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.did = append(r.did, what)
}

// wants compares once everything is blocked.
func (r *recording) wants(t *testing.T, did ...string) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.Equal(t, did, r.did)
}

func (r *recording) Encode(m *wsrouter.Message) (wsrouter.Frame, error) {
	if m.Kind == wsrouter.KindConnect {
		r.meet()
		return wsrouter.Frame{Text: []byte("welcome")}, nil
	}
	return wsrouter.Frame{Text: []byte(m.Event)}, nil
}

// join makes a link with a connection in r; it ends with the test.
func (r *recording) join(t *testing.T, router *wsrouter.Router) {
	t.Helper()
	link, err := router.NewLink(r, wsrouter.LinkOptions{Request: httptest.NewRequest("GET", "/", nil)})
	require.NoError(t, err)
	t.Cleanup(func() { link.End(&wsrouter.CloseError{Code: wsrouter.CloseNormal}) })
	_, err = link.Join(router, r, nil)
	require.NoError(t, err)
}

// A client that knows that it is in misses nothing that is sent from then on.
func TestWhoIsWelcomedMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.OnConnect(func(c *wsrouter.Conn) error { return c.Emit("from OnConnect") })
		client := &recording{meet: func() { router.Emit("to all") }}
		client.join(t, router)
		client.wants(t, "welcome", "from OnConnect", "to all")
	})
}

// A transport that has no Link yet cannot be asked for a sign of life.
func TestNoPingBeforeThereIsALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.Use(func(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
			time.Sleep(time.Hour) // serving begins when handlers are built
			return next
		})
		router.On("e", func(*wsrouter.Context) error { return nil })
		client := &recording{meet: func() {}}
		begin := time.Now()
		client.join(t, router)
		require.GreaterOrEqual(t, time.Since(begin), time.Hour)
		client.wants(t, "welcome")
		time.Sleep(30 * time.Second)
		client.wants(t, "welcome", "ping")
	})
}
