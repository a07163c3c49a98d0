package main

import (
	"fmt"
	"math"
	"strings"
)

// target is what wsrouter should reach, relative to a peer in the same run.
type target struct {
	what    string
	measure string
	server  string // without event loops; the one with loops is shown beside it
	peer    string
	metric  metric
	most    float64 // this many times the peer's value
	loops   bool    // the target is for event loops
	above   float64 // or this many bytes above the floor are enough
}

// targets are those of the design. Bun's WebSocket is the fastest known.
var targets = []target{
	{what: "Echo, 1 in flight", measure: "echo1", server: "wsrouter", peer: "bun-ws", metric: cpu, most: 1.20, loops: true},
	{what: "Echo, 1 in flight", measure: "echo1", server: "wsrouter", peer: "gws", metric: cpu, most: 1.00},
	{what: "Echo, 16 in flight", measure: "echo16", server: "wsrouter", peer: "bun-ws", metric: cpu, most: 1.60, loops: true},
	{what: "Broadcast to 1,000", measure: "broadcast1000", server: "wsrouter", peer: "bun-ws", metric: cpu, most: 1.20},
	{what: "Broadcast to 10,000", measure: "broadcast10000", server: "wsrouter", peer: "bun-ws", metric: cpu, most: 1.20},
	{what: "Idle connection, Detach", measure: "idle", server: "wsrouter-detach", peer: "bun-ws", metric: held, most: 1.00, loops: true},
	{what: "Idle connection", measure: "idle", server: "wsrouter", peer: "gws", metric: held, most: 1.50, above: 1024},
	{what: "Connect", measure: "idle", server: "wsrouter", peer: "bun-ws", metric: cpu, most: 1.70, loops: true},
	{what: "Socket.IO echo, 1 in flight", measure: "echo1", server: "wsrouter-socketio", peer: "node-socketio", metric: cpu, most: 0.40},
	{what: "Socket.IO echo, 16 in flight", measure: "echo16", server: "wsrouter-socketio", peer: "node-socketio", metric: cpu, most: 0.12},
	{what: "Socket.IO echo, 1 in flight", measure: "echo1", server: "wsrouter-socketio", peer: "bun-socketio", metric: cpu, most: 0.80},
	{what: "Socket.IO echo, 16 in flight", measure: "echo16", server: "wsrouter-socketio", peer: "bun-socketio", metric: cpu, most: 0.80},
	{what: "Socket.IO idle connection", measure: "idle", server: "wsrouter-socketio", peer: "node-socketio", metric: held, most: 1.00, loops: true},
	{what: "Socket.IO echo of 256 B", measure: "size256", server: "wsrouter-socketio", peer: "node-socketio", metric: cpu, most: 1.00},
	{what: "Socket.IO echo of 4 KB", measure: "size4096", server: "wsrouter-socketio", peer: "node-socketio", metric: cpu, most: 1.00},
	{what: "Socket.IO echo of 64 KB", measure: "size65536", server: "wsrouter-socketio", peer: "node-socketio", metric: cpu, most: 1.00},
}

// earlier are targets relative to Go libraries, for servers with and without loops.
var earlier = []target{
	{what: "Echo, 1 in flight", measure: "echo1", server: "wsrouter", peer: "coder", metric: cpu, most: 1.10},
	{what: "Echo, 16 in flight", measure: "echo16", server: "wsrouter", peer: "coder", metric: cpu, most: 0.45},
	{what: "Broadcast to 1,000", measure: "broadcast1000", server: "wsrouter", peer: "gws", metric: cpu, most: 0.80},
	{what: "Broadcast to 1,000", measure: "broadcast1000", server: "wsrouter", peer: "melody", metric: cpu, most: 0.60},
	{what: "Idle connection", measure: "idle", server: "wsrouter", peer: "coder", metric: held, most: 1.00},
	{what: "Idle connection, Detach", measure: "idle", server: "wsrouter-detach", peer: "coder", metric: held, most: 0.55},
	{what: "Connect", measure: "idle", server: "wsrouter", peer: "coder", metric: cpu, most: 1.10},
}

