package wsrouter_test

import (
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/payload"
)

// greeted is a sink that keeps its welcome.
type greeted struct {
	sink
	once    sync.Once
	welcome string
}

func (g *greeted) Write(batch []adapter.Frame) (pending bool, err error) {
	g.once.Do(func() { g.welcome = string(batch[0].Text) })
	return g.sink.Write(batch)
}

// recoverSink connects a client that can resume, or does.
func recoverSink(tb testing.TB, router *wsrouter.Router, lost adapter.Recovery) (adapter.Link, adapter.Conn, *greeted) {
	s := &greeted{sink: sink{wrote: make(chan struct{}, 1)}}
	link, err := router.Adapter().NewLink(s, adapter.LinkOptions{Request: httptest.NewRequest("GET", "/", nil)})
	require.NoError(tb, err)
	conn, err := link.Recover(router, plain.JSON, nil, lost)
	require.NoError(tb, err)
	<-s.wrote // it has been let in
	return link, conn, s
}

// BenchmarkEchoThatRecovers is BenchmarkDispatch for a client that can resume: its
// frames are counted, kept, and acknowledged 32 at a time.
func BenchmarkEchoThatRecovers(b *testing.B) {
	o := benchOptions()
	o.Recovery = &wsrouter.Recovery{}
	router := wsrouter.New(o)
	router.On("echo", func(c *wsrouter.Context) error {
		var text string
		if err := c.Bind(&text); err != nil {
			return err
		}
		return c.Reply(text)
	})
	link, conn, sink := recoverSink(b, router, adapter.Recovery{})
	b.Cleanup(func() { <-link.End(adapter.End{Code: wsrouter.CloseNormal, Cause: adapter.CausePeer}) })
	data := payload.Value{JSON: []byte(`"hello"`)}
	b.ReportAllocs()
	for n := uint64(1); b.Loop(); n++ {
		conn.Receive(&adapter.Message{Kind: adapter.KindEvent, Event: "echo", Data: data, Size: 40})
		<-sink.wrote
		if n%32 == 0 {
			conn.(adapter.Recoverable).Acknowledge(n)
		}
	}
}

// BenchmarkResume measures a client that is lost, is sent ten events, comes back and
// gets them.
func BenchmarkResume(b *testing.B) {
	o := benchOptions()
	o.Recovery = &wsrouter.Recovery{}
	router := wsrouter.New(o)
	router.OnConnect(func(*wsrouter.Conn) error { return nil })
	router.OnResume(func(*wsrouter.Conn) error { return nil })
	link, _, first := recoverSink(b, router, adapter.Recovery{})
	lost := adapter.Recovery{Secret: strings.Split(first.welcome, `"`)[3]}
	b.ReportAllocs()
	for b.Loop() {
		<-link.End(adapter.End{Code: wsrouter.CloseAbnormal, Cause: adapter.CausePeer})
		for range 10 {
			router.Emit("news", "hello, world")
		}
		lost.Received += 10
		link, _, _ = recoverSink(b, router, lost)
	}
	require.EqualValues(b, b.N, router.Stats().Resumed)
	<-link.End(adapter.End{Code: wsrouter.CloseNormal, Cause: adapter.CausePeer})
}

// BenchmarkMemoryOfRecovery measures what an idle connection costs that can be resumed,
// one that is away, and one that ends with its transport.
func BenchmarkMemoryOfRecovery(b *testing.B) {
	const n = 5000
	for _, kind := range []string{"none", "resumable", "away"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				o := benchOptions()
				if kind != "none" {
					o.Recovery = &wsrouter.Recovery{}
				}
				router := wsrouter.New(o)
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				links := make([]adapter.Link, n)
				for i := range links {
					if kind == "none" {
						s := &sink{wrote: make(chan struct{}, 1)}
						links[i], _ = router.Adapter().NewLink(s, adapter.LinkOptions{Request: httptest.NewRequest("GET", "/", nil)})
						links[i].Join(router, plain.JSON, nil)
					} else {
						links[i], _, _ = recoverSink(b, router, adapter.Recovery{})
					}
				}
				if kind == "away" {
					for i, link := range links {
						<-link.End(adapter.End{Code: wsrouter.CloseAbnormal, Cause: adapter.CausePeer})
						links[i] = nil
					}
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapInuse-before.HeapInuse)/n, "B/conn")
				for _, link := range links {
					if link != nil {
						<-link.End(adapter.End{Code: wsrouter.CloseNormal, Cause: adapter.CausePeer})
					}
				}
				router.Close()
			}
		})
	}
}
