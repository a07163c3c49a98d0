package pipe_test

import (
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/pipe"
)

// link records what a pipe reports.
type link struct {
	adapter.Link
	alive    int
	writable chan error
}

func (l *link) Alive()             { l.alive++ }
func (l *link) Writable(err error) { l.writable <- err }

func newPipe() (server, client *pipe.Pipe, l *link) {
	limits := adapter.Limits{MaxMessage: 5, WriteTimeout: time.Second}
	server, client = pipe.New(limits, limits)
	l = &link{writable: make(chan error, 1)}
	server.Attach(l)
	client.Attach(l)
	return server, client, l
}

func frames(texts ...string) (batch []adapter.Frame) {
	for _, text := range texts {
		batch = append(batch, adapter.Frame{Text: []byte(text)})
	}
	return batch
}

// TestWrite checks that what the peer does not wait for is pending, until the peer
// has read all of it, WriteTimeout is over, or the pipe has ended.
func TestWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client, l := newPipe()
		read := func(want string) {
			t.Helper()
			data, text, end := client.Read()
			require.Nil(t, end)
			require.True(t, text)
			require.Equal(t, want, string(data))
		}
		pending, err := server.Write(frames("a", "b"))
		require.NoError(t, err)
		require.True(t, pending)
		read("a")
		synctest.Wait()
		require.Empty(t, l.writable)
		read("b")
		require.NoError(t, <-l.writable)

		got := make(chan []byte)
		go func() { data, _, _ := client.Read(); got <- data }()
		synctest.Wait()
		pending, err = server.Write(frames("c"))
		require.NoError(t, err)
		require.False(t, pending, "the peer was waiting")
		require.Equal(t, "c", string(<-got))

		begin := time.Now()
		pending, _ = server.Write(frames("d"))
		require.True(t, pending)
		require.ErrorIs(t, <-l.writable, os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begin))

		pending, _ = server.Write(frames("e"))
		require.True(t, pending)
		client.Abort()
		require.ErrorIs(t, <-l.writable, net.ErrClosed)
		_, err = server.Write(frames("f"))
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// TestShared checks that a reader does not get the bytes of a broadcast themselves,
// because it may keep and change them.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client, l := newPipe()
		batch := frames("a")
		server.Write(batch)
		data, _, _ := client.Read()
		data[0] = 'x'
		require.NoError(t, <-l.writable)
		require.Equal(t, "a", string(batch[0].Text))
	})
}

func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client, l := newPipe()
		for range 3 { // while nobody reads they count as one
			server.Ping()
		}
		go client.Read()
		synctest.Wait()
		require.Equal(t, 1, l.alive, "the ping is life to the peer")
		go server.Read()
		synctest.Wait()
		require.Equal(t, 2, l.alive, "and the pong is life to us")
		server.Abort()
	})
}

// TestEnd checks that the first end counts, for both ends.
func TestEnd(t *testing.T) {
	server, client, _ := newPipe()
	server.Close(adapter.End{Code: 4000, Reason: "enough"})
	client.Close(adapter.End{Code: 1000})
	for _, p := range []*pipe.Pipe{server, client} {
		<-p.Over()
		_, _, end := p.Read()
		require.Equal(t, &adapter.End{Code: 4000, Reason: "enough", Cause: adapter.CausePeer}, end)
		require.False(t, p.Send(nil))
	}
}

func TestMaxMessage(t *testing.T) {
	server, client, _ := newPipe()
	go client.Send([]byte("toolong"))
	_, _, end := server.Read()
	require.Equal(t, 1009, end.Code)
	require.Equal(t, adapter.CauseProtocol, end.Cause)
}
