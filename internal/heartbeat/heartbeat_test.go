package heartbeat_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/heartbeat"
)

// model is what a peer may expect. Once it is silent for an interval it is pinged,
// a second later if something is being written, and a timeout after that it is dead.
type model struct {
	t      *testing.T
	timing heartbeat.Timing

	mu        sync.Mutex // guards what follows
	condition heartbeat.Condition
	since     time.Time // when that began
	heard     time.Time
	pinged    time.Time // zero if the peer has been heard since
	dead      bool
}

// check follows a verdict.
func (m *model) check(monitor *heartbeat.Monitor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	switch monitor.Check(m.condition, m.timing) {
	case heartbeat.Ping:
		require.Equal(m.t, heartbeat.Idle, m.condition)
		require.Zero(m.t, m.pinged, "it has been pinged")
		require.GreaterOrEqual(m.t, now.Sub(m.heard), m.timing.Interval)
		m.pinged = now
	case heartbeat.Dead:
		require.NotEqual(m.t, heartbeat.Paused, m.condition)
		require.NotZero(m.t, m.pinged)
		require.Equal(m.t, m.timing.Timeout, now.Sub(m.pinged))
		m.dead = true
	case heartbeat.Lost:
		require.Fail(m.t, "nothing is broken")
	}
}

// act lets something happen, after everything that was due.
func (m *model) act(rnd *rand.Rand, monitor *heartbeat.Monitor) (dead bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.dead {
		return true
	}
	if !m.pinged.IsZero() && m.condition != heartbeat.Paused {
		require.Less(m.t, now.Sub(m.pinged), m.timing.Timeout, "it is dead")
	}
	if m.pinged.IsZero() && m.condition == heartbeat.Idle && now.Sub(m.heard) >= m.timing.Interval {
		require.Less(m.t, now.Sub(m.since), min(time.Second, m.timing.Interval), "it has to be pinged")
	}
	was := m.condition
	if rnd.IntN(4) == 0 {
		m.condition, m.since = heartbeat.Condition(rnd.IntN(3)), now
	}
	if was == heartbeat.Paused || rnd.IntN(4) == 0 {
		m.heard, m.pinged = now, time.Time{}
		monitor.Heard()
	}
	return false
}

func TestModel(t *testing.T) {
	deaths := 0
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			ms := func(n int) time.Duration { return time.Duration(1+rnd.IntN(n)) * time.Millisecond }
			m := &model{t: t, timing: heartbeat.Timing{Interval: ms(10_000), Timeout: ms(20_000)}, since: time.Now()}
			early := ms(int(m.timing.Interval / time.Millisecond))
			m.heard = time.Now().Add(-early)
			var monitor heartbeat.Monitor
			monitor.Start(m.timing.Interval, early, func() { m.check(&monitor) })
			for range 300 {
				time.Sleep(ms(3000))
				synctest.Wait()
				if m.act(rnd, &monitor) {
					deaths++
					break
				}
			}
			monitor.Stop()
		})
	}
	require.Greater(t, deaths, 20, "of 200")
	require.Less(t, deaths, 180, "of 200")
}

// TestSilence: a silent peer is pinged once, and dead in time. Whether that takes more
// or less than an interval makes no difference.
func TestSilence(t *testing.T) {
	for _, timing := range []heartbeat.Timing{
		{Interval: 25 * time.Second, Timeout: 20 * time.Second},
		{Interval: 10 * time.Second, Timeout: time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			var m heartbeat.Monitor
			begin, pings, dead := time.Now(), make(chan time.Duration, 2), make(chan time.Duration)
			m.Start(timing.Interval, time.Second, func() {
				switch m.Check(heartbeat.Idle, timing) {
				case heartbeat.Ping:
					pings <- time.Since(begin)
				case heartbeat.Dead:
					dead <- time.Since(begin)
				}
			})
			require.Equal(t, timing.Interval-time.Second, <-pings)
			require.Equal(t, timing.Interval-time.Second+timing.Timeout, <-dead)
			require.Empty(t, pings)
		})
	}
}

