package wsrouter

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/budget"
	"github.com/wsrouter/wsrouter/internal/origin"
	"github.com/wsrouter/wsrouter/internal/sessions"
)

// app is what the namespaces of one tree share.
type app struct {
	opts     Options
	limits   adapter.Limits   // of opts
	origins  []origin.Pattern // of opts
	side     atomic.Int32     // a side
	guarded  atomic.Bool      // checkRecovery has found no mistake
	root     *Router
	counters counters
	pool     *budget.Pool[*link]
	sessions *sessions.Registry[*link, *Conn]
	compiled chan struct{} // closed when the handlers' chains are built
	broken   error         // why building them failed; set before compiled is closed
	hinted   sync.Once     // hintAuthFrame

	mu         sync.Mutex // guards everything below
	frozen     bool       // serving has begun
	namespaces map[string]*Router
}

func newApp(opts *Options) *app {
	a := &app{opts: opts.withDefaults(), compiled: make(chan struct{}), namespaces: make(map[string]*Router)}
	for _, pattern := range a.opts.Origins {
		p, err := origin.ParsePattern(pattern)
		if err != nil {
			panic(fmt.Sprintf("wsrouter: invalid pattern %q in Options.Origins: %v", pattern, err))
		}
		a.origins = append(a.origins, p)
	}
	a.limits = a.opts.limits()
	a.pool = budget.NewPool[*link](a.opts.MaxBuffered)
	a.sessions = sessions.New[*link, *Conn](a.opts.MaxConns, a.opts.MaxConnsPerClient)
	a.root = a.newRouter("/", nil)
	return a
}

// hintAuthFrame logs, once, why a guard finds no token although its clients send one.
func (a *app) hintAuthFrame() {
	a.hinted.Do(func() {
		a.opts.Logger.Warn("wsrouter: auth frame sent to a mount without AuthFrame")
	})
}

// freeze ends registration and builds the handlers' chains.
func (a *app) freeze() {
	a.mu.Lock()
	first := !a.frozen
	a.frozen = true
	a.mu.Unlock()
	if first {
		a.broken = protect(func() error {
			for _, r := range a.namespaces {
				r.compile()
			}
			return nil
		})
		if a.broken != nil {
			a.opts.Logger.Error("wsrouter: building middleware failed, no client is served", "err", a.broken)
		}
		a.joinCluster()
		close(a.compiled)
	}
	<-a.compiled
}

// side says whether a tree of namespaces serves or dials. Its first connection decides.
type side int32

const (
	serving side = iota + 1
	dialing
)

// take decides the side. It reports false if the tree has the other one.
func (a *app) take(s side) bool {
	return a.side.CompareAndSwap(0, int32(s)) || a.side.Load() == int32(s)
}

// lookup returns the namespace with that full name, or nil if there is none.
func (a *app) lookup(name string) *Router {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.namespaces[name]
}

// subtree returns the namespace and its descendants.
func (r *Router) subtree() (list []*Router) {
	r.app.mu.Lock()
	defer r.app.mu.Unlock()
	for _, ns := range r.app.namespaces {
		if ns.isUnder(r) {
			list = append(list, ns)
		}
	}
	return list
}

func (r *Router) isUnder(top *Router) bool {
	for ns := r; ns != nil; ns = ns.parent {
		if ns == top {
			return true
		}
	}
	return false
}

// held returns how many bytes are held that clients sent, or may come back for, and
// how many wait to be sent. These change one after the other while they are read.
func (a *app) held() (in, out int) {
	var accounts []*budget.Account[*link]
	inHand := 0
	for _, l := range a.sessions.All() {
		accounts = append(accounts, l.bytes)
		inHand += l.out.State().InHand
	}
	all, out := a.pool.Held(accounts)
	return max(all-out, 0), max(out-inHand, 0)
}

// relieve cuts the clients that hold the most, until no more than MaxBuffered is held.
func (a *app) relieve() {
	for a.pool.Over() {
		var fullest *link
		most := 0
		for _, l := range a.sessions.All() {
			if held, _ := l.bytes.Held(); held > most && !l.bytes.Gone() {
				fullest, most = l, held
			}
		}
		if fullest == nil {
			return
		}
		if !fullest.lapse() {
			fullest.cut(slowClient())
		}
	}
}

// Adapter returns the tree in the form that adapters of wire formats use.
func (r *Router) Adapter() adapter.Host { return host{r} }

// host implements [adapter.Host] for the clients of a namespace and its descendants.
type host struct{ router *Router }

func (h host) Admit(req *http.Request) *adapter.Refusal {
	return h.router.admit(req)
}

func (h host) AllowsOrigin(req *http.Request) bool {
	return h.router.app.allowsOrigin(req)
}

func (h host) Refused(req *http.Request, reason string, err error) {
	h.router.app.refused(req, "", Refusal(reason), err)
}

func (h host) Limits() adapter.Limits { return h.router.app.limits }

func (h host) Lookup(name string) adapter.Namespace {
	if r := h.router.app.lookup(name); r != nil {
		return r
	}
	return nil
}

func (h host) NewLink(t adapter.Transport, opts adapter.LinkOptions) (adapter.Link, error) {
	l, err := h.router.app.newLink(t, opts)
	if err != nil {
		return nil, err
	}
	return l, nil
}
