package socket_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The cases of the Autobahn test suite, with its numbers and as its texts describe
// them, played against an echo.

// scene is one case: what a client sends, and the frames that it gets. If a scene
// does not end the connection, a close frame does, and its answer must arrive as
// well.
type scene struct {
	name string
	send string
	want []string // as play returns them
}

func textOf(s string) string        { return string(masked(0x81, s)) }
func bytesOf(s string) string       { return string(masked(0x82, s)) }
func ping(s string) string          { return string(masked(0x89, s)) }
func pong(s string) string          { return string(masked(0x8a, s)) }
func goodbye(s string) string       { return string(masked(0x88, s)) }
func begin(s string) string         { return string(masked(0x01, s)) }
func goOn(s string) string          { return string(masked(0x00, s)) }
func finish(s string) string        { return string(masked(0x80, s)) }
func other(b byte, s string) string { return string(masked(b, s)) }

func got(list ...string) []string { return list }

const badFrame, noText = "close \x03\xea", "close \x03\xef"

// scenes returns groups 1 to 5.
func scenes() []scene {
	star, fe := strings.Repeat("*", 125), "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	list := []scene{
		{"2.1", ping(""), got("pong ")},
		{"2.2", ping("Hello, world!"), got("pong Hello, world!")},
		{"2.3", ping(fe), got("pong " + fe)},
		{"2.4 2.6", ping(strings.Repeat("\xfe", 125)), got("pong " + strings.Repeat("\xfe", 125))},
		{"2.5", ping(strings.Repeat("\xfe", 126)), got(badFrame)},
		{"2.7", pong(""), got()},
		{"2.8", pong("unsolicited pong payload"), got()},
		{"2.9", pong("unsolicited") + ping("ping payload"), got("pong ping payload")},
		{"3.1", other(0x91, "Hello"), got(badFrame)},
		{"3.2 3.3", textOf(star) + other(0xa1, star) + ping(""), got("text "+star, badFrame)},
		{"3.4", textOf(star) + other(0xb1, star) + ping(""), got("text "+star, badFrame)},
		{"3 bits 4", textOf(star) + other(0xc1, star) + ping(""), got("text "+star, badFrame)},
		{"3.5", other(0xd2, fe), got(badFrame)},
		{"3.6", other(0xe9, "ping"), got(badFrame)},
		{"3.7", other(0xf8, ""), got(badFrame)},
		{"5.1", other(0x09, "fragment1") + finish("fragment2"), got(badFrame)},
		{"5.2", other(0x0a, "fragment1") + finish("fragment2"), got(badFrame)},
		{"5.3 5.4 5.5", begin("fragment1") + finish("fragment2"), got("text fragment1fragment2")},
		{"5.6 5.7 5.8", begin("fragment1") + ping("ping") + finish("fragment2"), got("pong ping", "text fragment1fragment2")},
		{"5.9 5.10 5.11", finish("non-continuation") + textOf("Hello"), got(badFrame)},
		{"5.12 5.13 5.14", goOn("non-continuation") + textOf("Hello"), got(badFrame)},
		{"5.15", begin("fragment1") + finish("fragment2") + goOn("fragment3") + textOf("x"), got("text fragment1fragment2", badFrame)},
		{"5.16", goOn("fragment1") + begin("fragment2") + finish("fragment3"), got(badFrame)},
		{"5.17", finish("fragment1") + begin("fragment2") + finish("fragment3"), got(badFrame)},
		{"5.18", begin("fragment1") + textOf("fragment2"), got(badFrame)},
		{"5.19 5.20", begin("f1") + goOn("f2") + ping("p1") + goOn("f3") + goOn("f4") + ping("p2") + finish("f5"), got("pong p1", "pong p2", "text f1f2f3f4f5")},
	}
	for i, size := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		list = append(list,
			scene{fmt.Sprint("1.1.", i+1), textOf(strings.Repeat("*", size)), got("text " + strings.Repeat("*", size))},
			scene{fmt.Sprint("1.2.", i+1), bytesOf(strings.Repeat("\xfe", size)), got("binary " + strings.Repeat("\xfe", size))})
	}
	var pings string
	var pongs []string
	for i := range 10 {
		pings += ping(fmt.Sprint("payload-", i))
		pongs = append(pongs, fmt.Sprint("pong payload-", i))
	}
	list = append(list, scene{"2.10 2.11", pings, pongs})
	return append(list, opcodes()...)
}