// TestAnswerAtOnce: a peer that answers at the moment of the ping lives.
func TestAnswerAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m heartbeat.Monitor
		timing := heartbeat.Timing{Interval: 10 * time.Second, Timeout: 5 * time.Second}
		begin, pings := time.Now(), make(chan time.Duration, 20)
		m.Start(timing.Interval, 0, func() {
			if m.Check(heartbeat.Idle, timing) == heartbeat.Ping {
				pings <- time.Since(begin)
				m.Heard()
			}
		})
		for n := range 10 {
			require.Equal(t, time.Duration(n+1)*timing.Interval, <-pings)
		}
		m.Stop()
	})
}

// TestPause: a ping whose answer may not have been read does not count.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m heartbeat.Monitor
		timing := heartbeat.Timing{Interval: 10 * time.Second, Timeout: 5 * time.Second}
		begin, due := time.Now(), make(chan time.Duration, 1)
		m.Start(timing.Interval, 0, func() { due <- time.Since(begin) / time.Second })
		for _, step := range []struct {
			at        time.Duration
			condition heartbeat.Condition
			want      heartbeat.Verdict
		}{
			{10, heartbeat.Idle, heartbeat.Ping},
			{15, heartbeat.Paused, heartbeat.Alive},
			{25, heartbeat.Idle, heartbeat.Ping},
			{30, heartbeat.Idle, heartbeat.Dead},
		} {
			require.Equal(t, step.at, <-due)
			require.Equal(t, step.want, m.Check(step.condition, timing))
		}
	})
}

// TestWriteFailed: one second remains to read what the peer has sent.
func TestWriteFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m heartbeat.Monitor
		timing := heartbeat.Timing{Interval: time.Minute, Timeout: time.Minute}
		verdicts := make(chan heartbeat.Verdict, 1)
		m.Start(timing.Interval, 0, func() { verdicts <- m.Check(heartbeat.Broken, timing) })
		time.Sleep(10 * time.Second)
		begin := time.Now()
		m.WriteFailed()
		require.Equal(t, heartbeat.Lost, <-verdicts)
		require.Equal(t, time.Second, time.Since(begin))
	})
}

// TestStop: after Stop nothing is checked, and a check that came too late does not set
// the timer again.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m heartbeat.Monitor
		timing := heartbeat.Timing{Interval: time.Second, Timeout: time.Second}
		var checks atomic.Int32
		m.Start(timing.Interval, 0, func() { checks.Add(1); m.Check(heartbeat.Paused, timing) })
		time.Sleep(3500 * time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, 3, checks.Load())
		for range 2 {
			m.Stop()
			m.WriteFailed()
			require.Equal(t, heartbeat.Alive, m.Check(heartbeat.Broken, timing))
			require.Equal(t, heartbeat.Alive, m.Check(heartbeat.Idle, timing))
		}
		time.Sleep(time.Hour)
		require.EqualValues(t, 3, checks.Load())
	})
}

// TestRace: whoever does what at once, the timer never fires after Stop.
func TestRace(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			var m heartbeat.Monitor
			var stopped atomic.Bool
			timing := heartbeat.Timing{Interval: time.Millisecond, Timeout: time.Millisecond}
			m.Start(timing.Interval, timing.Interval, func() {
				late := stopped.Load()
				if m.Check(heartbeat.Paused, timing); late {
					require.Equal(t, heartbeat.Alive, m.Check(heartbeat.Broken, timing))
				}
			})
			var wg sync.WaitGroup
			wg.Go(m.Heard)
			wg.Go(m.WriteFailed)
			wg.Go(func() { m.Check(heartbeat.Idle, timing) })
			wg.Go(func() { m.Stop(); stopped.Store(true) })
			wg.Wait()
			time.Sleep(time.Hour) // which never ends if the timer does not
			require.Equal(t, heartbeat.Alive, m.Check(heartbeat.Broken, timing))
		})
	}
}
