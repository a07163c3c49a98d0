package socket_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/socket"
)

// TestCut: a message that is cut off by the end of the network is never delivered,
// wherever the cut is: in a header, in a payload, between fragments. What came
// before it is.
func TestCut(t *testing.T) {
	overEach(t, func(t *testing.T, connect connector) {
		whole := string(masked(0x82, "first"))
		for name, message := range map[string]string{
			"one frame": string(masked(0x82, strings.Repeat("x", 130))),
			"fragments": string(masked(0x02, "aa")) + string(masked(0x89, "")) + string(masked(0x00, "")) + string(masked(0x80, "bb")),
			"long":      string(masked(0x81, strings.Repeat("long ", 4000))),
		} {
			for cut := 0; cut < len(message); cut += 1 + cut/20 {
				server, client := connect(t)
				conn := accept(t, server, client)
				_, err := io.WriteString(client, whole+message[:cut])
				require.NoError(t, err)
				go io.Copy(io.Discard, client)
				client.(interface{ CloseWrite() error }).CloseWrite()
				data, _, err := conn.Read()
				require.NoError(t, err)
				require.Equal(t, "first", string(data))
				_, _, err = conn.Read()
				if cut == 0 {
					require.Equal(t, io.EOF, err)
				} else {
					require.Equal(t, io.ErrUnexpectedEOF, err, "%s cut after %d", name, cut)
				}
				conn.Abort()
				client.Close()
			}
		}
	})
}

// TestFailure: after a mistake the peer gets the close frame and the end of the
// stream, and nothing that it has sent since is looked at.
func TestFailure(t *testing.T) {
	overEach(t, func(t *testing.T, connect connector) {
		for mistake, code := range map[string]string{
			"\x81\x05hello":                            "\x03\xea", // no mask
			string(masked(0x83, "")):                   "\x03\xea",
			string(masked(0x81, "\xff")):               "\x03\xef",
			string(masked(0x88, "\x03\xe8\xff")):       "\x03\xef",
			"\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00": "\x03\xf1",
		} {
			client, ended := echoing(t, connect)
			after := strings.Repeat(string(masked(0x81, "after")), 100)
			io.WriteString(client, string(masked(0x81, "before"))+mistake+after)
			for _, want := range []string{"before", code} {
				_, payload, err := frame(t, client)
				require.NoError(t, err)
				require.Equal(t, want, string(payload))
			}
			_, err := client.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err) // although this side is open, and something is unread
			client.Close()
			require.NotZero(t, closeCode(<-ended))
		}
	})
}

// TestFailureTakesASecond: a peer that continues to send after its mistake is cut
// after 1 s, during which nothing of it is kept.
func TestFailureTakesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		conn := accept(t, server, client)
		go io.Copy(io.Discard, client)
		done := make(chan time.Duration)
		go func() {
			_, _, err := conn.Read()
			require.ErrorIs(t, err, socket.ErrProtocol)
			begin := time.Now()
			conn.Close(1002, "")
			done <- time.Since(begin)
		}()
		client.Write(masked(0x83, ""))
		writing := make(chan error)
		go func() {
			for {
				if _, err := client.Write(masked(0x81, "flood")); err != nil {
					writing <- err
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
		require.Equal(t, time.Second, <-done)
		require.ErrorIs(t, <-writing, io.ErrClosedPipe)
	})
}

// TestCloseTimes: a closing handshake that the peer does not finish takes 5 s,
// whether somebody reads or not, and whether the peer continues to send or not.
func TestCloseTimes(t *testing.T) {
	for _, reads := range []bool{true, false} {
		for _, floods := range []bool{true, false} {
			t.Run(fmt.Sprint(reads, floods), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server, client := net.Pipe()
					conn := accept(t, server, client)
					go io.Copy(io.Discard, client)
					if reads {
						go func() {
							for err := error(nil); err == nil; _, _, err = conn.Read() {
							}
						}()
					}
					var flood sync.WaitGroup
					flood.Go(func() {
						for floods {
							if _, err := client.Write(masked(0x81, "flood")); err != nil {
								return
							}
							time.Sleep(time.Millisecond)
						}
					})
					begin := time.Now()
					conn.Close(1000, "")
					require.Equal(t, 5*time.Second, time.Since(begin))
					_, _, err := conn.Read()
					require.Error(t, err)
					flood.Wait()
				})
			})
		}
	}
}

