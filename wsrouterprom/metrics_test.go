package wsrouterprom_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/wsrouterprom"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestMain(m *testing.M) { leak.Main(m) }

// observed is a router with its metrics.
type observed struct {
	*wsrouter.Router
	collector prometheus.Collector
	registry  *prometheus.Registry
}

func observe(t testing.TB, o wsrouter.Options, opts *wsrouterprom.Options) *observed {
	metrics := wsrouterprom.New(opts)
	o.Trace = wsrouter.MultiTrace(o.Trace, metrics.Trace())
	o.Logger = slog.New(slog.DiscardHandler)
	router := wsrouter.New(&o)
	r := &observed{router, metrics.Collector(router), prometheus.NewPedanticRegistry()}
	require.NoError(t, r.registry.Register(r.collector))
	return r
}

// values returns the series of a metric that are not zero, by their labels, as in
// `event=say kind=event`: the value of a counter or gauge, the count and the sum of
// a histogram.
func (r *observed) values(t testing.TB, name string) map[string]float64 {
	t.Helper()
	all := r.series(t, name)
	maps.DeleteFunc(all, func(_ string, v float64) bool { return v == 0 })
	return all
}

func (r *observed) series(t testing.TB, name string) map[string]float64 {
	t.Helper()
	families, err := r.registry.Gather()
	require.NoError(t, err)
	got := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, pair := range m.GetLabel() {
				labels = append(labels, pair.GetName()+"="+pair.GetValue())
			}
			key := strings.Join(labels, " ")
			h := m.GetHistogram()
			if h == nil {
				got[key] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				continue
			}
			got[strings.TrimSpace(key+" count")] = float64(h.GetSampleCount())
			got[strings.TrimSpace(key+" sum")] = h.GetSampleSum()
		}
	}
	return got
}

// TestEvents: events are counted by registered name, kind and outcome, and timed.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := observe(t, wsrouter.Options{}, nil)
		r.On("fine", func(*wsrouter.Context) error { time.Sleep(time.Second); return nil })
		r.On("mistake", func(*wsrouter.Context) error { return wsrouter.NewError("no") })
		r.On("coded", func(*wsrouter.Context) error { return wsrouter.NewError("no").WithCode("E_NO") })
		r.On("ours", func(*wsrouter.Context) error { return errors.New("disk full") })
		r.On("panic", func(*wsrouter.Context) error { panic("oops") })
		r.Namespace("/chat").On("count", func(c *wsrouter.Context) error {
			return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
				for i := 0; i < 3 && yield(i, nil); i++ {
					time.Sleep(time.Minute)
				}
			})
		})
		client, chat := wsroutertest.Connect(t, r.Router, nil), wsroutertest.Connect(t, r.Namespace("/chat"), nil)
		for _, event := range []string{"fine", "fine", "mistake", "coded", "ours", "panic"} {
			client.Call(t.Context(), event, nil, nil)
		}
		client.Emit("fine")
		for range wsrouter.Pull[int](t.Context(), chat, "count", nil) {
		}
		synctest.Wait()
		time.Sleep(time.Second)
		require.Equal(t, map[string]float64{
			"event=fine kind=request nsp=/ outcome=ok":        2,
			"event=fine kind=event nsp=/ outcome=ok":          1,
			"event=mistake kind=request nsp=/ outcome=error":  1,
			"event=coded kind=request nsp=/ outcome=E_NO":     1,
			"event=ours kind=request nsp=/ outcome=internal":  1,
			"event=panic kind=request nsp=/ outcome=internal": 1,
			"event=count kind=stream nsp=/chat outcome=ok":    1,
		}, r.values(t, "wsrouter_rpc_server_calls_total"))
		require.Contains(t, r.series(t, "wsrouter_rpc_server_calls_total"), "event=fine kind=event nsp=/ outcome=internal",
			"a rate sees the first failure")
		durations := r.values(t, "wsrouter_rpc_server_call_duration_seconds")
		require.Equal(t, 2.0, durations["event=fine kind=request nsp=/ sum"])
		require.Equal(t, 2.0, durations["event=fine kind=request nsp=/ count"])
		require.Equal(t, 1.0, durations["event=ours kind=request nsp=/ count"])
		require.NotContains(t, durations, "event=count kind=stream nsp=/chat count")
		require.Equal(t, map[string]float64{"event=count nsp=/chat count": 1, "event=count nsp=/chat sum": 180},
			r.values(t, "wsrouter_server_stream_duration_seconds"))
		require.Equal(t, map[string]float64{"": 8}, r.values(t, "wsrouter_server_received_events_total"))
		require.Equal(t, map[string]float64{"": 1}, r.values(t, "wsrouter_server_errors_total"))
		require.Equal(t, map[string]float64{"": 1}, r.values(t, "wsrouter_server_panics_total"))
	})
}

