package socketio_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/socketio"
)

// zipped is the ResponseWriter of middleware that compresses.
type zipped struct {
	http.ResponseWriter
	gz *gzip.Writer
}

func (z zipped) Write(b []byte) (int, error) { return z.gz.Write(b) }

// flushing can also do what the server's own ResponseWriter can.
type flushing struct{ zipped }

func (f flushing) Unwrap() http.ResponseWriter { return f.ResponseWriter }

func (f flushing) Flush() {
	f.gz.Flush()
	f.ResponseWriter.(http.Flusher).Flush()
}

func (f flushing) WriteHeader(status int) {
	f.Header().Del("Content-Length")
	f.ResponseWriter.WriteHeader(status)
}

func (f flushing) Write(b []byte) (int, error) {
	f.Header().Del("Content-Length")
	return f.gz.Write(b)
}

// compress is middleware of one of the two kinds.
func compress(next http.Handler, wrap func(zipped) http.ResponseWriter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Add("Vary", "Accept-Encoding")
		gz := gzip.NewWriter(w)
		defer gz.Close()
		next.ServeHTTP(wrap(zipped{w, gz}), r)
	})
}

// TestCompressedPolls: responses pass through middleware that compresses, even if that
// does not know their Content-Length.
func TestCompressedPolls(t *testing.T) {
	for name, wrap := range map[string]func(zipped) http.ResponseWriter{
		"simple":  func(z zipped) http.ResponseWriter { return z },
		"careful": func(z zipped) http.ResponseWriter { return flushing{z} },
	} {
		t.Run(name, func(t *testing.T) {
			router := newRouter(nil)
			h := socketio.New(router, nil)
			server := httptest.NewServer(compress(h, wrap))
			defer server.Close()
			defer router.Close()
			s := &site{t: t, router: router, handler: h, url: server.URL + "/socket.io/", client: server.Client()}
			ask := func(method, query, body string) string {
				a := s.do(method, query, body, "Accept-Encoding", "gzip")
				require.Equal(t, 200, a.status)
				require.Equal(t, "gzip", a.header.Get("Content-Encoding"))
				require.Equal(t, []string{"Accept-Encoding"}, a.header.Values("Vary"))
				gz, err := gzip.NewReader(strings.NewReader(a.body))
				require.NoError(t, err)
				text, err := io.ReadAll(gz)
				require.NoError(t, err)
				if method == "GET" {
					require.Less(t, len(a.body), max(len(text), 300))
				}
				return string(text)
			}
			var open struct{ SID string }
			require.NoError(t, json.Unmarshal([]byte(ask("GET", polling, "")[1:]), &open))
			query := polling + "&sid=" + open.SID
			require.Equal(t, "ok", ask("POST", query, "40"))
			joined(t, "40", ask("GET", query, ""))
			for _, size := range []int{0, 10, 5000, 200_000} {
				text := `42["echo","` + strings.Repeat("x", size) + `"]`
				require.Equal(t, "ok", ask("POST", query, text))
				require.Equal(t, text, ask("GET", query, ""))
			}
		})
	}
}
