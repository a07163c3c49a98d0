// Package promtest starts a real Prometheus for tests, and checks metrics and rules
// with promtool.
package promtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wsrouter/wsrouter/internal/loopback"
)

// Interval is how often a Server scrapes targets and evaluates rules.
const Interval = 200 * time.Millisecond

const patience = time.Minute

// need fails the test if a program is missing: a test that skips itself claims that
// all is well.
func need(tb testing.TB, program string) {
	tb.Helper()
	if _, err := exec.LookPath(program); err != nil {
		tb.Fatalf("%s is missing: install it, on Debian with: apt-get install prometheus", program)
	}
}

// CheckMetrics checks what a target exposes with promtool, which finds errors in
// the format, and names and help texts that break its conventions.
func CheckMetrics(tb testing.TB, metrics []byte) {
	tb.Helper()
	promtool(tb, metrics, "check", "metrics")
}

// CheckRules checks a file of rules with promtool.
func CheckRules(tb testing.TB, file string) {
	tb.Helper()
	promtool(tb, nil, "check", "rules", file)
}

// TestRules runs the tests of rules in a file with promtool.
func TestRules(tb testing.TB, file string) {
	tb.Helper()
	promtool(tb, nil, "test", "rules", file)
}

func promtool(tb testing.TB, stdin []byte, args ...string) {
	tb.Helper()
	need(tb, "promtool")
	cmd := exec.CommandContext(tb.Context(), "promtool", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Server is a Prometheus on a free port of this machine. It ends with the test.
type Server struct {
	URL string

	tb testing.TB
}

// Start starts a Prometheus that scrapes targets, which maps the names of jobs to
// addresses that serve /metrics. It also evaluates the rules in the given files. If
// prometheus is missing the test fails.
func Start(tb testing.TB, targets map[string][]string, rules ...string) *Server {
	tb.Helper()
	need(tb, "prometheus")
	dir, addr := tb.TempDir(), loopback.Hold(tb)
	config := filepath.Join(dir, "prometheus.json") // JSON is YAML
	if err := os.WriteFile(config, configOf(targets, rules), 0o600); err != nil {
		tb.Fatal(err)
	}
	log := new(bytes.Buffer)
	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if tb.Failed() {
			tb.Logf("prometheus said:\n%s", log)
		}
	})
	s := &Server{URL: "http://" + addr, tb: tb}
	s.until("Prometheus is ready", func() bool { return s.get("/-/ready", nil) == nil })
	return s
}

func configOf(targets map[string][]string, rules []string) []byte {
	type object = map[string]any
	jobs := []object{}
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		jobs = append(jobs, object{"job_name": name, "static_configs": []object{{"targets": targets[name]}}})
	}
	config := object{
		"global":         object{"scrape_interval": Interval.String(), "scrape_timeout": Interval.String(), "evaluation_interval": Interval.String()},
		"scrape_configs": jobs,
	}
	if len(rules) > 0 {
		config["rule_files"] = rules
	}
	text, err := json.Marshal(config)
	if err != nil {
		panic(err) // the texts in it can be encoded
	}
	return text
}

// get stores the data of an answer of the API in v, unless v is nil.
func (s *Server) get(path string, v any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return err
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s: %s", path, answer.Status, body)
	case v == nil:
		return nil
	}
	return json.Unmarshal(body, &struct{ Data any }{v})
}

func (s *Server) until(what string, condition func() bool) {
	s.tb.Helper()
	tick := time.NewTicker(Interval / 4)
	defer tick.Stop()
	for end := time.Now().Add(patience); !condition(); <-tick.C {
		if time.Now().After(end) {
			s.tb.Fatalf("still waiting after %v: %s", patience, what)
		}
	}
}

// Query evaluates an expression. It returns values by their labels, which are
// sorted, as in `event=say outcome=ok`; a value without labels has the key "".
func (s *Server) Query(expr string) (map[string]float64, error) {
	var data struct {
		ResultType string
		Result     json.RawMessage
	}
	if err := s.get("/api/v1/query?query="+url.QueryEscape(expr), &data); err != nil {
		return nil, err
	}
	type sample struct {
		Metric map[string]string
		Value  [2]any
	}
	var samples []sample
	if data.ResultType == "scalar" {
		samples = make([]sample, 1)
		if err := json.Unmarshal(data.Result, &samples[0].Value); err != nil {
			return nil, err
		}
	} else if err := json.Unmarshal(data.Result, &samples); err != nil {
		return nil, fmt.Errorf("%s is a %s: %w", expr, data.ResultType, err)
	}
	values := make(map[string]float64)
	for _, sample := range samples {
		text, _ := sample.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		values[spell(sample.Metric)] = value
	}
	return values, nil
}

func spell(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name+"="+labels[name])
	}
	return strings.Join(parts, " ")
}

// Wants waits until an expression has exactly these values, see Query.
func (s *Server) Wants(expr string, want map[string]float64) {
	s.tb.Helper()
	var got map[string]float64
	var err error
	end := time.Now().Add(patience)
	for s.Scraped(); ; s.Scraped() {
		got, err = s.Query(expr)
		if err == nil && maps.Equal(got, want) {
			return
		}
		if time.Now().After(end) {
			s.tb.Fatalf("%s\n  is    %v (error %v),\n  wants %v", expr, got, err, want)
		}
	}
}

// Finds waits until an expression has values, and returns them, see Query. After a
// scrape that takes too long, Prometheus has none until the next one.
func (s *Server) Finds(expr string) (values map[string]float64) {
	s.tb.Helper()
	s.until(expr+" has values", func() bool {
		var err error
		if values, err = s.Query(expr); err != nil {
			s.tb.Fatal(err)
		}
		return len(values) > 0
	})
	return values
}

// Scraped waits until every target has been scraped successfully by a scrape that
// began after the call. It waits for the next scrape as well, because Prometheus
// reports a scrape just before it stores the values.
func (s *Server) Scraped() {
	s.tb.Helper()
	s.scrapedSince(s.scrapedSince(time.Now()))
}

// scrapedSince waits for scrapes that begin after a time, and returns the time of
// the last one.
func (s *Server) scrapedSince(before time.Time) (last time.Time) {
	s.tb.Helper()
	s.until("all targets are scraped", func() bool {
		var data struct {
			ActiveTargets []struct {
				Health     string
				LastScrape time.Time
			}
		}
		if err := s.get("/api/v1/targets?state=active", &data); err != nil {
			s.tb.Fatal(err)
		}
		for _, target := range data.ActiveTargets {
			if target.Health != "up" || !target.LastScrape.After(before) {
				return false
			}
			if target.LastScrape.After(last) {
				last = target.LastScrape
			}
		}
		return len(data.ActiveTargets) > 0
	})
	return last
}

// Alerts returns the state of each alert of the rules: inactive, pending or firing.
// If a rule cannot be evaluated the test fails.
func (s *Server) Alerts() map[string]string {
	s.tb.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, State, Health, LastError string }
		}
	}
	states := make(map[string]string)
	s.until("all rules are evaluated", func() bool {
		if err := s.get("/api/v1/rules", &data); err != nil {
			s.tb.Fatal(err)
		}
		for _, group := range data.Groups {
			for _, rule := range group.Rules {
				if rule.Health == "unknown" {
					return false
				}
				if rule.Health != "ok" {
					s.tb.Fatalf("rule %s: %s: %s", rule.Name, rule.Health, rule.LastError)
				}
				states[rule.Name] = rule.State
			}
		}
		return true
	})
	return states
}
