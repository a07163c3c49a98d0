package wsrouter_test

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/broker"
)

// recording is a transport that records its calls, and a wire format of names. meet is
// called when a welcome is encoded.
type recording struct {
	meet func()

	mu  sync.Mutex // guards did
	did []string
}

func (r *recording) Write(batch []adapter.Frame) (pending bool, err error) {
	for _, f := range batch {
		r.add(string(f.Text))
	}
	return false, nil
}

func (r *recording) Ping()             { r.add("ping") }
func (r *recording) Resume()           {}
func (r *recording) Close(adapter.End) { r.add("close") }
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

func (r *recording) Encode(m *adapter.Message) (adapter.Frame, error) {
	if m.Kind == adapter.KindConnect {
		r.meet()
		return adapter.Frame{Text: []byte("welcome")}, nil
	}
	return adapter.Frame{Text: []byte(m.Event)}, nil
}

// join makes a link with a connection in r, which ends with the test.
func (r *recording) join(t *testing.T, router *wsrouter.Router) {
	t.Helper()
	link, err := router.Adapter().NewLink(r, adapter.LinkOptions{Request: httptest.NewRequest("GET", "/", nil)})
	require.NoError(t, err)
	t.Cleanup(func() { <-link.End(adapter.End{Code: wsrouter.CloseNormal}) })
	_, err = link.Join(router, r, nil)
	require.NoError(t, err)
}

// A client that knows it has been let in misses nothing that is sent from then on.
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
		router := inCluster(brokerFunc(func(ctx context.Context, _ broker.Node) (broker.Subscription, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		defer router.Close()
		client := &recording{meet: func() {}}
		client.join(t, router)
		client.wants(t, "welcome")
		time.Sleep(30 * time.Second)
		client.wants(t, "welcome", "ping")
	})
}

// dying is a transport that ends as soon as it is cut.
type dying struct {
	recording
	link adapter.Link
}

func (d *dying) Abort() {
	d.link.End(adapter.End{Code: wsrouter.CloseAbnormal})
	synctest.Wait() // the link's end overtakes the client that joins
}

// A client whose link ends while it joins is let in and then gone, or neither.
func TestLinkEndsWhileItsClientJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouterWith(&wsrouter.Options{MaxBuffered: 10_000})
		connected, disconnected := 0, 0
		router.OnConnect(func(*wsrouter.Conn) error { connected++; return nil })
		router.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) { disconnected++ })
		client := &dying{recording: recording{meet: func() {}}}
		link, err := router.Adapter().NewLink(client, adapter.LinkOptions{Request: httptest.NewRequest("GET", "/", nil)})
		require.NoError(t, err)
		client.link = link
		_, err = link.Join(router, &client.recording, make([]byte, 100_000))
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, connected, disconnected)
	})
}

// leaver is a transport that ends when told to.
type leaver struct {
	recording
	link adapter.Link
	once sync.Once
}

func (l *leaver) Close(e adapter.End) { l.once.Do(func() { l.link.End(e) }) }

// Nobody is in a namespace that has shut down, not even a client that joined at that
// moment.
func TestNobodyJoinsWhatShutsDown(t *testing.T) {
	for range 1000 {
		synctest.Test(t, func(t *testing.T) {
			router := newRouter()
			child := router.Namespace("/child")
			client := &leaver{recording: recording{meet: func() {}}}
			link, err := router.Adapter().NewLink(client, adapter.LinkOptions{Request: httptest.NewRequest("GET", "/", nil)})
			require.NoError(t, err)
			client.link = link
			go child.Shutdown(context.Background())
			link.Join(child, &client.recording, nil) // or it is refused
			synctest.Wait()
			require.Zero(t, child.All().Count())
			client.Close(adapter.End{Code: wsrouter.CloseNormal})
		})
	}
}
