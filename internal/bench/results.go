package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/wsrouter/wsrouter/internal/bench/load"
)

// sample is one measure of one server, taken once.
type sample struct {
	load.Result
	Bytes float64 `json:"bytes,omitempty"` // resident, for each idle connection
	Round int     `json:"round"`
}

// metric is a number in a sample.
type metric func(sample) float64

// cpu is the server's processor time for each message, in seconds; rate is messages
// per second; held is the memory of an idle connection; busy is the share of a core
// that the load needed.
func cpu(s sample) float64  { return s.CPU / float64(s.Messages) }
func rate(s sample) float64 { return float64(s.Messages) / s.Seconds }
func p50(s sample) float64  { return s.P50 }
func p99(s sample) float64  { return s.P99 }
func held(s sample) float64 { return s.Bytes }
func busy(s sample) float64 { return s.LoadCPU / s.Seconds }

// failure is a session that failed: from some measure on it has no results.
type failure struct {
	Server string `json:"server"`
	Round  int    `json:"round"`
	Error  string `json:"error"`
}

// results are all samples of a run, and where it was made.
type results struct {
	Machine  machine                        `json:"machine"`
	Rounds   int                            `json:"rounds"`
	Window   time.Duration                  `json:"window"`
	Took     time.Duration                  `json:"took"`
	Samples  map[string]map[string][]sample `json:"samples"` // by measure and server
	Failures []failure                      `json:"failures,omitempty"`
}

func (r *results) add(measure, server string, s sample) {
	if r.Samples[measure] == nil {
		r.Samples[measure] = make(map[string][]sample)
	}
	r.Samples[measure][server] = append(r.Samples[measure][server], s)
}

// failed returns one error for everything that failed, or nil.
func (r *results) failed() error {
	var all []error
	for _, f := range r.Failures {
		all = append(all, fmt.Errorf("%s, round %d: %s", f.Server, f.Round+1, f.Error))
	}
	return errors.Join(all...)
}

func (r *results) has(measure, server string) bool { return len(r.Samples[measure][server]) > 0 }

// value returns the median of the rounds.
func (r *results) value(measure, server string, m metric) float64 {
	var values []float64
	for _, s := range r.Samples[measure][server] {
		values = append(values, m(s))
	}
	return median(values)
}

// ratio returns the median of each round's ratio of a server to another. The
// samples of a round are taken soon after each other, so what slows the machine
// down for a while slows both.
func (r *results) ratio(measure, server, to string, m metric) float64 {
	var values []float64
	for _, a := range r.Samples[measure][server] {
		for _, b := range r.Samples[measure][to] {
			if a.Round == b.Round {
				values = append(values, m(a)/m(b))
			}
		}
	}
	return median(values)
}

// median returns the median, or NaN if there are no values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func (r *results) save(file string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

func read(file string) (*results, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r results
	return &r, json.Unmarshal(b, &r)
}
