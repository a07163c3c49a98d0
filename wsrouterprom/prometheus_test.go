package wsrouterprom_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/promtest"
)

// scraped is a server with clients, and a Prometheus that scrapes it.
type scraped struct {
	*promtest.Server
	router *observed
	url    string
}

func scrape(t *testing.T, rules ...string) *scraped {
	r := observe(t, wsrouter.Options{PingInterval: time.Hour, Recovery: &wsrouter.Recovery{Window: time.Minute}}, nil)
	r.On("hello", func(c *wsrouter.Context) error { return c.Conn().Call(c.Context(), "you?", nil, nil) })
	r.On("fail", func(*wsrouter.Context) error { return errors.New("disk full") })
	r.On("panic", func(*wsrouter.Context) error { panic("oops") })
	r.On("mistake", func(*wsrouter.Context) error { return wsrouter.NewError("no").WithCode("E_NO") })
	r.On("count", func(c *wsrouter.Context) error {
		return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
			for i := 0; i < 3 && yield(i, nil); i++ {
			}
		})
	})
	r.Namespace("/chat").On("say", func(*wsrouter.Context) error { return nil })
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{}))
	mux.Handle("/ws", r)
	mux.Handle("/ws/chat", r.Namespace("/chat"))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s := &scraped{router: r, url: server.URL}
	s.Server = promtest.Start(t, map[string][]string{"app": {strings.TrimPrefix(server.URL, "http://")}}, rules...)
	return s
}

// dial returns a client that has been let in.
func (s *scraped) dial(t *testing.T, path string) *wsrouter.Client {
	answers := wsrouter.New(&wsrouter.Options{PingInterval: time.Hour}) // no pings among the bytes
	answers.On("you?", func(*wsrouter.Context) error { return nil })
	client, err := wsrouter.Dial(t.Context(), s.url+path, &wsrouter.DialOptions{Router: answers})
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	client.Call(t.Context(), "who?", nil, nil)
	return client
}

// TestPrometheus: a real Prometheus returns the numbers of what was done.
func TestPrometheus(t *testing.T) {
	s := scrape(t)
	for range 3 {
		client := s.dial(t, "/ws")
		for _, event := range []string{"hello", "hello", "fail", "panic", "mistake"} {
			client.Call(t.Context(), event, nil, nil)
		}
		for range wsrouter.Pull[int](t.Context(), client, "count", nil) {
		}
	}
	s.dial(t, "/ws/chat").Call(t.Context(), "say", nil, nil)
	gone := s.dial(t, "/ws/chat")
	gone.Close()
	s.Wants(`sum by (nsp, event, kind, outcome) (wsrouter_rpc_server_calls_total) > 0`, map[string]float64{
		"event=hello kind=request nsp=/ outcome=ok":       6,
		"event=fail kind=request nsp=/ outcome=internal":  3,
		"event=panic kind=request nsp=/ outcome=internal": 3,
		"event=mistake kind=request nsp=/ outcome=E_NO":   3,
		"event=count kind=stream nsp=/ outcome=ok":        3,
		"event=say kind=request nsp=/chat outcome=ok":     1,
	})
	s.Wants(`sum by (event) (wsrouter_rpc_server_call_duration_seconds_count)`,
		map[string]float64{"event=hello": 6, "event=fail": 3, "event=panic": 3, "event=mistake": 3, "event=say": 1})
	s.Wants(`sum by (nsp, transport) (wsrouter_server_active_connections)`,
		map[string]float64{"nsp=/ transport=websocket": 3, "nsp=/chat transport=websocket": 1})
	s.Wants(`sum by (nsp, cause) (wsrouter_server_connection_duration_seconds_count) > 0`, map[string]float64{"cause=peer nsp=/chat": 1})
	s.Wants(`sum by (event, outcome) (wsrouter_rpc_client_calls_total) > 0`, map[string]float64{"event=you? outcome=ok": 6})
	s.Wants(`wsrouter_server_panics_total{job="app"} + wsrouter_server_errors_total`, map[string]float64{"instance=" + s.url[7:] + " job=app": 6})
	s.Wants(`sum(wsrouter_server_unhandled_events_total{reason="unknown"})`, map[string]float64{"": 5})
	stats := s.router.Stats()
	s.Wants(`sum(wsrouter_server_received_bytes_total)`, map[string]float64{"": float64(stats.BytesIn)})
	s.Wants(`sum(wsrouter_server_sent_bytes_total)`, map[string]float64{"": float64(stats.BytesOut)})
}

