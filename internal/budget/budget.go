// Package budget counts the bytes that are held for clients, by link and for the
// process. It never blocks and calls nothing; it tells its caller what to do next.
// All methods are safe for concurrent use, and most take no lock.
package budget

import (
	"sync"
	"sync/atomic"
)

// Pool counts the bytes of all accounts, each of which has an owner of type O.
type Pool[O any] struct {
	limit   int64
	held    atomic.Int64
	merging sync.Mutex // guards which account counts for which
}

// NewPool returns a pool with a limit in bytes.
func NewPool[O any](limit int) *Pool[O] { return &Pool[O]{limit: int64(limit)} }

// Over reports whether more bytes are held than the limit.
func (p *Pool[O]) Over() bool { return p.held.Load() > p.limit }

// Held adds up what some accounts of the pool hold. Merged ones are counted once, and
// none merge meanwhile.
func (p *Pool[O]) Held(accounts []*Account[O]) (all, out int) {
	p.merging.Lock()
	defer p.merging.Unlock()
	counted := make(map[*Account[O]]bool) // of the heirs
	for _, a := range accounts {
		if a = a.current(); counted[a] {
			continue
		}
		if a.inherits {
			counted[a] = true
		}
		m, n := a.Held()
		all, out = all+m, out+n
	}
	return all, out
}

const (
	// overrun is how many times the limit may wait while a call or a stream is
	// open, because that may need what comes next.
	overrun = 4

	// freeKept is how many bytes of what is kept are included in the cost of every
	// connection.
	freeKept = 8 << 10

	// handlerOverhead is what a running handler costs besides its message: its
	// context and its goroutine.
	handlerOverhead = 1 << 10
)

// Verdict says how reading continues.
type Verdict uint8

const (
	Go    Verdict = iota
	Pause         // until the account says resume
	Over          // the client keeps sending while reading is extended for it
)

// Account counts what the client of one link makes the process hold: messages, from
// their arrival until their handlers have returned; answers, until somebody has
// taken them; what is kept as long as the connection lasts; and what waits to be
// sent. When too much waits, reading stops. But a handler may be waiting for
// exactly what the client sends next: the answer to a call, or the cancel of a
// stream. So while one of those is open, reading continues up to four times the
// limit.
type Account[O any] struct {
	pool  *Pool[O]
	owner O     // guarded by Pool.merging
	limit int64 // of what waits
	large int64 // a quarter of what handlers that have yielded may hold

	held    atomic.Int64 // everything
	out     atomic.Int64 // of it: the outbox
	waiting atomic.Int64 // of it: messages whose handlers have not been called
	answers atomic.Int64 // of it: answers that nobody has taken
	yielded atomic.Int64 // of it: messages whose handlers have given up their turn
	kept    atomic.Int64 // what is kept, including freeKept

	heir     atomic.Pointer[Account[O]] // the account that counts for this one; nil if it counts itself
	users    int                        // how many accounts count here and have not left; guarded by Pool.merging
	inherits bool                       // another was merged into this one; guarded by Pool.merging

	gone   atomic.Bool
	paused atomic.Bool // written with mu held

	mu    sync.Mutex // guards what follows, and the decision to pause
	open  int        // open calls and streams
	ended bool       // nothing is paused any more
}

// NewAccount returns an account of the pool for its owner. limit bounds the bytes that
// wait, in messages of at most maxMessage bytes.
func (p *Pool[O]) NewAccount(owner O, limit, maxMessage int) *Account[O] {
	return &Account[O]{pool: p, owner: owner, limit: int64(limit), large: int64(max(limit, maxMessage)), users: 1}
}

// left is added to what an account holds when it leaves the pool.
const left = -1 << 62

// hold counts bytes that start to be held or, if negative, are no longer held.
func (a *Account[O]) hold(n int) {
	if now := a.held.Add(int64(n)); now > left/2 {
		a.pool.held.Add(int64(n))
	}
}

