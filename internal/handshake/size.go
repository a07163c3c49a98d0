package handshake

import "net/http"

const headerOverhead = 128 // of one value of a header or form

// Held returns how many bytes it costs to keep the request.
func (r *Request) Held() int {
	if r.whole == nil {
		return len(r.packed)
	}
	return Held(r.whole)
}

// Held returns how many bytes it costs to keep a request as it is.
func Held(r *http.Request) int {
	n := len(r.RequestURI) + len(r.Host) + len(r.RemoteAddr)
	if u := r.URL; u != nil {
		n += len(u.Path) + len(u.RawPath) + len(u.RawQuery) + len(u.Host) + len(u.Fragment)
	}
	for _, values := range []map[string][]string{r.Header, r.Trailer, r.Form, r.PostForm} {
		for name, list := range values {
			n += len(name)
			for _, v := range list {
				n += headerOverhead + len(v)
			}
		}
	}
	return n
}
