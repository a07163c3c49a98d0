package socket

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clientFrame returns a frame with a mask.
func clientFrame(first byte, payload string) string {
	b := appendHeader(nil, first, len(payload))
	b, key := appendKey(b, len(payload))
	at := len(b)
	b = append(b, payload...)
	mask(b[at:], b[at:], key, 0)
	return string(b)
}

// events feeds bytes in pieces and returns what they mean.
func events(r *in, wire string, piece int) (got []string) {
	for len(wire) > 0 {
		p := []byte(wire[:min(piece, len(wire))])
		wire = wire[len(p):]
		for len(p) > 0 {
			var ev event
			p = p[r.next(p, &ev):]
			if ev.kind == gotFailure {
				return append(got, ev.err.Error())
			}
			if ev.kind != gotNothing {
				got = append(got, describe(ev))
			}
		}
	}
	if r.begun() {
		got = append(got, "...")
	}
	return got
}

func describe(ev event) string {
	switch ev.kind {
	case gotMessage:
		if ev.text {
			return "text " + string(ev.data)
		}
		return "binary " + string(ev.data)
	case gotPing:
		return "ping " + string(ev.data)
	case gotPong:
		return "pong " + string(ev.data)
	case gotClose:
		return fmt.Sprintf("close %d %s", ev.code, ev.data)
	}
	return "fragment"
}

// arrival is what bytes mean.
type arrival struct {
	wire string
	want []string
}

func arriving() map[string]arrival {
	long, f := strings.Repeat("long ", 300), clientFrame
	return map[string]arrival{
		"text":             {f(0x81, "hello"), []string{"text hello"}},
		"empty":            {f(0x81, "") + f(0x82, ""), []string{"text ", "binary "}},
		"long":             {f(0x82, long) + f(0x81, "x"), []string{"binary " + long, "text x"}},
		"fragments":        {f(0x01, "a") + f(0x00, "") + f(0x80, "b"), []string{"fragment", "fragment", "text ab"}},
		"long fragments":   {f(0x02, long) + f(0x00, long) + f(0x80, long), []string{"fragment", "fragment", "binary " + long + long + long}},
		"empty at last":    {f(0x01, "") + f(0x80, ""), []string{"fragment", "text "}},
		"ping in between":  {f(0x01, "a") + f(0x89, "p") + f(0x8a, "") + f(0x80, "b"), []string{"fragment", "ping p", "pong ", "text ab"}},
		"rune in pieces":   {f(0x01, "\xf0\x9f") + f(0x00, "\x98") + f(0x80, "\x80!"), []string{"fragment", "fragment", "text 😀!"}},
		"half a rune":      {f(0x81, "\xf0\x9f"), []string{"invalid UTF-8: in a text message"}},
		"no rune":          {f(0x01, "\xff") + f(0x80, "b"), []string{"invalid UTF-8: in a text message"}},
		"no text":          {f(0x82, "\xff"), []string{"binary \xff"}},
		"half a header":    {f(0x81, "")[:3], []string{"..."}},
		"half a message":   {f(0x01, "a"), []string{"fragment", "..."}},
		"half a payload":   {f(0x81, "hello")[:9], []string{"..."}},
		"close":            {f(0x88, "\x03\xe8bye"), []string{"close 1000 bye"}},
		"close, no code":   {f(0x88, ""), []string{"close 1005 "}},
		"close, one byte":  {f(0x88, "\x03"), []string{"protocol error: in a close frame"}},
		"close, no text":   {f(0x88, "\x03\xe8\xff"), []string{"invalid UTF-8: in a close frame"}},
		"close, bad code":  {f(0x88, "\x03\xed"), []string{"protocol error: in a close frame"}},
		"too big":          {f(0x82, strings.Repeat(long, 4)), []string{"message too big: announced"}},
		"too big in parts": {f(0x02, long+long) + f(0x00, long+long), []string{"message too big: announced"}},
		"mask missing":     {"\x81\x00", []string{"protocol error: masked wrongly"}},
		"continuation":     {f(0x80, "x"), []string{"protocol error: continuation of nothing"}},
		"within":           {f(0x01, "x") + f(0x81, "y"), []string{"protocol error: message within a message"}},
		"reserved bit":     {f(0xa1, "x"), []string{"protocol error: reserved bits"}},
		"not compressed":   {f(0xc1, "x"), []string{"protocol error: reserved bits"}},
		"opcode 3":         {f(0x83, "x"), []string{"protocol error: unknown opcode"}},
		"opcode 11":        {f(0x8b, "x"), []string{"protocol error: unknown opcode"}},
		"ping in pieces":   {f(0x09, "x"), []string{"protocol error: control frame in pieces, or too long"}},
		"long ping":        {f(0x89, long), []string{"protocol error: control frame in pieces, or too long"}},
		"length of 2^63":   {"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00abcd", []string{"protocol error: length beyond 63 bits"}},
	}
}

