package wsrouterprom_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/promtest"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// busy returns a router that has a series of every metric: it has handled an event,
// a stream and a call, and a connection has ended.
func busy(t *testing.T) *observed {
	r := observe(t, wsrouter.Options{}, nil)
	r.On("hello", func(c *wsrouter.Context) error { return c.Conn().Call(c.Context(), "you?", nil, nil) })
	r.On("count", func(c *wsrouter.Context) error {
		return wsrouter.StreamSeq(c, func(yield func(int, error) bool) { yield(1, nil) })
	})
	for range 2 { // one of them has ended
		client := wsroutertest.Connect(t, r.Router, nil)
		require.NoError(t, client.Call(t.Context(), "hello", nil, nil))
		for _, err := range wsrouter.Pull[int](t.Context(), client, "count", nil) {
			require.NoError(t, err)
		}
		client.Close()
	}
	require.NoError(t, r.Shutdown(t.Context()))
	return r
}

func (r *observed) families(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	families, err := r.registry.Gather()
	require.NoError(t, err)
	return families
}

// TestPromtool: promtool finds nothing to complain about.
func TestPromtool(t *testing.T) {
	var text bytes.Buffer
	for _, family := range busy(t).families(t) {
		_, err := expfmt.MetricFamilyToText(&text, family)
		require.NoError(t, err)
	}
	promtest.CheckMetrics(t, text.Bytes())
}

// TestPage: the table in README.md has every metric, with its type, labels and
// help.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("README.md")
	require.NoError(t, err)
	row := regexp.MustCompile("(?m)^\\| `(wsrouter_\\w+)` \\| (\\w+) \\|(.*?)\\| (.*) \\|$")
	documented := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = m[2:]
	}
	for _, family := range busy(t).families(t) {
		name := family.GetName()
		require.Contains(t, documented, name)
		typ, labels, help := documented[name][0], documented[name][1], documented[name][2]
		require.Equal(t, strings.ToLower(family.GetType().String()), typ, name)
		var names []string
		for _, pair := range family.GetMetric()[0].GetLabel() {
			names = append(names, "`"+pair.GetName()+"`")
		}
		require.ElementsMatch(t, names, strings.Fields(labels), name)
		plain := strings.ReplaceAll(help, "`", "")
		require.True(t, strings.HasPrefix(plain, strings.ToLower(family.GetHelp()[:12])), "%s: %q, %q", name, help, family.GetHelp())
		delete(documented, name)
	}
	require.Empty(t, documented, "documented but not exposed")
}

// TestDescribed: the registry knows every metric before it has a value.
func TestDescribed(t *testing.T) {
	r := busy(t)
	described := map[string]bool{}
	ch := make(chan *prometheus.Desc, 100)
	r.collector.Describe(ch)
	close(ch)
	name := regexp.MustCompile(`fqName: "(\w+)"`)
	for desc := range ch {
		described[name.FindStringSubmatch(desc.String())[1]] = true
	}
	for _, family := range r.families(t) {
		require.Contains(t, described, family.GetName())
		delete(described, family.GetName())
	}
	require.Empty(t, described)
}
