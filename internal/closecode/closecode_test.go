package closecode_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/closecode"
)

// ranges lists the codes from first to last of each class.
var ranges = []struct {
	first, last     int
	sendable, final bool
}{
	{-1, 999, false, false},
	{1000, 1000, true, true},    // normal
	{1001, 1001, true, false},   // going away
	{1002, 1003, true, true},    // protocol error, unsupported data
	{1004, 1006, false, false},  // reserved, no code, no close frame
	{1007, 1010, true, true},    // invalid data, policy, too big, extension missing
	{1011, 1014, true, false},   // the server's failures, and those of what is behind it
	{1015, 2999, false, false},  // TLS, and not assigned
	{3000, 3999, true, false},   // registered with IANA
	{4000, 4499, true, true},    // an application's "stay away"
	{4500, 4999, true, false},   // an application's other codes
	{5000, 70000, false, false}, // none
}

// TestCodes: every code is in one class.
func TestCodes(t *testing.T) {
	next := -1
	for _, r := range ranges {
		require.Equal(t, next, r.first)
		for code := r.first; code <= r.last; code++ {
			require.Equal(t, r.sendable, closecode.Sendable(code), "%d may be sent", code)
			require.Equal(t, r.final, closecode.Final(code), "%d is final", code)
		}
		next = r.last + 1
	}
}
