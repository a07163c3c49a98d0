// Command scaling measures what a cluster costs on this machine: processes with
// one router each, and a real redis-server. It prints docs/scaling.md's tables,
// or writes them into that page:
//
//	go run ./internal/scaling -write ../docs/scaling.md
//
// Clients are connections in memory that take everything, so that what is counted
// is the cluster's; docs/benchmarks.md has what a client on the network costs.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if os.Getenv(nodeVariable) != "" {
		runNode()
		return
	}
	nodes := flag.String("nodes", "1,2,4,8", "how many nodes, one table row each")
	lasts := flag.Duration("for", 5*time.Second, "how long each measurement lasts")
	write := flag.String("write", "", "`page` whose tables to replace")
	flag.Parse()
	log.SetFlags(0)

	var counts []int
	for text := range strings.SplitSeq(*nodes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 64 {
			log.Fatalf("-nodes %s: want numbers from 1 to 64", *nodes)
		}
		counts = append(counts, n)
	}
	text, err := tables(counts, *lasts)
	if err != nil {
		log.Fatal(err)
	}
	if *write == "" {
		fmt.Print(text)
	} else if err := replace(*write, text); err != nil {
		log.Fatal(err)
	}
}

// work is what the first node does; the others hear of it.
type work struct {
	Kind string
	Rate int // a second
}

// members is how many connections a node has. All are in one room, and each is in
// a room of its own.
const members = 10

var works = []work{{"room", 2000}, {"user", 2000}, {"find", 40}}

var titles = map[string]string{
	"room": fmt.Sprintf("a message for a room, %d members on each node", members),
	"user": "a message for a user, on any of the nodes",
	"find": fmt.Sprintf("a `Find` of all, %d on each node", members),
}

// times is how often all is measured, in turns; the least counts, as other work on
// the machine only adds.
const times = 3

func tables(counts []int, lasts time.Duration) (string, error) {
	best := make(map[work]map[int]result)
	for turn := range times {
		for _, w := range works {
			if best[w] == nil {
				best[w] = make(map[int]result)
			}
			for _, n := range counts {
				log.Printf("turn %d of %d: %s, %d nodes", turn+1, times, w.Kind, n)
				r, err := measure(w, n, lasts)
				if err != nil {
					return "", err
				}
				if before, ok := best[w][n]; !ok || r.together(n) < before.together(n) {
					best[w][n] = r
				}
			}
		}
	}
	var page strings.Builder
	page.WriteString("| | nodes | the node that sends | each other node | Redis | together |\n|---|--:|--:|--:|--:|--:|\n")
	for _, w := range works {
		for i, n := range counts {
			title := ""
			if i == 0 {
				title = titles[w.Kind]
			}
			fmt.Fprintf(&page, "| %s %s", title, best[w][n].row(n))
		}
	}
	page.WriteString("\n")
	if least, most := slices.Min(counts), slices.Max(counts); least < most {
		page.WriteString(onPaper(best, least, most))
	}
	return page.String(), nil
}

// onPaper goes on where the machine ends, by a straight line through the least
// and the most nodes that were measured.
func onPaper(best map[work]map[int]result, least, most int) string {
	line := func(w work, nodes int, y func(r result, n int) time.Duration) time.Duration {
		from, to := y(best[w][least], least), y(best[w][most], most)
		return from + (to-from)*time.Duration(nodes-least)/time.Duration(most-least)
	}
	redis := func(r result, _ int) time.Duration { return r.redis }
	var page strings.Builder
	fmt.Fprintf(&page, "On paper, by a straight line through %d and %d nodes:\n\n", least, most)
	page.WriteString("| nodes | a message for a room | its Redis is full at | one for a user | its Redis is full at | a `Find` |\n|--:|--:|--:|--:|--:|--:|\n")
	for _, n := range []int{2 * most, 4 * most, 8 * most} {
		fmt.Fprintf(&page, "| %d |", n)
		for _, w := range works {
			fmt.Fprintf(&page, " %s |", micros(line(w, n, result.together)))
			if w.Kind != "find" {
				fmt.Fprintf(&page, " %d a second |", time.Second/line(w, n, redis)/100*100)
			}
		}
		page.WriteString("\n")
	}
	return page.String()
}

// result is processor time for one message or question.
type result struct{ sender, other, redis time.Duration }

func (r result) together(nodes int) time.Duration {
	return r.sender + time.Duration(nodes-1)*r.other + r.redis
}

func (r result) row(nodes int) string {
	other := "–"
	if nodes > 1 {
		other = micros(r.other)
	}
	return fmt.Sprintf("| %d | %s | %s | %s | %s |\n", nodes, micros(r.sender), other, micros(r.redis), micros(r.together(nodes)))
}

// micros writes two digits.
func micros(d time.Duration) string {
	µs := float64(d) / float64(time.Microsecond)
	digits := 0
	if µs < 10 {
		digits = 1
	}
	return strconv.FormatFloat(µs, 'f', digits, 64) + " µs"
}

const begin, end = "<!-- scaling: begin -->\n", "<!-- scaling: end -->\n"

// replace puts the tables between the marks of a page.
func replace(path, text string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no %q and %q", path, begin, end)
	}
	return os.WriteFile(path, []byte(before+begin+text+end+after), 0o644)
}
