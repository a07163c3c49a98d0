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
	conns int    // connected before it, besides those of earlier steps
	cmd   load.Command
	idle  bool // measure the connecting and the memory instead
}

// session is what is done with a server from its start to its end.
type session struct {
	name  string
	steps []step
	takes time.Duration     // a first guess, for the estimate of what remains
	of    func(server) bool // which servers
}

const (
	echoConns = 64
	echoSize  = 32 // bytes of data
	idleWarm  = 500
	idleConns = 5000
	sizeConns = 8
)

// plan returns the sessions that cfg asks for.
func plan(cfg config) []session {
	window, warm := cfg.window, min(cfg.window/3, 500*time.Millisecond)
	everyone := func(server) bool { return true }
	grows := func(s server) bool { return s.grows }
	echo := session{name: "echo", takes: 3 * time.Second, of: everyone, steps: []step{
		{name: "echo1", conns: echoConns, cmd: load.Command{Op: "echo", InFlight: 1, Size: echoSize}},
		{name: "echo16", conns: echoConns, cmd: load.Command{Op: "echo", InFlight: 16, Size: echoSize}},
	}}
	broadcast := session{name: "broadcast", takes: 7 * time.Second, of: everyone}
	for _, n := range scale(cfg, 10, 100, 1_000, 10_000) {
		broadcast.steps = append(broadcast.steps, step{
			name: fmt.Sprintf("broadcast%d", n), conns: n, cmd: load.Command{Op: "broadcast", InFlight: 4, Size: echoSize},
		})
	}
	idle := session{name: "idle", takes: 4 * time.Second, of: everyone, steps: []step{
		{name: "idle", conns: scale(cfg, idleConns)[0], idle: true},
	}}
	conns := session{name: "conns", takes: 8 * time.Second, of: grows}
	for _, n := range scale(cfg, 10, 100, 1_000, 5_000, 15_000) {
		conns.steps = append(conns.steps, step{
			name: fmt.Sprintf("conns%d", n), conns: n, cmd: load.Command{Op: "echo", Spread: 64, Size: echoSize},
		})
	}
	sizes := session{name: "size", takes: 6 * time.Second, of: grows}
	for _, n := range []int{16, 256, 4 << 10, 64 << 10, 1 << 20} {
		sizes.steps = append(sizes.steps, step{
			name: fmt.Sprintf("size%d", n), conns: sizeConns, cmd: load.Command{Op: "echo", InFlight: 1, Size: n},
		})
	}
	sessions := []session{echo, broadcast, idle, conns, sizes}
	for i := range sessions {
		s := &sessions[i]
		s.steps = slices.DeleteFunc(s.steps, func(step step) bool { return !cfg.wants(step.name) })
		for j := range s.steps {
			s.steps[j].cmd.Warm, s.steps[j].cmd.For = warm, window
		}
	}
	return slices.DeleteFunc(sessions, func(s session) bool { return len(s.steps) == 0 })
}

// scale keeps a quick run to numbers of connections that are made in no time.
func scale(cfg config, counts ...int) []int {
	if !cfg.quick {
		return counts
	}
	return slices.DeleteFunc(slices.Concat(counts, []int{100}), func(n int) bool { return n > 100 })[:1]
}

func (cfg config) wants(measure string) bool {
	return len(cfg.measures) == 0 || slices.ContainsFunc(cfg.measures, func(m string) bool {
		return m == measure || m == strings.TrimRight(measure, "0123456789")
	})
}
