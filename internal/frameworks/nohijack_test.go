package frameworks

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestNoHijack: behind a ResponseWriter that cannot give its connection away
// there is no WebSocket, and the client is told so with a status.
func TestNoHijack(t *testing.T) {
	timeout := func(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "") }
	tests := []struct {
		name string
		mw   func(http.Handler) http.Handler
		on   func(http.Handler) http.Handler
	}{
		{"ServeMux behind TimeoutHandler", timeout, onMux()},
		{"ServeMux behind a bare writer", bare, onMux()},
		{"ServeMux behind Unwrap to a bare writer", bare, onMux(unwrapOnly)},
		{"chi behind TimeoutHandler", timeout, onChi()},
		{"chi behind Logger and TimeoutHandler", timeout, onChi(chiLogger())},
		{"gin behind TimeoutHandler", timeout, onGin(ginHandler)},
		{"gin behind a bare writer", bare, onGin(ginHandler)},
		{"echo behind TimeoutHandler", timeout, onEcho(echoHandler)},
		{"echo behind a bare writer", bare, onEcho(echoHandler)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			router, _ := newRouter(pathValue)
			server := start(t, router, test.mw(test.on(router)))

			_, err := server.tryDial(t, "/rooms/7")
			var refused *wsrouter.StatusError
			require.True(t, errors.As(err, &refused), "got %v, want a StatusError", err)
			require.Equal(t, http.StatusNotImplemented, refused.StatusCode)
			require.NotEmpty(t, refused.Text)
			require.Equal(t, map[wsrouter.Refusal]int64{wsrouter.RefusedUpgrade: 1}, router.Stats().Refused)
		})
	}
}

// bare puts a ResponseWriter in front that hides what the server's could do.
func bare(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(bareWriter{w}, r)
	})
}
