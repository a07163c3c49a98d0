package handshake

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
)

type userKey struct{}

// serve returns a request as a handler of net/http gets it, behind middleware, and
// one that was packed and unpacked.
func serve(t *testing.T, pattern, target string, header http.Header) (whole, unpacked *http.Request, packed *Request) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc(pattern, func(_ http.ResponseWriter, r *http.Request) {
		whole = r
		packed = Pack(r)
		unpacked = packed.HTTP()
	})
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), userKey{}, "ann"))
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	for name, values := range header {
		r.Header[name] = values
	}
	r.RemoteAddr = "[2001:db8::1]:4711"
	r.TLS = &tls.ConnectionState{ServerName: "example.com"}
	mux.ServeHTTP(httptest.NewRecorder(), r)
	if whole == nil {
		t.Fatal("the pattern does not fit")
	}
	return whole, unpacked, packed
}

func TestPack(t *testing.T) {
	header := http.Header{
		"Cookie":          {"a=b", "c=d"},
		"X-Empty":         {""},
		"x-not-canonical": {"värde"},
		"Many":            make([]string, 300),
	}
	whole, got, packed := serve(t, "/rooms/{room}/{rest...}", "/rooms/a%2Fb/c/d?token=x%20y&z#f", header)
	for _, check := range []struct {
		what      string
		got, want any
	}{
		{"Method", got.Method, whole.Method},
		{"URL", got.URL.String(), whole.URL.String()},
		{"Path", got.URL.Path, whole.URL.Path},
		{"RawPath", got.URL.RawPath, whole.URL.RawPath},
		{"RequestURI", got.RequestURI, whole.RequestURI},
		{"Proto", got.Proto, whole.Proto},
		{"ProtoMajor", got.ProtoMajor, whole.ProtoMajor},
		{"ProtoMinor", got.ProtoMinor, whole.ProtoMinor},
		{"Host", got.Host, whole.Host},
		{"RemoteAddr", got.RemoteAddr, whole.RemoteAddr},
		{"Pattern", got.Pattern, whole.Pattern},
		{"PathValue(room)", got.PathValue("room"), "a/b"},
		{"PathValue(rest)", got.PathValue("rest"), "c/d"},
		{"Header", got.Header, whole.Header},
		{"TLS", got.TLS, whole.TLS},
		{"FormValue", got.FormValue("token"), "x y"},
		{"Context", got.Context().Value(userKey{}), "ann"},
		{"Values", packed.Values().Value(userKey{}), "ann"},
	} {
		if !reflect.DeepEqual(check.got, check.want) {
			t.Errorf("%s is %q, not %q", check.what, check.got, check.want)
		}
	}
	if err := got.Context().Err(); err != nil {
		t.Errorf("its context has ended: %v", err)
	}
}

func TestPackWithoutHeaders(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = nil
	if got := Pack(r).HTTP(); got.Header == nil || len(got.Header) > 0 {
		t.Errorf("headers are %v", got.Header)
	}
}

func TestKeep(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if Keep(r).HTTP() != r {
		t.Error("it is not the request itself")
	}
}

func TestWildcards(t *testing.T) {
	for pattern, want := range map[string][]string{
		"":                          nil,
		"/":                         nil,
		"GET example.com/a/{b}/{$}": {"b"},
		"/{a}/{b...}":               {"a", "b"},
		"/{":                        nil,
	} {
		if got := wildcards(pattern); !reflect.DeepEqual(got, want) {
			t.Errorf("wildcards(%q) = %q, not %q", pattern, got, want)
		}
	}
}

// TestPackSetPathValues: what SetPathValue was called with is packed, whatever the
// pattern, since gin, echo and middleware know names that it does not have.
func TestPackSetPathValues(t *testing.T) {
	for _, pattern := range []string{"", "/", "/rooms/{room}", "/rooms/{id:[0-9]+}/*"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Pattern = pattern
		want := map[string]string{"id": "7", "*": "a/b", "": "nameless", "room": "12"}
		for name, value := range want {
			r.SetPathValue(name, value)
		}
		packed := Pack(r)
		if packed.whole != nil {
			t.Fatal("net/http has changed: pathNames does not find what SetPathValue sets")
		}
		for name, value := range want {
			if got := packed.HTTP().PathValue(name); got != value {
				t.Errorf("pattern %q: PathValue(%q) is %q, not %q", pattern, name, got, value)
			}
		}
	}
}

