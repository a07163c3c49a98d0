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

// TestRatio pairs the samples of a round: a round in which everything was slow does
// not count against one side only.
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

	r.Samples["echo1"]["wsrouter"] = r.Samples["echo1"]["wsrouter"][1:] // the first round failed
	require.Equal(t, 0.5, r.ratio("echo1", "wsrouter", "coder", cpu), "still beside its own round")
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

// madeUp returns results of all measures but those with event loops. micros returns
// the microseconds of each sample.
func madeUp(t *testing.T, micros func(measure, server string, round int) float64) *results {
	t.Helper()
	r := &results{Rounds: 3, Samples: make(map[string]map[string][]sample)}
	for round := range r.Rounds {
		for _, session := range plan(config{window: time.Second}) {
			for _, step := range session.steps {
				for _, s := range servers {
					if s.loops {
						continue
					}
					each := micros(step.name, s.name, round)
					r.add(step.name, s.name, sample{
						Result: load.Result{Messages: 1, Seconds: 1, CPU: each / 1e6},
						Bytes:  each * 1000,
						Round:  round,
					})
				}
			}
		}
	}
	return r
}

// TestPage writes the page of made-up results: its words follow the figures, and
// its charts are well-formed whatever a title contains.
func TestPage(t *testing.T) {
	r := madeUp(t, func(measure, server string, _ int) float64 {
		switch {
		case measure == "conns15000":
			return 20
		case measure == "size1048576":
			return 8 + (1<<20-16)/1e3 // a nanosecond for each byte
		case server == "gws" && measure == "size4096":
			return 4
		case server == "floor":
			return 7
		case strings.HasPrefix(server, "wsrouter"):
			return 8
		default:
			return 10
		}
	})
	page := written(t, r)
	for _, want := range []string{
		"14 of 16 are met",
		"| Socket.IO echo, 1 in flight | server CPU a message | Node.js socket.io | ≤ 0.40 × | **0.80 ×** |  | missed by 100 % |",
		"| Echo, 1 in flight | server CPU a message | coder/websocket loop | ≤ 1.10 × | **0.80 ×** |  | met |",
		"- WebSocket, echo of 4 KB: gws 0.50 ×\n",
		"- **wsrouter**: 8.00 µs at 100 connections, 2.50 × that at 15,000; flat (within 25 %) up to 5,000.",
		"(wsrouter: 1.00 ×); if all take turns, 2.00 to 2.50 ×.\nSo in none of the servers do open connections cost much",
		"- **wsrouter**: 7.98 µs a message and 1.00 ns a byte, equal at 8,000 bytes.",
		"| NestJS, socket.io | 1.00 |",
		"| Bun (uWebSockets) | 1.00 | 1.00 | 10.0 µs |",
		"| floor: net/http, no JSON | 0.70 | 0.70 | 7.00 µs |",
		"What a delivery among 10,000 costs, relative to one among 100: wsrouter 1.0 ×, Bun (uWebSockets) 1.0 ×, gws 1.0 ×,",
	} {
		require.True(t, strings.Contains(page, want), want)
	}
	require.False(t, strings.Contains(page, "failed"))
}

// written writes the page and checks what holds for every page.
func written(t *testing.T, r *results) string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, writePage(folder, r))
	text, err := os.ReadFile(folder + "/benchmarks.md")
	require.NoError(t, err)
	require.False(t, strings.Contains(string(text), "NaN"))
	for name := range charts(r) {
		svg, err := os.ReadFile(folder + "/" + name)
		require.NoError(t, err)
		require.True(t, strings.Contains(string(text), name), name)
		wellFormed(t, name, string(svg))
	}
	return string(text)
}

// TestPageWithoutSome: the page leaves out what was not measured, whatever that is,
// and says so.
func TestPageWithoutSome(t *testing.T) {
	same := func(string, string, int) float64 { return 10 }
	for _, s := range servers {
		r := madeUp(t, same)
		for _, samples := range r.Samples {
			delete(samples, s.name)
		}
		r.Failures = []failure{{s.name, 2, "echo16: the server hung up\nand more"}}
		page, rest, _ := strings.Cut(written(t, r), "<!-- crowd") // which is measured apart
		_, rest, _ = strings.Cut(rest, "<!-- end of crowd -->")
		page += rest
		require.True(t, strings.Contains(page, s.title+", round 3: echo16: the server hung up\n"), s.name)
		require.False(t, strings.Contains(page, "\n| "+s.label()+" |"), "%s has a row", s.name)
	}
	for measure := range madeUp(t, same).Samples {
		r := madeUp(t, same)
		delete(r.Samples[measure], "wsrouter") // it failed in the middle of a session
		require.True(t, strings.Contains(written(t, r), "| **wsrouter, Detach** |"), measure)
	}
}