// Leave takes the account out of the pool. What it still holds, because user code
// or the network has not released it yet, is not charged to others. Of merged
// accounts the last one to leave takes all with it. Leaving again does nothing.
func (a *Account[O]) Leave() {
	a.pool.merging.Lock()
	defer a.pool.merging.Unlock()
	if a.gone.Swap(true) {
		return
	}
	var nobody O
	a.owner = nobody // for accounts that were merged into this one keep it
	a = a.current()
	if a.users--; a.users == 0 {
		a.pool.held.Add(-(a.held.Add(left) - left))
	}
}

// Merge makes another account of the pool hold all that this one holds and will hold:
// what a client has on one link it then has on the next. It reports whether reading of
// the other must be resumed. Merge does nothing if this account has left the pool or
// has been merged, if the two are one already, or if the other is not in the pool.
func (a *Account[O]) Merge(into *Account[O]) (resume bool) {
	a.pool.merging.Lock()
	defer a.pool.merging.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	heir := into.current()
	if a.gone.Load() || a.heir.Load() != nil || heir == a || heir.users == 0 {
		return false
	}
	heir.users += a.users
	heir.inherits = true
	a.heir.Store(into)
	a.settle()
	return into.reconsider(a.open)
}

// Pass moves what one of several connections has to the account of its next link: bytes
// for a client that may resume, see Tail, and bytes that are kept, see Keep. After a
// Merge of the two it changes nothing.
func (a *Account[O]) Pass(next *Account[O], tail, kept int) {
	a.Tail(-tail)
	a.Keep(-kept)
	next.Tail(tail)
	next.Keep(kept)
}

// Merged reports whether this account was merged into another.
func (a *Account[O]) Merged() bool { return a.heir.Load() != nil }

// Heir returns the owner of the next account that this one was merged into and that has
// not left, or the zero value of its type if there is none.
func (a *Account[O]) Heir() (owner O) {
	a.pool.merging.Lock()
	defer a.pool.merging.Unlock()
	for heir := a.heir.Load(); heir != nil; heir = heir.heir.Load() {
		if !heir.gone.Load() {
			return heir.owner
		}
	}
	return owner
}

// current returns the account that counts for this one, which is usually itself.
func (a *Account[O]) current() *Account[O] {
	for heir := a.heir.Load(); heir != nil; heir = a.heir.Load() {
		a = heir
	}
	return a
}

// settle is called after something has been counted. If a Merge came in between, it
// moves what was counted. It returns the account that counts.
func (a *Account[O]) settle() *Account[O] {
	if a.heir.Load() == nil {
		return a
	}
	heir := a.current()
	heir.waiting.Add(a.waiting.Swap(0))
	heir.answers.Add(a.answers.Swap(0))
	heir.yielded.Add(a.yielded.Swap(0))
	heir.out.Add(a.out.Swap(0))
	kept := a.kept.Swap(0)
	a.hold(-int(max(kept-freeKept, 0)))
	heir.keep(int(kept))
	n := int(a.held.Swap(0))
	a.pool.held.Add(int64(-n))
	heir.hold(n)
	return heir.settle() // it may have been merged, too
}

// Gone reports whether the account has left the pool.
func (a *Account[O]) Gone() bool { return a.gone.Load() }

// Held returns how many bytes are held, together with merged accounts, and how many
// of them wait to be sent.
func (a *Account[O]) Held() (all, out int) {
	a = a.current()
	n := a.held.Load()
	if n < left/2 {
		n -= left
	}
	return int(n), int(a.out.Load())
}

// Waiting reports whether a message waits for its handler.
func (a *Account[O]) Waiting() bool { return a.current().waiting.Load() > 0 }

// Out counts bytes that wait to be sent or, if negative, no longer do.
func (a *Account[O]) Out(n int) {
	a = a.current()
	a.out.Add(int64(n))
	a.hold(n)
	a.settle()
}

// Tail counts bytes that were sent and are kept for a client that may resume.
func (a *Account[O]) Tail(n int) {
	a = a.current()
	a.hold(n)
	a.settle()
}

