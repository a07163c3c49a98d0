package redisbroker

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tinylib/msgp/msgp"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
)

const testLimit = 8 << 20

func encode(t *testing.T, v any) payload.Value {
	t.Helper()
	e, err := payload.Encode(v)
	require.NoError(t, err)
	return e
}

func packed(t *testing.T, v any) string {
	t.Helper()
	b, err := appendValue(nil, encode(t, v))
	require.NoError(t, err)
	return hex.EncodeToString(b)
}

// What Socket.IO's server publishes for io.emit("hello", 1).
func TestBroadcastIsByteForByteThatOfNode(t *testing.T) {
	op := &broker.Operation{Kind: broker.OpEmit, Event: "hello", Args: []payload.Value{encode(t, 1)}}
	b, err := appendBroadcast(nil, "abc-_9", "/", op)
	require.NoError(t, err)
	want := "93a66162632d5f3983a47479706502a46461746192a568656c6c6f01a36e7370a12f83a5726f6f6d7390a665786365707490a5666c61677380"
	assert.Equal(t, want, hex.EncodeToString(b))

	m, err := readBroadcast(b, testLimit)
	require.NoError(t, err)
	event, args, ok := m.event()
	assert.True(t, ok)
	assert.Equal(t, "hello", event)
	assert.Equal(t, op.Args, args)
	assert.Equal(t, "abc-_9", m.uid)
	assert.True(t, m.isFor("/"))
}

func TestMessagePackIsThatOfNotepack(t *testing.T) {
	for _, test := range []struct {
		in   any
		want string
	}{
		{[]byte{1, 2, 3}, "c403010203"},
		{[]byte{}, "c400"},
		{1.5, "cb3ff8000000000000"},
		{-1, "ff"},
		{-33, "d0df"},
		{-129, "d1ff7f"},
		{0, "00"},
		{127, "7f"},
		{128, "cc80"},
		{256, "cd0100"},
		{70000, "ce00011170"},
		{int64(1 << 40), "cf0000010000000000"},
		{json.RawMessage("1e3"), "cd03e8"},
		{json.RawMessage("-0"), "00"},
		{json.RawMessage("18446744073709551616"), "cb43f0000000000000"},
		{json.RawMessage("1e999"), "cb7ff0000000000000"},
		{nil, "c0"},
		{true, "c3"},
		{"é", "a2c3a9"},
		{json.RawMessage(`"\ud800"`), "a3efbfbd"},
		{json.RawMessage(`{ "b" : [ ] , "a\"" : { } , "c":[1, {"d":"]"}] }`), "83a16290a2612280a1639201" + "81a164a15d"},
		{map[string]any{"x": []byte{7}, "y": []any{[]byte{8}, "CA=="}}, "82a178c40107a17992c40108a443413d3d"},
	} {
		assert.Equal(t, test.want, packed(t, test.in), "%v", test.in)
	}
	b, err := appendValue(nil, payload.Value{JSON: []byte("\"\xff\"")}) // payload.Encode refuses this
	require.NoError(t, err)
	assert.Equal(t, "a3efbfbd", hex.EncodeToString(b))
}

func TestWhatIsTooDeepForNodeIsNotSent(t *testing.T) {
	deep := func(n int) payload.Value {
		return payload.Value{JSON: []byte(strings.Repeat("[", n) + strings.Repeat("]", n))}
	}
	_, err := appendValue(nil, deep(maxDepth))
	assert.NoError(t, err)
	_, err = appendValue(nil, deep(maxDepth+1))
	assert.ErrorIs(t, err, errDepth)
}

// Such arguments come from calls whose answer has no data, or from mistakes. They
// must not become messages that nobody can read.
func TestWhatIsNoJSONIsNotSent(t *testing.T) {
	assert.Equal(t, "c0", packed(t, payload.Value{}))
	for _, text := range []string{" ", "[", "]", "[1 2]", `{"a"}`, `{"a":1`, `"`, "nul", "1,2", "[]]", "-", "{1:2}"} {
		_, err := appendValue(nil, payload.Value{JSON: []byte(text)})
		assert.ErrorIs(t, err, errNoJSON, text)
	}
}

