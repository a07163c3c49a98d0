package sessions_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/sessions"
)

type registry = sessions.Registry[int, string]

func request() *http.Request { return new(http.Request) }

func TestRoom(t *testing.T) {
	r := sessions.New[int, string](3, 2)
	held := request()
	require.Equal(t, sessions.Open, r.Hold(held, "a"))
	require.Equal(t, sessions.Open, r.Add(1, request(), "a"), "without Hold")
	require.Equal(t, sessions.ClientFull, r.Hold(request(), "a"), "links and places together")
	require.Equal(t, sessions.ClientFull, r.Add(2, request(), "a"))
	require.Equal(t, sessions.Open, r.Add(2, request(), "b"))
	require.Equal(t, sessions.Full, r.Hold(request(), "c"))
	require.Equal(t, sessions.Full, r.Add(3, request(), "a"), "of all before of one")
	require.Equal(t, sessions.Open, r.Add(3, held, "a"), "in the place that was kept")
	require.ElementsMatch(t, []int{1, 2, 3}, r.Links())
	require.Equal(t, 3, r.Size())
	r.Remove(1)
	r.Remove(1)
	require.Equal(t, sessions.Open, r.Hold(held, "a"))
	require.Equal(t, sessions.Full, r.Hold(request(), "b"), "of what was removed twice there is one place")
	r.LetGo(held)
	r.LetGo(held)
	require.Equal(t, sessions.Open, r.Add(1, request(), "a"))
	require.Equal(t, sessions.Full, r.Add(4, request(), "b"))
}

func TestNobodyHasNoLimitOfTheirOwn(t *testing.T) {
	r := sessions.New[int, string](sessions.Unlimited, 1)
	for i := range 3 {
		require.Equal(t, sessions.Open, r.Add(i, request(), ""))
	}
	require.Equal(t, sessions.Open, r.Add(3, request(), "a"))
	require.Equal(t, sessions.ClientFull, r.Add(4, request(), "a"))
}

func TestClose(t *testing.T) {
	r := sessions.New[int, string](sessions.Unlimited, sessions.Unlimited)
	held := request()
	require.Equal(t, sessions.Open, r.Hold(held, ""))
	require.Equal(t, sessions.Open, r.Add(1, request(), ""))
	r.Close()
	require.Equal(t, sessions.Closed, r.Add(2, held, ""), "whoever has a place, too")
	require.Equal(t, []int{1}, r.Links(), "who is there stays")
}

// TestParked: what is parked gives way to others, that of the same client first.
func TestParked(t *testing.T) {
	r := sessions.New[int, string](4, 2)
	for i, client := range []string{"a", "b", "a", "c"} {
		require.Equal(t, sessions.Open, r.Add(i, request(), client))
	}
	r.Park(0)
	r.Park(1)
	r.Park(9)
	require.ElementsMatch(t, []int{2, 3}, r.Links())
	require.ElementsMatch(t, []int{2, 3}, r.All()[:2])
	require.Equal(t, []int{0, 1}, r.All()[2:])
	_, ok := r.Surplus("a")
	require.False(t, ok, "four may be")
	require.Equal(t, sessions.Open, r.Add(4, request(), "a"), "whoever is parked takes no room")
	l, ok := r.Surplus("a")
	require.True(t, ok)
	require.Zero(t, l, "of three of a, two may be")
	require.Equal(t, sessions.Open, r.Add(5, request(), "d"))
	l, ok = r.Surplus("d")
	require.True(t, ok)
	require.Equal(t, 1, l, "the oldest of all")
	_, ok = r.Surplus("d")
	require.False(t, ok)
	require.Equal(t, sessions.Full, r.Add(6, request(), "e"))
	r.Park(5)
	r.Remove(5)
	require.ElementsMatch(t, r.Links(), r.All())
}

// TestSecrets: a connection is found by its secret until that is broken.
func TestSecrets(t *testing.T) {
	r := sessions.New[int, string](1, 1)
	r.Promise("secret", "conn")
	c, ok := r.Find("secret")
	require.True(t, ok)
	require.Equal(t, "conn", c)
	_, ok = r.Find("secre")
	require.False(t, ok)
	r.Break("secret")
	_, ok = r.Find("secret")
	require.False(t, ok)
}

// TestCrowdsAreSpread: over a quarter of the interval, from a thousand links on.
func TestCrowdsAreSpread(t *testing.T) {
	r := sessions.New[int, string](sessions.Unlimited, sessions.Unlimited)
	add := func(i int) { require.Equal(t, sessions.Open, r.Add(i, request(), "")) }
	for i := range 999 {
		add(i)
	}
	require.Zero(t, r.Spread(time.Minute))
	add(999)
	later := 0
	for range 100 {
		early := r.Spread(time.Minute)
		require.True(t, 0 <= early && early <= 15*time.Second)
		if early > 7*time.Second {
			later++
		}
	}
	require.InDelta(t, 50, later, 40)
}

