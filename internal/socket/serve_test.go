package socket_test

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/socket"
)

// handler is a socket.Handler that passes on what it is given.
type handler struct {
	messages chan string
	ended    chan error
	flow     func(message string) adapter.Flow // nil means Go
	turn     func(message string) adapter.Turn // nil means none
	resume   chan struct{}                     // Wait waits for it
	busy     sync.Mutex                        // held during each method: they are called one at a time
	t        testing.TB
}

func newHandler(t testing.TB) *handler {
	return &handler{t: t, messages: make(chan string, 1000), ended: make(chan error, 1), resume: make(chan struct{})}
}

func (h *handler) Message(data []byte, text bool) (flow adapter.Flow, turn adapter.Turn) {
	h.once()
	defer h.busy.Unlock()
	h.messages <- string(data)
	if h.flow != nil {
		flow = h.flow(string(data))
	}
	if h.turn != nil {
		turn = h.turn(string(data))
	}
	return flow, turn
}

func (h *handler) Wait() {
	h.once()
	defer h.busy.Unlock()
	<-h.resume
}

func (h *handler) End(err error) {
	h.once()
	defer h.busy.Unlock()
	h.ended <- err
}

// once fails the test if another call has not returned.
func (h *handler) once() {
	if !h.busy.TryLock() {
		h.t.Error("two goroutines read")
		h.busy.Lock()
	}
}

// turn is an adapter.Turn.
type turn func()

func (f turn) Work() { f() }

// looped returns a socket, at an event loop where there are any, and its client.
func looped(t *testing.T, opts socket.Options) (conn *socket.Conn, client net.Conn) {
	t.Helper()
	server, client := tcp(t)
	opts.EventLoops = true
	conn = acceptWith(t, server, client, opts)
	t.Cleanup(conn.Abort)
	return conn, client
}

func serve(t *testing.T, conn *socket.Conn) *handler {
	h := newHandler(t)
	go conn.Serve(h)
	return h
}

// TestServeEarly: what arrives in one piece with the message before it, or with the
// handshake, is handled at once.
func TestServeEarly(t *testing.T) {
	conn, client := looped(t, options())
	client.Write(bytes.Join([][]byte{masked(0x81, "probe"), masked(0x81, "one"), masked(0x81, "two")}, nil))
	data, _, err := conn.Read()
	require.NoError(t, err)
	require.Equal(t, "probe", string(data))
	h := serve(t, conn)
	require.Equal(t, "one", <-h.messages)
	require.Equal(t, "two", <-h.messages)
	client.Write(masked(0x81, "three"))
	require.Equal(t, "three", <-h.messages)
	conn.Abort()
	require.ErrorIs(t, <-h.ended, net.ErrClosed)
}

// TestServeEnds: however a connection ends, before or after Serve, End is called
// once.
func TestServeEnds(t *testing.T) {
	for name, end := range map[string]func(conn *socket.Conn, client net.Conn){
		"abort":       func(conn *socket.Conn, client net.Conn) { conn.Abort() },
		"close":       func(conn *socket.Conn, client net.Conn) { client.Close(); conn.Close(1000, "") },
		"close frame": func(conn *socket.Conn, client net.Conn) { client.Write(masked(0x88, "\x03\xe8")) },
		"half closed": func(conn *socket.Conn, client net.Conn) { client.(*net.TCPConn).CloseWrite() },
		"reset": func(conn *socket.Conn, client net.Conn) {
			client.(*net.TCPConn).SetLinger(0)
			client.Close()
		},
		"in a message": func(conn *socket.Conn, client net.Conn) {
			client.Write(masked(0x81, "message")[:5])
			client.Close()
		},
		"garbage": func(conn *socket.Conn, client net.Conn) { client.Write([]byte("garbage")) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, before := range []bool{true, false} {
				conn, client := looped(t, options())
				if before {
					end(conn, client)
				}
				h := serve(t, conn)
				if !before {
					client.Write(masked(0x81, "first"))
					require.Equal(t, "first", <-h.messages)
					end(conn, client)
				}
				require.Error(t, <-h.ended)
				conn.Abort()
				require.Empty(t, h.ended)
			}
		})
	}
}

