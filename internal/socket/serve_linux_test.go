package socket_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestServeWithoutDescriptors: a process without free descriptors serves with a
// goroutine.
func TestServeWithoutDescriptors(t *testing.T) {
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	none := limit
	none.Cur = 3
	server, client := tcp(t)
	opts := options()
	opts.EventLoops = true
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
	conn := acceptWith(t, server, client, opts)
	h := newHandler(t)
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		conn.Serve(h)
	}()
	for _, message := range []string{"one", "two"} {
		client.Write(masked(0x81, message))
		require.Equal(t, message, <-h.messages)
	}
	select {
	case <-returned:
		t.Error("it waits at a loop")
	default:
	}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	conn.Abort()
	require.Error(t, <-h.ended)
	<-returned
}