// opcodes returns those of group 4, which do not exist.
func opcodes() (list []scene) {
	for i, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		name, alone := fmt.Sprintf("4.%d.%d", 1+i/5, 1+i%5), other(0x80|opcode, "")
		if i%5 < 2 {
			list = append(list, scene{name, other(0x80|opcode, "reserved opcode payload"), got(badFrame)}, scene{name, alone, got(badFrame)})
			continue
		}
		list = append(list, scene{name, textOf("Hello") + alone + ping(""), got("text Hello", badFrame)})
	}
	return list
}

// endings returns group 7.
func endings() []scene {
	bye, long := "\x03\xe8", strings.Repeat("*", 256<<10)
	list := []scene{
		{"7.1.1", textOf("Hello World!") + goodbye(bye), got("text Hello World!", "close "+bye)},
		{"7.1.2", goodbye(bye) + goodbye(bye), got("close " + bye)},
		{"7.1.3", goodbye(bye) + ping("after"), got("close " + bye)},
		{"7.1.4", goodbye(bye) + textOf("after"), got("close " + bye)},
		{"7.1.5", begin("fragment1") + goodbye(bye) + finish("fragment2"), got("close " + bye)},
		{"7.1.6", textOf(long) + goodbye(bye) + ping(""), got("text "+long, "close "+bye)},
		{"7.3.1", goodbye(""), got("close ")},
		{"7.3.2", goodbye("a"), got(badFrame)},
		{"7.3.3", goodbye(bye), got("close " + bye)},
		{"7.3.4", goodbye(bye + "Hello World!"), got("close " + bye)},
		{"7.3.5", goodbye(bye + strings.Repeat("*", 123)), got("close " + bye)},
		{"7.3.6", goodbye(bye + strings.Repeat("*", 124)), got(badFrame)},
		{"7.5.1", goodbye(bye + "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"), got(noText)},
	}
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		payload := string([]byte{byte(code >> 8), byte(code)})
		list = append(list, scene{fmt.Sprint("7.7.", i+1), goodbye(payload), got("close " + payload)})
	}
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535} {
		list = append(list, scene{fmt.Sprint("7.9.", i+1), goodbye(string([]byte{byte(code >> 8), byte(code)})), got(badFrame)})
	}
	return list
}

// play sends in pieces and returns the frames that arrive, to the end.
func play(t *testing.T, client net.Conn, send string, piece int) (frames []string) {
	t.Helper()
	go func() {
		for send := send + goodbye("\x03\xe8"); send != ""; {
			n := min(piece, len(send))
			if _, err := io.WriteString(client, send[:n]); err != nil {
				return
			}
			send = send[n:]
		}
	}()
	return receive(t, client)
}

// receive returns the frames that arrive, to the end.
func receive(t *testing.T, client net.Conn) (frames []string) {
	t.Helper()
	for {
		opcode, payload, err := frame(t, client)
		if err != nil {
			client.Close()
			return frames
		}
		name := map[byte]string{1: "text", 2: "binary", 8: "close", 10: "pong"}[opcode]
		frames = append(frames, name+" "+string(payload))
	}
}

// playAll plays scenes in pieces of each size, over TLS in the first size only.
func playAll(t *testing.T, scenes []scene, pieces ...int) {
	overEach(t, func(t *testing.T, connect connector) {
		pieces := pieces
		if strings.HasSuffix(t.Name(), "/tls") && !*long {
			pieces = pieces[:1]
		}
		for _, s := range scenes {
			for _, piece := range pieces {
				if piece < 100 && len(s.send) > 5000 {
					continue // this would not cut anywhere new
				}
				want := s.want
				if len(want) == 0 || !strings.HasPrefix(want[len(want)-1], "close ") {
					want = append(got(want...), "close \x03\xe8")
				}
				client, ended := echoing(t, connect)
				require.Equal(t, want, play(t, client, s.send, piece), "%s in pieces of %d", s.name, piece)
				<-ended
			}
		}
	})
}

func TestSuiteFrames(t *testing.T) { playAll(t, scenes(), 1<<30, 1, 7, 997) }
func TestSuiteEnds(t *testing.T)   { playAll(t, endings(), 1<<30, 1, 7, 997) }
