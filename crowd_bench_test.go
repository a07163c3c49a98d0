package wsrouter_test

import (
	"net/http/httptest"
	"runtime/metrics"
	"strconv"
	"sync"
	"testing"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/plain"
)

// BenchmarkComeAndGo measures that many concurrent clients, which connect, are let into
// two rooms and leave. wait-ns/conn is the part of ns/conn that they waited for locks.
func BenchmarkComeAndGo(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			router := wsrouter.New(benchOptions())
			router.OnConnect(func(c *wsrouter.Conn) error {
				if err := c.Join("room:all", "room:"+c.ID()); err != nil {
					return err
				}
				return c.Emit("in")
			})
			b.ReportAllocs()
			before := lockWait()
			for b.Loop() {
				var crowd sync.WaitGroup
				for range n {
					crowd.Go(func() { comeAndGo(b, router) })
				}
				crowd.Wait()
			}
			conns := float64(b.N * n)
			b.ReportMetric((lockWait()-before)*1e9/conns, "wait-ns/conn")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/conns, "ns/conn")
		})
	}
}

func comeAndGo(b *testing.B, router *wsrouter.Router) {
	client := &sink{wrote: make(chan struct{}, 1)}
	link, err := router.Adapter().NewLink(client, adapter.LinkOptions{Request: httptest.NewRequest("GET", "/", nil)})
	if err != nil {
		b.Error(err)
		return
	}
	if _, err := link.Join(router, plain.JSON, nil); err != nil {
		b.Error(err)
	}
	<-client.wrote // it is in
	<-link.End(adapter.End{Code: wsrouter.CloseNormal, Cause: adapter.CausePeer})
}

// lockWait returns how many seconds goroutines of this process have waited for locks.
func lockWait() float64 {
	sample := []metrics.Sample{{Name: "/sync/mutex/wait/total:seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64()
}

// BenchmarkExcept measures selecting among 1,000 connections, except those in that many
// rooms, which are named once.
func BenchmarkExcept(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			router := wsrouter.New(benchOptions())
			connectSinks(b, router, 1_000)
			target := router.Except(numbered(n)...)
			b.ReportAllocs()
			for b.Loop() {
				for range target.Conns() {
				}
			}
		})
	}
}
