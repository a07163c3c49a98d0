package socket_test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var long = flag.Bool("long", false, "full sizes and many random connections")

// scale divides sizes and counts by 16, unless the flag long is set.
func scale(n int) int {
	if *long {
		return n
	}
	return n / 16
}

// exchange sends and receives one message at the same time.
func exchange(t *testing.T, client net.Conn, r io.Reader, send string, piece int, want string) {
	t.Helper()
	go func() {
		for rest := send; rest != ""; {
			n := min(piece, len(rest))
			io.WriteString(client, rest[:n])
			rest = rest[n:]
		}
	}()
	_, payload, err := frame(t, r)
	require.NoError(t, err)
	require.Len(t, payload, len(want))
	require.True(t, string(payload) == want)
}

// TestSuiteLong has groups 9 and 10: long messages in one frame, in many, in small
// pieces, and many round trips.
func TestSuiteLong(t *testing.T) {
	overEach(t, func(t *testing.T, connect connector) {
		client, ended := echoingUpTo(t, connect, 16<<20)
		r := bufio.NewReader(client)
		for kind, opcode := range []byte{0x81, 0x82} { // 9.1, 9.2
			for _, kb := range []int{64, 256, 1 << 10, 4 << 10, 8 << 10, 16 << 10} {
				payload := strings.Repeat("*", scale(kb<<10)-kind)
				exchange(t, client, r, other(opcode, payload), 1<<30, payload)
			}
			message := strings.Repeat("B", scale(4<<20))
			for size := 64; size <= 4<<20; size *= 4 { // 9.3, 9.4
				first, frames := opcode&0x0f, new(strings.Builder)
				for rest := message; rest != ""; first = 0 {
					n := min(size, len(rest))
					frames.WriteString(other(first, rest[:n]))
					rest = rest[n:]
				}
				exchange(t, client, r, frames.String()+finish(""), 1<<30, message)
			}
			message = message[:len(message)/4]
			for chop := 64; chop <= 2048; chop *= 2 { // 9.5, 9.6
				exchange(t, client, r, other(opcode, message), chop, message)
			}
			for _, size := range []int{0, 16, 64, 256, 1024, 4096} { // 9.7, 9.8
				payload := strings.Repeat("x", size)
				send := other(opcode, payload)
				for range scale(1000) {
					exchange(t, client, r, send, 1<<30, payload)
				}
			}
		}
		payload := strings.Repeat("*", 65536) // 10.1.1
		exchange(t, client, r, inFragments(chunks(payload, 1300)...), 1<<30, payload)
		client.Write(masked(0x88, ""))
		opcode, _, err := frame(t, r)
		require.NoError(t, err)
		require.EqualValues(t, 8, opcode)
		client.Close()
		require.ErrorContains(t, <-ended, fmt.Sprint(1005))
	})
}

func chunks(s string, size int) (list []string) {
	for s != "" {
		n := min(size, len(s))
		list = append(list, s[:n])
		s = s[n:]
	}
	return list
}
