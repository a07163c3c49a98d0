package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/interop/process"
)

const (
	spread = 4 * time.Second
	drain  = time.Minute // on a busy machine; elsewhere it takes little more than the spread

	dialed = 40 // clients made by Dial
	ofNode = 15 // clients of each kind in node/load.mjs
)

// TestRoll replaces four servers one after another while clients of all kinds work,
// news is emitted, and new clients connect.
func TestRoll(t *testing.T) {
	process.Need(t, "../socketio/"+process.NPM("socket.io-client"), "../socketio/"+process.NPM("ws"))
	c := startCluster(t, "-spread", spread.String(), "-drain", drain.String())
	ctx, cancel := context.WithTimeout(t.Context(), process.Limit(t))
	defer cancel()
	stop := make(chan struct{})
	var wg sync.WaitGroup

	workers := make([]*worker, dialed)
	for i := range workers {
		workers[i] = startWorker(t, c, fmt.Sprintf("dial%d", i))
	}
	script := process.Node(t, "load.mjs", "https://"+c.addr, fmt.Sprint(ofNode))
	var up string
	script.Read(t, &up)
	for _, w := range workers {
		wg.Go(func() { w.work(ctx, 0, stop) })
		wg.Go(func() { w.work(ctx, 1, stop) })
	}
	press := newPress(t, c, stop)
	wg.Go(press.run)
	newcomers := &newcomers{t: t, c: c, stop: stop}
	wg.Go(newcomers.plain)
	wg.Go(newcomers.socketio)

	rolls := make([]roll, len(c.nodes))
	for i, n := range c.nodes {
		press.moveTo(c.nodes[(i+1)%len(c.nodes)]) // away from the server that is replaced next
		rolls[i] = rollNode(n)
		n.awaitReady()
	}
	close(stop)
	outcomes := finish(t, script, workers, press, &wg)
	for _, n := range c.nodes {
		n.kill()
	}

	require.Len(t, outcomes, dialed+4*ofNode)
	for _, o := range outcomes {
		require.Empty(t, o.Errors, o.Name)
	}
	checkWork(t, c, outcomes)
	checkNews(t, press, outcomes)
	for i, r := range rolls {
		checkRoll(t, c.nodes[i].name, r, outcomes)
	}
	t.Logf("%d plain and %d polling newcomers, the slowest took %v", newcomers.dialed, newcomers.polled, newcomers.slowest)
}

// finish waits until all clients are back, sends them the last news, and returns
// what happened to them.
func finish(t *testing.T, script *process.Process, workers []*worker, p *press, wg *sync.WaitGroup) (outcomes []outcome) {
	t.Helper()
	fmt.Fprintln(script.Stdin)
	var back string
	script.Read(t, &back)
	wg.Wait()
	p.emit()
	fmt.Fprintln(script.Stdin, p.last)
	script.Read(t, &outcomes)
	for _, w := range workers {
		await(t, w.outcome.Name+" to get the last news", func() (err error) {
			w.note(func(o *outcome) {
				if !slices.Contains(o.News[len(o.News)-1], p.last) {
					err = errors.New("it has not")
				}
			})
			return err
		})
		w.note(func(o *outcome) { outcomes = append(outcomes, *o) })
	}
	return outcomes
}

// roll is when a server was replaced.
type roll struct{ begin, end time.Time }

func rollNode(n *node) (r roll) {
	r.begin = time.Now()
	took := n.stop()
	r.end = time.Now()
	if took > drain {
		n.t.Errorf("server %s took %v to end", n.name, took)
	}
	n.start()
	return r
}

// checkWork: every request that a handler began was answered, even while its server
// was shutting down. A request that was not answered was not begun, so asking again
// does nothing twice.
func checkWork(t *testing.T, c *cluster, outcomes []outcome) {
	t.Helper()
	began := make(map[string]int)
	for _, n := range c.nodes {
		for id, times := range n.began {
			began[id] += times
		}
	}
	answered, unanswered, told := 0, 0, 0
	for _, o := range outcomes {
		for _, id := range o.Answered {
			if began[id] != 1 {
				t.Errorf("%s was answered, and begun %d times", id, began[id])
			}
			delete(began, id)
		}
		for _, id := range o.Unanswered {
			if began[id] != 0 {
				t.Errorf("%s was begun, and not answered", id)
			}
			delete(began, id)
		}
		answered += len(o.Answered)
		unanswered += len(o.Unanswered)
		told += o.Told
	}
	require.Empty(t, began, "begun, but nobody asked")
	t.Logf("%d requests were begun and answered, %d neither, %d of which were told at once", answered, unanswered, told)
	require.Greater(t, answered, 20*len(outcomes), "the clients did not work")
	require.NotZero(t, told)
}

