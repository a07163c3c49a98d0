package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/wsrouter/wsrouter/internal/bench/load"
)

// runner takes all samples, round by round, so that whatever disturbs the machine
// affects all servers alike.
type runner struct {
	cfg     config
	self    string // this program
	plan    []session
	begin   time.Time
	live    bool                     // standard error is a terminal
	took    map[string]time.Duration // of a session and server, the last time
	results results
}

func newRunner(cfg config) (*runner, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if cfg.quick {
		cfg.rounds, cfg.window = 1, 50*time.Millisecond
	}
	if err := prepareNode(cfg.servers); err != nil {
		return nil, err
	}
	if cfg.profile != "" {
		if err := os.MkdirAll(cfg.profile, 0o755); err != nil {
			return nil, err
		}
	}
	r := &runner{
		cfg: cfg, self: self, plan: plan(cfg), begin: time.Now(),
		took:    make(map[string]time.Duration),
		results: results{Rounds: cfg.rounds, Window: cfg.window, Samples: make(map[string]map[string][]sample)},
	}
	if info, err := os.Stderr.Stat(); err == nil {
		r.live = info.Mode()&os.ModeCharDevice != 0
	}
	if !cfg.quick {
		if r.results.Machine, err = describe(); err != nil {
			return nil, err
		}
	}
	if len(r.plan) == 0 {
		return nil, fmt.Errorf("no measure %q", cfg.measures)
	}
	const others = 100 // files that a server, or this program, has open besides
	return r, allowFiles(uint64(mostConns(r.plan) + others))
}

func (r *runner) run(ctx context.Context) error {
	for round := range r.cfg.rounds {
		for i, session := range r.plan {
			for j, server := range r.cfg.servers {
				if !session.in(round) || !session.of(server) {
					continue
				}
				r.progress(round, i, j)
				begin := time.Now()
				err := r.session(ctx, round, session, server)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil { // the others still count
					r.say("%s: %v", server.name, err)
					r.results.Failures = append(r.results.Failures, failure{server.name, round, err.Error()})
				}
				r.took[session.name+server.name] = time.Since(begin)
			}
		}
	}
	r.results.Took = time.Since(r.begin)
	r.say("done in %s", r.results.Took.Round(time.Second))
	if r.live {
		fmt.Fprintln(os.Stderr)
	}
	return nil
}

// progress prints what is being done, and how long the rest will take.
func (r *runner) progress(round, at, server int) {
	var left time.Duration
	for n := round; n < r.cfg.rounds; n++ {
		for i, session := range r.plan {
			for j, s := range r.cfg.servers {
				if !session.in(n) || !session.of(s) || n == round && (i < at || i == at && j < server) {
					continue
				}
				if took, ok := r.took[session.name+s.name]; ok {
					left += took
				} else {
					left += session.takes
				}
			}
		}
	}
	r.say("round %d of %d: %s, %s; %s gone, about %s left", round+1, r.cfg.rounds,
		r.plan[at].name, r.cfg.servers[server].title, time.Since(r.begin).Round(time.Second), left.Round(time.Second))
}

// say prints what is being done. On a terminal it overwrites one line.
func (r *runner) say(format string, args ...any) {
	if r.live {
		format = "\r\x1b[K" + format
	} else {
		format += "\n"
	}
	fmt.Fprintf(os.Stderr, format, args...)
}

// session starts a server and its load, and takes a sample of each step.
func (r *runner) session(ctx context.Context, round int, session session, s server) error {
	to, err := startServer(r.self, s, session.flags...)
	if err != nil {
		return err
	}
	defer to.stop()
	from, err := startLoader(r.self, to, s.dialect)
	if err != nil {
		return err
	}
	defer from.stop()
	if err := check(from); err != nil {
		return err
	}
	for i, step := range session.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i == 0 {
			step.cmd.Warm = r.firstWarm(s)
		}
		got, err := r.step(to, from, s, step)
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		got.Round = round
		r.results.add(step.name, s.name, got)
	}
	return nil
}

// firstWarm returns how long a server that has just started runs before it is
// measured.
func (r *runner) firstWarm(s server) time.Duration {
	if s.platform != inGo && !r.cfg.quick {
		return max(compiling, r.cfg.window)
	}
	return r.cfg.window
}

// check checks that the server gives the right answers, with two clients.
func check(from *loader) error {
	for _, cmd := range []load.Command{{Op: "connect", Conns: 2}, {Op: "check"}, {Op: "close"}} {
		if _, err := from.do(cmd); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) step(to *served, from *loader, s server, step step) (sample, error) {
	if step.idle {
		return r.idle(to, from, s, step)
	}
	// A client has its 101 before the server has let it in, so give that a moment.
	if _, err := from.do(load.Command{Op: "connect", Conns: step.conns, For: settle}); err != nil {
		return sample{}, err
	}
	result, err := r.during(to, s, step.name, func() (load.Result, error) { return from.do(step.cmd) })
	return sample{Result: result}, err
}

// during writes a processor profile of what the server does meanwhile, if wanted.
func (r *runner) during(to *served, s server, name string, do func() (load.Result, error)) (load.Result, error) {
	if !r.profiled(s) {
		return do()
	}
	if err := to.tell("profile " + r.profile(s, name)); err != nil {
		return load.Result{}, err
	}
	result, err := do()
	if err == nil {
		err = to.tell("profile")
	}
	return result, err
}

// idle measures what connecting costs, and the resident memory of each connection
// that does nothing. Before that a few connections let pools and compilers settle.
func (r *runner) idle(to *served, from *loader, s server, step step) (sample, error) {
	for _, cmd := range []load.Command{{Op: "connect", Conns: min(step.conns, idleWarm), For: settle}, {Op: "close"}} {
		if _, err := from.do(cmd); err != nil {
			return sample{}, err
		}
	}
	before, err := to.resident(r.cfg.window)
	if err != nil {
		return sample{}, err
	}
	result, err := r.during(to, s, "connect", func() (load.Result, error) {
		return from.do(load.Command{Op: "connect", Conns: step.conns, For: settle})
	})
	if err != nil {
		return sample{}, err
	}
	after, err := to.resident(r.cfg.window)
	if err == nil && r.profiled(s) {
		err = to.tell("heap " + r.profile(s, step.name))
	}
	return sample{Result: result, Bytes: float64(after-before) / float64(step.conns)}, err
}

func (r *runner) profiled(s server) bool { return r.cfg.profile != "" && s.platform == inGo }

func (r *runner) profile(s server, name string) string {
	return filepath.Join(r.cfg.profile, s.name+"."+name+".pprof")
}

// print writes a plain table of everything that was measured.
func (r *runner) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "measure\tserver\tCPU µs each\teach/s\tp50 µs\tp99 µs\tbytes idle\tload busy\t")
	for _, session := range r.plan {
		for _, step := range session.steps {
			for _, server := range r.cfg.servers {
				if !r.results.has(step.name, server.name) {
					continue
				}
				m := func(f metric) float64 { return r.results.value(step.name, server.name, f) }
				fmt.Fprintf(table, "%s\t%s\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f %%\t\n", step.name, server.name,
					m(cpu)*1e6, m(rate), m(p50)*1e6, m(p99)*1e6, m(held), m(busy)*100)
			}
		}
	}
	table.Flush()
}
