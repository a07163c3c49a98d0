package socketio_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// comeBack are refusals after which a client should come back.
var comeBack = map[string]func(*wsrouter.Conn) error{
	"error": func(*wsrouter.Conn) error { return errors.New("secret") },
	"panic": func(*wsrouter.Conn) error { panic("secret") },
	"1011":  func(*wsrouter.Conn) error { return &wsrouter.CloseError{Code: 1011} },
	"1012":  func(*wsrouter.Conn) error { return &wsrouter.CloseError{Code: 1012} },
	"1013":  func(*wsrouter.Conn) error { return &wsrouter.CloseError{Code: 1013, Reason: "full"} },
	"late":  func(c *wsrouter.Conn) error { <-c.Context().Done(); return context.Cause(c.Context()) },
	"close": func(c *wsrouter.Conn) error { return c.Close(1012, "") },
}

// TestRefusalsThatPass: the transport ends, without a CONNECT_ERROR, after which no
// client would come back.
func TestRefusalsThatPass(t *testing.T) {
	for name, guard := range comeBack {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router, gone := watched(nil)
				router.Namespace("/guarded").OnConnect(guard)
				s := serveInBubble(t, router, nil)
				ws := s.connected()
				begin := time.Now()
				ws.write("40/guarded,")
				ws.closed()
				<-gone
				if name == "late" {
					require.Equal(t, 10*time.Second, time.Since(begin))
				}
				p := s.open()
				p.join("40")
				poll := p.waiting()
				synctest.Wait()
				p.post("40/guarded,")
				require.Equal(t, "1", <-poll)
				<-gone
			})
		})
	}
}

// TestClosesThatPass: Close and Disconnect with a code that says "come back" end the
// transport, after what was sent before.
func TestClosesThatPass(t *testing.T) {
	closes := map[string]func(*wsrouter.Conn) error{
		"Close":      func(c *wsrouter.Conn) error { return c.Close(1012, "moved") },
		"Disconnect": func(c *wsrouter.Conn) error { return c.Router().To(c.ID()).Disconnect(1012, "moved") },
	}
	for name, end := range closes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router, gone := watched(nil)
				conns := make(chan *wsrouter.Conn, 1)
				chat := router.Namespace("/chat")
				chat.OnConnect(func(c *wsrouter.Conn) error { conns <- c; return nil })
				ws := serveInBubble(t, router, nil).connected()
				ws.join("40/chat,")
				conn := <-conns
				require.NoError(t, conn.Emit("last"))
				require.NoError(t, end(conn))
				ws.reads(`42/chat,["last"]`)
				ws.closed()
				ce := <-gone
				require.Equal(t, 1012, ce.(*wsrouter.CloseError).Code)
			})
		})
	}
}

// TestConnectTwice: a second CONNECT waits for what becomes of the first, and gets
// its answer again where the namespace is joined. It harms nobody.
func TestConnectTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter(nil)
		let := make(chan error)
		guards := 0
		router.Namespace("/x").OnConnect(func(*wsrouter.Conn) error { guards++; return <-let })
		ws := serveInBubble(t, router, nil).connected()
		ws.write("40/x,", `40/x,{"token":"t"}`)
		ws.write(`421["echo",1]`)
		ws.reads("431[1]")
		let <- nil
		id := joined(t, "40/x,", ws.read())
		require.Equal(t, id, ws.join("40/x,"))
		require.Equal(t, id, ws.join(`40/x,{"token":"t"}`))
		ws.write(`422["echo",2]`)
		ws.reads("432[2]")
		require.Equal(t, 1, guards)
		require.EqualValues(t, 2, router.Stats().Connects)

		ws.write("41/x,", "40/x,", "40/x,")
		let <- wsrouter.NewError("no")
		ws.reads(`44/x,{"message":"no"}`)
		ws.write("40/x,")
		let <- nil
		joined(t, "40/x,", ws.read())
	})
}
