package socket

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/wsrouter/wsrouter/adapter"
)

// TestNegotiate: the first offer that we support is accepted, among those of
// browsers, of libraries and of Autobahn, and among invalid ones.
func TestNegotiate(t *testing.T) {
	const plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for offer, want := range map[string]string{
		"":                   "",
		"permessage-deflate": plain,
		"permessage-deflate; client_max_window_bits":                                 plain,
		"Permessage-Deflate;CLIENT_MAX_WINDOW_BITS=9":                                plain,
		`permessage-deflate; client_max_window_bits="15"`:                            plain,
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover": plain,
		"permessage-deflate; server_max_window_bits=15":                              plain + "; server_max_window_bits=15",
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":          plain,
		"x-webkit-deflate-frame, permessage-deflate; client_max_window_bits":         plain,
		`other; name="a, permessage-deflate; b", permessage-deflate`:                 plain,
		"permessage-deflate; server_max_window_bits=10":                              "",
		"permessage-deflate; server_max_window_bits":                                 "",
		"permessage-deflate; client_max_window_bits=16":                              "",
		"permessage-deflate; client_max_window_bits=08":                              "",
		"permessage-deflate; client_max_window_bits=":                                "",
		"permessage-deflate; client_max_window_bits; client_max_window_bits":         "",
		"permessage-deflate; server_no_context_takeover=1":                           "",
		"permessage-deflate; unknown":                                                "",
		"permessage-deflate=1":                                                       "",
		"permessage-deflate;":                                                        "",
		"server_no_context_takeover; permessage-deflate":                             "",
		"; permessage-deflate":                                                       "",
		",,permessage-deflate":                                                       plain,
		"permessage-bzip2, permessage-snappy":                                        "",
		"permessage-deflate; permessage-deflate":                                     "",
		`permessage-deflate; client_max_window_bits="`:                               "",
	} {
		require.Equal(t, want, negotiate([]string{offer}), offer)
	}
	require.Equal(t, plain, negotiate([]string{"other", "permessage-deflate"}))
	require.Empty(t, negotiate(nil))
}

// packedBy returns a message as some other encoder compresses it.
func packedBy(level int, message string, flushes int) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, level)
	for i := range flushes {
		io.WriteString(w, message[i*len(message)/flushes:(i+1)*len(message)/flushes])
		w.Flush()
	}
	return strings.TrimSuffix(b.String(), flushed)
}

// TestInflate: what any encoder may produce is read whole, and anything else is an
// error.
func TestInflate(t *testing.T) {
	message := strings.Repeat("Hello, 世界! ", 1000)
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		for _, flushes := range []int{1, 2, 100} {
			got, err := inflate([]byte(packedBy(level, message, flushes)), int64(len(message)))
			require.NoError(t, err)
			require.Equal(t, message, string(got))
		}
	}
	for wire, want := range map[string]string{ // RFC 7692 section 7.2.3
		"\xf2\x48\xcd\xc9\xc9\x07\x00":                         "Hello",
		"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00":         "Hello",
		"\xf3\x48\xcd\xc9\xc9\x07\x00\x00":                     "Hello",
		"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00": "Hello",
		"\x00": "",
		"":     "",
	} {
		got, err := inflate([]byte(wire), 5)
		require.NoError(t, err, "%x", wire)
		require.Equal(t, want, string(got))
	}
	for _, wire := range []string{"\xff", "\x06", "\x00\x05\x00\xfa\xfeHello", "\xf2\x48\xcd",
		"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00"} {
		_, err := inflate([]byte(wire), 100)
		require.ErrorIs(t, err, ErrProtocol, "%x", wire)
	}
}

// TestBomb: a message that would become huge is inflated up to the limit, and no
// further.
func TestBomb(t *testing.T) {
	bomb := packedBy(flate.BestSpeed, strings.Repeat("\x00", 8<<20), 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := inflate([]byte(bomb), 1<<20)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, ErrTooBig)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20))
	r := &in{deflate: true, max: 1 << 20}
	var ev event
	r.next([]byte(clientFrame(0xc2, bomb[:1000])), &ev)
	require.Equal(t, gotFailure, ev.kind)
}

// TestCompressedFrames: the bit belongs to the first frame of a message.
func TestCompressedFrames(t *testing.T) {
	hello := packedBy(flate.BestSpeed, "hello, hello", 1)
	f := clientFrame
	for name, test := range map[string]struct {
		wire string
		want string
	}{
		"whole":         {f(0xc1, hello), "text hello, hello"},
		"fragments":     {f(0x41, hello[:3]) + f(0x00, "") + f(0x89, "") + f(0x80, hello[3:]), "text hello, hello"},
		"plain, too":    {f(0x81, "hello"), "text hello"},
		"continuation":  {f(0x41, hello[:3]) + f(0xc0, hello[3:]), "protocol error: reserved bits"},
		"ping":          {f(0xc9, ""), "protocol error: reserved bits"},
		"close":         {f(0xc8, ""), "protocol error: reserved bits"},
		"another bit":   {f(0xe1, hello), "protocol error: reserved bits"},
		"no text":       {f(0xc1, packedBy(1, "\xff", 1)), "invalid UTF-8: in a text message"},
		"too big":       {f(0xc1, packedBy(1, strings.Repeat("x", 101), 1)), "message too big: inflated"},
		"no redundancy": {f(0xc2, packedBy(0, strings.Repeat("x", 100), 1)), "binary " + strings.Repeat("x", 100)},
	} {
		for piece := range len(test.wire) {
			got := events(&in{deflate: true, max: 100}, test.wire, piece+1)
			require.Equal(t, test.want, got[len(got)-1], name)
		}
	}
}

// TestDeflate: a peer reads what we send. What would not become smaller, or is
// short, is sent as it is.
func TestDeflate(t *testing.T) {
	noise := make([]byte, 5000)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for name, message := range map[string]string{
		"long": strings.Repeat("long ", 30_000), "short": "short", "noise": string(noise), "at once": strings.Repeat("x", CompressAt),
	} {
		for _, s := range []*adapter.Shared{nil, new(adapter.Shared)} {
			for range 2 {
				o := &out{deflate: true}
				o.start()
				more := o.message(opBinary, "prefix ", []byte(message), s, true)
				wire := string(o.rest()) + string(more)
				require.Equal(t, []string{"binary prefix " + message}, events(&in{client: true, deflate: true, max: 1 << 20}, wire, 1000))
				require.Equal(t, name == "long" || name == "at once", wire[0] == 0xc2)
				require.LessOrEqual(t, len(wire), len(message)+len("prefix ")+4+6)
				o.free()
			}
		}
	}
}

// TestShared: a message is compressed once for all connections.
func TestShared(t *testing.T) {
	s, message := new(adapter.Shared), []byte(strings.Repeat("shared ", 1000))
	var first []byte
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 20 {
		wg.Go(func() {
			small := deflated(s, "", message)
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = small
			}
			require.Same(t, &first[0], &small[0])
		})
	}
	wg.Wait()
}
