package suite_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

var (
	modelSteps = flag.Int("recovery.steps", 6000, "how many things happen in TestRecoveryModel")
	modelSeed  = flag.Uint64("recovery.seed", 0, "of TestRecoveryModel; 0 is another one each time")
)

// TestRecoveryModel: clients and a server do random things, and connections are lost at
// random frames in either direction, some for longer than the window. Nothing is lost,
// doubled or out of order within a connection, and nothing is left at the end.
func TestRecoveryModel(t *testing.T) {
	seed := *modelSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat: go test -race ./internal/suite -run RecoveryModel -recovery.steps %d -recovery.seed %d", *modelSteps, seed)
	for i, expires := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { newModel(t, seed+uint64(i), expires).run(*modelSteps / 2) })
	}
}

// recoveryModel is the state of one run.
type recoveryModel struct {
	*testing.T
	*wsrouter.Router
	expires bool // some are away for longer than the window

	mu       sync.Mutex
	rand     *rand.Rand
	received map[*wsrouter.Conn]map[int]int // by the server: the last number of each era
	losses   int
	players  []*player
}

// player is one client.
type player struct {
	m      *recoveryModel
	name   string
	client *wsrouter.Client
	offAt  atomic.Int64 // until when there is no network, in Unix nanoseconds

	mu   sync.Mutex
	last map[*wsrouter.Conn]int // number received from the server
	era  int                    // counts the connections that ended
	sent int                    // in this era
}

const modelWindow = 30 * time.Second

func newModel(t *testing.T, seed uint64, expires bool) *recoveryModel {
	m := &recoveryModel{T: t, expires: expires, rand: rand.New(rand.NewPCG(seed, 7)), received: make(map[*wsrouter.Conn]map[int]int)}
	m.Router = wsrouter.New(&wsrouter.Options{
		Logger:   slog.New(slog.DiscardHandler),
		Recovery: &wsrouter.Recovery{Window: modelWindow},
		Trace: &wsrouter.Trace{
			FrameIn:  func(r *http.Request, _ []byte) { m.maybeLose(r) },
			FrameOut: func(r *http.Request, _ []byte) { m.maybeLose(r) },
		},
	})
	m.On("n", m.number)
	wsrouter.Handle(m.Router, "echo", func(_ *wsrouter.Context, n int) (int, error) { return n, nil })
	m.On("count", func(c *wsrouter.Context) error {
		var n int
		if err := c.Bind(&n); err != nil {
			return err
		}
		return wsrouter.StreamSeq(c, func(yield func(int, error) bool) {
			for i := 1; i <= n && yield(i, nil); i++ {
			}
		})
	}, wsrouter.Concurrent)
	return m
}

func (m *recoveryModel) chance(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rand.IntN(n)
}

// maybeLose cuts the connection that has a frame under way.
func (m *recoveryModel) maybeLose(r *http.Request) {
	if m.chance(25) > 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.players {
		if p.client != nil && p.name == r.Header.Get("Name") {
			m.losses++
			if m.expires && m.rand.IntN(20) == 0 {
				p.offAt.Store(time.Now().Add(modelWindow + time.Duration(m.rand.IntN(3)-1)*time.Second).UnixNano())
			}
			p.client.Abort()
		}
	}
}

// number takes the next number of an era.
func (m *recoveryModel) number(c *wsrouter.Context) error {
	var n [2]int
	if err := c.Bind(&n); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.received[c.Conn()]
	if of == nil {
		of = make(map[int]int)
		m.received[c.Conn()] = of
	}
	if last, known := of[n[0]]; n[1] != last+1 && (known || !m.expires) {
		m.Errorf("era %d: %d came after %d", n[0], n[1], last)
	}
	of[n[0]] = n[1]
	return nil
}

func (m *recoveryModel) join(name string) *player {
	p := &player{m: m, name: name, last: make(map[*wsrouter.Conn]int)}
	mine := wsrouter.New(&wsrouter.Options{Logger: slog.New(slog.DiscardHandler)})
	mine.On("news", p.news)
	wsrouter.Handle(mine, "double", func(_ *wsrouter.Context, n int) (int, error) { return 2 * n, nil })
	header := http.Header{"Name": {name}}
	client, err := m.Connect(m.Context(), resumes(wsrouter.DialOptions{Router: mine, Header: header,
		Reconnect: &wsrouter.Reconnect{Min: 100 * time.Millisecond, Max: time.Second},
		HeaderFunc: func(context.Context) (http.Header, error) {
			if time.Now().UnixNano() < p.offAt.Load() {
				return nil, errors.New("no network")
			}
			return header, nil
		},
	}))
	require.NoError(m, err)
	synctest.Wait() // it has a session
	m.mu.Lock()
	defer m.mu.Unlock()
	p.client = client
	m.players = append(m.players, p)
	return p
}

