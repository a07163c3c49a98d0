package redisbroker

import (
	"bytes"
	"encoding/binary"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
)

// hostile returns messages of about that size which expand if nobody counts: a
// value for each element of an array, and texts of JSON.
func hostile(size int) map[string]string {
	many := func(value string) string {
		n := size / len(value)
		return "\xdd" + string(binary.BigEndian.AppendUint32(nil, uint32(n))) + strings.Repeat(value, n)
	}
	text := func(of string) string {
		n := size / len(of) * len(of)
		return "\x91\xdb" + string(binary.BigEndian.AppendUint32(nil, uint32(n))) + strings.Repeat(of, size/len(of))
	}
	messages := make(map[string]string)
	for name, array := range map[string]string{
		"nils":         many("\xc0"),
		"numbers":      many("\x07"),
		"fractions":    many("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a"),
		"empty texts":  many("\xa0"),
		"empty bytes":  many("\xc4\x00"),
		"maps":         many("\x80"),
		"arrays":       many("\x90"),
		"full arrays":  many("\x92\x90\x80"),
		"numeric keys": many("\x81\x07\xc0"),
		"dates":        many("\xd6\xff\x65\x53\xf1\x00"),
		"ids":          many("\x81\xa2id\xa1i"),
		"ids and data": many("\x81\xa2id\xa1i\xa4data\xc4\x01x"),
		"rooms of ids": many("\x82\xa2id\xa1i\xa5rooms\x94\x01\x02\x03\x04"),
		"NULs":         text("\x00"),
		"no UTF-8":     text("a\xff"),
		"quotes":       text(`"`),
		"separators":   text("\u2028"),
	} {
		messages[name+" as arguments"] = "\x93\xa1u\x81\xa4data" + array + "\x80"
		messages[name+" in an argument"] = "\x93\xa1u\x81\xa4data\x92\xa1e" + array + "\x80"
		messages[name+" as rooms"] = "\x93\xa1u\x81\xa4data\x91\xa1e\x82\xa5rooms" + array + "\xa6except" + array
		messages[name+" as rooms to join"] = "\x81\xa5rooms" + array
		messages[name+" as an answer"] = "\x81\xa7sockets" + array
		messages[name+" as data"] = "\x81\xa4data" + array
	}
	maps.Copy(messages, hostileJSON(size))
	return messages
}

func hostileJSON(size int) map[string]string {
	messages := make(map[string]string)
	for name, list := range map[string]string{
		"arrays": "[]", "nested": "[[[[]]]]", "fractions": "0.1", "zeros": "0", "texts": `""`, "escapes": `"\u0000"`,
		"sockets": `{"id":"i","rooms":["a"],"data":[]}`, "objects": `{"a":{}}`,
	} {
		array := "[" + strings.Repeat(list+",", size/(len(list)+1)) + list + "]"
		for _, field := range []string{"data", "rooms", "sockets", "x"} {
			messages["JSON of "+name+" as "+field] = `{"` + field + `":` + array + `}`
		}
	}
	messages["JSON of one escaped text"] = `{"data":["` + strings.Repeat(`\u0000`, size/6) + `"]}`
	messages["JSON of one text of brackets"] = `{"data":["` + strings.Repeat(`[`, size) + `"]}`
	return messages
}

// Whatever a message consists of, reading it costs no more than the limit allows,
// including the message itself.
func TestAMessageCostsLessThanFourTimesTheLimit(t *testing.T) {
	const limit = 256 << 10
	for _, size := range []int{limit / 8, limit - 1000} {
		for name, message := range hostile(size) {
			cost := len(message) + int(allocated(func() {
				readBroadcast(bytesOf(message), limit)
				readMessage(bytesOf(message), limit)
			}))
			assert.Less(t, cost, 4*limit, "%s, %d bytes", name, len(message))
		}
	}
}

func TestWhatIsLargerThanMaxMessageIsNotRead(t *testing.T) {
	const limit = 256 << 10
	for name, message := range hostile(2 * limit) {
		cost := allocated(func() {
			_, err := readBroadcast(bytesOf(message), limit)
			assert.Error(t, err, name)
			_, err = readMessage(bytesOf(message), limit)
			assert.Error(t, err, name)
		})
		assert.Less(t, cost, uint64(16<<10), name)
	}
}

// Large but honest messages are read. They may expand to the same number of bytes,
// and to twice as many for texts in which half of the characters are escaped.
func TestLargeMessagesAreRead(t *testing.T) {
	const limit = 256 << 10
	for _, arg := range []any{
		strings.Repeat("x", limit-1000), bytes.Repeat([]byte{0}, limit-1000), strings.Repeat("a\n", limit/4),
		make([]int, limit/4), [][]string{make([]string, limit/8)},
	} {
		op := &broker.Operation{Kind: broker.OpEmit, Event: "e", Args: []payload.Value{encode(t, arg)}}
		b, err := appendBroadcast(nil, "u", "/", op)
		require.NoError(t, err)
		m, err := readBroadcast(b, limit)
		require.NoError(t, err)
		assert.True(t, reflect.DeepEqual(op.Args, m.args[1:]))
	}
	text, err := payload.AppendJSON(nil, map[string]any{"data": []any{"e", strings.Repeat("x\"", limit/8), make([]int, limit/8)}})
	require.NoError(t, err)
	_, err = readMessage(text, limit)
	assert.NoError(t, err)
}

func TestNamesInAMessageAreBounded(t *testing.T) {
	names := func(n int) []string { return strings.Split(strings.Repeat("r ", n-1)+"r", " ") }
	for _, test := range []struct {
		rooms, except int
		ok            bool
	}{
		{maxNames, 0, true}, {maxNames / 2, maxNames / 2, true}, {maxNames + 1, 0, false}, {maxNames / 2, maxNames/2 + 1, false},
	} {
		to := broker.Selection{Rooms: names(test.rooms), Except: make([]string, test.except)}
		emit := &broker.Operation{Kind: broker.OpEmit, To: to, Event: "e"}
		b, err := appendBroadcast(nil, "u", "/", emit)
		require.NoError(t, err)
		_, err = readBroadcast(b, testLimit)
		assert.Equal(t, test.ok, err == nil, "%+v", test)
		assert.Equal(t, test.ok, checkNames(emit) == nil)
		b, err = payload.AppendJSON(nil, operationRequest("u", &broker.Operation{Kind: broker.OpLeave, To: to, Rooms: names(1)}))
		require.NoError(t, err)
		_, err = readMessage(b, testLimit)
		assert.Equal(t, test.ok, err == nil, "%+v", test)
	}
	b, err := payload.AppendJSON(nil, operationRequest("u", &broker.Operation{Kind: broker.OpJoin, Rooms: names(maxNames + 1)}))
	require.NoError(t, err)
	_, err = readMessage(b, testLimit)
	assert.ErrorIs(t, err, errNames)
}