func TestReadValue(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"d6ff6553f100", `"2023-11-14T22:13:20.000Z"`},
		{"d7ff1d5353006553f100", `"2023-11-14T22:13:20.123Z"`},
		{"c70cff40000000000000006553f100", "null"}, // more nanoseconds than a second has
		{"c70cff0754d4c0000000006553f100", `"2023-11-14T22:13:20.123Z"`},
		{"d7000000018bcfe56800", `"2023-11-14T22:13:20.000Z"`}, // from an older notepack
		{"d40000", "null"},
		{"82a16101a162d40000", `{"a":1}`}, // undefined
		{"92d4000001", "[null,1]"},
		{"cb7ff8000000000000", "null"}, // NaN
		{"ca3fc00000", "1.5"},
		{"cb3e112e0be826d695", "1e-9"},
		{"cb3eb0c6f7a0b5ed8d", "0.000001"},
		{"cb444b1ae4d6e2ef50", "1e+21"},
		{"cfffffffffffffffff", "18446744073709551615"},
		{"a1ff", `"\ufffd"`},
		{"8201a16102a162", `{"1":"a","2":"b"}`},
		{"82a17a01a16102", `{"z":1,"a":2}`},
		{"c0", "null"},
		{"d803000102030405060708090a0b0c0d0e0f", "null"},
	} {
		b, err := hex.DecodeString(test.in)
		require.NoError(t, err)
		e, rest, err := new(reader).read(b, testLimit)
		require.NoError(t, err, test.in)
		assert.Empty(t, rest)
		assert.Equal(t, test.want, string(e.JSON), test.in)
		assert.Empty(t, e.Attachments)
	}
	e, _, err := new(reader).read([]byte{0x92, 0xc4, 1, 9, 0xc7, 2, 0, 5, 6}, testLimit)
	require.NoError(t, err)
	assert.Equal(t, payload.Value{JSON: []byte("[,]"), Attachments: []payload.Attachment{
		{At: 1, Data: []byte{9}}, {At: 2, Data: []byte{5, 6}},
	}}, e)
}

func TestReadRefusesWhatIsMalformed(t *testing.T) {
	deep := strings.Repeat("91", maxReadDepth+2)
	for _, in := range []string{
		"", "c1", "ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff", "c9ffffffff00", "d8", "c7", "c705ff01",
		"93", "91", "81a161", "8190c0", deep, "93a161",
	} {
		b, err := hex.DecodeString(in)
		require.NoError(t, err)
		_, _, err = new(reader).read(b, testLimit)
		assert.Error(t, err, in)
		_, err = readBroadcast(b, testLimit)
		assert.Error(t, err, in)
		_, err = readMessage(b, testLimit)
		assert.Error(t, err, in)
	}
	args := func(n int) []byte {
		b := append([]byte("\x93\xa1u\x82\xa4data"), msgp.AppendArrayHeader(nil, uint32(n))...)
		return append(append(b, bytes.Repeat([]byte{0xc0}, n)...), "\xa3nsp\xa1/\x80"...)
	}
	_, err := readBroadcast(args(maxArgs), testLimit)
	assert.NoError(t, err)
	_, err = readBroadcast(args(maxArgs+1), testLimit)
	assert.ErrorIs(t, err, errMalformed)
	for _, text := range []string{"{", `{"type":}`, "[]", "null", `{"type":"x"}`, `{"opts":7}`} {
		_, err := readMessage([]byte(text), testLimit)
		assert.Error(t, err, text)
	}
}

// What is merely announced costs nothing, and what arrives costs little more than
// its bytes.
func TestBombsCostLittle(t *testing.T) {
	const size = 1 << 18
	many := func(n int, value string) string {
		return "\xdd" + string(binary.BigEndian.AppendUint32(nil, uint32(n))) + strings.Repeat(value, size/len(value))
	}
	for name, array := range map[string]string{
		"announced": "\xdd\xff\xff\xff\xff" + strings.Repeat("\xdd\xff\xff\xff\xff\xdf\xff\xff\xff\xff", 1000),
		"nils":      many(size, "\xc0"),
		"numbers":   many(size, "\x07"),
		"texts":     many(size, "\xa0"),
		"bytes":     many(size/2, "\xc4\x00"),
		"maps":      many(size, "\x80"),
		"arrays":    many(size, "\x90"),
		"dates":     many(size/6, "\xd6\xff\x65\x53\xf1\x00"),
		"ids":       many(size/6, "\x81\xa2id\xa1i"),
		"controls":  "\x91\xdb\x00\x04\x00\x00" + strings.Repeat("\x01", size),
	} {
		for _, message := range []string{
			"\x93\xa1u\x81\xa4data" + array + "\x80",
			"\x93\xa1u\x81\xa4data\x92\xa1e" + array + "\x80",
			"\x93\xa1u\x81\xa4data\x91\xa1e\x81\xa5rooms" + array,
			"\x81\xa5rooms" + array,
			"\x81\xa7sockets" + array,
		} {
			cost := allocated(func() {
				readBroadcast([]byte(message), testLimit)
				readMessage([]byte(message), testLimit)
			})
			assert.Less(t, cost, uint64(128*size), "%s in %.20q", name, message)
		}
	}
}