// TestCloseAnswered: either side may begin, codes go both ways, and the client gets
// its answer even if it sends more after its close frame.
func TestCloseAnswered(t *testing.T) {
	overEach(t, func(t *testing.T, connect connector) {
		client, ended := echoing(t, connect)
		io.WriteString(client, string(masked(0x88, "\x03\xe8bye"))+strings.Repeat(string(masked(0x81, "late")), 1000))
		opcode, payload, err := frame(t, client)
		require.NoError(t, err)
		require.EqualValues(t, 8, opcode)
		require.Equal(t, "\x03\xe8", string(payload))
		_, err = client.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		client.Close()
		code, reason, ok := socket.CloseStatus(<-ended)
		require.Equal(t, []any{1000, "bye", true}, []any{code, reason, ok})

		server, client := connect(t)
		conn := accept(t, server, client)
		closed := make(chan struct{})
		go func() { conn.Close(4000, "ours"); close(closed) }()
		_, payload, err = frame(t, client)
		require.NoError(t, err)
		require.Equal(t, "\x0f\xa0ours", string(payload))
		client.Write(masked(0x88, "\x0f\xa1"))
		_, err = client.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		client.Close()
		<-closed
		_, _, err = conn.Read()
		code, _, _ = socket.CloseStatus(err)
		require.Equal(t, 4001, code)
	})
}

// TestPongs: each ping in one write gets its pong, in order, even while a message
// is being written. If too many wait the last ones are answered.
func TestPongs(t *testing.T) {
	overEach(t, func(t *testing.T, connect connector) {
		client, _ := echoing(t, connect)
		var pings []byte
		for i := range 10 {
			pings = append(pings, masked(0x89, fmt.Sprint("ping ", i))...)
		}
		for round := range 3 {
			message := strings.Repeat("x", round*20_000)
			client.Write(masked(0x82, message))
			client.Write(pings)
			got, next := false, 0
			for range 11 {
				opcode, payload, err := frame(t, client)
				require.NoError(t, err)
				if opcode == 2 {
					require.Equal(t, message, string(payload))
					got = true
					continue
				}
				require.EqualValues(t, 10, opcode)
				require.Equal(t, fmt.Sprint("ping ", next), string(payload))
				next++
			}
			require.True(t, got)
		}
	})
}

// TestPongFlood: pings of a peer that does not read take little memory. The answers
// that it gets are in order and end with the last. A peer that never reads is slow.
func TestPongFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		conn := accept(t, server, client)
		failed := make(chan error)
		go func() {
			_, _, err := conn.Read()
			failed <- err
		}()
		for i := range 10_000 {
			client.Write(masked(0x89, fmt.Sprintf("%05d", i)))
		}
		last, count := "", 0
		for last != "09999" {
			_, payload, err := frame(t, client)
			require.NoError(t, err)
			require.Greater(t, string(payload), last)
			last = string(payload)
			count++
		}
		require.Less(t, count, 1000)
		client.Write(masked(0x89, "unread"))
		begin := time.Now()
		require.ErrorIs(t, <-failed, os.ErrDeadlineExceeded)
		require.Equal(t, 10*time.Second, time.Since(begin))
	})
}

// TestMessageTakesTooLong: the peer is told, whether it continues to send or not.
func TestMessageTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		conn := accept(t, server, client)
		begin := time.Now()
		ended := make(chan error)
		go func() { ended <- echo(conn) }()
		var trickle sync.WaitGroup
		trickle.Go(func() {
			for _, b := range masked(0x81, strings.Repeat("x", 100)) {
				client.Write([]byte{b})
				time.Sleep(time.Second)
			}
		})
		opcode, payload, err := frame(t, client)
		require.NoError(t, err)
		require.EqualValues(t, 8, opcode)
		require.Equal(t, "\x03\xf0", string(payload))
		require.Equal(t, time.Minute, time.Since(begin))
		require.ErrorIs(t, <-ended, socket.ErrTimeout)
		require.Equal(t, time.Minute+time.Second, time.Since(begin))
		client.Close()
		trickle.Wait()
	})
}

// TestAbortWhile: Abort ends a Read, a batch and a Close that wait.
func TestAbortWhile(t *testing.T) {
	overEach(t, func(t *testing.T, connect connector) {
		server, client := connect(t)
		conn := accept(t, server, client)
		done := make(chan error, 3)
		go func() { _, _, err := conn.Read(); done <- err }()
		go func() {
			var err error
			for err == nil {
				conn.Begin()
				err = errors.Join(conn.Write("", make([]byte, 1<<20), false), conn.End())
			}
			done <- err
		}()
		go func() { conn.Close(1000, ""); done <- net.ErrClosed }()
		conn.Abort()
		for range 3 {
			require.Error(t, <-done)
		}
	})
}
