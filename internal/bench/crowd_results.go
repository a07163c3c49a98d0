package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter/internal/bench/load"
)

// crowdFile keeps the last run with a crowd, which takes longer than everything
// else.
const crowdFile = "crowd.json"

// crowdResults are the results of a run with a crowd.
type crowdResults struct {
	Machine machine       `json:"machine"`
	Conns   int           `json:"conns"`
	Beat    time.Duration `json:"beat"`
	Ping    time.Duration `json:"ping"`
	Files   int           `json:"files"` // ulimit -n
	Pairs   int           `json:"pairs"` // of a server and its load
	Rows    []crowdRow    `json:"rows"`
}

// crowdRow is the results of one server. Memory is for each connection.
type crowdRow struct {
	Server      string      `json:"server"`
	Connect     load.Result `json:"connect"`
	Memory      memory      `json:"memory"`
	EchoOne     load.Result `json:"echo_one"` // one in flight, over the connections of one pair
	Echo        load.Result `json:"echo"`
	Broadcast   load.Result `json:"broadcast"`
	Beat        load.Result `json:"beat"`
	MemoryAfter memory      `json:"memory_after"`
	Drain       load.Result `json:"drain"`
	Error       string      `json:"error,omitempty"`
}

func (r *crowdResults) save() error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(crowdFile, append(b, '\n'), 0o644)
}

// readCrowd returns the last run; it has no rows if there was none.
func readCrowd() (*crowdResults, error) {
	var r crowdResults
	b, err := os.ReadFile(crowdFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &r, nil
	}
	if err != nil {
		return nil, err
	}
	return &r, json.Unmarshal(b, &r)
}

// The section is between these lines, so that it can be rewritten alone.
const crowdBegin, crowdEnd = "<!-- crowd: go run . crowd -->\n", "<!-- end of crowd -->\n"

// splice puts the section into an existing page.
func (r *crowdResults) splice(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), crowdBegin)
	_, after, found := strings.Cut(rest, crowdEnd)
	if !ok || !found {
		return fmt.Errorf("%s has no section for the crowd: write the page first", file)
	}
	return os.WriteFile(file, []byte(before+r.section()+after), 0o644)
}

// section describes the results.
func (r *crowdResults) section() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s## Many real connections\n\n", crowdBegin)
	if len(r.Rows) == 0 {
		fmt.Fprintf(&b, "Not measured yet: `cd internal/bench && go run . crowd`.\n%s", crowdEnd)
		return b.String()
	}
	fmt.Fprintf(&b, "%s connections over loopback, each with a socket at either end, from several addresses; server and load share %d cores.\n",
		thousandsOf(r.Conns), r.Machine.Cores)
	fmt.Fprintf(&b, "`cd internal/bench && go run . crowd` measures them, one server after another, and writes this section.\n")
	if r.Pairs > 1 {
		fmt.Fprintf(&b, "A process may open %s files here, so %d server processes hold them at the same time, each with a load process of its own.\nA broadcast \"to all\" goes from each server to its own clients.\n",
			thousandsOf(r.Files), r.Pairs)
	}
	fmt.Fprintf(&b, "\nTarget: ≤ 3.5 KB each with `Detach`, for 100,000: %s for %s.\n\n", r.verdict(), thousandsOf(r.Conns))
	part(&b, r.memoryTable(), "*Machine* is by how much the machine's available memory shrank: besides the server this includes the kernel's sockets at both\n"+
		"ends, the load, and whatever else the machine did.")
	part(&b, r.trafficTable(), "An echo with one in flight goes to another connection each time. The time of a broadcast lasts until the last client has it.")
	part(&b, r.lifeTable(), fmt.Sprintf("Heartbeats: `PingInterval` and `PongTimeout` are %s, watched for %s; *fewest* is the smallest number of pings that any\n"+
		"connection answered. Drain: `Shutdown` without a spread; *cut* connections ended without a close frame.", plain(r.Ping), plain(r.Beat)))
	fmt.Fprintf(&b, "Measured on %s, wsrouter at `%s`.\n", r.Machine.Date, r.Machine.Commit)
	for _, row := range r.Rows {
		if row.Drain.Why != "" {
			fmt.Fprintf(&b, "\nOf the connections of %s %s were cut; the client of the first was told: %s.\n", titleOf(row.Server), thousandsOf(row.Drain.Cut), row.Drain.Why)
		}
		if row.Error != "" {
			first, _, _ := strings.Cut(row.Error, "\n")
			fmt.Fprintf(&b, "\n**%s failed**: %s\n", titleOf(row.Server), first)
		}
	}
	b.WriteString(crowdEnd)
	return b.String()
}

