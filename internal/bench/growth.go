package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// flat is how much more a message may cost than at the start of the scale before
// the text says that its cost is no longer flat.
const flat = 1.25

// growth describes how cost depends on the number of connections and on the size of
// messages, for the servers for which that was measured.
func (p *page) growth() {
	p.f("\n## Growth: connections\n\nServer CPU for an echo, 64 messages in flight over all connections together, which take turns; %d rounds.\n\n", min(p.Rounds, connsRounds))
	p.growthTable("conns", connsCounts, thousandsOf)
	p.f("\n![Lines: server CPU for an echo against connections](benchmarks-conns.svg)\n\n")
	for _, s := range p.growers("conns") {
		p.f("- %s\n", p.flatness(s))
	}
	p.whyConns()
	p.f("\n## Growth: message size\n\nServer CPU for an echo over %d connections, 1 in flight on each.\n\n", sizeConns)
	p.growthTable("size", sizeBytes, size)
	p.f("\n![Lines: server CPU for an echo against message size](benchmarks-size.svg)\n\n")
	p.f("Each byte is unmasked, copied, searched for the end of its string, decoded and encoded; and large messages are garbage to\n")
	p.f("collect. What a message costs and what each of its bytes adds, calculated from the smallest and the largest message, and the\n")
	p.f("size from which the bytes cost more than the rest:\n\n")
	for _, s := range p.growers("size") {
		p.f("- %s\n", p.perByte(s))
	}
}

func thousandsOf(n int) string { return thousands(float64(n)) }

// growers returns the servers that were measured over the whole scale.
func (p *page) growers(measure string) []server {
	grid := p.grid(measure)
	return p.sorted(fmt.Sprint(measure, grid[0]), cpu, anchor, func(s server) bool {
		return (s.grows || measure == "size" && s.sizes) && !slices.ContainsFunc(grid, func(n int) bool { return !p.has(fmt.Sprint(measure, n), s.name) })
	})
}

func (p *page) grid(measure string) []int {
	if measure == "size" {
		return sizeBytes
	}
	return connsCounts
}

func (p *page) growthTable(measure string, grid []int, label func(int) string) {
	header := []string{""}
	for _, n := range grid {
		header = append(header, label(n), "× Bun")
	}
	rows := [][]string{header}
	for _, s := range p.growers(measure) {
		row := []string{s.label()}
		for _, n := range grid {
			name := fmt.Sprint(measure, n)
			row = append(row, micros(p.value(name, s.name, cpu)), times(p.ratio(name, s.name, anchor, cpu)))
		}
		rows = append(rows, row)
	}
	p.table(rows)
}

// flatness says from how many connections on a message costs more. It starts at
// 100, because with fewer connections the messages in flight share system calls.
func (p *page) flatness(s server) string {
	grid := connsCounts[slices.Index(connsCounts, 100):]
	base := p.value(fmt.Sprint("conns", grid[0]), s.name, cpu)
	last := p.value(fmt.Sprint("conns", grid[len(grid)-1]), s.name, cpu)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s at %s connections, %.2f × that at %s", s.label(), micros(base),
		thousandsOf(grid[0]), last/base, thousandsOf(grid[len(grid)-1]))
	for i, n := range grid {
		if p.value(fmt.Sprint("conns", n), s.name, cpu) > flat*base {
			fmt.Fprintf(&b, "; flat (within %.0f %%) up to %s.", (flat-1)*100, thousandsOf(grid[i-1]))
			return b.String()
		}
	}
	fmt.Fprintf(&b, "; flat (within %.0f %%) all the way.", (flat-1)*100)
	return b.String()
}

// whyConns describes a measure in which nearly all connections are idle.
func (p *page) whyConns() {
	few, active, all := fmt.Sprint("conns", activeConns), "active", fmt.Sprint("conns", slices.Max(connsCounts))
	var idle, busy []float64
	own := ""
	for _, s := range p.growers("conns") {
		if !p.has(active, s.name) {
			continue
		}
		idle = append(idle, p.ratioOf(active, few, s.name))
		busy = append(busy, p.ratioOf(all, few, s.name))
		if s.name == "wsrouter" {
			own = fmt.Sprintf(" (wsrouter: %.2f ×)", p.ratioOf(active, few, s.name))
		}
	}
	if len(idle) == 0 {
		return
	}
	p.f("\nIf %s are connected and only %d of them talk, a message costs %.2f to %.2f × what it costs if %d are\n",
		thousandsOf(slices.Max(connsCounts)), activeConns, slices.Min(idle), slices.Max(idle), activeConns)
	p.f("connected%s; if all take turns, %.2f to %.2f ×.\n", own, slices.Min(busy), slices.Max(busy))
	if slices.Max(idle) < flat && slices.Max(busy) > flat {
		p.f("So in none of the servers do open connections cost much. What costs is to return to one that has left the processor's\n")
		p.f("caches: its socket in the kernel, its stack and buffers. At 10 connections the messages in flight share system calls.\n")
	}
}

// ratioOf compares two measures of one server.
func (p *page) ratioOf(measure, to, server string) float64 {
	return p.value(measure, server, cpu) / p.value(to, server, cpu)
}

// perByte splits the cost of a message into a fixed part and a part for each byte,
// given the smallest and the largest message.
func (p *page) perByte(s server) string {
	small, large := sizeBytes[0], sizeBytes[len(sizeBytes)-1]
	least := p.value(fmt.Sprint("size", small), s.name, cpu)
	most := p.value(fmt.Sprint("size", large), s.name, cpu)
	slope := (most - least) / float64(large-small)
	message := least - slope*float64(small)
	return fmt.Sprintf("%s: %s a message and %.2f ns a byte, equal at %s bytes.", s.label(), micros(message), slope*1e9,
		thousands(roundTo(message/slope, 2)))
}

// roundTo rounds to that many digits.
func roundTo(v float64, digits int) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v))-float64(digits-1))
	return math.Round(v/unit) * unit
}

// sleeping describes what handlers that wait do to event loops.
func (p *page) sleeping() {
	p.f("\n## Handlers that wait\n\n%s connections, 1 in flight on each, whose handlers wait as if for a database. ", thousands(sleepConns))
	p.f("Event loops run no handlers,\nso they should not be slower.\n\n")
	rows := [][]string{{"a handler waits", "wsrouter", "wsrouter, loops", "ratio"}}
	for _, d := range sleepTimes {
		name := sleepName(d)
		if !p.has(name, "wsrouter") || !p.has(name, "wsrouter-loops") {
			continue
		}
		without, with := p.value(name, "wsrouter", rate), p.value(name, "wsrouter-loops", rate)
		rows = append(rows, []string{d.String(), thousands(without) + "/s", thousands(with) + "/s", fmt.Sprintf("**%.2f**", with/without)})
	}
	p.table(rows)
}
