package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wsrouter/wsrouter/internal/bench/load"
)

// crowd is a run with as many real connections as the user asks for. Each is an
// open file at either end. If a process may not open that many, pairs of processes
// share the connections.
type crowd struct {
	self    string
	servers []server
	conns   int
	beat    time.Duration
	ping    time.Duration
	window  time.Duration
	results crowdResults
}

// pair is a server and its load.
type pair struct {
	to    *served
	from  *loader
	conns int
}

const (
	spareFiles = 200               // how many files a process has open besides connections
	crowdDrain = 100 * time.Second // the bound of a Shutdown
	crowdEcho  = 64                // in flight over all connections
)

func runCrowd(ctx context.Context, args []string) error {
	c := crowd{window: 5 * time.Second}
	flags := flag.NewFlagSet("bench crowd", flag.ExitOnError)
	only := flags.String("only", strings.Join(crowdServers(), ","), "measure these servers: `names` separated by commas")
	flags.IntVar(&c.conns, "conns", 100_000, "how `many` connections")
	flags.DurationVar(&c.beat, "beat", 10*time.Minute, "how `long` to watch heartbeats")
	flags.DurationVar(&c.ping, "ping", 10*time.Second, "wsrouter's PingInterval and PongTimeout, the `silence` before a heartbeat")
	flags.DurationVar(&c.window, "time", c.window, "how `long` to measure echoes and broadcasts")
	write := flags.Bool("page", true, "write crowd.json and the section of the page")
	flags.Parse(args)
	var err error
	if c.servers, err = choose(*only); err != nil {
		return err
	}
	if c.self, err = os.Executable(); err != nil {
		return err
	}
	if err := prepareNode(c.servers); err != nil {
		return err
	}
	if err := c.prepare(); err != nil {
		return err
	}
	failed := c.run(ctx)
	fmt.Print(c.results.section())
	if !*write || ctx.Err() != nil {
		return failed
	}
	return errors.Join(failed, c.results.save(), c.results.splice(docs+"/benchmarks.md"))
}

// crowdServers returns the names of our servers that speak the plain protocol, and
// of the fastest peer.
func crowdServers() (names []string) {
	for _, s := range servers {
		if s.ours() && s.dialect == "plain" || s.name == anchor {
			names = append(names, s.name)
		}
	}
	return names
}