// TestNumbers: the collector returns the numbers of Stats.
func TestNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := observe(t, wsrouter.Options{MaxOpen: 2, OutboxBytes: 500}, nil)
		release, items := make(chan struct{}), make(chan int)
		defer close(items)
		defer close(release)
		r.On("hold", func(*wsrouter.Context) error { <-release; return nil }, wsrouter.Concurrent)
		r.On("stream", func(c *wsrouter.Context) error { return wsrouter.Stream(c, items) })
		r.On("join", func(c *wsrouter.Context) error { return c.Join("a", "b") })
		client := wsroutertest.Connect(t, r.Router, nil)
		for _, event := range []string{"who?", "join", "hold", "stream", "hold"} {
			client.Emit(event)
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		one := func(name string) float64 { return r.series(t, "wsrouter_"+name)[""] }
		stats := r.Stats()
		require.Equal(t, 2.0, one("server_rooms"))
		require.Equal(t, 2.0, one("server_running_handlers"))
		require.Equal(t, 1.0, one("server_running_streams"))
		require.Equal(t, 60.0, one("server_oldest_handler_seconds"))
		require.Equal(t, float64(stats.BytesIn), one("server_received_bytes_total"))
		require.Equal(t, float64(stats.BytesOut), one("server_sent_bytes_total"))
		require.Equal(t, float64(stats.EventsOut), one("server_sent_events_total"))
		require.Equal(t, float64(stats.Inbox), one("server_inbox_bytes"))
		require.Positive(t, one("server_inbox_bytes"))
		require.Equal(t, map[string]float64{"reason=unknown": 1, "reason=too_many": 1, "reason=discarded": 0},
			r.series(t, "wsrouter_server_unhandled_events_total"))
		client.Abort()
		synctest.Wait()
		require.Equal(t, 1.0, one("server_lingering_producers"))
	})
}

// TestStrangers: names and codes that clients make up by the thousand add no
// series.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := observe(t, wsrouter.Options{}, &wsrouterprom.Options{Codes: []string{"E_OURS"}, MaxCodes: 3})
		r.NotFound(func(c *wsrouter.Context) error { // passes on what the client made up
			return wsrouter.NewError("so be it").WithCode(c.Event())
		})
		r.On("ours", func(*wsrouter.Context) error { return wsrouter.NewError("no").WithCode("E_OURS") })
		raw := rawtest.Connect(r.Router, nil, nil)
		const strangers = 5000
		for i := range strangers {
			require.True(t, raw.Send(fmt.Sprintf(`{"event":"x%d","id":%d}`, i, i+1)))
			_, ce := raw.Read()
			require.Nil(t, ce)
		}
		require.True(t, raw.Send(fmt.Sprintf(`{"event":"%s"}`, strings.Repeat("y", 200))))
		raw.Read()
		require.True(t, raw.Send(`{"event":"ours"}`))
		raw.Read()
		synctest.Wait()
		require.Equal(t, map[string]float64{
			"event=_other kind=request nsp=/ outcome=x0":     1,
			"event=_other kind=request nsp=/ outcome=x1":     1,
			"event=_other kind=request nsp=/ outcome=x2":     1,
			"event=_other kind=request nsp=/ outcome=_other": strangers - 3,
			"event=_other kind=event nsp=/ outcome=_other":   1,
			"event=ours kind=event nsp=/ outcome=E_OURS":     1,
		}, r.values(t, "wsrouter_rpc_server_calls_total"))
		raw.Abort()
		raw.Wait()
	})
}

