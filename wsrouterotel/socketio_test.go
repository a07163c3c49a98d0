package wsrouterotel_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

// TestSocketIO: its events have no place for a trace, so each begins one, with a
// link to the trace of the handshake.
func TestSocketIO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		router := b.service(t, wsrouter.Options{})
		router.On("ask", func(c *wsrouter.Context) error { return c.Reply(c.Meta("traceparent")) })
		h := socketio.New(router, nil)
		do := func(method, query, body string) string {
			w, r := httptest.NewRecorder(), httptest.NewRequest(method, "/?EIO=4&transport=polling"+query, strings.NewReader(body))
			r.Header.Set("Traceparent", traceparent)
			h.ServeHTTP(w, r)
			return w.Body.String()
		}
		sid := "&sid=" + regexp.MustCompile(`"sid":"([^"]+)"`).FindStringSubmatch(do(http.MethodGet, "", ""))[1]
		do(http.MethodPost, sid, "40")
		do(http.MethodGet, sid, "") // the welcome
		do(http.MethodPost, sid, `427["ask",{"meta":{"traceparent":"`+traceparent+`"}}]`)
		require.Equal(t, `437[""]`, do(http.MethodGet, sid, ""))
		do(http.MethodPost, sid, "1")
		synctest.Wait()
		ask := b.spans(t)["server / ask"]
		require.False(t, ask.Parent.IsValid())
		require.Len(t, ask.Links, 1)
		require.Equal(t, "b7ad6b7169203331", ask.Links[0].SpanContext.SpanID().String())
		require.Equal(t, "polling", attrs(ask)["wsrouter.transport"])
		require.NoError(t, router.Shutdown(t.Context()))
	})
}