// panel is a panel of the dashboard.
type panel struct {
	Title   string
	Type    string
	Targets []struct{ Expr, LegendFormat string }
}

func dashboard(t *testing.T) (panels []panel) {
	text, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	var board struct{ Panels []panel }
	require.NoError(t, json.Unmarshal(text, &board))
	return slices.DeleteFunc(board.Panels, func(p panel) bool { return p.Type == "row" })
}

// TestDashboardNames: the dashboard shows every metric, and none that does not
// exist.
func TestDashboardNames(t *testing.T) {
	shown := map[string]bool{}
	suffix := regexp.MustCompile(`_(bucket|count|sum)$`)
	for _, p := range dashboard(t) {
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			for _, name := range regexp.MustCompile(`wsrouter_\w+`).FindAllString(target.Expr, -1) {
				shown[suffix.ReplaceAllString(name, "")] = true
			}
		}
	}
	var exposed []string
	for _, family := range busy(t).families(t) {
		exposed = append(exposed, family.GetName())
	}
	require.ElementsMatch(t, exposed, slices.Collect(maps.Keys(shown)))
}

// TestDashboard: in Prometheus every query of the dashboard has a result, with the
// labels that its legend names.
func TestDashboard(t *testing.T) {
	s := scrape(t)
	work := func() {
		client := s.dial(t, "/ws")
		for _, event := range []string{"hello", "fail", "panic", "mistake", "unknown"} {
			client.Call(t.Context(), event, nil, nil)
		}
		for range wsrouter.Pull[int](t.Context(), client, "count", nil) {
		}
		client.Close()
	}
	work()
	s.Scraped()
	work() // a rate needs two values
	s.Scraped()
	fill := strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*")
	for _, p := range dashboard(t) {
		for _, target := range p.Targets {
			expr := fill.Replace(target.Expr)
			for labels := range s.Finds(expr) {
				for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
					require.Contains(t, " "+labels, " "+m[1]+"=", "%s: %s", p.Title, target.LegendFormat)
				}
			}
		}
	}
	require.Len(t, dashboard(t), 25)
}

// TestAlerts: promtool accepts the alerts and finds that each fires when it should,
// Prometheus evaluates them, and docs/operate.md explains them.
func TestAlerts(t *testing.T) {
	promtest.CheckRules(t, "alerts.yaml")
	promtest.TestRules(t, "alerts_test.yaml")
	rules, err := os.ReadFile("alerts.yaml")
	require.NoError(t, err)
	tests, err := os.ReadFile("alerts_test.yaml")
	require.NoError(t, err)
	page, err := os.ReadFile("../docs/operate.md")
	require.NoError(t, err)
	path, err := os.Getwd()
	require.NoError(t, err)
	states := scrape(t, path+"/alerts.yaml").Alerts()
	var names []string
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		names = append(names, m[1])
		require.Equal(t, "inactive", states[m[1]])
		require.Equal(t, 2, strings.Count(string(tests), "alertname: "+m[1]), "%s needs two tests: one where it fires, and one where it does not", m[1])
	}
	require.Len(t, states, len(names))
	var explained []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(Wsrouter\\w+)`").FindAllStringSubmatch(string(page), -1) {
		explained = append(explained, m[1])
	}
	require.ElementsMatch(t, names, explained)
}
