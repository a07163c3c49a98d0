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

// writePage writes the page and its charts into a folder.
func writePage(folder string, r *results) error {
	notes, err := os.ReadFile("notes.md")
	if err != nil {
		return err
	}
	p := &page{results: r}
	p.intro()
	p.targets()
	p.worse()
	p.echo()
	p.broadcast()
	p.idle()
	p.growth()
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
	p.f("What wsrouter costs beside others that do the same work: parse `{\"event\":\"echo\",\"data\":\"…\"}`, find the handler,\n")
	p.f("decode the data into a string, encode the answer. Cost is the processor time that the operating system accounts to the\n")
	p.f("server's process. Ratios come first, as they are measured side by side; the microseconds are this machine's.\n\n")
	p.f("![Bars: wsrouter and its peers relative to a coder/websocket loop](benchmarks.svg)\n\n")
	p.f("    cd internal/bench && go run .\n\n")
	p.f("made this page in %.0f minutes, with %d rounds over all servers.\n", p.Took.Minutes(), p.Rounds)
}

func (p *page) targets() {
	met := 0
	rows := [][]string{{"", "beside", "ratio", "target", ""}}
	for _, t := range targets {
		ratio := p.ratio(t.measure, t.server, t.peer, t.metric)
		verdict := t.verdict(ratio)
		if verdict == "met" {
			met++
		}
		rows = append(rows, []string{
			fmt.Sprintf("%s: %s", t.what, named(t.server).title), named(t.peer).title,
			fmt.Sprintf("**%.2f ×**", ratio), fmt.Sprintf("≤ %.2f ×", t.most), verdict,
		})
	}
	p.f("\n## Targets\n\n%d of %d are met. What a broadcast costs is told per delivery.\n\n", met, len(targets))
	p.table(rows)
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
			for _, s := range p.sorted(row.measure, row.metric, own, func(s server) bool { return !s.ours() && s.protocol() == named(own).protocol() }) {
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

// echo has a table for each number in flight and protocol.
func (p *page) echo() {
	p.f("\n## Echo\n\n%d connections, %d bytes of data. Throughput and latency are what the machine's cores give to server and load\n", echoConns, echoSize)
	p.f("together, so look at the server's time first. Latency is under full load: mostly time in queues.\n")
	for _, inFlight := range []int{1, 16} {
		measure := fmt.Sprintf("echo%d", inFlight)
		for _, beside := range []string{"coder", "node-socketio"} {
			protocol := named(beside).protocol()
			p.f("\n%s, %d in flight on each connection:\n\n", protocol, inFlight)
			rows := [][]string{{"", "× " + named(beside).title, "server CPU a message", "messages/s", "p50", "p99"}}
			for _, s := range p.sorted(measure, cpu, beside, func(s server) bool { return s.protocol() == protocol }) {
				rows = append(rows, []string{
					s.label(), times(p.ratio(measure, s.name, beside, cpu)), micros(p.value(measure, s.name, cpu)),
					thousands(p.value(measure, s.name, rate)), micros(p.value(measure, s.name, p50)), micros(p.value(measure, s.name, p99)),
				})
			}
			p.table(rows)
		}
	}
}

func (p *page) broadcast() {
	p.f("\n## Broadcast\n\nOne client asks for it, everybody gets it, four at a time. Server CPU for each delivery, and beside it relative to gws.\n\n")
	header := []string{""}
	for _, n := range broadcastCounts {
		header = append(header, "to "+thousands(float64(n)), "× gws")
	}
	rows := [][]string{header}
	for _, s := range p.sorted("broadcast1000", cpu, "gws", everyone) {
		row := []string{s.label()}
		for _, n := range broadcastCounts {
			measure := fmt.Sprintf("broadcast%d", n)
			row = append(row, micros(p.value(measure, s.name, cpu)), times(p.ratio(measure, s.name, "gws", cpu)))
		}
		rows = append(rows, row)
	}
	p.table(rows)
	p.f("\n![Lines: server CPU for each delivery against receivers](benchmarks-broadcast.svg)\n")
	few, many := broadcastCounts[1], broadcastCounts[len(broadcastCounts)-1]
	p.f("\nA delivery among %s costs wsrouter %.1f × one among %d, gws %.1f ×, the coder loop %.1f ×: each is a write to another\n",
		thousandsOf(many), p.broadcastGrowth("wsrouter", many, few), few, p.broadcastGrowth("gws", many, few), p.broadcastGrowth("coder", many, few))
	p.f("socket, whose state the processor's caches hold or do not, see [below](#growth-connections). Among few, broadcasts that\n")
	p.f("are in flight together also share writes, where a server gathers them.\n")
}

func (p *page) broadcastGrowth(server string, many, few int) float64 {
	return p.ratioOf(fmt.Sprint("broadcast", many), fmt.Sprint("broadcast", few), server)
}

func (p *page) idle() {
	p.f("\n## Idle connections, and connecting\n\nResident memory of the server's process for each of %s idle connections, after a garbage\n", thousands(idleConns))
	p.f("collection; and its processor time for each that connects, handshake of the protocol included.\n\n")
	rows := [][]string{{"", "× coder", "memory", "× coder", "CPU a connect"}}
	for _, s := range p.sorted("idle", held, "coder", everyone) {
		rows = append(rows, []string{
			s.label(), times(p.ratio("idle", s.name, "coder", held)), fmt.Sprintf("%.1f KB", p.value("idle", s.name, held)/1024),
			times(p.ratio("idle", s.name, "coder", cpu)), micros(p.value("idle", s.name, cpu)),
		})
	}
	p.table(rows)
}

func (p *page) method() {
	p.f("\n## How it is measured\n\n")
	for _, line := range []string{
		"Each server is a process of its own, and so is the load. Server CPU is the process's clock (`clock_getcpuclockid`), user and system time of all threads, read by the load at the same moments as its counts.",
		"The load speaks raw frames over epoll in one thread. It compares every answer with what it must be, byte for byte; the first is also parsed and compared by meaning, as are some awkward strings before. In these runs it kept at most " + fmt.Sprintf("%.0f %%", p.busiest()*100) + " of one core busy.",
		"The servers take turns within each round; what is told is the median of the rounds, for ratios the median of each round's ratio. A measure is taken over " + p.Window.String() + " after a warm-up.",
		"All Go servers run on net/http with GOMAXPROCS at the number of cores, Node.js with NODE_ENV=production in one process, as it comes. Nobody compresses. Limits are raised where the largest message would hit them; otherwise settings are the defaults or those of the library's own example.",
		"The servers on libraries without events share one dispatch: encoding/json into an envelope, a map of handlers, encoding/json again. Broadcasts are encoded once; coder's and gorilla's loops write to one after another (gorilla a prepared message), gws uses its Broadcaster, melody and socket.io their own broadcast, centrifuge a channel that everybody is subscribed to by the server, ws a loop over its clients.",
		"centrifuge speaks its own JSON protocol: an event is an RPC. Its frames, as wsrouter's, may leave together.",
		"Before memory is read a server collects its garbage (Go: and gives free memory back) and " + p.Window.String() + " pass.",
	} {
		p.f("- %s\n", line)
	}
}

func (p *page) machine() {
	m := p.Machine
	p.f("\n## Machine and versions\n\n%s, %d cores, %s of memory, Linux %s, %s, Node.js %s. Load average before the run: %s. wsrouter at `%s`, %s.\n",
		m.CPU, m.Cores, m.Memory, m.Kernel, m.Go, m.Node, m.Load, m.Commit, m.Date)
	if load, err := strconv.ParseFloat(m.Load, 64); err == nil && load > 1 {
		p.f("**The machine was busy with other things besides**, which widens every figure: small differences mean nothing here.\n")
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

// sorted returns the servers that were measured, the least by a metric beside
// a peer first.
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

// table writes rows, of which the first is the header and the first column text.
func (p *page) table(rows [][]string) {
	for i, row := range rows {
		p.f("| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			p.f("|---%s|\n", strings.Repeat("|---:", len(row)-1))
		}
	}
}