// TestOddCodes: a code that cannot be the value of a label does not break a scrape.
func TestOddCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := observe(t, wsrouter.Options{}, &wsrouterprom.Options{MaxCodes: -1, Codes: []string{"_other", "ok"}})
		r.On("odd", func(*wsrouter.Context) error { return wsrouter.NewError("x").WithCode("\xff\xfe") })
		r.On("none", func(*wsrouter.Context) error { return wsrouter.NewError("x").WithCode("E_NEW") })
		client := wsroutertest.Connect(t, r.Router, nil)
		client.Call(t.Context(), "odd", nil, nil)
		client.Call(t.Context(), "none", nil, nil)
		require.Equal(t, map[string]float64{
			"event=odd kind=request nsp=/ outcome=_other": 1, "event=none kind=request nsp=/ outcome=_other": 1,
		}, r.values(t, "wsrouter_rpc_server_calls_total"))
	})
}

// TestConnections: connections are counted by namespace and transport, and by how
// they end.
func TestConnections(t *testing.T) {
	ends := map[string]func(t *testing.T, r *observed){
		"peer": func(t *testing.T, r *observed) { wsroutertest.Connect(t, r.Router, nil).Close() },
		"lost": func(t *testing.T, r *observed) { wsroutertest.Connect(t, r.Router, nil).Abort() },
		"local": func(t *testing.T, r *observed) {
			wsroutertest.Connect(t, r.Router, nil)
			r.All().Disconnect(4001, "go")
		},
		"shutdown": func(t *testing.T, r *observed) {
			wsroutertest.Connect(t, r.Router, nil)
			require.NoError(t, r.Shutdown(t.Context()))
		},
		"timeout": func(t *testing.T, r *observed) {
			raw := rawtest.Connect(r.Router, nil, nil)
			defer raw.Wait()
			time.Sleep(time.Minute)
		},
		"slow": func(t *testing.T, r *observed) {
			raw := rawtest.Connect(r.Router, nil, nil)
			defer raw.Wait()
			synctest.Wait()
			for range 100 {
				r.Emit("news", strings.Repeat("x", 100))
			}
		},
		"protocol": func(t *testing.T, r *observed) {
			raw := rawtest.Connect(r.Router, nil, nil)
			defer raw.Wait()
			for raw.Send(`{"event":"x"}`) {
			}
			raw.Abort()
		},
	}
	for how, end := range ends {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := observe(t, wsrouter.Options{OutboxBytes: 2000, FrameRate: 5}, nil)
				other := wsroutertest.Connect(t, r.Namespace("/other"), nil)
				require.Equal(t, map[string]float64{"nsp=/other transport=memory": 1}, r.values(t, "wsrouter_server_active_connections"))
				began := time.Now()
				end(t, r)
				if how != "shutdown" {
					other.Close()
				}
				synctest.Wait()
				ended := r.values(t, "wsrouter_server_connection_duration_seconds")
				require.Equal(t, 1.0, ended["cause="+how+" nsp=/ transport=memory count"], ended)
				if how == "timeout" {
					require.Equal(t, 45.0, ended["cause=timeout nsp=/ transport=memory sum"])
				}
				require.LessOrEqual(t, time.Since(began), time.Minute)
				require.Equal(t, map[string]float64{"nsp=/ transport=memory": 1, "nsp=/other transport=memory": 1},
					r.values(t, "wsrouter_server_connects_total"))
				require.Equal(t, map[string]float64{"nsp=/ transport=memory": 0, "nsp=/other transport=memory": 0},
					r.series(t, "wsrouter_server_active_connections"), "a zero, in place of nothing")
				require.Len(t, r.series(t, "wsrouter_server_connection_duration_seconds"), 2*2*7, "a rate sees the first end of each kind")
				slow := map[bool]float64{true: 1}[how == "slow"]
				require.Equal(t, slow, r.series(t, "wsrouter_server_slow_clients_total")[""])
			})
		})
	}
}

// TestRefusals: all reasons are exposed from the start.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := observe(t, wsrouter.Options{MaxConns: 1}, nil)
		before := r.series(t, "wsrouter_server_refusals_total")
		require.Len(t, before, 11)
		require.Contains(t, before, "reason=max_conns")
		wsroutertest.Connect(t, r.Router, nil)
		for range 3 {
			_, err := r.Connect(t.Context(), nil)
			require.Error(t, err)
		}
		require.Equal(t, map[string]float64{"reason=max_conns": 3}, r.values(t, "wsrouter_server_refusals_total"))
		require.Equal(t, map[string]float64{"nsp=/ transport=memory": 1}, r.values(t, "wsrouter_server_connects_total"))
	})
}

