// Package handshake keeps the HTTP requests that clients connected with, for as
// long as they are connected.
package handshake

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
)

// Request is a request that is kept. All methods may be called concurrently.
type Request struct {
	whole  *http.Request // nil if it is packed
	packed string
	tls    *tls.ConnectionState
	values context.Context
}

// Keep keeps r as it is, for a handler that does not return while the client is
// connected.
func Keep(r *http.Request) *Request {
	return &Request{whole: r, values: context.WithoutCancel(r.Context())}
}

// Pack keeps a copy of r that takes little memory, for a handler that returns:
// method, URL, protocol, headers, host, the client's address, TLS, the Pattern, the
// PathValues, and the values of the context.
func Pack(r *http.Request) *Request {
	names, ok := pathNames(r)
	if !ok {
		return Keep(r)
	}
	p := packer{}
	p.add(r.Method, r.URL.String(), r.RequestURI, r.Proto, r.Host, r.RemoteAddr, r.Pattern)
	p.count(len(names))
	for _, name := range names {
		p.add(name, r.PathValue(name))
	}
	for key, values := range r.Header {
		p.add(key)
		p.count(len(values))
		p.add(values...)
	}
	return &Request{packed: string(p.b), tls: r.TLS, values: valuesOf(r.Context())}
}

// Values returns a context with the values of the request's context, which does not
// end.
func (r *Request) Values() context.Context { return r.values }

// HTTP returns the request. A packed one is a new request without a body, whose
// context does not end.
func (r *Request) HTTP() *http.Request {
	if r.whole != nil {
		return r.whole
	}
	u := unpacker{rest: r.packed}
	h := &http.Request{Method: u.next(), Header: make(http.Header), Body: http.NoBody, TLS: r.tls}
	h.URL, _ = url.Parse(u.next()) // it was a URL before it was packed
	h.RequestURI, h.Proto, h.Host, h.RemoteAddr, h.Pattern = u.next(), u.next(), u.next(), u.next(), u.next()
	h.ProtoMajor, h.ProtoMinor, _ = http.ParseHTTPVersion(h.Proto)
	for range u.count() {
		name := u.next()
		h.SetPathValue(name, u.next())
	}
	for u.rest != "" {
		key := u.next()
		values := make([]string, u.count())
		for i := range values {
			values[i] = u.next()
		}
		h.Header[key] = values
	}
	return h.WithContext(r.values)
}