// TestLoops: rows with event loops are beside those without.
func TestLoops(t *testing.T) {
	r := madeUp(t, func(string, string, int) float64 { return 10 })
	require.NotEmpty(t, r.Samples["echo1"]["bun-ws"])
	for round := range r.Rounds {
		r.Samples["echo1"]["wsrouter-loops"] = append(r.Samples["echo1"]["wsrouter-loops"],
			sample{Result: load.Result{Messages: 1, Seconds: 1, CPU: 9e-6}, Round: round})
	}
	p := &page{results: r}
	p.targets()
	require.Contains(t, p.String(), "| Echo, 1 in flight | server CPU a message | Bun (uWebSockets) | ≤ 1.20 ×, loops | 1.00 × | **0.90 ×** | met |")
	require.NotContains(t, p.String(), "not measured in this run")
}

// TestCrowdSection: the section says what was reached, by which server, and what
// failed.
func TestCrowdSection(t *testing.T) {
	r := crowdResults{Conns: 100_000, Beat: 10 * time.Minute, Ping: 10 * time.Second, Files: 20_000, Pairs: 6, Rows: []crowdRow{
		{
			Server: "wsrouter", Memory: memory{9000, 12000}, Connect: load.Result{Messages: 100_000, Seconds: 25, CPU: 20},
			EchoOne: load.Result{Messages: 1, CPU: 1e-5}, Echo: load.Result{Messages: 1, CPU: 1e-5},
			Broadcast: load.Result{Messages: 200_000, Seconds: 2, CPU: 1},
			Beat:      load.Result{Messages: 6_000_000, Seconds: 600, CPU: 60, Least: 59},
			Drain:     load.Result{Messages: 99_999, Cut: 1, Why: "the server hung up", Seconds: 3, CPU: 10},
		},
		{Server: "wsrouter-detach", Memory: memory{3584, 6000}},
		{Server: "bun-ws", Error: "connect: no\nmore"},
	}}
	section := r.section()
	for _, want := range []string{
		"so 6 server processes hold them",
		"≤ 3.5 KB each with `Detach`, for 100,000: met, 3.5 KB for 100,000.",
		"Of the connections of **wsrouter** 1 were cut; the client of the first was told: the server hung up.",
		"| **wsrouter** | 8.8 KB | 11.7 KB | 200 µs | 4,000 |",
		"| 5.00 µs | 100,000 |\n",
		"| **wsrouter** | 10,000 | 59 | 10.0 µs | 10 % | 0.0 KB | 100 µs | 3.0 s | 1 |",
		"**Bun (uWebSockets) failed**: connect: no\n",
		"`PongTimeout` are 10 s, watched for 10 min;",
	} {
		require.Contains(t, section, want)
	}
	require.NotContains(t, section, "NaN")
	r.Rows[1].Memory.Resident = 4096
	require.Contains(t, r.section(), "missed, 4.0 KB")

	file := t.TempDir() + "/page.md"
	require.NoError(t, os.WriteFile(file, []byte("before\n"+(&crowdResults{}).section()+"after\n"), 0o644))
	require.NoError(t, r.splice(file))
	require.NoError(t, r.splice(file), "again")
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "before\n"+r.section()+"after\n", string(got))
	require.NoError(t, os.WriteFile(file, []byte("before\n"), 0o644))
	require.Error(t, r.splice(file))
}

func TestPairsFor(t *testing.T) {
	require.Equal(t, 1, pairsFor(19_800, 20_000))
	require.Equal(t, 2, pairsFor(19_801, 20_000))
	require.Equal(t, 1, pairsFor(100_000, 100_200))
}

func TestEscape(t *testing.T) {
	c := newCanvas(10, 10, `<b> & "quotes"`)
	c.text(1, 2, "start", "ink", `</text><script>`)
	wellFormed(t, "canvas", c.String())
	require.NotContains(t, c.String(), "<script>")
}

func wellFormed(t *testing.T, name, svg string) {
	t.Helper()
	require.False(t, strings.Contains(svg, "NaN"), name)
	require.False(t, strings.Contains(svg, "Inf"), name)
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else {
			require.NoError(t, err, name)
		}
	}
}