// TestSessions: clients that are away, that come back, and that do not, are
// counted.
func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := observe(t, wsrouter.Options{Recovery: &wsrouter.Recovery{Window: time.Minute}}, nil)
		sessions := func() (list []float64) {
			synctest.Wait()
			for _, name := range []string{"away_connections", "resumed_connections_total", "expired_connections_total"} {
				list = append(list, r.series(t, "wsrouter_server_"+name)[""])
			}
			return list
		}
		client := wsroutertest.Connect(t, r.Router, &wsrouter.DialOptions{
			Reconnect: &wsrouter.Reconnect{Min: 10 * time.Second, Max: 10 * time.Second, Resume: true},
		})
		client.Abort()
		require.Equal(t, []float64{1, 0, 0}, sessions())
		require.Equal(t, map[string]float64{"nsp=/ transport=memory": 1}, r.values(t, "wsrouter_server_active_connections"))
		time.Sleep(10 * time.Second)
		require.Equal(t, []float64{0, 1, 0}, sessions())
		r.Router.All().DisconnectTransport(wsrouter.CloseResume, "")
		synctest.Wait()
		client.Close()
		time.Sleep(2 * time.Minute)
		require.Equal(t, []float64{0, 1, 1}, sessions())
		require.Empty(t, r.values(t, "wsrouter_server_active_connections"))
	})
}

// TestCalls: requests that this side sends are counted by name and outcome.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := observe(t, wsrouter.Options{}, nil)
		answers := wsrouter.New(nil)
		answers.On("fine", func(*wsrouter.Context) error { time.Sleep(time.Second); return nil })
		answers.On("coded", func(*wsrouter.Context) error { return wsrouter.NewError("no").WithCode("E_NO") })
		answers.On("never", func(c *wsrouter.Context) error { <-c.Context().Done(); return nil })
		client := wsroutertest.Connect(t, r.Router, &wsrouter.DialOptions{Router: answers})
		conn := slices.Collect(r.Conns())[0]
		require.NoError(t, conn.Call(t.Context(), "fine", nil, nil))
		require.Error(t, conn.Call(t.Context(), "coded", nil, nil))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		require.Error(t, conn.Call(ctx, "never", nil, nil))
		for i := range 1000 {
			conn.Call(t.Context(), fmt.Sprint("made up ", i), nil, nil)
		}
		client.Abort()
		require.Error(t, conn.Call(t.Context(), "fine", nil, nil))
		calls := r.values(t, "wsrouter_rpc_client_calls_total")
		require.Len(t, calls, 1+1+1+197+1+1)
		for key, want := range map[string]float64{
			"event=fine nsp=/ outcome=ok": 1, "event=fine nsp=/ outcome=gone": 1, "event=coded nsp=/ outcome=E_NO": 1,
			"event=never nsp=/ outcome=timeout": 1, "event=made up 0 nsp=/ outcome=ok": 1, "event=_other nsp=/ outcome=ok": 803,
		} {
			require.Equal(t, want, calls[key], key)
		}
		took := r.values(t, "wsrouter_rpc_client_call_duration_seconds")
		require.Equal(t, 1.0, took["event=fine nsp=/ sum"])
		require.Equal(t, 3.0, took["event=never nsp=/ sum"])
	})
}

// reports is a broker that has BrokerStats.
type reports struct{ broker.Broker }

func (reports) BrokerStats() broker.Stats {
	return broker.Stats{Away: 90 * time.Second, Queued: 1, Published: 2, Received: 3, Dropped: 4, Malformed: 5}
}

func TestBroker(t *testing.T) {
	r := observe(t, wsrouter.Options{Broker: reports{new(broker.Memory)}}, nil)
	for name, want := range map[string]float64{
		"away_seconds": 90, "queued_bytes": 1, "published_total": 2, "received_total": 3, "dropped_total": 4, "malformed_total": 5,
	} {
		require.Equal(t, want, r.series(t, "wsrouter_broker_"+name)[""], name)
	}
}

