package main

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/examples/chat/page"
)

// TestPage checks that every file is served with its type and the policy, and that
// the page only refers to scripts and styles that exist.
func TestPage(t *testing.T) {
	server := httptest.NewServer(page.Handler(newChat()))
	defer server.Close()
	types := map[string]string{"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
	paths, err := fs.Glob(os.DirFS("page"), "web/*")
	require.NoError(t, err)
	for _, path := range paths {
		path = strings.TrimPrefix(path, "web/")
		kind := types[path[strings.LastIndex(path, ".")+1:]]
		require.NotEmpty(t, kind, path)
		res, err := http.Get(server.URL + "/" + strings.TrimSuffix(path, "index.html"))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.Contains(t, res.Header.Get("Content-Type"), kind)
		require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'self'")
	}
}

// TestSocketIOPage checks that the page is the same except for the client, and that
// nothing comes from elsewhere.
func TestSocketIOPage(t *testing.T) {
	get := func(path string) (body string, header http.Header) {
		rec := httptest.NewRecorder()
		page.Handler(newChat()).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusOK, rec.Code)
		return rec.Body.String(), rec.Header()
	}
	plain, _ := get("/")
	same, header := get("/socketio/")
	require.Equal(t, plain, same)
	require.NotContains(t, header.Get("Content-Security-Policy"), "http")
	script, _ := get("/socketio/client.js")
	require.Contains(t, script, `from "./socket.io.js"`)
	client, header := get("/socketio/socket.io.js")
	require.Contains(t, client, "Socket.IO v4.")
	require.Contains(t, header.Get("Content-Type"), "text/javascript")
}
