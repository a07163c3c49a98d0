// Command bench compares wsrouter with other servers, side by side on one machine,
// and writes docs/benchmarks.md. Run it in its own folder:
//
//	go run .                                          # everything, a quarter of an hour
//	go run . -quick                                   # does every server give the right answers?
//	go run . -only wsrouter,coder -measure echo       # a few, printed
//	go run . -only wsrouter -measure echo16 -profile /tmp/p   # with processor profiles
//	go run . crowd                                    # 100,000 connections, an hour: a section of the page
//	go run . crowd -conns 20000 -beat 1m -page=false  # fewer, shorter, only printed
//
// Each server is a process of its own, and so is the load: this program again, as
// "bench serve NAME" and "bench load".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter/internal/bench/load"
	"github.com/wsrouter/wsrouter/internal/bench/serve"
)

// config is what the flags say.
type config struct {
	servers  []server
	measures []string // prefixes of names; empty for all
	rounds   int
	window   time.Duration
	profile  string // folder
	quick    bool
	save     string // file
	from     string // file
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) > 0 && args[0] == "serve":
		return serve.Run(args[1:], os.Stdin, os.Stdout)
	case len(args) == 1 && args[0] == "load":
		return load.Run(os.Stdin, os.Stdout)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(args) > 0 && args[0] == "crowd" {
		return runCrowd(ctx, args[1:])
	}
	cfg, err := parse(args)
	if err != nil {
		return err
	}
	if cfg.from != "" {
		r, err := read(cfg.from)
		if err != nil {
			return err
		}
		return writePage(docs, r)
	}
	r, err := newRunner(cfg)
	if err != nil {
		return err
	}
	if err := r.run(ctx); err != nil {
		return err
	}
	return r.finish()
}

// docs is the folder of the page, relative to this one.
const docs = "../../docs"

// finish reports the results: a complete run is written to the page, a part is
// printed. It returns an error for what failed, after everything else has been
// written.
func (r *runner) finish() error {
	cfg := r.cfg
	failed := r.results.failed()
	if cfg.quick {
		if failed == nil {
			fmt.Printf("%d servers give the right answers\n", len(cfg.servers))
		}
		return failed
	}
	r.print(os.Stdout)
	if cfg.save != "" {
		failed = errors.Join(failed, r.results.save(cfg.save))
	}
	if len(cfg.servers) < len(servers) || len(cfg.measures) > 0 {
		return failed
	}
	return errors.Join(failed, writePage(docs, &r.results))
}

func parse(args []string) (config, error) {
	cfg := config{}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	only := flags.String("only", "", "measure these servers: `names` separated by commas, of "+strings.Join(names(), ", "))
	measure := flags.String("measure", "", "take the measures whose `names` begin like this: echo1, echo16, broadcast…, idle, conns…, size…")
	flags.IntVar(&cfg.rounds, "rounds", 3, "measure each server as `often`, and print medians")
	flags.DurationVar(&cfg.window, "time", 400*time.Millisecond, "how `long` each measure takes")
	flags.StringVar(&cfg.profile, "profile", "", "write processor profiles of the Go servers, and the heap profile of the measure idle, to this `folder`")
	flags.BoolVar(&cfg.quick, "quick", false, "only check that every server gives the right answers, with few connections")
	flags.StringVar(&cfg.save, "save", "", "write all samples to this `file`")
	flags.StringVar(&cfg.from, "from", "", "write the page from the samples in this `file`, without a run")
	flags.Parse(args)
	if flags.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected %q", flags.Arg(0))
	}
	cfg.measures = split(*measure)
	var err error
	cfg.servers, err = choose(*only)
	return cfg, err
}

// choose returns the servers with the names in a list, or all if the list is empty.
func choose(only string) ([]server, error) {
	wanted := split(only)
	if len(wanted) == 0 {
		return servers, nil
	}
	var chosen []server
	for _, name := range wanted {
		s, ok := find(name)
		if !ok {
			return nil, fmt.Errorf("no server %q", name)
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

func names() []string {
	var names []string
	for _, s := range servers {
		names = append(names, s.name)
	}
	return names
}
