package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/socketio"
)

// fleet is a few places, at each of which one server follows another.
type fleet struct {
	soak   *soak
	places [3]atomic.Pointer[server]
	wg     sync.WaitGroup // for everything that serves, and everything that replaces servers
}

func newFleet(s *soak) *fleet {
	f := &fleet{soak: s}
	for i := range f.places {
		m := s.member(fmt.Sprintf("place %d", i))
		f.places[i].Store(f.launch(m, 0))
		f.wg.Go(func() { f.replace(m, i) })
	}
	return f
}

// pick returns one of the current servers.
func (f *fleet) pick(m *member) *server { return f.places[m.IntN(len(f.places))].Load() }

// replace puts a new server in the place of one that is then shut down.
func (f *fleet) replace(m *member, i int) {
	for n := 1; ; n++ {
		m.dawdle(2*time.Second, min(10*time.Second, max(m.length/3, 2*time.Second)))
		if m.ctx.Err() != nil {
			return
		}
		next := f.launch(m, n)
		old := f.places[i].Swap(next)
		limit := m.between(200*time.Millisecond, 5*time.Second)
		f.wg.Go(func() { old.end(limit) })
	}
}

// end ends the last servers when all clients have gone. Nothing of the clients may be
// left then, even before the shutdown.
func (f *fleet) end() {
	f.wg.Wait()
	for i := range f.places {
		srv := f.places[i].Load()
		f.wg.Go(func() {
			srv.awaitTurns()
			srv.mute()
			srv.awaitQuiet()
			srv.end(patience / 2)
		})
	}
	f.wg.Wait()
}

// server is a router behind both mounts, and what it must comply with.
type server struct {
	soak    *soak
	name    string
	addr    string
	router  *wsrouter.Router
	http    *http.Server
	code    int         // the code it shuts down with
	closing atomic.Bool // set before the shutdown begins
	emits   context.Context
	mute    context.CancelFunc // ends emit
	turns   turns
	wg      sync.WaitGroup

	connects, disconnects, slow atomic.Int64 // as reported by Trace
	begun, ended, panics        atomic.Int64 // handlers
	received                    atomic.Int64 // by well-behaved clients
}

// longTimes are so long that no well-behaved client is cut on a slow machine.
const longTimes = 20 * time.Second

func (f *fleet) launch(m *member, n int) *server {
	srv := &server{
		soak: m.soak,
		name: fmt.Sprintf("%s, server %d", m.name, n),
		code: []int{wsrouter.CloseGoingAway, wsrouter.CloseServiceRestart}[m.IntN(2)],
	}
	srv.router = wsrouter.New(&wsrouter.Options{
		Logger:         slog.New(slog.DiscardHandler),
		MaxOpen:        200, // the race detector is limited to 8,000 goroutines
		OutboxBytes:    512 << 10,
		InboxBytes:     64 << 10,
		MaxBuffered:    64 << 20,
		FrameRate:      []int{0, 20_000}[m.IntN(2)],
		PingInterval:   longTimes / 2,
		PongTimeout:    longTimes,
		WriteTimeout:   longTimes,
		MessageTimeout: longTimes,
		ConnectTimeout: longTimes,
		HookTimeout:    longTimes,
		ShutdownCode:   srv.code,
		ShutdownSpread: []time.Duration{0, time.Second}[m.IntN(2)],
		Trace: &wsrouter.Trace{
			Connect: func(*wsrouter.Conn) { srv.connects.Add(1) },
			Disconnect: func(_ *wsrouter.Conn, err *wsrouter.CloseError) {
				srv.disconnects.Add(1)
				if err.Cause == wsrouter.CauseSlow {
					srv.slow.Add(1)
				}
			},
		},
	})
	srv.register(srv.router)
	srv.register(srv.router.Namespace("/chat"))
	srv.emits, srv.mute = context.WithCancel(context.Background())
	srv.serve()
	srv.emit(m.Uint64())
	return srv
}

// serve starts to listen, with small kernel buffers, so that a client that does not
// read shows soon.
func (srv *server) serve() {
	mux := http.NewServeMux()
	mux.Handle("/ws", srv.router)
	mux.Handle("/detached", srv.router.Handler(&wsrouter.WSOptions{Detach: true}))
	mux.Handle("/chat", srv.router.Namespace("/chat"))
	mux.Handle("/socket.io/", socketio.New(srv.router, &socketio.Options{Errors: socketio.ErrorsAck}))
	srv.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: longTimes,
		ErrorLog:          log.New(logged{srv}, "", 0),
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // there is no run without it
	}
	srv.addr = ln.Addr().String()
	srv.wg.Go(func() {
		if err := srv.http.Serve(small{ln}); !errors.Is(err, http.ErrServerClosed) {
			srv.fault("serving: %v", err)
		}
	})
}

