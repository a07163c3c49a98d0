package handshake

import "encoding/binary"

// A packed string begins with a number. If that is even, it is twice the length of
// what follows. If it is odd, nothing follows: it is twice the index of the string
// in common, plus one.

// common are strings that many requests have, above all those of browsers.
var common = [...]string{
	0: "", // stands for the string before
	"GET", "HTTP/1.1", "HTTP/2.0", "/ws", "/socket.io/",
	"Connection", "Upgrade", "keep-alive, Upgrade", "websocket",
	"Sec-Websocket-Key", "Sec-Websocket-Version", "13", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions",
	"permessage-deflate", "permessage-deflate; client_max_window_bits",
	"Origin", "Cookie", "Authorization", "User-Agent", "Referer", "Forwarded",
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "X-Request-Id", "https", "http",
	"Accept", "*/*", "Accept-Language", "en-US,en;q=0.9", "en-US,en;q=0.5",
	"Accept-Encoding", "gzip", "gzip, deflate", "gzip, deflate, br", "gzip, deflate, br, zstd",
	"Pragma", "Cache-Control", "no-cache", "Content-Length", "0",
	"Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "empty", "cors", "same-origin", "same-site", "cross-site",
}

var commonIndex = func() map[string]int {
	m := make(map[string]int, len(common))
	for i, s := range common[1:] {
		m[s] = i + 1
	}
	return m
}()

// packer appends numbers and strings.
type packer struct {
	b    []byte
	last string
}

func (p *packer) count(n int) { p.b = binary.AppendUvarint(p.b, uint64(n)) }

func (p *packer) add(list ...string) {
	for _, s := range list {
		if i, ok := commonIndex[s]; ok || s == p.last {
			p.count(i<<1 | 1)
		} else {
			p.count(len(s) << 1)
			p.b = append(p.b, s...)
		}
		p.last = s
	}
}

// unpacker reads what a packer has written.
type unpacker struct{ rest, last string }

func (u *unpacker) count() int {
	n, shift := 0, 0
	for {
		b := u.rest[0]
		u.rest = u.rest[1:]
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
		shift += 7
	}
}

func (u *unpacker) next() string {
	n := u.count()
	switch {
	case n == 1: // the one before
	case n&1 == 1:
		u.last = common[n>>1]
	default:
		u.last, u.rest = u.rest[:n>>1], u.rest[n>>1:]
	}
	return u.last
}
