package wsrouterotel_test

import (
	"os"
	"regexp"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// TestReadmeListsMetrics: the table lists every metric, and nothing else.
func TestReadmeListsMetrics(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	listed := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z_.]+`(, )?)+ \\|").FindAllString(string(text), -1) {
		for _, name := range regexp.MustCompile("[a-z_]+[.][a-z_.]+").FindAllString(row, -1) {
			listed[name] = true
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		router := b.measured(t, wsrouter.Options{MaxConns: 1})
		router.On("stream", func(c *wsrouter.Context) error { return wsrouter.Stream[int](c, nil) })
		router.On("ask", func(c *wsrouter.Context) error { return c.Conn().Call(c.Context(), "x", nil, nil) })
		client := wsroutertest.Connect(t, router, nil)
		router.Connect(t.Context(), nil) // is refused
		client.Call(t.Context(), "stream", nil, nil)
		client.Call(t.Context(), "ask", nil, nil)
		var active metricdata.ResourceMetrics // a metric that exists only while a client is connected
		require.NoError(t, b.reader.Collect(t.Context(), &active))
		client.Close()
		synctest.Wait()
		var all metricdata.ResourceMetrics
		require.NoError(t, b.reader.Collect(t.Context(), &all))
		made := make(map[string]bool)
		for _, data := range []metricdata.ResourceMetrics{active, all} {
			for _, m := range data.ScopeMetrics[0].Metrics {
				made[m.Name] = true
			}
		}
		require.Equal(t, made, listed)
	})
}
