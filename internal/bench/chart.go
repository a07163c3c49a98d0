package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// canvas is an SVG that is being drawn. It has a background of its own, because it
// is shown on pages whose color it cannot know, and follows the reader's preference
// for light or dark.
type canvas struct {
	b             strings.Builder
	width, height float64
}

const style = `
.paper { fill: #ffffff; stroke: #d1d9e0 }
.ink { fill: #1f2328 } .faint { fill: #59636e }
.grid { stroke: #d1d9e0 } .mark { stroke: #59636e; stroke-dasharray: 3 3 }
.bar { fill: #9aa4af } .own { fill: #0969da } .ownink { fill: #0969da; font-weight: 600 }
.anchor { fill: #bf3989 } .anchorink { fill: #bf3989; font-weight: 600 }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117; stroke: #3d444d }
.ink { fill: #f0f6fc } .faint { fill: #9198a1 }
.grid { stroke: #3d444d } .mark { stroke: #9198a1 }
.bar { fill: #656c76 } .own { fill: #4493f8 } .ownink { fill: #4493f8 }
.anchor { fill: #db61a2 } .anchorink { fill: #db61a2 }
}`

func newCanvas(width, height float64, title string) *canvas {
	c := &canvas{width: width, height: height}
	fmt.Fprintf(&c.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img" `+
		`font-family="system-ui, sans-serif" font-size="12">`, width, height, width, height)
	fmt.Fprintf(&c.b, "\n<title>%s</title>\n<style>%s\n</style>\n", escape(title), style)
	fmt.Fprintf(&c.b, `<rect class="paper" x="0.5" y="0.5" width="%g" height="%g" rx="6"/>`+"\n", width-1, height-1)
	return c
}

func (c *canvas) String() string { return c.b.String() + "</svg>\n" }

// text writes s with its baseline at y; anchor is "start", "middle" or "end".
func (c *canvas) text(x, y float64, anchor, class, s string) {
	fmt.Fprintf(&c.b, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`+"\n", x, y, anchor, class, escape(s))
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&c.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`+"\n", x1, y1, x2, y2, class)
}