// allocated returns how many bytes fn allocates, which does so the same way each time:
// the least of three, for what other tests have left may allocate, too.
func allocated(fn func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fn()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

func TestRequestsHaveAllThatNodeReads(t *testing.T) {
	to := broker.Selection{Rooms: []string{"a"}}
	for _, test := range []struct {
		op   broker.Operation
		want string
	}{
		{broker.Operation{Kind: broker.OpJoin, To: to, Rooms: []string{"b"}},
			`{"uid":"u","type":2,"opts":{"rooms":["a"],"except":[]},"rooms":["b"]}`},
		{broker.Operation{Kind: broker.OpLeave, Rooms: []string{"b"}},
			`{"uid":"u","type":3,"opts":{"rooms":[],"except":[]},"rooms":["b"]}`},
		{broker.Operation{Kind: broker.OpDisconnect, To: to, Code: 4000, Reason: "x"},
			`{"uid":"u","type":4,"opts":{"rooms":["a"],"except":[]},"close":false}`},
		{broker.Operation{Kind: broker.OpDisconnect, To: to, Transport: true},
			`{"uid":"u","type":4,"opts":{"rooms":["a"],"except":[]},"close":true}`},
	} {
		b, err := payload.AppendJSON(nil, operationRequest("u", &test.op))
		require.NoError(t, err)
		assert.Equal(t, test.want, string(b))
		m, err := readMessage(b, testLimit)
		require.NoError(t, err)
		assert.Equal(t, "u", m.uid)
		assert.True(t, m.hasOpts)
		assert.Equal(t, test.op.Transport, m.close)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"93a66162632d5f3983a47479706502a46461746192a568656c6c6f01a36e7370a12f83a5726f6f6d7390a665786365707490a5666c61677380",
		"92d4000001", "d7ff1d5353006553f100", "82a17a01a16102", "c403010203",
	} {
		b, _ := hex.DecodeString(seed)
		f.Add(b)
	}
	f.Add([]byte(`{"uid":"u","requestId":"r","type":5,"opts":{"rooms":["a"],"except":[]}}`))
	f.Add([]byte(`{"requestId":"r","sockets":[{"id":"i","rooms":["a"],"data":{"n":1}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		readBroadcast(data, testLimit)
		if m, err := readMessage(data, testLimit); err == nil {
			m.event()
		}
		e, _, err := new(reader).read(data, testLimit)
		if err != nil {
			return
		}
		text, err := payload.AppendJSON(nil, e)
		if err != nil || !json.Valid(text) {
			t.Fatalf("%x becomes %s: %v", data, text, err)
		}
		again, err := appendValue(nil, e)
		if err != nil { // too deep
			return
		}
		back, rest, err := new(reader).read(again, testLimit)
		if err != nil || len(rest) > 0 {
			t.Fatalf("%s cannot be read back: %v", text, err)
		}
		if len(back.Attachments) != len(e.Attachments) {
			t.Fatalf("%s lost attachments", text)
		}
	})
}

// FuzzWrite checks the writer against what others read: all JSON is written as
// MessagePack with the same meaning, and nothing else is written at all.
func FuzzWrite(f *testing.F) {
	for _, seed := range []string{
		`null`, ` { "b" : [ ] , "a\"" : { } , "c":[1, {"d":"]"}] } `, `-0`, `1e999`, `[1.5,-129,18446744073709551615]`,
		`"\ud800\u0000é"`, `[1 2]`, `{"a":1,"a":2}`, "\"\xff\"", `[[[]],{}]`, `123456789012345678901234567890`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := appendValue(nil, payload.Value{JSON: text})
		if err != nil {
			if json.Valid(text) && !errors.Is(err, errDepth) {
				t.Fatalf("%q was refused: %v", text, err)
			}
			return
		}
		if len(text) > 0 && !json.Valid(text) {
			t.Fatalf("%q was written", text)
		}
		if rest, err := msgp.Skip(b); err != nil || len(rest) > 0 {
			t.Fatalf("%q was written as %x", text, b)
		}
		e, _, err := new(reader).read(b, testLimit)
		if err != nil {
			t.Fatalf("%q cannot be read back: %v", text, err)
		}
		var want, got any
		if utf8.Valid(text) && json.Unmarshal(text, &want) == nil { // it knows no numbers beyond float64
			if err := json.Unmarshal(e.JSON, &got); err != nil || !assert.ObjectsAreEqual(want, got) {
				t.Fatalf("%q comes back as %q", text, e.JSON)
			}
		}
	})
}