// part writes a table and its explanation, unless the table is empty.
func part(b *strings.Builder, rows [][]string, explained string) {
	if len(rows) > 1 {
		fmt.Fprintf(b, "%s\n%s\n\n", tableOf(rows), explained)
	}
}

// plain writes whole minutes and seconds in words.
func plain(d time.Duration) string {
	if d >= time.Minute && d%time.Minute == 0 {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%g s", d.Seconds())
}

// verdict returns the verdict on the best row with Detach.
func (r *crowdResults) verdict() string {
	const most = 3.5 * 1024
	best := 0.0
	for _, row := range r.Rows {
		if strings.HasPrefix(row.Server, "wsrouter-detach") && row.Memory.Resident > 0 && (best == 0 || row.Memory.Resident < best) {
			best = row.Memory.Resident
		}
	}
	switch {
	case best == 0:
		return "not measured"
	case best <= most:
		return "met, " + kilobytes(best)
	default:
		return fmt.Sprintf("missed, %s", kilobytes(best))
	}
}

func titleOf(name string) string {
	if s, ok := find(name); ok {
		return s.label()
	}
	return name
}

func (r *crowdResults) memoryTable() [][]string {
	rows := [][]string{{"", "memory each", "machine", "CPU a connect", "connects/s"}}
	for _, row := range r.Rows {
		if row.Memory.Resident == 0 {
			continue
		}
		c := sample{Result: row.Connect}
		rows = append(rows, []string{
			titleOf(row.Server), kilobytes(row.Memory.Resident), kilobytes(row.Memory.Machine), micros(cpu(c)), thousands(rate(c)),
		})
	}
	return rows
}

func (r *crowdResults) trafficTable() [][]string {
	rows := [][]string{{
		"", "echo, 1 in flight: p50", "p99", "CPU an echo", fmt.Sprintf("%d in flight: p50", crowdEcho), "p99", "CPU an echo",
		"broadcast to all: time", "CPU a delivery", "deliveries/s",
	}}
	for _, row := range r.Rows {
		if row.Broadcast.Messages == 0 {
			continue
		}
		one, many, all := sample{Result: row.EchoOne}, sample{Result: row.Echo}, sample{Result: row.Broadcast}
		rows = append(rows, []string{
			titleOf(row.Server), micros(p50(one)), micros(p99(one)), micros(cpu(one)), micros(p50(many)), micros(p99(many)), micros(cpu(many)),
			micros(p50(all)), micros(cpu(all)), thousands(rate(all)),
		})
	}
	return rows
}

func (r *crowdResults) lifeTable() [][]string {
	rows := [][]string{{"", "heartbeats/s", "fewest", "CPU each", "of a core", "memory each after", "drain: CPU each", "time", "cut"}}
	for _, row := range r.Rows {
		if row.Drain.Messages+row.Drain.Cut == 0 {
			continue
		}
		beat, end := sample{Result: row.Beat}, sample{Result: row.Drain}
		rows = append(rows, []string{
			titleOf(row.Server), thousands(rate(beat)), thousandsOf(row.Beat.Least), micros(cpu(beat)),
			fmt.Sprintf("%.0f %%", row.Beat.CPU/row.Beat.Seconds*100), kilobytes(row.MemoryAfter.Resident),
			micros(cpu(end)), fmt.Sprintf("%.1f s", row.Drain.Seconds), thousandsOf(row.Drain.Cut),
		})
	}
	return rows
}
