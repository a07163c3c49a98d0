package bind_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/wsrouter/wsrouter/internal/bind"
	"github.com/wsrouter/wsrouter/payload"
)

// TestBindString holds strings that Bind takes the short way, or must not, to
// encoding/json.
func TestBindString(t *testing.T) {
	for _, raw := range []string{`"hi"`, `"a\n\u00e9"`, `""`, `"é"`, "\"\xff\"", `null`, `7`, `{}`, ` "x" `, "\"\n\"", `"`} {
		want, got := "before", "before"
		wantErr := json.Unmarshal([]byte(raw), &want)
		err := bind.Value(payload.Value{JSON: []byte(raw)}, &got)
		require.Equal(t, wantErr == nil, err == nil, raw)
		require.Equal(t, want, got, raw)
	}
	require.Error(t, bind.Value(payload.Value{JSON: []byte(`"x"`)}, (*string)(nil)))
}