func (c *canvas) rect(x, y, width, height float64, class string) {
	fmt.Fprintf(&c.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2" class="%s"/>`+"\n", x, y, width, height, class)
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

// bar is a bar of a panel.
type bar struct {
	label string
	value float64
	note  string // in a column after the bars
	class string // "bar", or a class that stands out
}

// panel draws bars below each other, with a line at the value 1, and returns its
// height.
func (c *canvas) panel(x, y, width float64, title string, bars []bar) float64 {
	const row, labels, notes = 19, 160, 115
	longest := 1.0
	for _, b := range bars {
		longest = max(longest, b.value)
	}
	unit := (width - labels - notes) / longest
	c.text(x, y+14, "start", "ink", title)
	top := y + 26
	bottom := top + float64(len(bars))*row
	c.line(x+labels+unit, top-2, x+labels+unit, bottom, "mark")
	for i, b := range bars {
		at := top + float64(i)*row
		ink := "ink"
		if b.class != "bar" {
			ink = b.class + "ink"
		}
		c.text(x+labels-8, at+12, "end", ink, b.label)
		c.rect(x+labels, at+2, max(b.value*unit, 1), row-6, b.class)
		c.text(x+width-notes+10, at+12, "start", "faint", b.note)
	}
	return bottom - y
}

// series is one line of a plot. Values that are NaN are left out.
type series struct {
	label  string
	color  string
	own    bool
	values []float64
}

// plot is lines over a logarithmic x axis.
type plot struct {
	title, xTitle string
	ticks         []float64 // of x, one for each value
	tickLabels    []string
	logY          bool
	yLabel        func(float64) string
	lines         []series
}

func (p plot) draw() string {
	const width, height, left, right, top, bottom = 860, 430, 64, 190, 44, 52
	c := newCanvas(width, height, p.title)
	c.text(20, 26, "start", "ink", p.title)
	low, high, yTicks := p.yAxis()
	scale := func(v, low, high float64, log bool) float64 {
		if log {
			v, low, high = math.Log(v), math.Log(low), math.Log(high)
		}
		return (v - low) / (high - low)
	}
	x := func(v float64) float64 {
		return left + (width-left-right)*scale(v, p.ticks[0], p.ticks[len(p.ticks)-1], true)
	}
	y := func(v float64) float64 { return height - bottom - (height-top-bottom)*scale(v, low, high, p.logY) }
	for _, v := range yTicks {
		c.line(left, y(v), width-right, y(v), "grid")
		c.text(left-8, y(v)+4, "end", "faint", p.yLabel(v))
	}
	for i, v := range p.ticks {
		c.text(x(v), height-bottom+18, "middle", "faint", p.tickLabels[i])
	}
	c.text(left+(width-left-right)/2, height-14, "middle", "faint", p.xTitle)
	ends := make([]float64, len(p.lines))
	for i, line := range p.lines {
		ends[i] = c.polyline(line, p.ticks, x, y)
	}
	for i, at := range spread(ends, 15, top, height-bottom) {
		fmt.Fprintf(&c.b, `<text x="%.1f" y="%.1f" fill="%s"%s>%s</text>`+"\n", float64(width-right+10), at+4,
			p.lines[i].color, weight(p.lines[i].own), escape(p.lines[i].label))
	}
	return c.String()
}

func weight(own bool) string {
	if own {
		return ` font-weight="600"`
	}
	return ""
}

// polyline draws a line with its points and returns where it ends.
func (c *canvas) polyline(line series, ticks []float64, x, y func(float64) float64) (end float64) {
	var points []string
	for i, v := range line.values {
		if math.IsNaN(v) {
			continue
		}
		end = y(v)
		points = append(points, fmt.Sprintf("%.1f,%.1f", x(ticks[i]), end))
	}
	strokeWidth := 1.5
	if line.own {
		strokeWidth = 3
	}
	fmt.Fprintf(&c.b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="%g"/>`+"\n",
		strings.Join(points, " "), line.color, strokeWidth)
	for _, point := range points {
		at, of, _ := strings.Cut(point, ",")
		fmt.Fprintf(&c.b, `<circle cx="%s" cy="%s" r="3" fill="%s"/>`+"\n", at, of, line.color)
	}
	return end
}

// yAxis returns the axis' ends and ticks: from zero, or over whole powers of ten.
func (p plot) yAxis() (low, high float64, ticks []float64) {
	low, high = math.Inf(1), 0
	for _, line := range p.lines {
		for _, v := range line.values {
			if !math.IsNaN(v) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if high == 0 {
		low, high = 1, 1 // there is nothing to draw
	}
	if p.logY {
		low = math.Pow(10, math.Floor(math.Log10(low)))
		for v := low; ; v *= 10 {
			ticks = append(ticks, v)
			if v >= high && v > low {
				return low, v, ticks
			}
		}
	}
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for high/step < 4 {
		step /= 2
	}
	for v := 0.0; ; v += step {
		ticks = append(ticks, v)
		if v >= high {
			return 0, v, ticks
		}
	}
}

// spread moves labels apart that are closer than gap, within top and bottom, and
// keeps their order.
func spread(at []float64, gap, top, bottom float64) []float64 {
	order := argsort(at)
	out := make([]float64, len(at))
	copy(out, at)
	for n := range order { // push down
		if n > 0 {
			out[order[n]] = max(out[order[n]], out[order[n-1]]+gap)
		} else {
			out[order[0]] = max(out[order[0]], top)
		}
	}
	for n := len(order) - 1; n >= 0; n-- { // and back up
		limit := bottom
		if n < len(order)-1 {
			limit = out[order[n+1]] - gap
		}
		out[order[n]] = min(out[order[n]], limit)
	}
	return out
}