func TestConns(t *testing.T) {
	r := sessions.New[int, string](1, 1)
	r.AddConn("a")
	r.AddConn("b")
	require.ElementsMatch(t, []string{"a", "b"}, r.Conns())
	r.RemoveConn("a")
	require.Equal(t, []string{"b"}, r.Conns())
	require.Zero(t, r.Size())
}

// TestTheEndOfTheRequestGivesUpItsPlace, but not the link that came of it.
func TestTheEndOfTheRequestGivesUpItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := sessions.New[int, string](1, 1)
		ctx, cancel := context.WithCancel(t.Context())
		req := request().WithContext(ctx)
		require.Equal(t, sessions.Open, r.Hold(req, "a"))
		require.Equal(t, sessions.Full, r.Hold(request(), "b"))
		cancel()
		synctest.Wait()
		ctx, cancel = context.WithCancel(t.Context())
		req = request().WithContext(ctx)
		require.Equal(t, sessions.Open, r.Hold(req, "a"))
		require.Equal(t, sessions.Open, r.Add(1, req, "a"))
		cancel()
		synctest.Wait()
		require.Equal(t, sessions.Full, r.Hold(request(), "b"))
	})
}

// TestARequestThatIsOverHasNoPlace: it may end before it is held.
func TestARequestThatIsOverHasNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := sessions.New[int, string](1, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Equal(t, sessions.Open, r.Hold(request().WithContext(ctx), "a"))
		synctest.Wait()
		require.Equal(t, sessions.Open, r.Add(1, request(), "a"))
	})
}

// model is a registry that is obviously right.
type model struct {
	places map[*http.Request]string
	links  map[int]string
}

const (
	limit     = 6
	perClient = 3
)

func (m *model) room(client string) sessions.Outcome {
	same := 0
	for _, c := range m.places {
		same += count(c == client)
	}
	for _, c := range m.links {
		same += count(c == client)
	}
	switch {
	case len(m.places)+len(m.links) >= limit:
		return sessions.Full
	case client != "" && same >= perClient:
		return sessions.ClientFull
	}
	return sessions.Open
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func (m *model) hold(req *http.Request, client string) sessions.Outcome {
	outcome := m.room(client)
	if _, held := m.places[req]; outcome == sessions.Open && !held {
		m.places[req] = client
	}
	return outcome
}

func (m *model) add(l int, req *http.Request, client string) sessions.Outcome {
	delete(m.places, req)
	outcome := m.room(client)
	if outcome == sessions.Open {
		m.links[l] = client
	}
	return outcome
}

// TestModel: a registry does what the model does, in any order of operations.
func TestModel(t *testing.T) {
	clients := []string{"", "a", "b", "c"}
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		r := sessions.New[int, string](limit, perClient)
		m := &model{make(map[*http.Request]string), make(map[int]string)}
		requests := make([]*http.Request, 8)
		for i := range requests {
			requests[i] = request()
		}
		for step := range 200 {
			req, client := requests[rnd.IntN(len(requests))], clients[rnd.IntN(len(clients))]
			switch rnd.IntN(4) {
			case 0:
				require.Equal(t, m.hold(req, client), r.Hold(req, client))
			case 1:
				delete(m.places, req)
				r.LetGo(req)
			case 2:
				require.Equal(t, m.add(step, req, client), r.Add(step, req, client))
			case 3:
				for l := range m.links {
					delete(m.links, l)
					r.Remove(l)
					break
				}
			}
			require.Equal(t, len(m.links), r.Size())
		}
	}
}

// TestRace: however many come and go at once, there are never more than there may
// be, and in the end there is room for as many as in the beginning.
func TestRace(t *testing.T) {
	r := sessions.New[int, string](limit, perClient)
	var there atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 200 {
				come(t, r, i, &there)
			}
		})
	}
	wg.Wait()
	for i := range limit {
		require.Equal(t, sessions.Open, r.Hold(request(), string("ab"[i%2])))
	}
	require.Empty(t, r.Conns())
}

// come is one client that comes and goes, perhaps before it has a link.
func come(t *testing.T, r *registry, i int, there *atomic.Int64) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, client := request().WithContext(ctx), string("ab"[i%2])
	defer r.LetGo(req)
	if r.Hold(req, client) != sessions.Open {
		return
	}
	if i%4 == 0 {
		go cancel()
	}
	if r.Add(i, req, client) != sessions.Open {
		return
	}
	defer r.Remove(i)
	if n := there.Add(1); n > limit {
		t.Errorf("%d links", n)
	}
	defer there.Add(-1)
	r.AddConn(client)
	r.RemoveConn(client)
	if n := r.Size(); n > limit || len(r.Links()) > limit {
		t.Errorf("%d links", n)
	}
}
