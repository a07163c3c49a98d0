package socket_test

import (
	"encoding/binary"
	"strings"
	"testing"
)

const kosme = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"

// texts returns the messages of group 6 that are text, and those that are not.
func texts() (good, bad []string) {
	good = []string{
		"", "middle frame payload", "Hello-µ@ßöäüàá-UTF-8!!", kosme, // 6.1 to 6.5
		kosme[:2], kosme[:5], kosme[:7], kosme[:9], // 6.6
		"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80", // 6.7
		"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf", // 6.9
		"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", // 6.11
		"\xef\xbf\xb9", "\xef\xbf\xba", "\xef\xbf\xbb", "\xef\xbf\xbc", // 6.23
	}
	for plane := range rune(17) { // 6.22
		good = append(good, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	bad = []string{
		kosme + "\xed\xa0\x80edited", kosme + "\xf4\x90\x80\x80edited", // 6.3, 6.4
		kosme[:1], kosme[:3], kosme[:4], kosme[:6], kosme[:8], kosme[:10], // 6.6
		"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", // 6.8
		"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf", // 6.10
		"\xf4\x90\x80\x80",                                 // 6.11
		"\x80", "\xbf", "\xfe", "\xff", "\xfe\xfe\xff\xff", // 6.12, 6.16
		"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf", // 6.17
		"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf", // 6.18
		"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80", // 6.19
	}
	for n := 2; n <= 7; n++ { // 6.12
		bad = append(bad, strings.Repeat("\x80\xbf", n)[:n])
	}
	for _, starts := range []string{"\xc0\xdf", "\xe0\xef", "\xf0\xf7", "\xf8\xfb", "\xfc\xfd"} { // 6.13
		var lonely []byte
		for c := starts[0]; c <= starts[1]; c++ {
			lonely = append(lonely, c, ' ')
		}
		bad = append(bad, string(lonely))
	}
	missing := []string{"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf"}
	bad = append(append(bad, missing...), strings.Join(missing, "")) // 6.14, 6.15
	high := []string{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf"}
	low := []string{"\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"}
	bad = append(append(bad, high...), low...) // 6.20
	for _, h := range high {                   // 6.21
		bad = append(bad, h+low[0], h+low[2])
	}
	return good, bad
}

// inFragments sends a text with each part as a fragment.
func inFragments(parts ...string) string {
	send := begin(parts[0])
	for _, p := range parts[1:] {
		send += goOn(p)
	}
	return send + finish("")
}

func TestSuiteTexts(t *testing.T) {
	var list []scene
	good, bad := texts()
	add := func(s string, want string) {
		list = append(list, scene{"6 whole", textOf(s), got(want)})
		if s != "" {
			list = append(list,
				scene{"6 in two", inFragments(s[:len(s)/2], s[len(s)/2:]), got(want)},
				scene{"6 in octets", inFragments(octets(s)...), got(want)})
		}
	}
	for _, s := range good {
		add(s, "text "+s)
		list = append(list, scene{"6 with a ping", begin(s[:len(s)/2]) + ping("") + finish(s[len(s)/2:]), got("pong ", "text "+s)})
	}
	for _, s := range bad {
		add(s, noText)
	}
	announced := binary.BigEndian.AppendUint16([]byte{0x81, 0xfe}, 60_000)
	list = append(list,
		scene{"6.4.1", begin(kosme) + goOn("\xf4\x90\x80\x80"), got(noText)}, // it fails before the end
		scene{"6.4.2", begin(kosme+"\xf4") + goOn("\x90"), got(noText)},
		scene{"6.4.3 6.4.4", string(announced) + "\x00\x00\x00\x00" + kosme + "\xf4\x90", got(noText)},
		scene{"6.1.2", inFragments("", "", ""), got("text ")},
	)
	playAll(t, list, 1<<30, 3) // the tests of the protocol cut everywhere
}

func octets(s string) (list []string) {
	for i := range len(s) {
		list = append(list, s[i:i+1])
	}
	return list
}
