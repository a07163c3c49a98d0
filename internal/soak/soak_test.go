// Package soak runs servers for a while under everything that clients do to them, all
// at once: over both wires, well-behaved, vanishing, stalling and hostile, while the
// servers come and go. It checks only what the documentation promises, and that nothing
// is left behind.
//
//	go test -race ./internal/soak -run Soak -soak 60s
package soak

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wsrouter/wsrouter/internal/leak"
)

var (
	length   = flag.Duration("soak", 10*time.Second, "how long TestSoak runs, besides its beginning and end")
	seedFlag = flag.Uint64("seed", 0, "of what the clients of TestSoak choose; zero is another one each time")
)

// warmUp is a run before the run, in which what is created only once is created.
const warmUp = time.Second

func TestMain(m *testing.M) { leak.Main(m) }

func TestSoak(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat: go test -race ./internal/soak -run Soak -soak %v -seed %d", *length, seed)
	fresh := measure()
	newSoak(t, seed, warmUp).run()
	before := fresh.settle()
	if t.Failed() {
		return
	}
	s := newSoak(t, seed, *length)
	s.wanted = allDeeds
	s.run()
	t.Logf("%v", s.deeds.String())
	if !t.Failed() {
		before.requireBack(t)
	}
}

// soak is one run: servers, and clients that live until ctx ends.
type soak struct {
	t      *testing.T
	seed   uint64
	ctx    context.Context
	cancel context.CancelFunc
	begun  time.Time
	length time.Duration
	wanted deed // the run goes on until each deed below has been done
	deeds  deeds
	dog    watchdog
	fleet  *fleet
	faults atomic.Int64
}

func newSoak(t *testing.T, seed uint64, length time.Duration) *soak {
	s := &soak{t: t, seed: seed, begun: time.Now(), length: length}
	s.ctx, s.cancel = context.WithCancel(t.Context())
	return s
}

// member is one of a run's clients, with its own random choices.
type member struct {
	*soak
	*rand.Rand
	name string
}

// crew lists who takes part in a run, and how many of them. A life is a function that
// is called again and again.
var crew = []struct {
	name string
	n    int
	live func(m *member)
}{
	{"dialer", 4, (*member).dialAndTalk},
	{"plain", 6, (*member).talkPlain},
	{"socket", 5, (*member).talkSocket},
	{"poller", 4, (*member).talkPolling},
	{"upgrader", 3, (*member).talkUpgrading},
	{"cycler", 5, (*member).cycle},
	{"vanishing", 5, (*member).vanish},
	{"stalling", 5, (*member).stall},
	{"hostile", 5, (*member).attack},
}

func (s *soak) run() {
	defer s.cancel()
	stop := s.dog.start(s)
	defer stop()
	s.fleet = newFleet(s)
	var wg sync.WaitGroup
	for _, kind := range crew {
		for i := range kind.n {
			m := s.member(fmt.Sprintf("%s %d", kind.name, i))
			wg.Go(func() {
				for s.ctx.Err() == nil {
					kind.live(m)
				}
			})
		}
	}
	s.await()
	s.cancel()
	wg.Wait()
	s.fleet.end()
}

func (s *soak) member(name string) *member {
	h := fnv.New64a()
	h.Write([]byte(name))
	return &member{s, rand.New(rand.NewPCG(s.seed, h.Sum64())), name}
}

// await returns when the time is up and all wanted deeds have been done, or when
// something is wrong.
func (s *soak) await() {
	s.pause(s.length)
	s.dog.watch("all kinds of deeds", func() {
		for s.ctx.Err() == nil && !s.deeds.complete(s.wanted) {
			s.pause(50 * time.Millisecond)
		}
	})
}

// pause makes a client take its time; it ends with the run.
func (s *soak) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

// left is how much of the run's time is left.
func (s *soak) left() time.Duration { return s.length - time.Since(s.begun) }

// dawdle pauses for a random time between the two.
func (m *member) dawdle(least, most time.Duration) {
	m.pause(m.between(least, most))
}

func (m *member) between(least, most time.Duration) time.Duration {
	return least + time.Duration(m.Int64N(int64(most-least)+1))
}

// maxFaults are reported; more would say nothing new.
const maxFaults = 20

// fault reports a broken promise, and ends the run.
func (s *soak) fault(format string, args ...any) {
	if s.faults.Add(1) <= maxFaults {
		s.t.Errorf(format, args...)
	}
	s.cancel()
}

func (m *member) fault(format string, args ...any) {
	m.soak.fault("%s: "+format, append([]any{m.name}, args...)...)
}
