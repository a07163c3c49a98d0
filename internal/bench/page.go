package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// page writes docs/benchmarks.md. All figures in it, and all words that depend on
// figures, come from the results.
type page struct {
	strings.Builder
	*results
}

// writePage writes the page and its charts to a folder.
func writePage(folder string, r *results) error {
	notes, err := os.ReadFile("notes.md")
	if err != nil {
		return err
	}
	operator, err := os.ReadFile("operator.md")
	if err != nil {
		return err
	}
	crowd, err := readCrowd()
	if err != nil {
		return err
	}
	p := &page{results: r}
	p.intro()
	p.failed()
	p.targets()
	p.worse()
	p.echo()
	p.broadcast()
	p.idle()
	p.growth()
	p.sleeping()
	p.f("\n%s", crowd.section())
	p.Write(operator)
	p.method()
	p.machine()
	p.f("\n")
	p.Write(notes)
	files := charts(r)
	files["benchmarks.md"] = p.String()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (p *page) f(format string, args ...any) { fmt.Fprintf(p, format, args...) }

func (p *page) intro() {
	p.f("<!-- Written by internal/bench: cd internal/bench && go run . -->\n# Benchmarks\n\n")
	p.f("What wsrouter costs, compared with other servers that do the same work: parse `{\"event\":\"echo\",\"data\":\"…\"}`, find the handler,\n")
	p.f("decode the data into a string, encode the answer. Cost is the processor time that the operating system accounts to the\n")
	p.f("server's process. Ratios come first, because they were measured side by side; the microseconds depend on the machine.\n\n")
	p.f("Bun's WebSocket is uWebSockets, the fastest that we know. The *floor* is what a socket hijacked from net/http costs in a plain\n")
	p.f("goroutine, with one read and one write at a time and no JSON: the least that a server mounted in net/http can cost.\n\n")
	p.f("![Bars: wsrouter and its peers relative to Bun](benchmarks.svg)\n\n")
	p.f("    cd internal/bench && go run .\n\n")
	p.f("made this page in %.0f minutes. Rounds over all servers: %d.\n", p.Took.Minutes(), p.Rounds)
}

// failed lists what is missing because a server failed.
func (p *page) failed() {
	if len(p.Failures) == 0 {
		return
	}
	p.f("\n**Something failed**, so figures are missing or come from fewer rounds:\n\n")
	for _, f := range p.Failures {
		first, _, _ := strings.Cut(f.Error, "\n")
		p.f("- %s, round %d: %s\n", named(f.Server).title, f.Round+1, first)
	}
}

// worse lists what costs less elsewhere, so that nobody has to look for it.
func (p *page) worse() {
	type row struct {
		what, measure string
		metric        metric
	}
	rows := []row{{"echo, 1 in flight", "echo1", cpu}, {"echo, 16 in flight", "echo16", cpu}}
	for _, n := range broadcastCounts {
		rows = append(rows, row{"broadcast to " + thousandsOf(n), fmt.Sprint("broadcast", n), cpu})
	}
	rows = append(rows, row{"memory of an idle connection", "idle", held}, row{"connect", "idle", cpu})
	for _, n := range connsCounts {
		rows = append(rows, row{"echo over " + thousandsOf(n) + " connections", fmt.Sprint("conns", n), cpu})
	}
	for _, n := range sizeBytes {
		rows = append(rows, row{"echo of " + size(n), fmt.Sprint("size", n), cpu})
	}
	p.f("\nWhat costs less elsewhere, relative to wsrouter over the same protocol:\n\n")
	for _, own := range []string{"wsrouter", "wsrouter-socketio"} {
		for _, row := range rows {
			var better []string
			for _, s := range p.sorted(row.measure, row.metric, own, func(s server) bool { return s.isPeer() && s.protocol() == named(own).protocol() }) {
				if ratio := p.ratio(row.measure, s.name, own, row.metric); round2(ratio) < 1 {
					better = append(better, fmt.Sprintf("%s %.2f ×", s.title, ratio))
				}
			}
			if len(better) > 0 {
				p.f("- %s, %s: %s\n", named(own).protocol(), row.what, strings.Join(better, ", "))
			}
		}
	}
}

// echo writes a table for each number in flight and protocol.
func (p *page) echo() {
	p.f("\n## Echo\n\n%d connections, %d bytes of data. Server and load share the machine's cores, which limits throughput and latency,\n", echoConns, echoSize)
	p.f("so look at the server's time first. Latency is measured under full load, and is mostly time spent in queues.\n")
	for _, inFlight := range []int{1, 16} {
		for _, beside := range [][]string{{anchor, "coder"}, {"node-socketio", "bun-socketio"}} {
			protocol := named(beside[0]).protocol()
			p.f("\n%s, %d in flight on each connection:\n\n", protocol, inFlight)
			p.echoTable(fmt.Sprintf("echo%d", inFlight), beside, func(s server) bool { return s.protocol() == protocol })
		}
	}
}

func (p *page) echoTable(measure string, beside []string, of func(server) bool) {
	header := []string{""}
	for _, other := range beside {
		header = append(header, "× "+named(other).title)
	}
	rows := [][]string{append(header, "server CPU a message", "messages/s", "p50", "p99")}
	for _, s := range p.sorted(measure, cpu, beside[0], of) {
		row := []string{s.label()}
		for _, other := range beside {
			row = append(row, times(p.ratio(measure, s.name, other, cpu)))
		}
		rows = append(rows, append(row, micros(p.value(measure, s.name, cpu)), thousands(p.value(measure, s.name, rate)),
			micros(p.value(measure, s.name, p50)), micros(p.value(measure, s.name, p99))))
	}
	p.table(rows)
}

func (p *page) broadcast() {
	p.f("\n## Broadcast\n\nOne client sends a broadcast to everybody; four are on their way at a time. Server CPU for each delivery, also relative to Bun's\npublish.\n\n")
	header := []string{""}
	for _, n := range broadcastCounts {
		header = append(header, "to "+thousands(float64(n)), "× Bun")
	}
	rows := [][]string{header}
	for _, s := range p.sorted("broadcast1000", cpu, anchor, everyone) {
		row := []string{s.label()}
		for _, n := range broadcastCounts {
			measure := fmt.Sprintf("broadcast%d", n)
			row = append(row, micros(p.value(measure, s.name, cpu)), times(p.ratio(measure, s.name, anchor, cpu)))
		}
		rows = append(rows, row)
	}
	p.table(rows)
	p.f("\n![Lines: server CPU for each delivery against receivers](benchmarks-broadcast.svg)\n")
	few, many := fmt.Sprint("broadcast", broadcastCounts[1]), fmt.Sprint("broadcast", slices.Max(broadcastCounts))
	var grown []string
	for _, name := range []string{"wsrouter", anchor, "gws", "coder"} {
		if p.has(few, name) && p.has(many, name) {
			grown = append(grown, fmt.Sprintf("%s %.1f ×", named(name).title, p.ratioOf(many, few, name)))
		}
	}
	p.f("\nWhat a delivery among %s costs, relative to one among %s: %s.\n", thousandsOf(slices.Max(broadcastCounts)),
		thousandsOf(broadcastCounts[1]), strings.Join(grown, ", "))
	p.f("Each delivery writes to another socket, whose state may or may not be in the processor's caches, see [below](#growth-connections).\n")
	p.f("With few receivers, broadcasts in flight at the same time also share writes, if a server gathers them.\n")
}

func (p *page) idle() {
	p.f("\n## Idle connections, and connecting\n\nResident memory of the server's process for each of %s idle connections, after a garbage\n", thousands(idleConns))
	p.f("collection; and its processor time for each new connection, including the handshake of the protocol.\n\n")
	rows := [][]string{{"", "× Bun", "memory", "× Bun", "CPU a connect"}}
	for _, s := range p.sorted("idle", held, anchor, everyone) {
		rows = append(rows, []string{
			s.label(), times(p.ratio("idle", s.name, anchor, held)), kilobytes(p.value("idle", s.name, held)),
			times(p.ratio("idle", s.name, anchor, cpu)), micros(p.value("idle", s.name, cpu)),
		})
	}
	p.table(rows)
}

func (p *page) method() {
	p.f("\n## How it is measured\n\n")
	for _, line := range []string{
		"Each server is a process of its own, and so is the load. Server CPU is the process's clock (`clock_getcpuclockid`), which has the user and system time of all threads. The load reads it at the same moments as its counts.",
		"The load speaks raw frames over epoll in one thread. It compares every answer with the expected one, byte for byte. Before that it parses the first answer, and those to some awkward strings, and compares what they mean. In these runs it kept at most " + fmt.Sprintf("%.0f %%", p.busiest()*100) + " of one core busy.",
		"The servers take turns within each round. Figures are medians of the rounds; ratios are medians of each round's ratio. A measure takes " + p.Window.String() + " after a warm-up, which is longer for servers that compile while they run.",
		"All Go servers run on net/http, except nbio, which has an HTTP server of its own; GOMAXPROCS is the number of cores. Node.js and Bun run in one process with NODE_ENV=production and no other settings. No server compresses. Limits are raised if the largest message would exceed them; all other settings are the defaults, or those in the library's own example.",
		"The servers on libraries without events share one dispatch: encoding/json into an envelope, a map of handlers, encoding/json again. Broadcasts are encoded once. The loops on coder and gorilla write to one client after another (gorilla a prepared message), gws uses its Broadcaster, melody and socket.io their own broadcast, Bun a topic and centrifuge a channel that everybody is subscribed to, ws and nbio a loop over their clients. The floor recognizes a broadcast by the first bytes of its frame.",
		"centrifuge is the library of the server centrifugo, and has its own JSON protocol: an event is an RPC. Its frames, like wsrouter's, may be sent together. Centrifugo itself is not compared: it runs no code of its users, but calls a backend for each RPC.",
		"Before memory is read the server collects its garbage (Go and Bun also give free memory back) and " + p.Window.String() + " pass.",
	} {
		p.f("- %s\n", line)
	}
}

func (p *page) machine() {
	m := p.Machine
	p.f("\n## Machine and versions\n\n%s, %d cores, %s of memory, Linux %s, %s, Node.js %s, Bun %s. Load average before the run: %s. wsrouter at `%s`, %s.\n",
		m.CPU, m.Cores, m.Memory, m.Kernel, m.Go, m.Node, m.Bun, m.Load, m.Commit, m.Date)
	if load, err := strconv.ParseFloat(m.Load, 64); err == nil && load > 1 {
		p.f("**The machine was also busy with other things**, so every figure is less certain, and small differences mean nothing.\n")
	}
	p.f("Peers: %s.\n", strings.Join(m.Versions, ", "))
}

// busiest returns the largest share of a core that the load needed in any measure.
func (p *page) busiest() float64 {
	most := 0.0
	for measure, servers := range p.Samples {
		for name := range servers {
			most = max(most, p.value(measure, name, busy))
		}
	}
	return most
}

// sorted returns the servers that were measured, ordered by a metric relative to
// another server, the least first.
func (p *page) sorted(measure string, m metric, to string, of func(server) bool) []server {
	var found []server
	for _, s := range servers {
		if of(s) && p.has(measure, s.name) {
			found = append(found, s)
		}
	}
	slices.SortStableFunc(found, func(a, b server) int {
		return cmp.Compare(p.ratio(measure, a.name, to, m), p.ratio(measure, b.name, to, m))
	})
	return found
}

func (p *page) table(rows [][]string) { p.WriteString(tableOf(rows)) }

// tableOf writes a table. The first row is the header, and the first column is
// text.
func tableOf(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|---%s|\n", strings.Repeat("|---:", len(row)-1))
		}
	}
	return b.String()
}
