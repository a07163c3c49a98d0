package socket_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWriteNow: what the network does not take at once is sent by the next batch,
// and nothing gets into the middle of it.
func TestWriteNow(t *testing.T) {
	server, client := narrow(t)
	conn := accept(t, server, client)
	payload := []byte(strings.Repeat("0123456789", 500))
	var sent, stuck int
	for stuck == 0 {
		require.True(t, conn.BeginNow())
		require.NoError(t, conn.Write("#", payload, true))
		all, err := conn.EndNow()
		require.NoError(t, err)
		if sent++; !all {
			stuck = sent
		}
	}
	for range 3 { // more of the same, while some of it is left
		conn.BeginNow()
		conn.Write("#", payload, true)
		conn.EndNow()
		sent++
	}
	conn.Ping()
	done := make(chan error)
	go func() {
		conn.Begin()
		done <- conn.End()
	}()
	pings := 0
	for messages := 0; messages < sent; {
		opcode, got, err := frame(t, client)
		require.NoError(t, err)
		if opcode == 9 {
			pings++
			continue
		}
		require.Equal(t, "#"+string(payload), string(got))
		messages++
	}
	require.NoError(t, <-done)
	if pings == 0 {
		opcode, _, err := frame(t, client)
		require.NoError(t, err)
		require.EqualValues(t, 9, opcode)
	}
	conn.Abort()
}

// TestPingIsSent: a ping that does not fit is sent when the peer reads again, even
// if nothing else is sent then.
func TestPingIsSent(t *testing.T) {
	server, client := narrow(t)
	conn := accept(t, server, client)
	payload := []byte(strings.Repeat("0123456789", 500))
	messages := 0
	for all := true; all; messages++ {
		require.True(t, conn.BeginNow())
		require.NoError(t, conn.Write("", payload, true))
		var err error
		all, err = conn.EndNow()
		require.NoError(t, err)
	}
	conn.Ping()
	client.SetReadDeadline(time.Now().Add(10 * time.Second))
	for range messages {
		opcode, _, err := frame(t, client)
		require.NoError(t, err)
		require.EqualValues(t, 1, opcode)
	}
	opcode, _, err := frame(t, client)
	require.NoError(t, err)
	require.EqualValues(t, 9, opcode)
	conn.Abort()
}

// broken is a net.Conn that takes some bytes and then fails, or takes fewer than it
// is given.
type broken struct {
	net.Conn
	mu   sync.Mutex // guards what follows
	left int
	err  error
	took bytes.Buffer
}

var errBroken = errors.New("broken")

func (b *broken) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left >= len(p) {
		b.left -= len(p)
		b.took.Write(p)
		return b.Conn.Write(p)
	}
	n := b.left
	b.left = 0
	b.took.Write(p[:n])
	return n, b.err
}

func (b *broken) limit(left int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left, b.err = left, err
	b.took.Reset()
}

// TestWriteFails: after a write that failed in the middle of a frame, or was short,
// nothing more is sent, neither messages nor pings nor a close frame.
func TestWriteFails(t *testing.T) {
	for _, test := range []struct {
		left int
		err  error
		want error
	}{{0, errBroken, errBroken}, {1, errBroken, errBroken}, {7, errBroken, errBroken}, {0, nil, io.ErrShortWrite}, {7, nil, io.ErrShortWrite}} {
		synctest.Test(t, func(t *testing.T) {
			server, client := net.Pipe()
			b := &broken{Conn: server, left: 1 << 20}
			conn := accept(t, b, client)
			b.limit(test.left, test.err)
			conn.Begin()
			err := conn.Write("", []byte("hello, world"), true)
			require.ErrorIs(t, errors.Join(err, conn.End()), test.want)
			b.mu.Lock()
			b.left = 1 << 20
			b.mu.Unlock()
			conn.Begin()
			require.Error(t, errors.Join(conn.Write("", []byte("more"), true), conn.End()))
			conn.Ping()
			conn.Close(1000, "")
			synctest.Wait()
			require.Equal(t, test.left, b.took.Len())
		})
	}
}

// TestWriteToSlowReader: a peer that reads one byte a second gets what fits into
// WriteTimeout, bytes of one frame without a gap, and the writer gets an error.
func TestWriteToSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		conn := accept(t, server, client)
		got := make(chan []byte)
		go func() {
			time.Sleep(time.Second / 2) // otherwise the last read would race the deadline
			var b []byte
			for one := make([]byte, 1); ; time.Sleep(time.Second) {
				if _, err := client.Read(one); err != nil {
					break
				}
				b = append(b, one...)
			}
			got <- b
		}()
		begin := time.Now()
		conn.Begin()
		err := errors.Join(conn.Write("", []byte(strings.Repeat("x", 100)), true), conn.End())
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 10*time.Second, time.Since(begin))
		conn.Abort()
		require.Equal(t, "\x81\x64xxxxxxxx", string(<-got))
	})
}

// TestWriteRacesClose: while goroutines write, ping, close and cut at the same
// time, the peer gets whole frames in order, and nothing after a close frame.
func TestWriteRacesClose(t *testing.T) {
	for round := range 30 {
		server, client := narrow(t)
		conn := accept(t, server, client)
		var wg sync.WaitGroup
		wg.Go(func() {
			for n := uint64(0); ; n++ {
				p := binary.BigEndian.AppendUint64(nil, n)
				p = append(p, make([]byte, n%3000)...)
				if n%3 == 0 && conn.BeginNow() {
					conn.Write("", p, false)
					if _, err := conn.EndNow(); err != nil {
						return
					}
					continue
				}
				conn.Begin()
				if errors.Join(conn.Write("", p, false), conn.End()) != nil {
					return
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				conn.Ping()
			}
		})
		wg.Go(func() {
			for {
				if _, _, err := conn.Read(); err != nil {
					return
				}
			}
		})
		begun := make(chan struct{})
		wg.Go(func() {
			<-begun
			if round%2 == 0 {
				conn.Close(1000, "bye")
			} else {
				conn.Abort()
			}
		})
		wg.Go(func() { requireWholeFrames(t, client, uint64(round), begun) })
		wg.Wait()
		conn.Abort()
	}
}

// requireWholeFrames reads to the end, and sends pings now and then. It closes
// begun after that many messages.
func requireWholeFrames(t *testing.T, client net.Conn, messages uint64, begun chan struct{}) {
	r := bufio.NewReader(client)
	closed := false
	for next := uint64(0); ; {
		if next == messages && begun != nil {
			close(begun)
			begun = nil
		}
		opcode, payload, err := frame(t, r)
		if err != nil {
			client.Close()
			return
		}
		require.False(t, closed, "a frame after the close frame")
		switch opcode {
		case 8:
			closed = true
			client.Write(masked(0x88, string(payload)))
		case 2:
			require.Equal(t, next, binary.BigEndian.Uint64(payload))
			if next++; next%5 == 0 {
				client.Write(masked(0x89, "ping"))
			}
		}
	}
}
