package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter/internal/bench/load"
)

// step is one measure of one server.
type step struct {
	name  string // of the -measure flag
	conns int    // connect until there are this many
	cmd   load.Command
	idle  bool // measure connecting and memory instead
	long  bool // take three times as long, because one message takes a good part of a window
}

// session is what is done with a server from its start to its end.
type session struct {
	name  string
	steps []step
	takes time.Duration     // a first guess, for the estimate of what remains
	of    func(server) bool // selects the servers

	rounds int      // if not zero, at most this many: it takes long, and shows a trend
	flags  []string // for the server
}

// in reports whether the session is part of a round.
func (s session) in(round int) bool { return s.rounds == 0 || round < s.rounds }

// The scales of what grows.
var (
	broadcastCounts = []int{10, 100, 1_000, 10_000}
	connsCounts     = []int{10, 100, 1_000, 5_000, 15_000}
	sizeBytes       = []int{16, 256, 4 << 10, 64 << 10, 1 << 20}
)

const (
	echoConns = 64
	echoSize  = 32 // bytes of data
	idleWarm  = 500
	idleConns = 5000
	sizeConns = 8

	connsRounds = 2

	// compiling is how long Node.js and Bun run before the first measure: they
	// compile code that has run for a while.
	compiling = 1500 * time.Millisecond

	// settle is how long a server may still be busy with the last connection when
	// the cost of connecting is measured.
	settle = 200 * time.Millisecond

	// activeConns is how many connections talk while the others are idle, to tell
	// which of the two costs.
	activeConns = 100
)

// plan returns the sessions that cfg asks for.
func plan(cfg config) []session {
	sessions := full()
	if cfg.quick {
		sessions = quick()
	}
	for i := range sessions {
		s := &sessions[i]
		s.steps = slices.DeleteFunc(s.steps, func(step step) bool { return !cfg.wants(step.name) })
		for j := range s.steps {
			s.steps[j].cmd.Warm, s.steps[j].cmd.For = cfg.window/4, cfg.window
			if s.steps[j].long {
				s.steps[j].cmd.For *= 3
			}
		}
	}
	return slices.DeleteFunc(sessions, func(s session) bool { return len(s.steps) == 0 })
}

// mostConns returns the largest number of connections that are open at a time.
func mostConns(sessions []session) int {
	most := 0
	for _, s := range sessions {
		for _, step := range s.steps {
			most = max(most, step.conns)
		}
	}
	return most
}

func full() []session {
	echo := session{name: "echo", takes: 4 * time.Second, of: everyone, steps: []step{echoStep(1), echoStep(16)}}
	broadcast := session{name: "broadcast", takes: 8 * time.Second, of: everyone}
	for _, n := range broadcastCounts {
		broadcast.steps = append(broadcast.steps, broadcastStep(n))
	}
	idle := session{name: "idle", takes: 5 * time.Second, of: everyone, steps: []step{idleStep(idleConns)}}
	conns := session{name: "conns", takes: 9 * time.Second, of: growing, rounds: connsRounds}
	for _, n := range connsCounts {
		conns.steps = append(conns.steps, step{
			name: fmt.Sprintf("conns%d", n), conns: n, cmd: load.Command{Op: "echo", Spread: 64, Size: echoSize},
		})
	}
	conns.steps = append(conns.steps, step{
		name: "active", conns: slices.Max(connsCounts),
		cmd: load.Command{Op: "echo", Spread: 64, Active: activeConns, Size: echoSize},
	})
	sizes := session{name: "size", takes: 5 * time.Second, of: sizing}
	for _, n := range sizeBytes {
		sizes.steps = append(sizes.steps, step{
			name: fmt.Sprintf("size%d", n), conns: sizeConns, cmd: load.Command{Op: "echo", InFlight: 1, Size: n},
		})
	}
	return append([]session{echo, broadcast, idle, conns, sizes}, sleeping()...)
}

// sleepTimes are how long handlers wait, as handlers do that query a database.
var sleepTimes = []time.Duration{3 * time.Millisecond, 20 * time.Millisecond}

const sleepConns = 1000

// sleeping checks what event loops promise: a handler that waits delays no other.
func sleeping() (sessions []session) {
	for _, d := range sleepTimes {
		sessions = append(sessions, session{
			name: "sleep", takes: 3 * time.Second, of: sleeps, flags: []string{"-sleep", d.String()},
			steps: []step{{name: sleepName(d), conns: sleepConns, long: true, cmd: load.Command{Op: "echo", InFlight: 1, Size: echoSize}}},
		})
	}
	return sessions
}

func sleepName(d time.Duration) string { return fmt.Sprintf("sleep%d", d.Milliseconds()) }

// sleeps selects wsrouter with goroutines and with loops.
func sleeps(s server) bool { return s.name == "wsrouter" || s.name == "wsrouter-loops" }

// quick does in one session everything that can fail, with few connections.
func quick() []session {
	const conns = 100
	largest := load.Command{Op: "echo", Spread: 4, Size: slices.Max(sizeBytes)}
	return []session{{name: "all", takes: 2 * time.Second, of: everyone, steps: []step{
		idleStep(conns), echoStep(1), echoStep(16), broadcastStep(conns), {name: "size", cmd: largest},
	}}}
}

func everyone(server) bool  { return true }
func growing(s server) bool { return s.grows }
func sizing(s server) bool  { return s.grows || s.sizes }

func echoStep(inFlight int) step {
	return step{
		name: fmt.Sprintf("echo%d", inFlight), conns: echoConns,
		cmd: load.Command{Op: "echo", InFlight: inFlight, Size: echoSize},
	}
}

func broadcastStep(receivers int) step {
	return step{
		name: fmt.Sprintf("broadcast%d", receivers), conns: receivers, long: receivers >= 10_000,
		cmd: load.Command{Op: "broadcast", InFlight: 4, Size: echoSize},
	}
}

func idleStep(conns int) step { return step{name: "idle", conns: conns, idle: true} }

func (cfg config) wants(measure string) bool {
	return len(cfg.measures) == 0 || slices.ContainsFunc(cfg.measures, func(m string) bool {
		return m == measure || m == strings.TrimRight(measure, "0123456789")
	})
}
