package frameworks

import (
	"bytes"
	"context"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// patience is how long a test waits for what must come: never reached, unless
// the test fails.
const patience = time.Minute

// server is a web server with a router mounted in it. When the test ends it
// shuts both down in the documented order, and has complained of nothing.
type server struct {
	*httptest.Server
	handlers sync.WaitGroup // that have not returned, with all that is around them
	log      errorLog
}

// start serves handler, in which router is mounted, as configured.
func start(t *testing.T, router *wsrouter.Router, handler http.Handler, configure ...func(*httptest.Server)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handlers.Add(1)
		defer s.handlers.Done()
		handler.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(&s.log, "", 0)
	t.Cleanup(func() { s.stop(t, router) })
	for _, fn := range configure {
		fn(s.Server)
	}
	if s.URL == "" {
		s.Start()
	}
	return s
}

func (s *server) stop(t *testing.T, router *wsrouter.Router) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, router.Shutdown(ctx))
	s.Close()
	s.handlers.Wait()
	require.Empty(t, s.log.String(), "the server's error log")
}

// dial connects a client, whose end is the test's.
func (s *server) dial(t *testing.T, path string) *wsrouter.Client {
	t.Helper()
	client, err := s.tryDial(t, path)
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

func (s *server) tryDial(t *testing.T, path string) (*wsrouter.Client, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return wsrouter.Dial(ctx, s.URL+path, &wsrouter.DialOptions{
		HTTPClient: s.Client(),
		Header:     http.Header{"Accept-Encoding": {"gzip"}}, // as browsers do
	})
}

// call calls an event and returns its answer.
func call[T any](t *testing.T, client *wsrouter.Client, event string, in any) (out T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, client.Call(ctx, event, in, &out))
	return out
}

// receive takes the next value of a channel.
func receive[T any](t *testing.T, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
	}
	return v
}

func echoRaw(c *wsrouter.Context) error { return c.Reply(c.Value()) }

// errorLog is where http.Server tells of panics, and of handlers that use a
// connection after it was hijacked.
type errorLog struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *errorLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *errorLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