// TestPackKeepsWhatItCannotRead: with a net/http that keeps path values elsewhere, the
// request is kept as it is.
func TestPackKeepsWhatItCannotRead(t *testing.T) {
	defer func(was reflect.StructField) { setPathValues = was }(setPathValues)
	method, _ := reflect.TypeFor[http.Request]().FieldByName("Method")
	for _, field := range []reflect.StructField{{}, method} {
		setPathValues = field
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.SetPathValue("id", "7")
		if got := Pack(r).HTTP().PathValue("id"); got != "7" {
			t.Errorf("field %q: PathValue is %q", field.Name, got)
		}
	}
}

// TestValuesDropsEnds: layers that only cancel are not kept, and all values are.
func TestValuesDropsEnds(t *testing.T) {
	base := context.WithValue(context.Background(), userKey{}, 1)
	ctx, cancel := context.WithCancel(base)
	ctx, cancel2 := context.WithCancelCause(ctx)
	cancel2(nil)
	cancel()
	got := valuesOf(ctx)
	if got.Err() != nil || got.Value(userKey{}) != 1 {
		t.Errorf("error %v, value %v", got.Err(), got.Value(userKey{}))
	}
	if want := context.WithoutCancel(base); got != want {
		t.Errorf("%v is kept, not %v", got, want)
	}
}

// TestLocalAddr: the address at which a server has accepted a connection is found,
// wherever middleware has put it.
func TestLocalAddr(t *testing.T) {
	type key struct{}
	base := context.WithValue(context.Background(), key{}, 1)
	for name, addr := range map[string]net.Addr{
		"IPv4":        &net.TCPAddr{IP: net.IP{127, 0, 0, 1}, Port: 80},
		"IPv4 mapped": &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80},
		"IPv6":        &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 443, Zone: "eth0"},
		"no IP":       &net.TCPAddr{Port: 1},
		"Unix":        &net.UnixAddr{Name: "/run/ws.sock", Net: "unix"},
		"nil":         (*net.TCPAddr)(nil),
	} {
		ctx, cancel := context.WithCancel(context.WithValue(base, http.LocalAddrContextKey, addr))
		cancel()
		for where, ctx := range map[string]context.Context{
			"as in net/http":   ctx,
			"below a value":    context.WithValue(ctx, userKey{}, 2),
			"above another":    context.WithValue(context.WithValue(ctx, http.LocalAddrContextKey, "x"), http.LocalAddrContextKey, addr),
			"below an ended":   context.WithValue(ctx, key{}, 1),
			"with cancels too": context.WithValue(ctx, http.LocalAddrContextKey, addr),
		} {
			got := valuesOf(ctx)
			if value := got.Value(http.LocalAddrContextKey); !reflect.DeepEqual(value, addr) {
				t.Errorf("%s, %s: %#v, not %#v", name, where, value, addr)
			}
			if got.Value(key{}) != 1 || got.Value(userKey{}) != ctx.Value(userKey{}) || got.Err() != nil {
				t.Errorf("%s, %s: another value is lost, or the context ends", name, where)
			}
		}
	}
}

// TestLocalAddrIsShared: what many connections have in common is kept once.
func TestLocalAddrIsShared(t *testing.T) {
	server := new(http.Server)
	request := func() context.Context {
		ctx := context.WithValue(context.Background(), http.ServerContextKey, server)
		ctx, cancel := context.WithCancel(context.WithValue(ctx, http.LocalAddrContextKey, &net.TCPAddr{IP: net.IP{127, 0, 0, 1}, Port: 80}))
		cancel()
		return ctx
	}
	one, two := valuesOf(request()).(local), valuesOf(request()).(local)
	if one.addr != two.addr {
		t.Error("two addresses are kept")
	}
	if one.Value(http.ServerContextKey) != server {
		t.Error("the server is lost")
	}
}

func FuzzPack(f *testing.F) {
	f.Add("GET", "/a?b", "Cookie", "a=b", "/{x}")
	f.Add("", "", "Connection", "Upgrade", "websocket") // packed as numbers
	f.Add("a", "a", "a", "a", "a")                      // each is the one before
	f.Fuzz(func(t *testing.T, method, host, key, value, pattern string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Method, r.Host, r.Pattern = method, host, pattern
		r.Header[key] = []string{value, value + "2"}
		for _, name := range wildcards(pattern) {
			r.SetPathValue(name, value)
		}
		got := Pack(r).HTTP()
		if got.Method != method || got.Host != host || got.Pattern != pattern || !reflect.DeepEqual(got.Header, r.Header) {
			t.Errorf("%v became %v", r, got)
		}
		for _, name := range wildcards(pattern) {
			if got.PathValue(name) != value {
				t.Errorf("PathValue(%q) is %q", name, got.PathValue(name))
			}
		}
	})
}