// prepare finds out how many processes are needed.
func (c *crowd) prepare() error {
	var limit syscall.Rlimit
	if err := allowFiles(uint64(c.conns + spareFiles)); err != nil {
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		if err := allowFiles(limit.Max); err != nil {
			return err
		}
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur <= 2*spareFiles {
		return fmt.Errorf("ulimit -n is %d: raise it", limit.Cur)
	}
	m, err := describe()
	c.results = crowdResults{Machine: m, Conns: c.conns, Beat: c.beat, Ping: c.ping, Files: int(limit.Cur)}
	c.results.Pairs = pairsFor(c.conns, int(limit.Cur))
	if c.results.Pairs > 1 {
		fmt.Fprintf(os.Stderr, "ulimit -Hn is %d: %d connections take %d servers, each with a load of its own\n",
			limit.Max, c.conns, c.results.Pairs)
	}
	return err
}

// pairsFor returns how many pairs of processes hold the connections, if each
// process may open that many files.
func pairsFor(conns, files int) int {
	per := files - spareFiles
	return (conns + per - 1) / per
}

// run measures one server after another. If one fails, the others keep their rows.
func (c *crowd) run(ctx context.Context) error {
	var failed error
	for _, s := range c.servers {
		if ctx.Err() != nil {
			return errors.Join(failed, ctx.Err())
		}
		row := crowdRow{Server: s.name}
		if err := c.measure(ctx, s, &row); err != nil {
			row.Error = err.Error()
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
		}
		c.results.Rows = append(c.results.Rows, row)
	}
	return failed
}

func (c *crowd) measure(ctx context.Context, s server, row *crowdRow) (err error) {
	pairs, err := c.start(s)
	defer func() {
		for _, p := range pairs {
			p.from.stop()
			p.to.stop()
		}
	}()
	if err != nil {
		return err
	}
	// An interrupted measure ends because its processes end.
	defer context.AfterFunc(ctx, func() {
		for _, p := range pairs {
			p.from.cmd.Process.Kill()
			p.to.cmd.Process.Kill()
		}
	})()
	for _, step := range c.steps(s, pairs, row) {
		begin := time.Now()
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %s took %s\n", s.title, step.name, time.Since(begin).Round(100*time.Millisecond))
	}
	return nil
}

// start starts the pairs, and lets pools and compilers settle with a few
// connections.
func (c *crowd) start(s server) ([]*pair, error) {
	var flags []string
	if s.ours() {
		flags = []string{"-ping", c.ping.String()}
	}
	var pairs []*pair
	for i := range c.results.Pairs {
		to, err := startServer(c.self, s, flags...)
		if err != nil {
			return pairs, err
		}
		from, err := startLoader(c.self, to, s.dialect)
		if err != nil {
			to.stop()
			return pairs, err
		}
		conns := c.conns*(i+1)/c.results.Pairs - c.conns*i/c.results.Pairs
		pairs = append(pairs, &pair{to, from, conns})
		if err := check(from); err != nil {
			return pairs, err
		}
	}
	_, err := together(pairs, func(p *pair) (load.Result, error) {
		if _, err := p.from.do(load.Command{Op: "connect", Conns: min(p.conns, idleWarm), For: settle}); err != nil {
			return load.Result{}, err
		}
		return p.from.do(load.Command{Op: "close"})
	})
	return pairs, err
}

type crowdStep struct {
	name string
	do   func() error
}

// steps returns what is measured, in order.
func (c *crowd) steps(s server, pairs []*pair, row *crowdRow) []crowdStep {
	var empty memory
	all := func(into *load.Result, cmd load.Command) func() error {
		return func() (err error) {
			*into, err = together(pairs, func(p *pair) (load.Result, error) {
				cmd := cmd
				if cmd.Op == "connect" {
					cmd.Conns = p.conns
				}
				return p.from.do(cmd)
			})
			return err
		}
	}
	read := func(each *memory) func() error {
		return func() error {
			now, err := c.memory(pairs)
			*each = now.minus(empty).per(c.conns)
			return err
		}
	}
	share := max(crowdEcho/len(pairs), 1)
	steps := []crowdStep{
		{"memory before", func() (err error) { empty, err = c.memory(pairs); return err }},
		{"connect", all(&row.Connect, load.Command{Op: "connect", For: settle})},
		{"memory", read(&row.Memory)},
		{"echo, one at a time", func() (err error) {
			row.EchoOne, err = c.echoOne(pairs)
			return err
		}},
		{"echo", all(&row.Echo, load.Command{Op: "echo", Spread: share, Size: echoSize, Warm: time.Second, For: c.window})},
		{"broadcast", all(&row.Broadcast, load.Command{Op: "broadcast", InFlight: 1, Size: echoSize, Warm: time.Second, For: 2 * c.window})},
	}
	if !s.ours() {
		return steps
	}
	return append(steps,
		crowdStep{"heartbeats", all(&row.Beat, load.Command{Op: "hold", For: c.beat})},
		crowdStep{"memory after", read(&row.MemoryAfter)},
		crowdStep{"drain", func() (err error) { row.Drain, err = together(pairs, drain); return err }},
	)
}

// echoOne keeps one message on its way, over the connections of the first pair. The
// other pairs answer pings meanwhile.
func (c *crowd) echoOne(pairs []*pair) (load.Result, error) {
	return together(pairs, func(p *pair) (load.Result, error) {
		if p == pairs[0] {
			return p.from.do(load.Command{Op: "echo", Spread: 1, Size: echoSize, Warm: time.Second, For: c.window})
		}
		_, err := p.from.do(load.Command{Op: "hold", For: c.window + time.Second})
		return load.Result{}, err
	})
}

// drain makes a server end while its load watches.
func drain(p *pair) (load.Result, error) {
	told := make(chan error, 1)
	watched := make(chan struct{})
	var result load.Result
	var err error
	go func() {
		defer close(watched)
		result, err = p.from.do(load.Command{Op: "drain", For: crowdDrain + 10*time.Second})
	}()
	go func() { told <- p.to.tell("drain " + crowdDrain.String()) }()
	<-watched
	return result, errors.Join(err, <-told)
}

// together does something with all pairs at the same time. It adds up their counts,
// and takes the time of the slowest.
func together(pairs []*pair, do func(*pair) (load.Result, error)) (load.Result, error) {
	results, errs := make([]load.Result, len(pairs)), make([]error, len(pairs))
	var wg sync.WaitGroup
	for i, p := range pairs {
		wg.Go(func() { results[i], errs[i] = do(p) })
	}
	wg.Wait()
	sum := results[0]
	for _, r := range results[1:] {
		sum.Messages += r.Messages
		sum.CPU += r.CPU
		sum.LoadCPU += r.LoadCPU
		sum.Cut += r.Cut
		sum.Seconds = max(sum.Seconds, r.Seconds)
		sum.P50 = max(sum.P50, r.P50)
		sum.P99 = max(sum.P99, r.P99)
		sum.Least = min(sum.Least, r.Least)
		sum.Why = cmp.Or(sum.Why, r.Why)
	}
	return sum, errors.Join(errs...)
}

// memory is what the servers hold, and what the whole machine uses, including the
// kernel's sockets and the load.
type memory struct {
	Resident float64 `json:"resident"`
	Machine  float64 `json:"machine"`
}

func (m memory) minus(other memory) memory {
	return memory{m.Resident - other.Resident, m.Machine - other.Machine}
}

func (m memory) per(n int) memory { return memory{m.Resident / float64(n), m.Machine / float64(n)} }

func (c *crowd) memory(pairs []*pair) (memory, error) {
	var m memory
	for _, p := range pairs {
		bytes, err := p.to.resident(500 * time.Millisecond)
		if err != nil {
			return m, err
		}
		m.Resident += float64(bytes)
	}
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m, err
	}
	var kb float64
	if _, err := fmt.Sscanf(field(string(info), "MemAvailable"), "%f kB", &kb); err != nil {
		return m, fmt.Errorf("MemAvailable in /proc/meminfo: %w", err)
	}
	m.Machine = -kb * 1024
	return m, nil
}
