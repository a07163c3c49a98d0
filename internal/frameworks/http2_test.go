package frameworks

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHTTP2: there is no upgrade in HTTP/2, so a handshake that comes over it is
// refused with a status. A client that means it speaks HTTP/1.1, to the same
// server.
func TestHTTP2(t *testing.T) {
	for _, mount := range mounts {
		t.Run(mount.name, func(t *testing.T) { testHTTP2(t, mount) })
	}
}

func testHTTP2(t *testing.T, mount mount) {
	router, _ := newRouter(mount.param)
	server := start(t, router, mount.on(router), func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.StartTLS()
	})

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/rooms/7", nil)
	require.NoError(t, err)
	// Upgrade and Connection headers are not allowed in HTTP/2.
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	resp, err := server.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 2, resp.ProtoMajor)
	require.Equal(t, http.StatusUpgradeRequired, resp.StatusCode)
	require.NotEmpty(t, body)

	require.Equal(t, "hi", call[string](t, server.dial(t, "/rooms/7"), "echo", "hi"))
}