// TestServePause: while reading is paused nothing is read, and everything is
// afterwards.
func TestServePause(t *testing.T) {
	conn, client := looped(t, options())
	h := newHandler(t)
	h.flow = func(message string) adapter.Flow {
		if message == "pause" {
			return adapter.Pause
		}
		return adapter.Go
	}
	go conn.Serve(h)
	for range 10 {
		client.Write(bytes.Join([][]byte{masked(0x81, "one"), masked(0x81, "pause"), masked(0x81, "two")}, nil))
		require.Equal(t, "one", <-h.messages)
		require.Equal(t, "pause", <-h.messages)
		client.Write(masked(0x81, "three"))
		require.Empty(t, h.messages)
		h.resume <- struct{}{}
		require.Equal(t, "two", <-h.messages)
		require.Equal(t, "three", <-h.messages)
	}
	client.Write(masked(0x81, "pause"))
	require.Equal(t, "pause", <-h.messages)
	conn.Abort()
	h.resume <- struct{}{}
	require.Error(t, <-h.ended)
}

// TestServeTurns: a turn that takes long stops neither reading nor the end of the
// connection, and turns of other lanes run beside it.
func TestServeTurns(t *testing.T) {
	conn, client := looped(t, options())
	h := newHandler(t)
	last, worked := make(chan struct{}), make(chan string, 10)
	h.turn = func(message string) adapter.Turn {
		return turn(func() {
			worked <- message
			<-last
		})
	}
	go conn.Serve(h)
	client.Write(bytes.Join([][]byte{masked(0x81, "a"), masked(0x81, "b")}, nil))
	require.ElementsMatch(t, []string{"a", "b"}, []string{<-worked, <-worked})
	client.Write(masked(0x89, "ping"))
	opcode, payload, err := frame(t, client)
	require.NoError(t, err)
	require.EqualValues(t, 10, opcode)
	require.Equal(t, "ping", string(payload))
	client.Write(masked(0x81, "c"))
	require.Equal(t, "c", <-worked)
	client.Close()
	require.Error(t, <-h.ended)
	conn.Abort()
	close(last)
}

// TestServeTurnWhileClosing: a message that was read before this side closes is
// handled at once, however long the peer takes to say goodbye.
func TestServeTurnWhileClosing(t *testing.T) {
	for range 20 {
		conn, client := looped(t, options())
		h := newHandler(t)
		worked := make(chan struct{}, 1)
		closing := make(chan struct{})
		h.flow = func(string) adapter.Flow {
			go func() {
				conn.Close(1000, "bye")
				close(closing)
			}()
			frame(t, client) // it has been sent, and the peer says nothing
			for range 100 {
				runtime.Gosched() // lets Close begin to read
			}
			return adapter.Go
		}
		h.turn = func(string) adapter.Turn { return turn(func() { worked <- struct{}{} }) }
		go conn.Serve(h)
		client.Write(masked(0x81, "message"))
		select {
		case <-worked:
		case <-closing:
			t.Fatal("it was handled after the closing handshake")
		}
		client.Close()
		require.Error(t, <-h.ended)
		<-closing
	}
}

// TestServeTrickle: a message that trickles in has its time limit, also at a loop.
func TestServeTrickle(t *testing.T) {
	opts := options()
	opts.MessageTimeout = 50 * time.Millisecond
	conn, client := looped(t, opts)
	h := serve(t, conn)
	message := masked(0x81, "trickle")
	client.Write(message[:4])
	require.ErrorIs(t, <-h.ended, socket.ErrTimeout)
	go conn.Close(1008, "")
	opcode, _, err := frame(t, client)
	require.NoError(t, err)
	require.EqualValues(t, 8, opcode)
}

// TestServeSizes: messages of all sizes, cut anywhere, arrive in order.
func TestServeSizes(t *testing.T) {
	conn, client := looped(t, options())
	h := serve(t, conn)
	var want []string
	var sent []byte
	for n := range 60 {
		message := fmt.Sprint(n, string(bytes.Repeat([]byte{byte('a' + n%26)}, n*n*13)))
		want = append(want, message)
		sent = append(sent, masked(0x81, message)...)
	}
	go func() {
		for n := 1; len(sent) > 0; n = n*7%5003 + 1 {
			n = min(n, len(sent))
			client.Write(sent[:n])
			sent = sent[n:]
		}
	}()
	for _, message := range want {
		require.Equal(t, message, <-h.messages)
	}
	client.Close()
	require.Error(t, <-h.ended)
}
