// Package sessions knows the clients of a server: their links, for which there has to
// be room, and their connections, which may outlive those.
//
// It is passive: it says whether there is room, and its caller refuses the client. A
// client takes room from the moment in which it is admitted:
//
//	Hold ──▶ place ── Add ──▶ link ──┬─ Remove ──────────────────────▶
//	           │ LetGo, or the end     └─ Park ──▶ parked ── Surplus ──┘
//	           │ of the request
//	           └──────────────▶
package sessions

import (
	"context"
	"crypto/sha256"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Unlimited is the limit that is none.
const Unlimited = math.MaxInt

// Outcome says whether there is room for a client.
type Outcome uint8

// The outcomes.
const (
	Open       Outcome = iota // there is
	Full                      // as many links and places as there may be
	ClientFull                // as many of that client
	Closed                    // no more links are let in
)

// Registry has links of type L and connections of type C. All methods may be called
// concurrently.
type Registry[L, C comparable] struct {
	max, maxPerClient int

	mu        sync.Mutex // guards everything below
	closed    bool
	links     map[L]string             // by whose they are
	places    map[*http.Request]*place // of clients that will have a link
	perClient map[string]int           // both; without those of nobody
	conns     map[C]struct{}
	parked    parked[L]
	secrets   map[hash]C
}

// A place is kept for a client that has been admitted and has no link yet: it may
// wait long until it gets one, and then all who wait come at once.
type place struct {
	client string
	stop   func() bool // forgets to let go at the end of the request
}

// New returns a registry for that many links and places, of all clients and of each.
func New[L, C comparable](limit, perClient int) *Registry[L, C] {
	return &Registry[L, C]{
		max:          limit,
		maxPerClient: perClient,
		links:        make(map[L]string),
		places:       make(map[*http.Request]*place),
		perClient:    make(map[string]int),
		conns:        make(map[C]struct{}),
		parked:       newParked[L](),
		secrets:      make(map[hash]C),
	}
}

// Hold keeps a place for the client of a request, until Add or LetGo, or the end of
// the request's context. Links and places of a client are counted together; "" is
// nobody, for whom there is no limit. Without limits no places are kept.
func (r *Registry[L, C]) Hold(req *http.Request, client string) Outcome {
	outcome, held := r.tryHold(req, client)
	if !held {
		return outcome
	}
	stop := context.AfterFunc(req.Context(), func() { r.LetGo(req) }) // may be the user's code: without the lock
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.places[req]; p != nil {
		p.stop = stop
	}
	return Open
}

func (r *Registry[L, C]) tryHold(req *http.Request, client string) (outcome Outcome, held bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if outcome := r.roomLocked(client); outcome != Open {
		return outcome, false
	}
	if r.places[req] != nil || r.max == Unlimited && client == "" {
		return Open, false
	}
	r.places[req] = &place{client: client}
	r.countLocked(client, 1)
	return Open, true
}

func (r *Registry[L, C]) roomLocked(client string) Outcome {
	switch {
	case len(r.links)+len(r.places) >= r.max:
		return Full
	case r.perClient[client] >= r.maxPerClient:
		return ClientFull
	}
	return Open
}

// countLocked counts the links of a client, and the places kept for it.
func (r *Registry[L, C]) countLocked(client string, n int) {
	if client == "" {
		return
	}
	if r.perClient[client] += n; r.perClient[client] == 0 {
		delete(r.perClient, client)
	}
}

// LetGo gives up the place of a request, if there is one.
func (r *Registry[L, C]) LetGo(req *http.Request) {
	r.mu.Lock()
	stop := r.letGoLocked(req)
	r.mu.Unlock()
	stop()
}

// letGoLocked returns what is to be called without the lock.
func (r *Registry[L, C]) letGoLocked(req *http.Request) (stop func() bool) {
	p := r.places[req]
	if p == nil {
		return func() bool { return false }
	}
	delete(r.places, req)
	r.countLocked(p.client, -1)
	if p.stop == nil { // the request has ended before Hold was done
		return func() bool { return false }
	}
	return p.stop
}

// Add registers a link, in the place that Hold has kept for the request. What that
// has checked is checked again: there may have been no Hold, and Close meanwhile.
func (r *Registry[L, C]) Add(l L, req *http.Request, client string) Outcome {
	r.mu.Lock()
	stop := r.letGoLocked(req)
	outcome := r.addLocked(l, client)
	r.mu.Unlock()
	stop()
	return outcome
}

func (r *Registry[L, C]) addLocked(l L, client string) Outcome {
	if r.closed {
		return Closed
	}
	if outcome := r.roomLocked(client); outcome != Open {
		return outcome
	}
	r.links[l] = client
	r.countLocked(client, 1)
	return Open
}

// Remove forgets a link, if it was there, parked or not.
func (r *Registry[L, C]) Remove(l L) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removeLocked(l)
	r.parked.remove(l)
}

