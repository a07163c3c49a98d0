package origin_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/origin"
)

// TestPatterns: what a pattern matches, and what it does not.
func TestPatterns(t *testing.T) {
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"https://example.com",
			[]string{"https://example.com", "https://EXAMPLE.com", "https://example.com:443", "wss://example.com", "https://example.com/"},
			[]string{"http://example.com", "https://example.com:8443", "https://a.example.com", "https://example.com.evil.org",
				"https://evil.org/example.com", "https://user@example.com", "https://example.com:", "https://example.com#", "null", ""}},
		{"https://example.com/", []string{"https://example.com"}, []string{"https://example.com:8443"}},
		{"https://example.com:443", []string{"https://example.com"}, []string{"https://example.com:444", "http://example.com"}},
		{"https://example.com:0443", []string{"https://example.com"}, nil},
		{"http://example.com:80", []string{"http://example.com", "ws://example.com:80"}, []string{"http://example.com:443"}},
		{"wss://example.com", []string{"https://example.com"}, []string{"http://example.com"}},
		{"ws://example.com:8080", []string{"http://example.com:8080"}, []string{"https://example.com:8080"}},
		{" https://example.com\t", []string{"https://example.com"}, nil},
		{"HTTPS://Example.COM", []string{"https://example.com"}, nil},
		{"example.com", []string{"http://example.com", "https://example.com", "https://example.com:443"},
			[]string{"https://example.com:80", "http://example.com:8080", "capacitor://example.com"}},
		{"example.com:8443", []string{"https://example.com:8443", "http://example.com:8443"}, []string{"https://example.com"}},
		{"example.com:443", []string{"https://example.com"}, []string{"http://example.com"}},
		{"*.example.com", []string{"https://a.example.com", "http://a.b.example.com"},
			[]string{"https://example.com", "https://a.example.com:8443", "https://aexample.com", "https://a.example.com.evil.org"}},
		{"https://*.example.com:*", []string{"https://a.example.com", "https://a.example.com:8443"},
			[]string{"http://a.example.com:8443", "https://example.com:8443"}},
		{"https://app-[0-9].example.com", []string{"https://app-7.example.com"}, []string{"https://app-x.example.com"}},
		{"[ab].example.com", []string{"https://a.example.com"}, []string{"https://c.example.com"}},
		{"http://localhost:517?", []string{"http://localhost:5173"}, []string{"http://localhost:3000", "http://localhost"}},
		{"127.0.0.1:*", []string{"http://127.0.0.1", "http://127.0.0.1:5173"}, []string{"http://127.0.0.2:5173"}},
		{"http://[::1]:5173", []string{"http://[::1]:5173", "http://[0:0:0:0:0:0:0:1]:5173"},
			[]string{"http://[::1]", "http://[::2]:5173", "http://::1:5173", "http://1:5173"}},
		{"http://[2001:DB8:0::1]", []string{"http://[2001:db8::1]"}, []string{"https://[2001:db8::1]"}},
		{"[::1]:*", []string{"http://[::1]:5173", "https://[::1]"}, []string{"http://[::1%25lo]:1"}},
		{"https://xn--bcher-kva.example", []string{"https://xn--bcher-kva.example"}, nil},
		{"capacitor://localhost", []string{"capacitor://localhost"}, []string{"http://localhost", "ionic://localhost"}},
		{"chrome-extension://abcdef", []string{"chrome-extension://abcdef"}, nil},
		{"*://localhost", []string{"http://localhost", "ionic://localhost"}, []string{"http://localhost:81", "null"}},
		{"*://*", []string{"http://a.example", "https://[::1]"}, []string{"http://a.example:81", "null", ""}},
		{"file://", []string{"file://"}, []string{"null", "http://file"}},
		{"file:///", []string{"file://"}, nil},
		{"null", []string{"null", "nonsense"}, []string{"file://", "http://null", "https://example.com"}},
		{"*", []string{"https://example.com:8443", "null", "file://", "%"}, nil},
	}
	for _, test := range tests {
		p, err := origin.ParsePattern(test.pattern)
		require.NoError(t, err, test.pattern)
		for _, o := range test.yes {
			require.True(t, p.Match(origin.Parse(o)), "%q should match %q", test.pattern, o)
		}
		for _, o := range test.no {
			require.False(t, p.Match(origin.Parse(o)), "%q should not match %q", test.pattern, o)
		}
	}
}