// checkNews: over each connection news comes in order, none twice, and the last
// reaches everybody, on every server. There is no order between publishers: a
// client that connects while one follows another may get the last of the first, and
// miss the first of the second.
func checkNews(t *testing.T, p *press, outcomes []outcome) {
	t.Helper()
	total := 0
	for _, o := range outcomes {
		seen := make(map[int]bool)
		for k, news := range o.News {
			slices.Sort(news)
			for i, n := range news {
				if i > 0 && n != news[i-1]+1 && p.from[n-1] == p.from[news[i-1]-1] {
					t.Errorf("%s got news %d, sent at %d, after %d, sent at %d, at place %d of connection %d; it came at %d and went at %d",
						o.Name, n, p.times[n-1], news[i-1], p.times[news[i-1]-1], i, k, o.Connects, o.Closes)
				}
				if seen[n] {
					t.Errorf("%s got news %d again", o.Name, n)
				}
				seen[n] = true
			}
		}
		if !seen[p.last] {
			t.Errorf("%s is without the last news, %d", o.Name, p.last)
		}
		total += len(seen)
	}
	t.Logf("%d news reached clients %d times", p.last, total)
}

// checkRoll checks that a server's clients come back at the pace of ShutdownSpread.
func checkRoll(t *testing.T, name string, r roll, outcomes []outcome) {
	t.Helper()
	const (
		window  = time.Second
		reentry = 1500 * time.Millisecond // the longest first wait, socket.io-client's
		jitter  = time.Second             // in that wait
		late    = time.Second             // for a busy machine
	)
	var closes, connects []int64
	for _, o := range outcomes {
		closes = appendWithin(closes, o.Closes, r.begin, r.end)
		if len(o.Connects) > 1 {
			connects = appendWithin(connects, o.Connects[1:], r.begin, r.end.Add(reentry))
		}
	}
	n := len(closes)
	bound := int(float64(n)*float64(window+jitter+late)/float64(spread)) + 1
	most := mostWithin(connects, window)
	t.Logf("server %s: %d clients left in %v, at most %d came back within %v; the bound is %d",
		name, n, r.end.Sub(r.begin).Round(time.Millisecond), most, window, bound)
	require.NotZero(t, n)
	require.LessOrEqual(t, most, bound)
}

func appendWithin(list, times []int64, begin, end time.Time) []int64 {
	for _, at := range times {
		if at >= begin.UnixMilli() && at <= end.UnixMilli() {
			list = append(list, at)
		}
	}
	return list
}

// mostWithin returns the largest number of times within any window.
func mostWithin(times []int64, window time.Duration) (most int) {
	slices.Sort(times)
	first := 0
	for i, at := range times {
		for at-times[first] > window.Milliseconds() {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// press emits numbered news, on one server at a time.
type press struct {
	t     *testing.T
	stop  <-chan struct{}
	moves chan *node
	node  *node
	last  int
	times []int64 // when, in Unix milliseconds
	from  []*node // on which server
}

func newPress(t *testing.T, c *cluster, stop <-chan struct{}) *press {
	return &press{t: t, stop: stop, moves: make(chan *node), node: c.nodes[0]}
}

func (p *press) moveTo(n *node) { p.moves <- n }

func (p *press) run() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.emit()
		case p.node = <-p.moves:
		case <-p.stop:
			return
		}
	}
}

func (p *press) emit() {
	p.last++
	p.times = append(p.times, time.Now().UnixMilli())
	p.from = append(p.from, p.node)
	if err := p.node.tell(p.last); err != nil {
		p.t.Errorf("news %d: %v", p.last, err)
	}
}

// newcomers are clients that have not connected before. None of them may notice
// that a server is draining.
type newcomers struct {
	t    *testing.T
	c    *cluster
	stop <-chan struct{}

	mu             sync.Mutex // guards the rest
	dialed, polled int
	slowest        time.Duration
}

func (n *newcomers) plain() {
	n.come(&n.dialed, func() error {
		client, err := wsrouter.Dial(n.t.Context(), "wss://"+n.c.addr+"/ws", &wsrouter.DialOptions{HTTPClient: n.c.http})
		if err != nil {
			return err
		}
		return client.Close()
	})
}

func (n *newcomers) socketio() {
	n.come(&n.polled, func() error {
		status, body, err := n.c.get("/socket.io/?EIO=4&transport=polling")
		if err == nil && !strings.HasPrefix(body, `0{"sid":"`) {
			err = fmt.Errorf("status %d: %s", status, body)
		}
		return err
	})
}

func (n *newcomers) come(count *int, arrive func() error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-n.stop:
			return
		}
		begin := time.Now()
		if err := arrive(); err != nil {
			n.t.Errorf("a newcomer was not let in: %v", err)
			return
		}
		n.mu.Lock()
		*count++
		n.slowest = max(n.slowest, time.Since(begin))
		n.mu.Unlock()
	}
}
