package sessions_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/sessions"
)

func TestClientOf(t *testing.T) {
	for addr, want := range map[string]string{
		"10.0.0.1:1":             "10.0.0.1",
		"[::ffff:10.0.0.1]:1":    "10.0.0.1",
		"[2001:db8:1:2:3::9]:1":  "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":       "fe80::/64",
		"host:1":                 "host",
		"@":                      "@",
		"":                       "",
		"[2001:db8::1":           "[2001:db8::1",
		"2001:db8:1:2::1":        "2001:db8:1:2::1",
		"[2001:db8:1:2::1]:http": "2001:db8:1:2::/64",
	} {
		require.Equal(t, want, sessions.ClientOf(addr), addr)
	}
}
