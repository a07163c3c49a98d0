package socketio

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/adapter"
)

// FuzzPayload: whatever a body is, its packets are taken one by one up to its end or to
// a bad one, and encoding them again gives the same.
func FuzzPayload(f *testing.F) {
	for _, seed := range []string{"", "4hello", "4hello\x1ebAQIDBA==", "b", "b!", "1", "2probe", "\x1e", "4\x1e", "7", "4a\x1ex\x1e4b"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var packets []enginePacket
		for rest, more := body, true; more; {
			var p enginePacket
			var err error
			if p, rest, more, err = nextInPayload(rest); err != nil {
				return
			}
			packets = append(packets, p)
		}
		again := appendPayload(nil, packets)
		if !bytes.ContainsAny(body, "\r\nb") { // base64 may have line breaks and stray bits
			require.Equal(t, string(body), string(again))
		}
	})
}

// FuzzPacket: an accepted packet means the same when it is written again.
func FuzzPacket(f *testing.F) {
	for _, seed := range []string{
		"0", `0{"a":1}`, "0/chat,", "0/chat", "1", "1/chat,", `2["a"]`, `2/chat,7["a",{}]`, "2[1]", `37["b"]`, "4{}",
		`51-["f",{"_placeholder":true,"num":0}]`, `61-/x,3[1]`, "510-[1]", "511-[1]", "2007[1]", `2[""]`, "2[", "9", "20[]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePacket(text, 256, usualAttachments)
		if err != nil {
			return
		}
		var m, same adapter.Message
		if p.message(&m, nil) != nil {
			return
		}
		again, err := parsePacket(p.append(nil), 256, usualAttachments)
		require.NoError(t, err)
		require.NoError(t, again.message(&same, nil))
		require.Equal(t, m, same)
		require.Equal(t, p.namespace, again.namespace)
	})
}

// FuzzPutBack: JSON stays JSON, and grows by no more than the attachments.
func FuzzPutBack(f *testing.F) {
	for _, seed := range []string{
		`["e",{"_placeholder":true,"num":0}]`, `[{"num":1,"_placeholder":true}]`, `[{"_placeholder":true,"num":9}]`,
		`["\"_placeholder\":true"]`, `[{"_placeholder":{"_placeholder":true,"num":0},"num":0}]`, `[]`, `{"num":`, `[{"_placeholder" :true}]`,
	} {
		f.Add([]byte(seed), []byte("bytes"))
	}
	f.Fuzz(func(t *testing.T, data, attachment []byte) {
		if !json.Valid(data) {
			return
		}
		arg, err := putBack(data, [][]byte{attachment, nil}, make([]bool, 2))
		if err != nil {
			return
		}
		got := withBase64(arg)
		require.True(t, json.Valid([]byte(got)), "%q", got)
		require.LessOrEqual(t, len(got), len(data)+2*len(attachment))
	})
}

// FuzzClaim: what is left of a connect payload is the user's, unchanged.
func FuzzClaim(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"pid":"a"}`, `{"pid":"a","offset":"~1.2"}`, `{"pid":"a","offset":null,"t":[{"pid":1}]}`, `{ "t" : "pid" , "pid" : "a" }`,
		`{"pid":7,"t":1}`, `{"pid":"a","pid":"b","t":"\"pid\""}`, `{"offset":"x"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, auth []byte) {
		p := packet{kind: typeConnect, data: auth}
		if len(auth) == 0 || p.check() != nil {
			return
		}
		var want, got map[string]json.RawMessage
		if json.Unmarshal(auth, &want) != nil {
			return // deeper than encoding/json allows
		}
		users, lost := takeClaim(auth)
		if lost.Secret == "" {
			return
		}
		if users != nil {
			require.NoError(t, json.Unmarshal(users, &got), "%s", users)
		}
		if !bytes.ContainsRune(auth, '\\') { // otherwise a key may be written in other ways
			delete(want, "pid")
			delete(want, "offset")
			require.Len(t, got, len(want))
			for key, value := range want {
				require.JSONEq(t, string(value), string(got[key]))
			}
		}
	})
}

// FuzzOffset: what is accepted as an offset is one, and everything that is written is
// accepted.
func FuzzOffset(f *testing.F) {
	f.Add(uint64(1), uint64(2), "~1.2")
	f.Add(fenceOf("x"), uint64(1<<63), "~.~")
	f.Fuzz(func(t *testing.T, fence, n uint64, text string) {
		o := offset{fence, n}
		back, ok := parseOffset(o.append(nil))
		require.True(t, ok)
		require.Equal(t, o, back)
		if o, ok := parseOffset([]byte(text)); ok {
			require.Equal(t, text, string(o.append(nil)))
		}
	})
}