// news takes the next number from the server.
func (p *player) news(c *wsrouter.Context) error {
	var n int
	if err := c.Bind(&n); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := p.last[c.Conn()]; n != last+1 {
		p.m.Errorf("%s: %d came after %d", p.name, n, last)
	}
	p.last[c.Conn()] = n
	return nil
}

func (m *recoveryModel) run(steps int) {
	const n = 6
	for i := range n {
		m.join(fmt.Sprint("client ", i))
	}
	var wg sync.WaitGroup
	for _, p := range m.players {
		wg.Go(func() {
			for range steps / n / 2 {
				p.step()
			}
		})
	}
	for range 2 {
		wg.Go(func() { m.serve(steps / 4) })
	}
	wg.Wait()
	m.settle()
}

// fine reports whether err is nil or says that a connection has ended, which may
// happen.
func (p *player) fine(what string, err error) bool {
	var ce *wsrouter.CloseError
	if err != nil && !(p.m.expires && errors.As(err, &ce)) {
		p.m.Errorf("%s: %s: %v", p.name, what, err)
	}
	return err == nil
}

// step does one thing that a client may do.
func (p *player) step() {
	ctx := context.Background()
	switch n := p.m.chance(40); {
	case n < 20:
		p.sent++
		if err := p.client.Emit("n", [2]int{p.era, p.sent}); !p.fine("emit", err) {
			p.era, p.sent = p.era+1, 0
			p.client.Ready(ctx)
		}
	case n < 30:
		if got, err := wsrouter.Call[int](ctx, p.client, "echo", n); p.fine("echo", err) && got != n {
			p.m.Errorf("%s: %d echoed as %d", p.name, n, got)
		}
	case n < 34:
		p.pull(ctx, n)
	default:
		time.Sleep(time.Duration(n-33) * time.Millisecond)
	}
}

func (p *player) pull(ctx context.Context, n int) {
	want := 1
	for got, err := range wsrouter.Pull[int](ctx, p.client, "count", n) {
		if !p.fine("pull", err) {
			return
		}
		if got != want {
			p.m.Errorf("%s: item %d came where %d was expected", p.name, got, want)
		}
		want++
	}
	if want != n+1 {
		p.m.Errorf("%s: %d items of %d", p.name, want-1, n)
	}
}

var newsKey = wsrouter.NewKey[*numbering]("news")

// numbering is what the server has sent to one connection.
type numbering struct {
	mu   sync.Mutex
	last int
}

// serve does what the server does on its own.
func (m *recoveryModel) serve(steps int) {
	for range steps {
		for c := range m.Conns() {
			if m.chance(4) > 0 {
				continue
			}
			if m.chance(3) == 0 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				got, err := wsrouter.Call[int](ctx, c, "double", 21)
				cancel()
				if err == nil && got != 42 || err != nil && !m.expires {
					m.Errorf("double: %d, %v", got, err)
				}
				continue
			}
			m.publish(c)
		}
		time.Sleep(time.Millisecond)
	}
}

func (m *recoveryModel) publish(c *wsrouter.Conn) {
	m.mu.Lock()
	n, ok := newsKey.Get(c)
	if !ok {
		n = &numbering{}
		newsKey.Set(c, n)
	}
	m.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last++
	if err := m.To(c.ID()).Emit("news", n.last); err != nil {
		m.Errorf("news: %v", err)
	}
}

// settle ends the run: nothing is missing, and nothing is left.
func (m *recoveryModel) settle() {
	m.mu.Lock()
	players, losses := m.players, m.losses
	m.players = nil // no more losses
	m.mu.Unlock()
	time.Sleep(5 * time.Second) // for clients on their way back
	for _, p := range players {
		p.offAt.Store(0)
		require.NoError(m, p.client.Ready(m.Context()))
	}
	synctest.Wait()
	m.Logf("%d losses, of which %d were resumed and %d expired", losses, m.Stats().Resumed, m.Stats().Expired)
	if !m.expires {
		m.requireAll(players)
	}
	for _, p := range players {
		require.NoError(m, p.client.Close())
	}
	time.Sleep(2 * modelWindow) // ghosts
	synctest.Wait()
	requireNothingHeld(m.T, m.Router)
}

// requireAll requires that both sides have everything that was sent.
func (m *recoveryModel) requireAll(players []*player) {
	require.Zero(m, m.Stats().Expired)
	for _, p := range players {
		conn := p.client.Conn()
		var server *wsrouter.Conn
		for c := range m.Conns() {
			if c.Request().Header.Get("Name") == p.name {
				server = c
			}
		}
		require.NotNil(m, server)
		require.Equal(m, p.sent, m.received[server][0], "%s", p.name)
		if n, ok := newsKey.Get(server); ok {
			require.Equal(m, n.last, p.last[conn], "%s", p.name)
		}
	}
}
