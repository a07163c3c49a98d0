package plain

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/adapter"
)

// FuzzDecode checks that no input makes the decoder panic, and that encoding/json
// reads the same from what it accepts.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"event":"echo","data":{"a":[1,"x\\\"]}"]},"id":7}`, `{"event":"a","id":8,"pull":16}`, `{"id":8,"cancel":true}`,
		`{"event":"x","data":null,"re":"é","more":true}`, `{"auth":{}}`, `{"ping":1}`, ` { } `, `[]`, `{"event":1}`, "\xff", ``,
		`{"a":-1.5e+3,"event":"e" }`, `{"event":"exception","re":1}`, `{"id":1,"re":1}`,
		`{"event":"a","meta":{"traceparent":"00-1-2-01","b":"\u00e9"}}`, `{"event":"a","meta":{"a":1},"id":7}`, `{"event":"a","re":7,"meta":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m adapter.Message
		var ctl control
		if decode(data, 256, true, &m, &ctl) != nil {
			return
		}
		var keys map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &keys))
		if ctl.auth != nil || ctl.ping != nil || ctl.pong {
			return
		}
		if event, ok := keys["event"]; ok {
			var name string
			require.NoError(t, json.Unmarshal(event, &name))
			if m.Kind != adapter.KindCancel {
				require.Equal(t, name, m.Event)
			}
		}
		if body, ok := keys["data"]; ok && m.Kind == adapter.KindEvent {
			require.Equal(t, string(body), string(m.Data.JSON))
		}
		if text, ok := keys["meta"]; ok && (m.Kind == adapter.KindEvent || m.Kind == adapter.KindReply) {
			var pairs map[string]string
			require.NoError(t, json.Unmarshal(text, &pairs))
			require.Equal(t, string(text), string(m.Meta))
		}
		m.Args = []any{m.Data}
		_, err := JSON.Encode(&m)
		require.NoError(t, err)
	})
}

// BenchmarkDecode decodes a frame of the plain protocol into a Message.
func BenchmarkDecode(b *testing.B) {
	for _, test := range []struct{ name, frame string }{
		{"event", `{"event":"events","data":"hello, world"}`},
		{"request", `{"event":"message","data":{"room":"lobby","text":"hello, world","to":[1,2,3]},"id":7}`},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.SetBytes(int64(len(test.frame)))
			b.ReportAllocs()
			for b.Loop() {
				var m adapter.Message
				var ctl control
				if err := decode([]byte(test.frame), 256, true, &m, &ctl); err != nil || m.Event == "" {
					b.Fatal(err)
				}
			}
		})
	}
}