// verdict says whether a ratio reaches the target, and if not by how much it
// misses.
func (t target) verdict(ratio float64) string {
	if math.IsNaN(ratio) {
		return "not measured"
	}
	// The ratio as it is printed, so that nobody sees 1.10 missing 1.10.
	if over := round2(ratio)/t.most - 1; over > 0 {
		return fmt.Sprintf("missed by %.0f %%", max(over*100, 1))
	}
	return "met"
}

// unit returns what the metric counts.
func (t target) unit() string {
	switch {
	case strings.HasPrefix(t.measure, "broadcast"):
		return "server CPU a delivery"
	case strings.HasPrefix(t.measure, "size"), strings.HasPrefix(t.measure, "echo"):
		return "server CPU a message"
	case strings.HasPrefix(t.what, "Connect"):
		return "server CPU each"
	default:
		return "resident bytes"
	}
}

// targets writes what the design asks for, with event loops off and on.
func (p *page) targets() {
	met := 0
	rows := [][]string{{"", "measured with", "beside", "target", "loops off", "loops on", ""}}
	for _, t := range targets {
		off, on := p.both(t)
		ratio := off
		if t.loops && !math.IsNaN(on) {
			ratio = on
		}
		verdict := t.verdict(ratio)
		if above := p.value(t.measure, t.server, held) - p.value(t.measure, "floor", held); verdict != "met" && t.above > 0 && above <= t.above {
			verdict = "met: " + kilobytes(above) + " above the floor"
		}
		if strings.HasPrefix(verdict, "met") {
			met++
		}
		rows = append(rows, []string{t.what, t.unit(), named(t.peer).title, t.wants(), bold(off, !t.loops), bold(on, t.loops), verdict})
	}
	p.f("\n## Targets\n\nWhat the design asks for, and what was measured: %d of %d are met. If a target is for event loops\n", met, len(targets))
	p.f("(`Options.EventLoops`, off by default), the ratio with them counts, in bold.")
	if !p.has("echo1", "wsrouter-loops") {
		p.f(" **They were not measured in this run.**")
	}
	p.f("\n\n")
	p.table(append(rows, []string{"100,000 real connections", "resident bytes", "", "≤ 3.5 KB, Detach", "", "", "[below](#many-real-connections)"}))
	if p.has("idle", "wsrouter") && p.has("idle", "floor") {
		p.f("\nAn idle connection without `Detach` may also cost 1 KB more than the floor, a bare goroutine that waits in ServeHTTP:\n")
		p.f("it costs %s, and the floor %s.\n", kilobytes(p.value("idle", "wsrouter", held)), kilobytes(p.value("idle", "floor", held)))
	}
	p.f("\nEarlier targets, relative to Go libraries:\n\n")
	rows = [][]string{{"", "measured with", "beside", "target", "loops off", "loops on", ""}}
	for _, t := range earlier {
		off, on := p.both(t)
		rows = append(rows, []string{t.what, t.unit(), named(t.peer).title, t.wants(), bold(off, true), bold(on, false), t.verdict(off)})
	}
	p.table(rows)
}

// both returns the ratios without event loops and with them.
func (p *page) both(t target) (off, on float64) {
	return p.ratio(t.measure, t.server, t.peer, t.metric), p.ratio(t.measure, t.server+"-loops", t.peer, t.metric)
}

func (t target) wants() string {
	wants := fmt.Sprintf("≤ %.2f ×", t.most)
	if t.loops {
		wants += ", loops"
	}
	return wants
}

// bold writes a ratio, in bold if it is the one that counts.
func bold(ratio float64, counts bool) string {
	switch {
	case math.IsNaN(ratio):
		return ""
	case counts:
		return fmt.Sprintf("**%.2f ×**", ratio)
	default:
		return fmt.Sprintf("%.2f ×", ratio)
	}
}
