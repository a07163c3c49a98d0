package deploy

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestProxy: headers and bodies are as the page says.
func TestProxy(t *testing.T) {
	c := startCluster(t)
	dial := func(header http.Header) (*wsrouter.Client, error) {
		client, err := wsrouter.Dial(t.Context(), "wss://"+c.addr+"/ws", &wsrouter.DialOptions{HTTPClient: c.http, Header: header})
		if err == nil {
			t.Cleanup(func() { client.Close() })
		}
		return client, err
	}

	t.Run("every server gets clients", func(t *testing.T) {
		seen := make(map[string]bool)
		for range 40 {
			_, body, err := c.get("/socket.io/?EIO=4&transport=polling")
			require.NoError(t, err)
			found := regexp.MustCompile(`"sid":"([a-d])\.`).FindStringSubmatch(body)
			require.NotNil(t, found, body)
			seen[found[1]] = true
		}
		require.Len(t, seen, len(c.nodes))
	})
	t.Run("same origin", func(t *testing.T) {
		_, err := dial(http.Header{"Origin": {"https://" + c.addr}})
		require.NoError(t, err)
	})
	t.Run("other origin", func(t *testing.T) {
		_, err := dial(http.Header{"Origin": {"https://other.example"}})
		var status *wsrouter.StatusError
		require.ErrorAs(t, err, &status)
		require.Equal(t, http.StatusForbidden, status.StatusCode)
	})
	t.Run("client key", func(t *testing.T) {
		client, err := dial(http.Header{"X-Real-Ip": {"1.2.3.4"}, "X-Forwarded-For": {"1.2.3.4"}})
		require.NoError(t, err)
		who, err := wsrouter.Call[string](t.Context(), client, "who", nil)
		require.NoError(t, err)
		require.Equal(t, "127.0.0.1", who)
	})
	t.Run("largest post", func(t *testing.T) {
		_, body, err := c.get("/socket.io/?EIO=4&transport=polling")
		require.NoError(t, err)
		session := "/socket.io/?EIO=4&transport=polling&sid=" + regexp.MustCompile(`"sid":"([^"]+)"`).FindStringSubmatch(body)[1]
		post := func(packets string) int {
			resp, err := c.http.Post("https://"+c.addr+session, "text/plain", strings.NewReader(packets))
			require.NoError(t, err)
			resp.Body.Close()
			return resp.StatusCode
		}
		require.Equal(t, http.StatusOK, post("40"))
		_, body, err = c.get(session)
		require.NoError(t, err)
		require.Contains(t, body, `40{"sid":`)
		prefix, suffix := `421["size","`, `"]`
		largest := 1_000_000 - len(prefix) - len(suffix)
		require.Equal(t, http.StatusOK, post(prefix+strings.Repeat("x", largest)+suffix))
		_, body, err = c.get(session)
		require.NoError(t, err)
		require.Equal(t, "431[999988]", body) // with its quotes
	})
}