// small has connections with small buffers.
type small struct{ net.Listener }

func (l small) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
	}
	return conn, err
}

// logged looks for panics in what net/http logs, which stops them.
type logged struct{ *server }

func (l logged) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("panic")) {
		l.fault("net/http: %s", line)
	}
	return len(line), nil
}

// end shuts the server down, and checks what it leaves. Emits go on meanwhile.
func (srv *server) end(limit time.Duration) {
	srv.awaitTurns()
	srv.closing.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var err error
	srv.watch("Shutdown", func() { err = srv.router.Shutdown(ctx) })
	switch {
	case err == nil:
		srv.soak.deeds.add(shutDown)
	case errors.Is(err, context.DeadlineExceeded):
		srv.soak.deeds.add(cutShort)
		srv.eventually("what a shutdown did not wait for", srv.isOver)
	default:
		srv.fault("Shutdown: %v", err)
	}
	srv.requireNothingLeft()
	srv.mute()
	srv.watch("http.Server.Close", func() { srv.http.Close() })
	srv.watch("what served and emitted", srv.wg.Wait)
}

// awaitQuiet waits for the end of all clients that have gone.
func (srv *server) awaitQuiet() { srv.eventually("clients that have gone", srv.isQuiet) }

// isQuiet is also true at a moment when a client is only about to be let in.
func (srv *server) isQuiet() bool {
	st := srv.router.Stats()
	return st.Connections+st.Rooms+st.Inbox+st.Outbox+st.Handlers+st.Streams+st.Producers == 0
}

func (srv *server) isOver() bool {
	return srv.isQuiet() && srv.connects.Load() == srv.disconnects.Load() && srv.begun.Load() == srv.ended.Load()
}

// requireNothingLeft compares the counters with each other after a shutdown.
func (srv *server) requireNothingLeft() {
	st := srv.router.Stats()
	switch {
	case !srv.isQuiet():
		srv.fault("something is left: %+v", st)
	case st.Connects != srv.connects.Load(), st.Connects != srv.disconnects.Load():
		srv.fault("%d connects in Stats, %d were told, and %d disconnects", st.Connects, srv.connects.Load(), srv.disconnects.Load())
	case srv.begun.Load() != srv.ended.Load(), st.EventsIn < srv.begun.Load():
		srv.fault("%d events in Stats, %d handlers began, %d ended", st.EventsIn, srv.begun.Load(), srv.ended.Load())
	case st.EventsOut < srv.received.Load():
		srv.fault("%d events out in Stats, %d were received", st.EventsOut, srv.received.Load())
	case st.Panics != srv.panics.Load():
		srv.fault("%d panics in Stats, %d there were", st.Panics, srv.panics.Load())
	case srv.slow.Load() > 0 && st.Slow == 0:
		srv.fault("connections ended as slow, of which Stats knows nothing")
	}
	srv.soak.deeds[slowCut].Add(st.Slow)
}

// checkStats checks a snapshot for consistency, and against the previous one.
func (srv *server) checkStats(before, now wsrouter.Stats) {
	sum := 0
	for n := range maps.Values(now.Namespaces) {
		sum += n
	}
	if sum != now.Connections {
		srv.fault("Stats: %d connections, in the namespaces %d", now.Connections, sum)
	}
	counts := func(s wsrouter.Stats) []int64 {
		return []int64{s.Connects, s.EventsIn, s.EventsOut, s.BytesIn, s.BytesOut, s.Dropped, s.Discarded, s.Slow, s.Errors, s.Panics}
	}
	was := counts(before)
	for i, n := range counts(now) {
		if n < was[i] {
			srv.fault("Stats: a counter went back: %+v, then %+v", before, now)
		}
	}
	if least := slices.Min([]int{now.Inbox, now.Outbox, now.Rooms, now.Handlers, now.Streams, now.Producers}); least < 0 {
		srv.fault("Stats: a negative number: %+v", now)
	}
}

func (srv *server) watch(what string, do func()) { srv.soak.dog.watch(srv.name+": "+what, do) }

// eventually waits until the condition is true, bounded by the watchdog.
func (srv *server) eventually(what string, isSo func() bool) {
	srv.watch(what, func() {
		for !isSo() {
			time.Sleep(20 * time.Millisecond)
		}
	})
}

func (srv *server) fault(format string, args ...any) {
	srv.soak.fault("%s: "+format, append([]any{srv.name}, args...)...)
}