func (r *Registry[L, C]) removeLocked(l L) {
	if client, ok := r.links[l]; ok {
		delete(r.links, l)
		r.countLocked(client, -1)
	}
}

// Close lets no more links in. Those that are there stay.
func (r *Registry[L, C]) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// Size returns how many links there are, without those that are parked.
func (r *Registry[L, C]) Size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.links)
}

// crowd is how many links are so many that what they do by the clock is spread.
const crowd = 1000

// Spread is how much earlier than its interval says a new link begins with what it
// does again and again, as pings; from then on each keeps its own time. Thousands may
// come at the same moment, as after a restart, and would do it together forever.
func (r *Registry[L, C]) Spread(interval time.Duration) time.Duration {
	if r.Size() < crowd {
		return 0
	}
	return rand.N(interval/4 + 1)
}

// Links returns the links, in no order.
func (r *Registry[L, C]) Links() []L {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.links))
}

// AddConn registers a connection. There is no limit of their own.
func (r *Registry[L, C]) AddConn(c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[c] = struct{}{}
}

// RemoveConn forgets a connection.
func (r *Registry[L, C]) RemoveConn(c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

// Conns returns the connections, in no order.
func (r *Registry[L, C]) Conns() []C {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.conns))
}

// Park keeps a link that has ended, as connections of it are away: it takes no room
// from others, see Surplus.
func (r *Registry[L, C]) Park(l L) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if client, ok := r.links[l]; ok {
		r.removeLocked(l)
		r.parked.add(l, client)
	}
}

// Parked returns the links that are parked, the oldest first.
func (r *Registry[L, C]) Parked() []L {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]L, 0, r.parked.all.Len())
	for e := r.parked.all.Front(); e != nil; e = e.Next() {
		list = append(list, e.Value.(*parking[L]).link)
	}
	return list
}

// Surplus removes and returns a parked link that has to be given up, as there are more
// links, together with the parked ones, than there may be of all clients or of this
// one: its own oldest, if it has one, and else the oldest of all. ok is false where
// nothing has to be.
func (r *Registry[L, C]) Surplus(client string) (l L, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, own := r.parked.count(client)
	tooMany := all+len(r.links)+len(r.places) > r.max
	if !tooMany && (own == 0 || own+r.perClient[client] <= r.maxPerClient) {
		return l, false
	}
	if l, ok = r.parked.oldest(client); ok {
		r.parked.remove(l)
	}
	return l, ok
}

// A connection that its client can come back to has a secret. The registry keeps only
// a hash of it, which is what is compared: how long that takes says nothing of how much
// of a guess is right.

type hash = [sha256.Size]byte

// Promise makes Find find a connection by its secret.
func (r *Registry[L, C]) Promise(secret string, c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets[sha256.Sum256([]byte(secret))] = c
}

// Find returns the connection of a secret.
func (r *Registry[L, C]) Find(secret string) (C, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.secrets[sha256.Sum256([]byte(secret))]
	return c, ok
}

// Break makes a secret one of nothing.
func (r *Registry[L, C]) Break(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.secrets, sha256.Sum256([]byte(secret)))
}
