package promtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/promtest"
)

const good = "# HELP app_events_total Events.\n# TYPE app_events_total counter\napp_events_total{kind=\"a\"} 7\n"

// TestServer: Query returns the values that the target has at that time.
func TestServer(t *testing.T) {
	var n atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "app_events_total{kind=\"a\"} %d\napp_events_total{kind=\"b\"} 7\n", n.Load())
	}))
	defer target.Close()
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(rules, []byte(`
groups: [{name: g, rules: [{alert: Many, expr: app_events_total > 100}, {alert: Any, expr: app_events_total > 5}]}]`), 0o600))
	promtest.CheckRules(t, rules)
	addr := strings.TrimPrefix(target.URL, "http://")
	s := promtest.Start(t, map[string][]string{"app": {addr}}, rules)
	for i := range int64(3) {
		n.Store(i)
		s.Wants("sum by (kind) (app_events_total)", map[string]float64{"kind=a": float64(i), "kind=b": 7})
		require.Contains(t, s.Finds("app_events_total"), "__name__=app_events_total instance="+addr+" job=app kind=b")
	}
	values, err := s.Query("1 + 1")
	require.NoError(t, err)
	require.Equal(t, map[string]float64{"": 2}, values)
	_, err = s.Query("sum(")
	require.ErrorContains(t, err, "parse error")
	require.Equal(t, "inactive", s.Alerts()["Many"])
	require.Contains(t, s.Alerts(), "Any")
}

// complaints is a test that may fail.
type complaints struct {
	testing.TB
	said string
}

func (c *complaints) Helper()                           {}
func (c *complaints) Errorf(format string, args ...any) { c.said += fmt.Sprintf(format, args...) }
func (c *complaints) Fatalf(format string, args ...any) { c.Errorf(format, args...); runtime.Goexit() }

// complain returns what a test that runs fn reports.
func complain(t *testing.T, fn func(tb testing.TB)) string {
	c := &complaints{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn(c)
	}()
	<-done
	return c.said
}

func TestPromtool(t *testing.T) {
	promtest.CheckMetrics(t, []byte(good))
	for metrics, want := range map[string]string{
		"app_events{": "error while linting",
		strings.Replace(good, "# HELP app_events_total Events.\n", "", 1): "no help text",
		strings.ReplaceAll(good, "_total", ""):                            `should have "_total" suffix`,
	} {
		require.Contains(t, complain(t, func(tb testing.TB) { promtest.CheckMetrics(tb, []byte(metrics)) }), want)
	}
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(rules, []byte("groups: [{name: g, rules: [{alert: A, expr: 'sum('}]}]"), 0o600))
	require.Contains(t, complain(t, func(tb testing.TB) { promtest.CheckRules(tb, rules) }), "parse error")
}

// TestMissing: without Prometheus a test fails, and says how to install it.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, fn := range []func(tb testing.TB){
		func(tb testing.TB) { promtest.CheckMetrics(tb, nil) },
		func(tb testing.TB) { promtest.Start(tb, nil) },
	} {
		require.Contains(t, complain(t, fn), "apt-get install prometheus")
	}
}