// TestArriving: what bytes mean does not depend on how they are cut.
func TestArriving(t *testing.T) {
	for name, test := range arriving() {
		t.Run(name, func(t *testing.T) {
			for piece := 1; piece <= len(test.wire); piece += 1 + piece/64 {
				got := events(&in{max: 5000}, test.wire, piece)
				if len(got) > 0 && strings.Contains(test.want[len(test.want)-1], ":") { // it may fail before everything has arrived
					got = got[len(got)-1:]
					require.Equal(t, test.want[len(test.want)-1:], got, piece)
					continue
				}
				require.Equal(t, test.want, got, piece)
			}
		})
	}
}

// FuzzArriving: whatever arrives, its meaning does not depend on how it is cut, and
// no message is longer than the limit.
func FuzzArriving(f *testing.F) {
	for _, wire := range []string{
		clientFrame(0x81, "hello") + clientFrame(0x88, "\x03\xe8"), clientFrame(0x01, "a") + clientFrame(0x89, "") + clientFrame(0x80, ""),
		clientFrame(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"), "\x82\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00x",
	} {
		f.Add(wire, 1)
	}
	f.Fuzz(func(t *testing.T, wire string, piece int) {
		want := events(&in{deflate: true, max: 100}, wire, len(wire)+1)
		got := events(&in{deflate: true, max: 100}, wire, 1+max(0, piece%100))
		if len(want) > 0 && len(got) > 0 && want[len(want)-1] != "..." {
			require.Equal(t, want[len(want)-1], got[len(got)-1])
		}
		for _, ev := range got {
			require.LessOrEqual(t, len(ev), len("binary ")+125)
		}
	})
}

// TestArrivingWhole: the bytes of a message that arrives in one piece are copied
// once, and the copy has the right size.
func TestArrivingWhole(t *testing.T) {
	wire := []byte(clientFrame(0x81, strings.Repeat("x", 300)))
	r := &in{max: 1000}
	require.EqualValues(t, 1, testing.AllocsPerRun(100, func() {
		var ev event
		r.next(wire, &ev)
		if cap(ev.data) != 304 && cap(ev.data) != 300 && cap(ev.data) != 320 {
			t.Fatal(cap(ev.data))
		}
	}))
}

// TestHeldWhileArriving: the memory for an incomplete message depends on what has
// arrived, not on what was announced.
func TestHeldWhileArriving(t *testing.T) {
	r := &in{max: 1 << 40}
	wire := "\x82\xff\x00\x00\x00\xff\x00\x00\x00\x00abcd"
	for arrived := 0; arrived < 1<<20; arrived += len(wire) {
		r.next([]byte(wire), new(event))
		require.LessOrEqual(t, cap(r.data), 2*arrived+2*readSize)
		wire = strings.Repeat("x", 1000)
	}
	small := &in{max: 1 << 30}
	for range 1000 {
		small.next([]byte(clientFrame(0x02, "")), new(event))
		small.message = 0
	}
	require.Zero(t, cap(small.data))
}

// TestRoom: the payload of a long frame may be read directly into place.
func TestRoom(t *testing.T) {
	payload := strings.Repeat("0123456789", 10*readSize)
	wire := clientFrame(0x81, payload)
	r := &in{max: 1 << 20}
	var ev event
	require.Equal(t, 20, r.next([]byte(wire[:20]), &ev))
	for rest := strings.NewReader(wire[20:]); ev.kind == gotNothing; {
		if room := r.room(); room != nil {
			n, err := rest.Read(room[:min(len(room), 1001)])
			require.NoError(t, err)
			r.placed(n, &ev)
			continue
		}
		tail, _ := io.ReadAll(rest)
		r.next(tail, &ev)
	}
	require.Equal(t, payload, string(ev.data))
}

// TestLeaving: frames that one end sends are what the other end receives.
func TestLeaving(t *testing.T) {
	for _, client := range []bool{false, true} {
		for _, size := range []int{0, 1, 125, 126, 65535, 65536, 100000} {
			o := &out{client: client}
			o.start()
			data := strings.Repeat("d", size)
			more := o.message(opText, "prefix ", []byte(data), nil, true)
			wire := string(o.rest()) + string(more)
			o.wrote(len(o.rest()))
			*o.batch = o.appendControl(*o.batch, opPing, []byte("ping"))
			wire += string(o.rest())
			require.Equal(t, []string{"text prefix " + data, "ping ping"}, events(&in{client: !client, max: 1 << 20}, wire, 1000))
			o.free()
		}
	}
}

// TestEnding: the state machine ends in every order of events, and ends where it
// should.
func TestEnding(t *testing.T) {
	now := time.Now()
	step := map[rune]func(*ending, time.Time){'s': (*ending).sent, 'h': (*ending).heard, 'e': (*ending).end}
	for happened, want := range map[string]ending{
		"":    {open, time.Time{}},
		"s":   {waiting, now.Add(5 * time.Second)},
		"ss":  {waiting, now.Add(5 * time.Second)},
		"sh":  {lingering, now.Add(time.Second)},
		"h":   {owing, now.Add(5 * time.Second)},
		"hh":  {owing, now.Add(5 * time.Second)},
		"hs":  {lingering, now.Add(time.Second)},
		"hsh": {lingering, now.Add(time.Second)},
		"shs": {lingering, now.Add(time.Second)},
		"e":   {over, time.Time{}}, "se": {over, time.Time{}}, "he": {over, time.Time{}},
		"she": {over, time.Time{}}, "es": {over, time.Time{}}, "eh": {over, time.Time{}},
	} {
		var e ending
		for _, what := range happened {
			step[what](&e, now)
		}
		require.Equal(t, want, e, happened)
	}
}

// TestClosePayload: codes and reasons that must not be sent are not sent.
func TestClosePayload(t *testing.T) {
	for _, test := range []struct {
		code   int
		reason string
		want   string
	}{
		{1000, "bye", "\x03\xe8bye"}, {1005, "bye", ""}, {1006, "", "\x03\xea"}, {0, "x", "\x03\xeax"},
		{4999, "", "\x13\x87"}, {5000, "", "\x03\xea"},
		{1000, "\xff", "\x03\xe8\uFFFD"}, {1000, strings.Repeat("é", 100), "\x03\xe8" + strings.Repeat("é", 61)},
	} {
		got := closePayload(test.code, test.reason)
		require.Equal(t, test.want, string(got))
		require.LessOrEqual(t, len(got), 125)
		_, _, err := parseClose(got)
		require.NoError(t, err)
	}
	for code := range 1 << 16 {
		_, _, err := parseClose([]byte{byte(code >> 8), byte(code)})
		registered := code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006
		if registered || code >= 3000 && code < 5000 {
			require.NoError(t, err, code)
		} else {
			require.True(t, errors.Is(err, ErrProtocol), code)
		}
	}
}
