package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wsrouter/wsrouter/internal/bench/load"
)

func TestMedian(t *testing.T) {
	require.True(t, math.IsNaN(median(nil)))
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1}, 5},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		require.Equal(t, test.want, median(test.values), "%v", test.values)
	}
}

// TestRatio pairs the samples of a round: a round in which everything was slow
// does not count for one side alone.
func TestRatio(t *testing.T) {
	r := madeUp(t, func(measure, server string, round int) float64 {
		slow := []float64{1, 10, 2}[round]
		if server == "coder" {
			return slow * 2
		}
		return slow
	})
	require.Equal(t, 0.5, r.ratio("echo1", "wsrouter", "coder", cpu))
	require.Equal(t, 2.0, r.value("echo1", "wsrouter", cpu)*1e6)
}

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		ratio float64
		want  string
	}{
		{0.5, "met"},
		{0.804, "met"},
		{0.81, "missed by 1 %"},
		{1.2, "missed by 50 %"},
	} {
		require.Equal(t, test.want, target{most: 0.80}.verdict(test.ratio), "%v", test.ratio)
	}
}

func TestFormat(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{micros(1.234e-6), "1.23 µs"},
		{micros(12.34e-6), "12.3 µs"},
		{micros(123.4e-6), "123 µs"},
		{micros(1.234e-3), "1.2 ms"},
		{micros(0.1234), "123 ms"},
		{thousands(0), "0"},
		{thousands(999), "999"},
		{thousands(1234567), "1,234,567"},
		{size(16), "16 B"},
		{size(4 << 10), "4 KB"},
		{size(1 << 20), "1 MB"},
		{times(math.NaN()), ""},
		{times(0.456), "0.46"},
	} {
		require.Equal(t, test.want, test.got)
	}
	require.Equal(t, 1200.0, roundTo(1234, 2))
}

func TestParseResident(t *testing.T) {
	got, err := parseResident([]byte("55be0e2b2000-7ffe48cd9000 ---p 00000000 00:00 0  [rollup]\nRss:     1728 kB\nPss:   346 kB\n"))
	require.NoError(t, err)
	require.Equal(t, 1728<<10, got)
	_, err = parseResident([]byte("Pss:   346 kB\n"))
	require.Error(t, err)
}

func TestVersions(t *testing.T) {
	require.Equal(t, "AMD EPYC", field("processor\t: 0\nmodel name\t: AMD EPYC\n", "model name"))
	require.Equal(t, "unknown", field("", "model name"))
	require.Equal(t, []string{"@nestjs/core 12.5.1", "@nestjs/platform-ws 12.1.1", "ws 8.23.0"},
		nodeVersions(`"@nestjs/core": "12.5.1", "@nestjs/platform-ws": "12.1.1", "rxjs": "7.8.2", "ws": "8.23.0"`))
}

func TestSpread(t *testing.T) {
	require.Equal(t, []float64{30, 10, 20}, spread([]float64{12, 10, 11}, 10, 0, 100), "pushed apart, in order")
	require.Equal(t, []float64{90, 100}, spread([]float64{99, 100}, 10, 0, 100), "within the bottom")
}

func TestWants(t *testing.T) {
	for _, test := range []struct {
		measures string
		want     string
	}{
		{"echo", "echo1 echo16"},
		{"echo1", "echo1"},
		{"echo16,idle", "echo16 idle"},
	} {
		var got []string
		for _, session := range plan(config{measures: split(test.measures), window: time.Second}) {
			for _, step := range session.steps {
				got = append(got, step.name)
			}
		}
		require.Equal(t, test.want, strings.Join(got, " "), test.measures)
	}
}

// madeUp returns results of all measures, with so many microseconds each.
func madeUp(t *testing.T, micros func(measure, server string, round int) float64) *results {
	t.Helper()
	r := &results{Rounds: 3, Samples: make(map[string]map[string][]sample)}
	for round := range r.Rounds {
		for _, session := range plan(config{window: time.Second}) {
			for _, step := range session.steps {
				for _, s := range servers {
					each := micros(step.name, s.name, round)
					r.add(step.name, s.name, sample{
						Result: load.Result{Messages: 1, Seconds: 1, CPU: each / 1e6},
						Bytes:  each * 1000,
					})
				}
			}
		}
	}
	return r
}

// TestPage writes the page of made-up results: its words follow the figures, and
// its charts are well-formed whatever a title holds.
func TestPage(t *testing.T) {
	r := madeUp(t, func(measure, server string, _ int) float64 {
		switch {
		case measure == "conns15000":
			return 20
		case measure == "size1048576":
			return 8 + (1<<20-16)/1e3 // a nanosecond a byte
		case server == "gws" && measure == "size4096":
			return 4
		case strings.HasPrefix(server, "wsrouter"):
			return 8
		default:
			return 10
		}
	})
	folder := t.TempDir()
	require.NoError(t, writePage(folder, r))
	text, err := os.ReadFile(folder + "/benchmarks.md")
	require.NoError(t, err)
	for _, want := range []string{
		"5 of 9 are met",
		"| Echo, 16 in flight: wsrouter | coder/websocket loop | **0.80 ×** | ≤ 0.45 × | missed by 78 % |",
		"- WebSocket, echo of 4 KB: gws 0.50 ×\n",
		"- **wsrouter**: 8.00 µs at 100 connections, 2.50 × that at 15,000; flat (within 25 %) up to 5,000.",
		"(wsrouter: 1.00 ×); where all take turns, 2.00 to 2.50 ×.\nSo it is not open connections that cost",
		"- **wsrouter**: 7.98 µs a message and 1.00 ns a byte, equal at 8,000 bytes.",
		"| NestJS, socket.io | 1.00 |",
	} {
		require.True(t, strings.Contains(string(text), want), want)
	}
	require.False(t, strings.Contains(string(text), "NaN"))
	for name := range charts(r) {
		svg, err := os.ReadFile(folder + "/" + name)
		require.NoError(t, err)
		require.True(t, strings.Contains(string(text), name), name)
		wellFormed(t, name, string(svg))
	}
}

func TestEscape(t *testing.T) {
	c := newCanvas(10, 10, `<b> & "quotes"`)
	c.text(1, 2, "start", "ink", `</text><script>`)
	wellFormed(t, "canvas", c.String())
	require.NotContains(t, c.String(), "<script>")
}

func wellFormed(t *testing.T, name, svg string) {
	t.Helper()
	require.NotContains(t, svg, "NaN", name)
	require.NotContains(t, svg, "Inf", name)
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else {
			require.NoError(t, err, name)
		}
	}
}
