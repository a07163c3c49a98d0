// Package origin parses and compares web origins (RFC 6454): the scheme, host and
// port of the page that a browser's request comes from.
package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Origin is where a page comes from, in lower case. Its port is always there where
// the scheme has a default one. The zero Origin is an opaque one, which browsers
// call "null", and anything that is none.
type Origin struct{ scheme, host, port string }

// Parse reads an Origin header. WebSocket schemes, which some clients that are no
// browsers write, are those of HTTP.
func Parse(header string) Origin {
	scheme, authority, ok := strings.Cut(strings.ToLower(header), "://")
	if !ok || scheme == "" {
		return Origin{}
	}
	if scheme = web(scheme); scheme == file {
		return Origin{scheme: file}
	}
	host, port, err := split(strings.TrimSuffix(authority, "/"))
	if err != nil {
		return Origin{}
	}
	if port == "" {
		port = defaultPort(scheme)
	}
	return Origin{scheme, host, port}
}

// SameAs reports whether a page of o is served by whoever got a request with that
// Host header. A request without TLS may have come over a proxy's: then the scheme
// is believed, as browsers let no page of https connect without TLS.
func (o Origin) SameAs(hostHeader string, tls bool) bool {
	if o.scheme != "https" && (tls || o.scheme != "http") {
		return false
	}
	host, port, err := split(strings.ToLower(hostHeader))
	if port == "" {
		port = defaultPort(o.scheme)
	}
	return err == nil && host == o.host && port == o.port
}

// file is the scheme of pages without a host.
const file = "file"

// web returns the scheme that a page has which connects by the given one.
func web(scheme string) string {
	switch scheme {
	case "ws":
		return "http"
	case "wss":
		return "https"
	}
	return scheme
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

var errHost = errors.New("no host")

// split takes host and port apart; no port is "". An IPv6 address loses its
// brackets and gets its one spelling. Else brackets are those of a pattern.
func split(authority string) (host, port string, err error) {
	host = authority
	if colon := strings.LastIndexByte(authority, ':'); colon > strings.LastIndexByte(authority, ']') {
		host, port = authority[:colon], authority[colon+1:]
		if port == "" {
			return "", "", errors.New("no port after the colon")
		}
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		if addr, err := netip.ParseAddr(host[1 : len(host)-1]); err == nil && addr.Is6() {
			if addr.Zone() != "" {
				return "", "", errors.New("no page has a zone in its address")
			}
			return addr.String(), port, nil
		}
	}
	if host == "" || strings.ContainsAny(host, "/:@#%") {
		return "", "", errHost
	}
	return host, port, nil
}

// Pattern is a set of origins, see ParsePattern.
type Pattern struct {
	all                bool
	scheme, host, port string // each a pattern of path.Match; an empty port is the default one
}

// ParsePattern reads scheme://host:port, where each part is a pattern of path.Match.
// Without a scheme it is http and https, without a port the scheme's own. "*" is all
// origins, and "null" the opaque ones. What no browser sends is an error, unless it
// can only mean one thing: blanks around it, a slash after it, a WebSocket scheme.
func ParsePattern(text string) (Pattern, error) {
	s := strings.ToLower(strings.TrimSpace(text))
	switch s {
	case "":
		return Pattern{}, errors.New("it is empty")
	case "*":
		return Pattern{all: true}, nil
	case "null":
		return Pattern{}, nil
	}
	scheme, authority, ok := strings.Cut(s, "://")
	if !ok {
		scheme, authority = "http*", s
	}
	p := Pattern{scheme: web(scheme)}
	var err error
	if authority = strings.TrimSuffix(authority, "/"); p.scheme != file || authority != "" {
		p.host, p.port, err = split(authority)
	}
	if err == nil {
		err = p.check()
	}
	return p, err
}

// check finds what can match no origin.
func (p *Pattern) check() error {
	for _, part := range []string{p.scheme, p.host, p.port} {
		if _, err := path.Match(part, ""); err != nil {
			return err
		}
	}
	for _, r := range p.host {
		if r > 0x7e {
			return errors.New("browsers send international names in ASCII: write xn--…")
		}
	}
	port, err := strconv.Atoi(p.port)
	switch {
	case p.scheme == "" || strings.ContainsAny(p.scheme, "/: "):
		return errors.New("no scheme")
	case p.scheme == file && p.host != "":
		return errors.New("pages of files have no host: write file://")
	case p.scheme != file && !isHost(p.host):
		return errHost
	case p.port == "" || err != nil && hasMeta(p.port):
		return nil
	case err != nil || port < 0 || port > 65535:
		return fmt.Errorf("no port %q", p.port)
	}
	if p.port = strconv.Itoa(port); p.port == defaultPort(p.scheme) {
		p.port = "" // matched in any case
	}
	return nil
}

// isHost reports whether a pattern may match a host: path.Match's signs may stand
// in it, but nothing else that a host has not.
func isHost(pattern string) bool {
	if _, err := netip.ParseAddr(pattern); err == nil {
		return true
	}
	for _, r := range pattern {
		if !strings.ContainsRune(`abcdefghijklmnopqrstuvwxyz0123456789-._*?[]\^`, r) {
			return false
		}
	}
	return pattern != ""
}

func hasMeta(s string) bool { return strings.ContainsAny(s, `*?[\`) }

// Match reports whether the origin is one of the pattern's.
func (p Pattern) Match(o Origin) bool {
	if p.all || p == (Pattern{}) || o == (Origin{}) {
		return p.all || p == (Pattern{}) && o == (Origin{})
	}
	port := p.port
	if port == "" {
		port = defaultPort(o.scheme)
	}
	return match(p.scheme, o.scheme) && matchHost(p.host, o.host) && match(port, o.port)
}

func match(pattern, s string) bool {
	ok, _ := path.Match(pattern, s)
	return ok
}

// matchHost takes an IPv6 address for no pattern: it has been parsed on both sides.
func matchHost(pattern, host string) bool { return pattern == host || match(pattern, host) }

// Open reports whether somebody whom the pattern does not name may have a page of
// it: everybody can have a host of some name, but for the end of it.
func (p Pattern) Open() bool {
	last := p.host[strings.LastIndexByte(p.host, '.')+1:]
	return p.all || p == (Pattern{}) || p.scheme == file || hasMeta(last)
}
