package suite_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/leak"
)

// TestPingsWhileWriting: a client that pings while it is slow to read has all of
// WriteTimeout, costs no goroutine, and gets an answer to each ping, in order, when it
// reads again.
func TestPingsWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		conns := make(chan *wsrouter.Conn, 1)
		router.OnConnect(func(c *wsrouter.Conn) error { conns <- c; return nil })
		client := upgrade(t, router)
		c := <-conns
		synctest.Wait()
		require.NoError(t, c.Emit("big", make([]byte, 1000)))
		synctest.Wait()
		for i := range 100 {
			client.Write(wsFrame(9, true, fmt.Sprintf("ping %02d", i)))
			synctest.Wait()
		}
		stacks := strings.Join(leak.InBubble(), "")
		require.Zero(t, strings.Count(stacks, "socket.(*Conn).sendControls"), "goroutines that wait to answer")
		require.Equal(t, 1, strings.Count(stacks, "socket.(*Conn).flush("), "goroutines that write")
		time.Sleep(9 * time.Second)
		require.NoError(t, c.Context().Err())

		requireFrame(t, client, 0x81, `{"event":"big","data":"`+strings.Repeat("A", 1334)+`=="}`)
		for i := range 100 {
			requireFrame(t, client, 0x8a, fmt.Sprintf("ping %02d", i))
		}
		client.Write(wsFrame(9, true, "another"))
		requireFrame(t, client, 0x8a, "another")
	})
}

// requireFrame reads a server's frame.
func requireFrame(t *testing.T, conn io.Reader, first byte, payload string) {
	t.Helper()
	want := append([]byte{first, byte(len(payload))}, payload...)
	if len(payload) > 125 {
		want = append([]byte{first, 126, byte(len(payload) >> 8), byte(len(payload))}, payload...)
	}
	got := make([]byte, len(want))
	_, err := io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}
