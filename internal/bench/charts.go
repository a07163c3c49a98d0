package main

import (
	"fmt"
	"math"
)

// charts draws the charts of the page. It returns them by file name.
func charts(r *results) map[string]string {
	p := &page{results: r}
	return map[string]string{
		"benchmarks.svg": p.overview(),
		"benchmarks-broadcast.svg": p.lines("broadcast", broadcastCounts, plot{
			title: "Server CPU for each delivery, µs", xTitle: "receivers",
		}, thousandsOf, everyone),
		"benchmarks-conns.svg": p.lines("conns", connsCounts, plot{
			title: "Server CPU for an echo, µs", xTitle: "connections (64 messages in flight over all)",
		}, thousandsOf, growing),
		"benchmarks-size.svg": p.lines("size", sizeBytes, plot{
			title: "Server CPU for an echo, µs", xTitle: "size of the data", logY: true,
		}, size, sizing),
	}
}

// overview draws bars relative to Bun, which has the line at 1.
func (p *page) overview() string {
	panels := []struct {
		title, measure string
		metric         metric
		unit           func(float64) string
	}{
		{"Echo, 1 in flight: server CPU a message", "echo1", cpu, micros},
		{"Echo, 16 in flight: server CPU a message", "echo16", cpu, micros},
		{"Broadcast to 1,000: server CPU a delivery", "broadcast1000", cpu, micros},
		{"Idle connection: memory", "idle", held, kilobytes},
	}
	const width, column, margin = 980, 460, 20
	height := 0.0
	for range 2 { // the first time only to learn the height
		c := newCanvas(width, height, "wsrouter and its peers, relative to "+p.base().title+"; shorter is better")
		c.text(margin, 28, "start", "ink", "Relative to "+p.base().title+" (dashed line at 1): shorter is better")
		y := 48.0
		for i, panel := range panels {
			var bars []bar
			base := p.base().name
			for _, s := range p.sorted(panel.measure, panel.metric, base, everyone) {
				ratio := p.ratio(panel.measure, s.name, base, panel.metric)
				if math.IsNaN(ratio) {
					continue
				}
				bars = append(bars, bar{s.title, ratio, fmt.Sprintf("%.2f × (%s)", ratio,
					panel.unit(p.value(panel.measure, s.name, panel.metric))), s.class()})
			}
			used := c.panel(margin+float64(i%2)*(column+margin), y, column, panel.title, bars)
			if i%2 == 1 {
				y += used + 20
			}
		}
		if height > 0 {
			return c.String()
		}
		height = y
	}
	return ""
}

// base returns the server that the bars are relative to: Bun or, if it could not be
// measured, the loop on coder/websocket.
func (p *page) base() server {
	if p.has("echo1", anchor) {
		return named(anchor)
	}
	return named("coder")
}

// class returns the class of a server's bar in the style sheet.
func (s server) class() string {
	switch {
	case s.ours():
		return "own"
	case s.name == anchor:
		return "anchor"
	default:
		return "bar"
	}
}

// lines draws a measure over its grid, for the servers that of selects.
func (p *page) lines(measure string, grid []int, plot plot, label func(int) string, of func(server) bool) string {
	plot.yLabel = func(v float64) string { return fmt.Sprintf("%g", math.Round(v*100)/100) }
	for _, n := range grid {
		plot.ticks = append(plot.ticks, float64(n))
		plot.tickLabels = append(plot.tickLabels, label(n))
	}
	for _, s := range servers {
		if !of(s) || !p.has(fmt.Sprint(measure, grid[0]), s.name) {
			continue
		}
		line := series{label: s.title, color: s.color, own: s.ours()}
		for _, n := range grid {
			line.values = append(line.values, p.value(fmt.Sprint(measure, n), s.name, cpu)*1e6)
		}
		plot.lines = append(plot.lines, line)
	}
	return plot.draw()
}
