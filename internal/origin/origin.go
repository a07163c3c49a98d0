// Package origin parses and compares web origins (RFC 6454): scheme, host and port
// of the page that makes a browser send a request.
package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Origin says where a page comes from, in lower case. The port is always set if the
// scheme has a default one. The zero Origin is an opaque origin, which browsers
// call "null", and also stands for what is not an origin.
type Origin struct{ scheme, host, port string }

// Parse parses an Origin header. WebSocket schemes, which some clients other than
// browsers send, count as those of HTTP.
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

// SameAs reports whether a page of o is served by the server that got a request
// with that Host header. A request without TLS may have reached a proxy with TLS;
// then the scheme is believed, because browsers let no page of https connect
// without TLS.
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

// web returns the scheme of a page that connects with the given scheme.
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

// split separates host and port; without a port the latter is "". An IPv6 address
// loses its brackets and is written in its canonical form. Other brackets are those
// of a pattern.
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
				return "", "", errors.New("an IPv6 address of a page has no zone")
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

// ParsePattern parses scheme://host:port, where each part is a pattern of
// path.Match. Without a scheme it stands for http and https, without a port for the
// scheme's default. "*" stands for all origins, "null" for opaque ones. What no
// browser sends is an error, unless it can only mean one thing: blanks around it, a
// slash after it, or a WebSocket scheme.
func ParsePattern(text string) (Pattern, error) {
	s := strings.ToLower(strings.TrimSpace(text))
	switch s {
	case "":
		return Pattern{}, errors.New("empty pattern")
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

// check finds what cannot match any origin.
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
		return fmt.Errorf("invalid port %q", p.port)
	}
	if p.port = strconv.Itoa(port); p.port == defaultPort(p.scheme) {
		p.port = "" // matched in any case
	}
	return nil
}

// isHost reports whether a pattern may match a host. It may have the special
// characters of path.Match, but no others that a host cannot have.
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

// Match reports whether the pattern matches the origin.
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

// matchHost does not treat an IPv6 address as a pattern: both sides have been
// parsed.
func matchHost(pattern, host string) bool { return pattern == host || match(pattern, host) }

// Open reports whether somebody whom the pattern does not name may have a matching
// page. Anybody can have a host with some name, except for its end.
func (p Pattern) Open() bool {
	last := p.host[strings.LastIndexByte(p.host, '.')+1:]
	return p.all || p == (Pattern{}) || p.scheme == file || hasMeta(last)
}
