package load

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// TestFrames reads what was appended, unmasked, with every size of header. A frame
// is read whole or not at all.
func TestFrames(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 1<<16 - 1, 1 << 16} {
		payload := bytes.Repeat([]byte("x"), size)
		frame := unmasked(appendFrame(nil, opText, payload), size)
		opcode, got, rest, err := readFrame(append(frame, "more"...))
		require.NoError(t, err, size)
		require.EqualValues(t, opText, opcode)
		require.Equal(t, payload, got)
		require.Equal(t, "more", string(rest))
		for _, end := range []int{0, 1, len(frame) - 1} {
			_, _, _, err := readFrame(frame[:end])
			require.ErrorIs(t, err, errShort, "%d of %d", end, len(frame))
		}
	}
}

// unmasked turns a client's frame into a server's.
func unmasked(frame []byte, size int) []byte {
	header := len(frame) - size - len(mask)
	out := append([]byte{}, frame[:header]...)
	out[1] &^= 0x80
	for i, c := range frame[header+len(mask):] {
		out = append(out, c^mask[i&3])
	}
	return out
}

func TestFramesOfOtherKinds(t *testing.T) {
	for _, frame := range []string{"\x01\x00", "\xc1\x00", "\x81\x80...."} {
		_, _, _, err := readFrame([]byte(frame))
		require.ErrorContains(t, err, "frame begins", "%q", frame)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]uint32, 100)
	for i := range hundred {
		hundred[i] = uint32(i + 1)
	}
	for _, test := range []struct {
		sorted  []uint32
		percent int
		want    float64
	}{
		{nil, 50, 0},
		{[]uint32{7}, 50, 7},
		{[]uint32{7}, 99, 7},
		{[]uint32{1, 2, 3}, 50, 2},
		{hundred, 50, 50},
		{hundred, 99, 99},
	} {
		require.InDelta(t, test.want/1e9, percentile(test.sorted, test.percent), 1e-12, "%d%% of %v", test.percent, test.sorted)
	}
}

func TestProcessTime(t *testing.T) {
	own, err := ProcessTime(0)
	require.NoError(t, err)
	byID, err := ProcessTime(os.Getpid())
	require.NoError(t, err)
	require.Positive(t, own)
	require.GreaterOrEqual(t, byID, own)
}

// play runs commands against a server that answers echo as told, and broadcasts to
// its only client.
func play(t *testing.T, answer func(data string) string, commands ...Command) []Reply {
	t.Helper()
	return against(t, func(ctx context.Context, conn *websocket.Conn) {
		for {
			_, frame, err := conn.Read(ctx)
			if err != nil {
				return
			}
			var e envelope
			if json.Unmarshal(frame, &e) != nil {
				return
			}
			if e.Event == "broadcast" {
				e.Event = "news"
			}
			e.Data = answer(e.Data)
			frame, _ = json.Marshal(e)
			conn.Write(ctx, websocket.MessageText, frame)
		}
	}, commands...)
}

// against runs commands against a server that serves each connection with serve.
func against(t *testing.T, serve func(context.Context, *websocket.Conn), commands ...Command) []Reply {
	t.Helper()
	to := listen(t, serve)
	var in, out bytes.Buffer
	for _, cmd := range commands {
		cmd.Port, cmd.PID, cmd.Dialect, cmd.For = to.Port, to.PID, to.Dialect, cmp.Or(cmd.For, to.For)
		require.NoError(t, json.NewEncoder(&in).Encode(cmd))
	}
	require.NoError(t, Run(&in, &out))
	var replies []Reply
	for decoder := json.NewDecoder(&out); ; {
		var reply Reply
		err := decoder.Decode(&reply)
		if err == io.EOF {
			return replies
		}
		require.NoError(t, err)
		replies = append(replies, reply)
	}
}

// listen starts a server that serves each connection with serve, and returns what
// all commands to it have in common.
func listen(t *testing.T, serve func(context.Context, *websocket.Conn)) Command {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(-1)
		serve(r.Context(), conn)
	}))
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	require.NoError(t, err)
	port, err := strconv.Atoi(address.Port())
	require.NoError(t, err)
	return Command{Port: port, PID: os.Getpid(), Dialect: "plain", For: 200 * time.Millisecond}
}

func TestRun(t *testing.T) {
	replies := play(t, func(data string) string { return data },
		Command{Op: "connect", Conns: 1},
		Command{Op: "check"},
		Command{Op: "broadcast", InFlight: 4, Size: 16},
		Command{Op: "connect", Conns: 3},
		Command{Op: "echo", InFlight: 16, Size: 16},
		Command{Op: "echo", Spread: 4, Size: 10 << 10},
		Command{Op: "close"},
		Command{Op: "echo"},
	)
	for i, reply := range replies[:7] {
		require.Empty(t, reply.Error, i)
	}
	require.Equal(t, 2, replies[3].Messages, "connections made")
	for _, i := range []int{2, 4, 5} {
		require.Positive(t, replies[i].Messages, i)
		require.Positive(t, replies[i].CPU, i)
		require.Positive(t, replies[i].P50, i)
		require.GreaterOrEqual(t, replies[i].P99, replies[i].P50, i)
	}
	require.Equal(t, "echo: not connected", replies[7].Error)
}

// TestRunWrongAnswers finds an answer that is always wrong, and one that sometimes
// is.
func TestRunWrongAnswers(t *testing.T) {
	replies := play(t, strings.ToUpper, Command{Op: "connect", Conns: 1}, Command{Op: "check"})
	require.Contains(t, replies[1].Error, "was answered by")

	answers := 0
	replies = play(t, func(data string) string {
		if answers++; answers == 5 {
			return data + "!"
		}
		return data
	}, Command{Op: "connect", Conns: 1}, Command{Op: "echo", InFlight: 1, Size: 16})
	require.Contains(t, replies[1].Error, "wrong answer")
}

// TestHoldAndDrain answers pings while it holds connections, and tells those that
// were closed from those that were cut.
func TestHoldAndDrain(t *testing.T) {
	var served atomic.Int32
	connected, held := make(chan struct{}), make(chan struct{})
	cmd := listen(t, func(ctx context.Context, conn *websocket.Conn) {
		first := served.Add(1) == 1
		ctx = conn.CloseRead(ctx)
		<-connected
		for range 3 {
			if conn.Ping(ctx) != nil {
				return
			}
		}
		<-held
		if !first {
			conn.Close(websocket.StatusGoingAway, "bye")
		}
	})
	l, err := newLoop(dialects["plain"])
	require.NoError(t, err)
	defer l.end()
	do := func(op string) Result {
		cmd.Op = op
		result, err := l.do(cmd)
		require.NoError(t, err, op)
		return result
	}

	cmd.Conns = 3
	require.Equal(t, 3, do("connect").Messages)
	close(connected)
	cmd.For = 5 * time.Second
	pings := do("hold")
	require.Equal(t, 9, pings.Messages)
	require.Equal(t, 3, pings.Least)
	close(held)
	cmd.For = 20 * time.Second
	end := do("drain")
	require.Equal(t, 2, end.Messages, "closed")
	require.Equal(t, 1, end.Cut)
	require.Equal(t, "the server hung up", end.Why)
}

// TestHoldLoses finds a connection that ends while it is held.
func TestHoldLoses(t *testing.T) {
	replies := against(t, func(context.Context, *websocket.Conn) {}, Command{Op: "connect", Conns: 1}, Command{Op: "hold", For: 20 * time.Second})
	require.Contains(t, replies[1].Error, "hung up")
}