// TestNoPatterns: what can match no origin is told.
func TestNoPatterns(t *testing.T) {
	tests := map[string]string{
		"":                        "empty",
		"  ":                      "empty",
		"[":                       "syntax error",
		"https://[a-":             "syntax error",
		"https://":                "no host",
		"https:///":               "no host",
		"://example.com":          "no scheme",
		"ht tp://example.com":     "no scheme",
		"//example.com":           "no host",
		"https://example.com/app": "no host",
		"https://example.com#top": "no host",
		"https://a b.example":     "no host",
		"https://user@example":    "no host",
		"https://example.com?a=b": "no host",
		"a.example,b.example":     "no host",
		"https://example.com:":    "no port after the colon",
		"https://example.com:app": `invalid port "app"`,
		"example.com:-1":          `invalid port "-1"`,
		"example.com:65536":       `invalid port "65536"`,
		"https:example.com":       `invalid port "example.com"`,
		"https://bücher.example":  "xn--",
		"http://::1":              "no host",
		"http://[::1%lo]":         "zone",
		"file://host":             "file://",
	}
	for pattern, want := range tests {
		_, err := origin.ParsePattern(pattern)
		require.ErrorContains(t, err, want, pattern)
	}
}

// TestSameAs: scheme, host and port, each with its default.
func TestSameAs(t *testing.T) {
	tests := []struct {
		origin, host string
		plain, tls   bool // whether it is the same without TLS, and with
	}{
		{"http://example.com", "example.com", true, false},
		{"https://example.com", "example.com", true, true},
		{"https://example.com", "example.com:443", true, true},
		{"https://EXAMPLE.com", "Example.com", true, true},
		{"wss://example.com", "example.com:443", true, true},
		{"https://example.com:443", "example.com", true, true},
		{"https://example.com:8443", "example.com:8443", true, true},
		{"http://example.com:8080", "example.com:8080", true, false},
		{"http://example.com", "example.com:80", true, false},
		{"http://example.com", "example.com:443", false, false},
		{"https://example.com", "example.com:80", false, false},
		{"https://example.com:8443", "example.com", false, false},
		{"https://example.com", "example.com:8443", false, false},
		{"https://example.com", "www.example.com", false, false},
		{"http://[::1]:5173", "[::1]:5173", true, false},
		{"http://[::1]", "[0::1]:80", true, false},
		{"https://[::1]", "[::1]:443", true, true},
		{"https://[::1]", "[::2]", false, false},
		{"ftp://example.com", "example.com", false, false},
		{"null", "null", false, false},
		{"null", "", false, false},
		{"file://", "", false, false},
		{"http://", "", false, false},
		{"http://example.com", "example.com:", false, false},
	}
	for _, test := range tests {
		o := origin.Parse(test.origin)
		require.Equal(t, test.plain, o.SameAs(test.host, false), "%s and %s without TLS", test.origin, test.host)
		require.Equal(t, test.tls, o.SameAs(test.host, true), "%s and %s with TLS", test.origin, test.host)
	}
}

// TestOpen: whether strangers can have a page that matches.
func TestOpen(t *testing.T) {
	open := []string{"*", "null", "file://", "*://*", "http*://*", "?*", "*:*", "https://*", "https://*:8443", "*.*", "app.*",
		"192.168.*", "????????", "[a-z]*", "https://*com", `\**`, "*://*.*:*", "*[a-z]"}
	for _, pattern := range open {
		p, err := origin.ParsePattern(pattern)
		require.NoError(t, err, pattern)
		require.True(t, p.Open(), pattern)
	}
	for _, pattern := range []string{"*.example.com", "https://*.example.com:*", "localhost:*", "*://localhost", "http://[::1]:*", "10.0.0.1", "app-?.example.com"} {
		p, err := origin.ParsePattern(pattern)
		require.NoError(t, err, pattern)
		require.False(t, p.Open(), pattern)
	}
}
