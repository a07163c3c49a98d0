package socketio_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/socketio"
)

// bursting is some middleware's ResponseWriter that panics, like gin's Flush if there
// is nothing to flush beneath it.
type bursting struct {
	http.ResponseWriter
	armed bool
}

func (b bursting) Unwrap() http.ResponseWriter { return b.ResponseWriter }

func (b bursting) Write(p []byte) (int, error) {
	if b.armed {
		panic("middleware")
	}
	return b.ResponseWriter.Write(p)
}

// TestWriterOfPollPanics: what the poll was to carry is lost, and so the session ends
// at once. It does not go on with a link that sends nothing any more.
func TestWriterOfPollPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &http.Server{ErrorLog: log.New(io.Discard, "", 0)}
		router := newRouter(nil)
		s := serveWith(t, server, router, nil)
		armed := false
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.handler.ServeHTTP(bursting{w, armed && r.Method == "GET"}, r)
		})
		p := s.open()
		p.join("40")
		p.post(`42["echo",1]`)
		armed = true
		_, err := p.try("GET", p.query(), "")
		require.Error(t, err)
		synctest.Wait()
		require.Zero(t, router.Stats().Connections)
		armed = false
		p.gone()
	})
}

// TestPollWithBody: a poll has no body. Otherwise the server would wait for the
// announced body before it answers, forever, because a poll has no read deadline.
func TestPollWithBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		s := serveInBubble(t, router, nil)
		p := s.open()
		p.join("40")
		p.post(`42["echo",1]`)
		conn, err := newConn(s)
		require.NoError(t, err)
		defer conn.Close()
		fmt.Fprintf(conn, "GET /socket.io/?%s%sContent-Length: 5\r\n\r\n", p.query(), head)
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			io.Copy(io.Discard, conn) // to the end: nothing is read after the body that has not arrived
		}()
		select {
		case <-answered:
		case <-time.After(3 * time.Minute):
			t.Error("the server waits for the body")
		}
		synctest.Wait()
		require.Zero(t, router.Stats().Connections) // nobody has polled
		require.Zero(t, socketio.Sessions(s.handler))
	})
}

// torn is some middleware's body that panics.
type torn struct{ io.ReadCloser }

func (torn) Read([]byte) (int, error) { panic("middleware") }

// TestBodyOfPostPanics: the post has ended, and the next one is accepted.
func TestBodyOfPostPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &http.Server{ErrorLog: log.New(io.Discard, "", 0)}
		s := serveWith(t, server, newRouter(nil), nil)
		armed := false
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if armed {
				r.Body = torn{r.Body}
			}
			s.handler.ServeHTTP(w, r)
		})
		p := s.open()
		p.join("40")
		armed = true
		_, err := p.try("POST", p.query(), `42["echo",1]`)
		require.Error(t, err)
		armed = false
		p.post(`42["echo",2]`)
		require.Equal(t, `42["echo",2]`, p.get())
	})
}

// TestRefusedPostStalls: a post to no session is answered, and its connection is not
// kept for a body that does not arrive.
func TestRefusedPostStalls(t *testing.T) {
	for _, length := range []string{"Content-Length: 100", "Transfer-Encoding: chunked"} {
		synctest.Test(t, func(t *testing.T) {
			s := serveInBubble(t, newRouter(nil), nil)
			conn, err := newConn(s)
			require.NoError(t, err)
			defer conn.Close()
			fmt.Fprintf(conn, "POST /socket.io/?%s&sid=none%s%s\r\n\r\n", polling, head, length)
			over := make(chan struct{})
			go func() {
				defer close(over)
				io.Copy(io.Discard, conn)
			}()
			select {
			case <-over:
			case <-time.After(time.Minute):
				t.Error("the server waits for the body")
			}
		})
	}
}

// TestPongsWithoutPolls: a client that answers pings it has not received, and does not
// poll, has only one of them waiting.
func TestPongsWithoutPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveInBubble(t, newRouter(nil), nil)
		p := s.open()
		p.join("40")
		for range 10 {
			time.Sleep(25 * time.Second)
			synctest.Wait()
			p.post("3")
		}
		require.Equal(t, "2", p.get())
	})
}
