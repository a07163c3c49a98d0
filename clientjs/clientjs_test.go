package clientjs_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/wsrouter/wsrouter/clientjs"
)

func TestClientJS(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
		contentType  string
		file         string // expected body; "" skips the check
	}{
		{"GET", "/wsrouter/wsrouter.js", 200, "text/javascript; charset=utf-8", "wsrouter.js"},
		{"GET", "/wsrouter.js", 200, "text/javascript; charset=utf-8", "wsrouter.js"},
		{"GET", "/a/b/wsrouter.js?v=1", 200, "text/javascript; charset=utf-8", "wsrouter.js"},
		{"GET", "/wsrouter/wsrouter.d.ts", 200, "text/plain; charset=utf-8", "wsrouter.d.ts"},
		{"HEAD", "/wsrouter/wsrouter.js", 200, "text/javascript; charset=utf-8", ""},
		{"POST", "/wsrouter/wsrouter.js", 405, "text/plain; charset=utf-8", ""},
		{"OPTIONS", "/wsrouter/wsrouter.js", 405, "text/plain; charset=utf-8", ""},
		{"GET", "/wsrouter/", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/wsrouter/wsrouter.ts", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/wsrouter/wsrouter.js/x", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/wsrouter/..%2fclientjs.go", 404, "text/plain; charset=utf-8", ""},
		{"POST", "/nothing", 404, "text/plain; charset=utf-8", ""},
	}
	handler := clientjs.Handler()
	for _, test := range tests {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			got := serveClientJS(handler, test.method, test.path, nil)
			require.Equal(t, test.status, got.Code)
			require.Equal(t, test.contentType, got.Header().Get("Content-Type"))
			if test.status == http.StatusMethodNotAllowed {
				require.Equal(t, "GET, HEAD", got.Header().Get("Allow"))
			}
			if test.method == "HEAD" {
				require.Empty(t, got.Body.String())
			}
			if test.file != "" {
				want, err := os.ReadFile(test.file)
				require.NoError(t, err)
				require.Equal(t, string(want), got.Body.String())
			}
		})
	}
}

// TestClientJSCaching checks that a browser which has a file is not sent it again.
func TestClientJSCaching(t *testing.T) {
	handler := clientjs.Handler()
	etags := make(map[string]bool)
	for _, path := range []string{"/wsrouter.js", "/wsrouter.d.ts"} {
		first := serveClientJS(handler, "GET", path, nil)
		require.Equal(t, "no-cache", first.Header().Get("Cache-Control"))
		etag := first.Header().Get("ETag")
		require.Regexp(t, `^"[0-9a-f]+"$`, etag)
		require.False(t, etags[etag], "each file has its own")
		etags[etag] = true

		for ifNoneMatch, status := range map[string]int{etag: 304, `"other", ` + etag: 304, "W/" + etag: 304, "*": 304, `"other"`: 200} {
			again := serveClientJS(handler, "GET", path, http.Header{"If-None-Match": {ifNoneMatch}})
			require.Equal(t, status, again.Code, ifNoneMatch)
			require.Equal(t, etag, again.Header().Get("ETag"))
			require.Equal(t, "no-cache", again.Header().Get("Cache-Control"))
			require.Equal(t, status == 304, again.Body.Len() == 0)
		}
		require.Equal(t, etag, serveClientJS(clientjs.Handler(), "GET", path, nil).Header().Get("ETag"), "on every server")
	}
}

func serveClientJS(handler http.Handler, method, path string, header http.Header) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, nil)
	for name, values := range header {
		req.Header[name] = values
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, req)
	return w
}
