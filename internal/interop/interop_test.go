package interop

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
)

// TestGateway plays the gateway's table from every kind of client, on both
// namespaces, with and without WSOptions.Detach and Compression.
func TestGateway(t *testing.T) {
	binary := process.Build(t, gatewayDir)
	for _, mode := range []struct {
		name       string
		flags      []string
		extensions string // the extensions that both agree on
	}{
		{"blocking", nil, ""},
		{"detached", []string{"-detach"}, ""},
		{"compressed", []string{"-compress"}, "permessage-deflate"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			gateway := startGateway(t, binary, mode.flags...)
			page := servePage(t, gateway.addr)
			t.Run("root", func(t *testing.T) { playAll(t, gateway.addr, page, "/ws", mode.extensions) })
			t.Run("events", func(t *testing.T) { playAll(t, gateway.addr, page, "/ws/events", mode.extensions) })
		})
	}
}

// playAll plays every row from every client on the namespace at path.
func playAll(t *testing.T, gateway, page, path, extensions string) {
	url := "ws://" + gateway + path
	t.Run("dial", func(t *testing.T) { requireAll(t, playDial(t, url)) })
	t.Run("npm ws", func(t *testing.T) { requireAll(t, playWS(t, url, extensions)) })
	t.Run("gorilla", func(t *testing.T) { playGorilla(t, url, extensions) })
	t.Run("chromium", func(t *testing.T) { requireAll(t, playChromium(t, page, path, url, extensions)) })
}

// requireAll fails the test unless every event of the gateway was played.
func requireAll(t *testing.T, played []string) {
	t.Helper()
	if !t.Failed() { // otherwise it stopped early
		require.Subset(t, played, gatewayEvents(t), "events without a row")
	}
}
