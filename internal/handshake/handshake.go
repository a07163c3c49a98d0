// Package handshake keeps the HTTP requests that clients connected with, for as
// long as they are connected.
package handshake

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net/http"
	"net/url"
	"reflect"
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
	return &Request{packed: string(p), tls: r.TLS, values: valuesOf(r.Context())}
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
	u := unpacker(r.packed)
	h := &http.Request{Method: u.next(), Header: make(http.Header), Body: http.NoBody, TLS: r.tls}
	h.URL, _ = url.Parse(u.next()) // it was a URL before it was packed
	h.RequestURI, h.Proto, h.Host, h.RemoteAddr, h.Pattern = u.next(), u.next(), u.next(), u.next(), u.next()
	h.ProtoMajor, h.ProtoMinor, _ = http.ParseHTTPVersion(h.Proto)
	for range u.count() {
		name := u.next()
		h.SetPathValue(name, u.next())
	}
	for u != "" {
		key := u.next()
		values := make([]string, u.count())
		for i := range values {
			values[i] = u.next()
		}
		h.Header[key] = values
	}
	return h.WithContext(r.values)
}

// packer appends strings, each after its length.
type packer []byte

func (p *packer) count(n int) { *p = binary.AppendUvarint(*p, uint64(n)) }

func (p *packer) add(list ...string) {
	for _, s := range list {
		p.count(len(s))
		*p = append(*p, s...)
	}
}

// unpacker reads what a packer has written.
type unpacker string

func (u *unpacker) count() int {
	n, shift := 0, 0
	for {
		b := (*u)[0]
		*u = (*u)[1:]
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
		shift += 7
	}
}

func (u *unpacker) next() string {
	n := u.count()
	s := string((*u)[:n])
	*u = (*u)[n:]
	return s
}

// cancelable is the type that context.WithCancel returns. Its one exported field is
// the context it was made from.
var cancelable = func() reflect.Type {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	t := reflect.TypeOf(ctx)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	if f, ok := t.Elem().FieldByName("Context"); !ok || f.Type != reflect.TypeFor[context.Context]() {
		return nil
	}
	return t
}()

// valuesOf is context.WithoutCancel, but also removes the layers around ctx that
// only serve to cancel it. In a request of net/http these take some 400 bytes.
func valuesOf(ctx context.Context) context.Context {
	for cancelable != nil && reflect.TypeOf(ctx) == cancelable {
		ctx = reflect.ValueOf(ctx).Elem().FieldByName("Context").Interface().(context.Context)
	}
	return context.WithoutCancel(ctx)
}
