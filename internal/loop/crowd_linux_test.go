package loop

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// affordable returns how many of n connections the process has descriptors for.
func affordable(t *testing.T, n int) int {
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	return int(min(uint64(n), (limit.Cur-200)/3)) // a socket, its copy, and the client's
}

// TestReadableAtOnce: thousands that become readable at the same moment are all
// read.
func TestReadableAtOnce(t *testing.T) {
	l := listen(t)
	n := affordable(t, crowd)
	var all sync.WaitGroup
	clients := make([]io.WriteCloser, n)
	for i := range n {
		server, client := l.connect(t)
		clients[i] = client
		defer client.Close()
		e, ok := take(server, func([]byte) { all.Done() })
		require.True(t, ok)
		defer e.Close()
		e.begin()
	}
	for range 3 {
		all.Add(n)
		sets := allSets()
		for _, s := range sets {
			s.mu.Lock() // keeps the loop waiting
		}
		for _, c := range clients {
			c.Write([]byte("x"))
		}
		for _, s := range sets {
			s.mu.Unlock()
		}
		all.Wait()
	}
}

// TestDescriptorsReused: under a storm of connects and closes, by both sides and in
// every manner, nobody ever gets a byte of another connection.
func TestDescriptorsReused(t *testing.T) {
	l := listen(t)
	var workers sync.WaitGroup
	for worker := range 8 {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 16))
			for round := range crowd / 20 {
				storm(t, l, r, fmt.Sprintf("<%d.%d>", worker, round))
			}
		})
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		acceptStorm(t, l)
	}()
	workers.Wait()
	l.Close()
	<-served
	require.Eventually(t, func() bool { return loops() == 0 }, 10*time.Second, time.Millisecond)
	require.Zero(t, connCount())
}

// storm is a client that says its name again and again, and leaves in some way.
func storm(t *testing.T, l dialer, r *rand.Rand, name string) {
	c, err := newClient(l)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	for range r.IntN(5) {
		said := strings.Repeat(name, 1+r.IntN(40))
		got, err := exchange(c, said)
		if !strings.HasPrefix(said, got) {
			t.Errorf("%s was answered %q", name, got)
		}
		if err != nil {
			return // the server has closed
		}
	}
	switch r.IntN(4) {
	case 0:
		c.SetLinger(0) // a reset
	case 1:
		c.CloseWrite()
		io.Copy(io.Discard, c)
	case 2:
		io.WriteString(c, strings.Repeat(name, 100)) // this ends in a reset too, because nobody reads the answer
	}
}

// acceptStorm serves, and is sometimes the first to close.
func acceptStorm(t *testing.T, l dialer) {
	var closers sync.WaitGroup
	defer closers.Wait()
	for i := 0; ; i++ {
		server, err := l.Accept()
		if err != nil {
			return
		}
		all := ""
		e, ok := take(server, func(p []byte) {
			all += string(p)
			name, _, _ := strings.Cut(all, ">")
			if whole := strings.Repeat(name+">", len(all)/len(name)+1); !strings.HasPrefix(whole, all) {
				t.Errorf("one connection has read %q", all)
			}
		})
		if !ok {
			t.Error("not taken")
			return
		}
		e.begin()
		closers.Go(func() {
			for range i % 7 {
				runtime.Gosched()
			}
			if i%3 == 0 {
				e.Close()
			}
			<-e.gone
		})
	}
}

// TestSlowAmongMany: a client that reads a byte now and then delays no other.
func TestSlowAmongMany(t *testing.T) {
	l := listen(t)
	server, slow := l.connect(t)
	require.NoError(t, server.SetWriteBuffer(1))
	require.NoError(t, slow.SetReadBuffer(1))
	e := mustTake(t, server)
	written := make(chan error)
	go func() {
		_, err := e.Write([]byte(strings.Repeat("x", 8<<20)))
		written <- err
	}()
	var clients []io.ReadWriter
	for range affordable(t, crowd/10) {
		server, client := l.connect(t)
		defer client.Close()
		mustTake(t, server)
		clients = append(clients, client)
	}
	for range 10 {
		for _, c := range clients {
			_, err := io.WriteString(c, "hello")
			require.NoError(t, err)
		}
		for _, c := range clients {
			_, err := io.ReadFull(c, make([]byte, 5))
			require.NoError(t, err)
		}
		slow.Read(make([]byte, 1))
	}
	require.Empty(t, written)
	slow.SetLinger(0)
	slow.Close()
	require.Error(t, <-written)
}

// TestResetsInBatch: some of those that become readable together are reset, closed
// by this side, or closed by both sides, while a loop is handling their events.
func TestResetsInBatch(t *testing.T) {
	l := listen(t)
	for range 10 {
		var served []*echoer
		var ends sync.WaitGroup
		for i := range 100 {
			server, client := l.connect(t)
			e := mustTake(t, server)
			served = append(served, e)
			got, err := exchange(client, "hello")
			require.NoError(t, err)
			require.Equal(t, "hello", got)
			ends.Go(func() {
				client.SetLinger(-(i % 2)) // every other one is reset
				io.WriteString(client, "x")
				client.Close()
			})
		}
		for i, e := range served {
			if i%3 == 0 {
				go e.Close()
			}
		}
		for _, e := range served {
			<-e.gone
		}
		ends.Wait()
	}
}
