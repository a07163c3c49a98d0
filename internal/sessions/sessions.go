// Package sessions knows the clients of a server: their links, for which there must
// be room, and their connections, which may outlive those.
//
// It is passive: it says whether there is room, and its caller refuses the client.
// A client takes up room as soon as it is admitted:
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

// Unlimited means that there is no limit.
const Unlimited = math.MaxInt

// Outcome says whether there is room for a client.
type Outcome uint8

// The outcomes.
const (
	Open       Outcome = iota // there is
	Full                      // no: there are as many links and places as allowed
	ClientFull                // no: that client has as many as allowed
	Closed                    // no more links are let in
)

// Registry holds links of type L and connections of type C. All methods are safe
// for concurrent use.
type Registry[L, C comparable] struct {
	max, maxPerClient int

	mu        sync.Mutex // guards everything below
	closed    bool
	links     map[L]string             // link → its client
	places    map[*http.Request]*place // of clients that will have a link
	perClient map[string]int           // links and places by client, without those of ""
	conns     map[C]struct{}
	parked    parked[L]
	secrets   map[hash]C
}

// A place is kept for a client that has been admitted and has no link yet. Such
// clients may wait long, and then all get their links at once.
type place struct {
	client string
	stop   func() bool // cancels LetGo at the end of the request
}

// New returns a registry with room for that many links and places, of all clients
// and of each.
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

// Hold keeps a place for the client of a request until Add, LetGo, or the end of
// the request's context. Links and places of a client are counted together; "" is
// nobody, for whom there is no limit. Without limits no places are kept.
func (r *Registry[L, C]) Hold(req *http.Request, client string) Outcome {
	outcome, held := r.tryHold(req, client)
	if !held {
		return outcome
	}
	stop := context.AfterFunc(req.Context(), func() { r.LetGo(req) }) // may be the user's code, so without the lock
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

// letGoLocked returns what must be called without the lock.
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

// Add registers a link, in the place that Hold has kept for the request. It checks
// again what Hold has checked: there may have been no Hold, or a Close since.
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

// Remove forgets a link, whether parked or not; a link that is not there is
// ignored.
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

// Close lets no more links in. Existing links stay.
func (r *Registry[L, C]) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// Size returns how many links there are, without parked ones.
func (r *Registry[L, C]) Size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.links)
}

// crowd is the number of links from which on periodic work is spread.
const crowd = 1000

// Spread returns how much earlier than its interval a new link starts its periodic
// work, such as pings; after that each link keeps its own time. Thousands of links
// may come at the same moment, for example after a restart, and would otherwise do
// that work at the same moment forever.
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

// AddConn registers a connection. Connections have no limit of their own.
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

// Park keeps a link that has ended while its connections are away. It takes no room
// from others, see Surplus.
func (r *Registry[L, C]) Park(l L) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if client, ok := r.links[l]; ok {
		r.removeLocked(l)
		r.parked.add(l, client)
	}
}

// All returns the links, in no order, and then the parked ones, oldest first.
func (r *Registry[L, C]) All() []L {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.AppendSeq(make([]L, 0, len(r.links)+r.parked.all.Len()), maps.Keys(r.links))
	for e := r.parked.all.Front(); e != nil; e = e.Next() {
		list = append(list, e.Value.(*parking[L]).link)
	}
	return list
}

// Surplus removes and returns a parked link that must be given up, because together
// with parked ones there are more links than allowed, of all clients or of this
// one. It picks the client's own oldest if it has one, otherwise the oldest of all.
// ok is false if there is no need.
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

// A connection that can be resumed has a secret. The registry keeps and compares
// only a hash of it, so that timing reveals nothing about how much of a guess is
// right.

type hash = [sha256.Size]byte

// Promise makes Find find a connection by its secret.
func (r *Registry[L, C]) Promise(secret string, c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets[sha256.Sum256([]byte(secret))] = c
}

// Find returns the connection with that secret.
func (r *Registry[L, C]) Find(secret string) (C, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.secrets[sha256.Sum256([]byte(secret))]
	return c, ok
}

// Break makes a secret invalid.
func (r *Registry[L, C]) Break(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.secrets, sha256.Sum256([]byte(secret)))
}