// TestBesideAnotherTrace: an application's own Trace is still called.
func TestBesideAnotherTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan string, 1)
		r := observe(t, wsrouter.Options{Trace: &wsrouter.Trace{
			EventEnd: func(c *wsrouter.Context, _ time.Duration, _ error) { ended <- c.Route(); panic("of no use") },
		}}, nil)
		r.On("fine", func(*wsrouter.Context) error { return nil })
		require.NoError(t, wsroutertest.Connect(t, r.Router, nil).Call(t.Context(), "fine", nil, nil))
		require.Equal(t, "fine", <-ended)
		synctest.Wait()
		require.Equal(t, map[string]float64{"event=fine kind=request nsp=/ outcome=ok": 1}, r.values(t, "wsrouter_rpc_server_calls_total"))
	})
}

// TestHandler: without a registry, Handler serves the metrics of the router, of Go
// and of the process.
func TestHandler(t *testing.T) {
	metrics := wsrouterprom.New(nil)
	w := httptest.NewRecorder()
	metrics.Handler(wsrouter.New(nil)).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, name := range []string{"wsrouter_server_panics_total 0", "go_goroutines", "process_resident_memory_bytes"} {
		require.Contains(t, w.Body.String(), "\n"+name)
	}
}

// TestSeveralRouters: a label tells the trees of one process apart.
func TestSeveralRouters(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, name := range []string{"server", "client"} {
		metrics := wsrouterprom.New(nil)
		router := wsrouter.New(&wsrouter.Options{Trace: metrics.Trace()})
		labeled := prometheus.WrapRegistererWith(prometheus.Labels{"router": name}, registry)
		require.NoError(t, labeled.Register(metrics.Collector(router)))
	}
	_, err := registry.Gather()
	require.NoError(t, err)
}

// TestScrapeWhileManyConnect: no scrape fails while 10,000 clients connect, ask,
// stay and leave, and the counts at the end are right.
func TestScrapeWhileManyConnect(t *testing.T) {
	r := observe(t, wsrouter.Options{}, nil)
	r.On("hello", func(c *wsrouter.Context) error { return c.Join("room") })
	const clients, workers = 10_000, 8
	stop := make(chan struct{})
	var scraping, connecting sync.WaitGroup
	scrapes := 0
	scraping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := r.registry.Gather(); err != nil {
				t.Error(err)
			}
			scrapes++
		}
	})
	there := make(chan *wsrouter.Client, clients)
	for range workers {
		connecting.Go(func() {
			for range clients / workers {
				client, err := r.Connect(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if err := client.Call(t.Context(), "hello", nil, nil); err != nil {
					t.Error(err)
				}
				there <- client
			}
		})
	}
	connecting.Wait()
	close(there)
	require.Equal(t, map[string]float64{"nsp=/ transport=memory": clients}, r.values(t, "wsrouter_server_active_connections"))
	for client := range there {
		client.Close()
	}
	close(stop)
	scraping.Wait()
	t.Logf("%d scrapes", scrapes)
	require.Greater(t, scrapes, 10)
	require.NoError(t, r.Shutdown(t.Context()))
	require.Equal(t, map[string]float64{"nsp=/ transport=memory": clients}, r.values(t, "wsrouter_server_connects_total"))
	require.Equal(t, map[string]float64{"event=hello kind=request nsp=/ outcome=ok": clients}, r.values(t, "wsrouter_rpc_server_calls_total"))
	ended := r.values(t, "wsrouter_server_connection_duration_seconds")
	require.EqualValues(t, clients, ended["cause=peer nsp=/ transport=memory count"])
	require.Empty(t, r.values(t, "wsrouter_server_active_connections"))
}

// TestNothingIsAllocated: an event that has not failed costs no further allocation.
func TestNothingIsAllocated(t *testing.T) {
	end := wsrouterprom.New(nil).Trace().EventEnd
	router := wsrouter.New(nil)
	allocations := -1.0
	router.On("count", func(c *wsrouter.Context) error {
		allocations = testing.AllocsPerRun(100, func() { end(c, time.Millisecond, nil) })
		return nil
	})
	require.NoError(t, wsroutertest.Connect(t, router, nil).Call(t.Context(), "count", nil, nil))
	require.Zero(t, allocations)
}