// Keep counts bytes that are kept as long as the connection lasts.
func (a *Account[O]) Keep(n int) {
	a = a.current()
	a.keep(n)
	a.settle()
}

func (a *Account[O]) keep(n int) {
	now := a.kept.Add(int64(n))
	a.hold(int(max(now-freeKept, 0) - max(now-int64(n)-freeKept, 0)))
}

// Wait counts a message that waits for its handler. A Pause stays in effect until
// it is resumed, whatever Wait returns for later messages.
func (a *Account[O]) Wait(n int) Verdict {
	a = a.current()
	a.hold(n)
	a.waiting.Add(int64(n))
	if a = a.settle(); a.waiting.Load() < a.limit {
		return Go
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.paused.Swap(true) // before the second look, because those who release bytes decide by it
	verdict := a.verdictLocked(int64(n))
	if was && verdict == Go {
		return Pause // somebody is about to resume
	}
	a.paused.Store(was || verdict == Pause)
	return verdict
}

// verdictLocked decides when n bytes of a message have arrived.
func (a *Account[O]) verdictLocked(n int64) Verdict {
	waiting := a.waiting.Load()
	switch {
	case a.ended, waiting < a.limit:
		return Go
	case a.open == 0:
		return Pause
	case (waiting-n)/overrun >= a.limit:
		return Over
	}
	return Go
}

// Answer counts an answer that waits for its caller.
func (a *Account[O]) Answer(n int) {
	a = a.current()
	a.hold(n)
	a.answers.Add(int64(n))
	a.settle()
}

// Taken releases an answer that its caller has taken.
func (a *Account[O]) Taken(n int) { a.Answer(-n) }

// Answers returns how many bytes of answers nobody has taken.
func (a *Account[O]) Answers() int { return int(a.current().answers.Load()) }

// Handle moves a message that waited to its handler. Like other methods it reports
// whether reading must be resumed.
func (a *Account[O]) Handle(n int) (resume bool) { return a.waited(n, handlerOverhead) }

// Drop is Handle for a message that no handler gets.
func (a *Account[O]) Drop(n int) (resume bool) { return a.waited(n, 0) }

func (a *Account[O]) waited(n, overhead int) (resume bool) {
	a = a.current()
	a.hold(overhead)
	a.waiting.Add(int64(-n))
	a = a.settle()
	return a.paused.Load() && a.reconsider(0)
}

// Yield moves a message whose handler has given up its turn.
func (a *Account[O]) Yield(n int) {
	a = a.current()
	a.yielded.Add(int64(n))
	a.settle()
}

// Crowded reports whether handlers that have yielded hold too much for another
// message.
func (a *Account[O]) Crowded(n int) bool {
	a = a.current()
	yielded := a.yielded.Load()
	return yielded > 0 && (yielded+int64(n))/overrun >= a.large
}

// Done releases a message whose handler has returned.
func (a *Account[O]) Done(n int, yielded bool) {
	a = a.current()
	if yielded {
		a.yielded.Add(int64(-n))
	}
	a.hold(-n - handlerOverhead)
	a.settle()
}

// Forget releases a message that was dropped.
func (a *Account[O]) Forget(n int) { a.Tail(-n) }

// Open counts open calls and streams, for which reading must continue.
func (a *Account[O]) Open(n int) (resume bool) { return a.reconsider(n) }

// reconsider lets reading continue even if more than four times the limit waits:
// that is a single message, which was let in, and Over is for what comes next.
func (a *Account[O]) reconsider(open int) (resume bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if heir := a.heir.Load(); heir != nil {
		return heir.reconsider(open)
	}
	a.open += open
	if !a.paused.Load() || a.verdictLocked(0) == Pause {
		return false
	}
	a.paused.Store(false)
	return true
}

// End ensures that nothing is paused from now on.
func (a *Account[O]) End() (resume bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	return a.paused.Swap(false)
}

// Paused reports whether reading has stopped.
func (a *Account[O]) Paused() bool { return a.current().paused.Load() }
