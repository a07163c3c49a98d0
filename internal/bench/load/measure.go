package load

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Result is the result of a measure over its window.
type Result struct {
	Messages int     `json:"messages"` // answered, delivered; connections made or closed; pings
	Seconds  float64 `json:"seconds"`  // of real time
	CPU      float64 `json:"cpu"`      // seconds, of the server
	LoadCPU  float64 `json:"load_cpu"` // seconds, of this process
	P50      float64 `json:"p50"`      // seconds
	P99      float64 `json:"p99"`

	Least int    `json:"least,omitempty"` // hold: pings of the connection that had the fewest
	Cut   int    `json:"cut,omitempty"`   // drain: connections that ended without a close frame
	Why   string `json:"why,omitempty"`   // drain: how the first of these ended
}

// window counts between the end of the warm-up and the end of the measure. As much
// is on its way at the beginning as at the end, so it does not wait for that.
type window struct {
	pid        int
	begin, end int64
	state      int
	wall       int64
	cpu, load  time.Duration
	messages   int
	latencies  []uint32 // nanoseconds
	result     Result
}

const (
	warming = iota
	measuring
	done
)

func newWindow(cmd Command) *window {
	begin := now() + int64(cmd.Warm)
	return &window{pid: cmd.PID, begin: begin, end: begin + int64(cmd.For), latencies: make([]uint32, 0, 1<<20)}
}

// tick advances the window; it is done when state says so.
func (w *window) tick() error {
	t := now()
	switch {
	case w.state == warming && t >= w.begin:
		w.state = measuring
	case w.state == measuring && t >= w.end:
		w.state = done
	default:
		return nil
	}
	cpu, err := ProcessTime(w.pid)
	if err != nil {
		return err
	}
	load, err := ProcessTime(0)
	if err != nil {
		return err
	}
	if w.state == done {
		slices.Sort(w.latencies)
		w.result = Result{
			Messages: w.messages,
			Seconds:  float64(t-w.wall) / 1e9,
			CPU:      (cpu - w.cpu).Seconds(),
			LoadCPU:  (load - w.load).Seconds(),
			P50:      percentile(w.latencies, 50),
			P99:      percentile(w.latencies, 99),
		}
	}
	w.wall, w.cpu, w.load = t, cpu, load
	w.messages, w.latencies = 0, w.latencies[:0]
	return nil
}

func (w *window) latency(nanos int64) {
	w.latencies = append(w.latencies, uint32(min(nanos, 1<<32-1)))
}

// percentile returns a percentile of sorted nanoseconds, in seconds: the smallest
// value that this many percent do not exceed.
func percentile(sorted []uint32, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[(len(sorted)*percent+99)/100-1]) / 1e9
}

// run polls until the window is done and then until nothing is on its way.
func (l *loop) run(w *window, busy func() bool, handle func(c *conn, answers int) error) (Result, error) {
	deadline := w.end + int64(20*time.Second)
	for w.state != done || busy() {
		if now() > deadline {
			return w.result, errors.New("answers are missing")
		}
		if err := l.poll(50, handle); err != nil {
			return w.result, err
		}
		if err := w.tick(); err != nil {
			return w.result, err
		}
	}
	return w.result, nil
}

// prepare encodes the message for an event, checks the server's first answer, and
// remembers it as what all others must be.
func (l *loop) prepare(ask, answer string, size int) (frame []byte, err error) {
	data := strings.Repeat("0123456789abcdef", size/16+1)[:size]
	frame, err = l.try(ask, answer, data)
	for _, c := range l.conns {
		c.sent, c.got = 0, 0
	}
	return frame, err
}

// try sends one message on the first connection, waits for its answer, and compares
// what the two mean. It leaves the answer's bytes in want. It waits for a broadcast
// on every connection.
func (l *loop) try(ask, answer, data string) (frame []byte, err error) {
	message, err := l.dialect.encode(ask, data)
	if err != nil {
		return nil, err
	}
	missing := 1
	if ask != answer {
		missing = len(l.conns)
	}
	l.want = nil
	l.odd = func(_ *conn, payload []byte) (int, error) {
		event, got, err := l.dialect.decode(payload)
		if err != nil {
			return 0, fmt.Errorf("%.100q: %w", payload, err)
		}
		if event != answer || got != data {
			return 0, fmt.Errorf("%s of %.50q was answered by %.100q", ask, data, payload)
		}
		l.want = slices.Clone(payload)
		return 1, nil
	}
	defer func() { l.odd = nil }()
	frame = appendFrame(nil, opText, message)
	if err := l.write(l.conns[0], frame); err != nil {
		return nil, err
	}
	deadline := now() + int64(20*time.Second)
	for missing > 0 {
		if now() > deadline {
			return nil, fmt.Errorf("%s: %d answers are missing", ask, missing)
		}
		err := l.poll(50, func(_ *conn, answers int) error {
			missing -= answers
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return frame, nil
}

// echo keeps cmd.InFlight messages on their way over every connection. If
// cmd.Spread is set it keeps that many over all connections together, which take
// turns; with cmd.Active only the first ones do.
func (l *loop) echo(cmd Command) (Result, error) {
	frame, err := l.prepare("echo", "echo", cmd.Size)
	if err != nil {
		return Result{}, err
	}
	batch := slices.Repeat(frame, max(cmd.InFlight, 1))
	w := newWindow(cmd)
	waiting, turn := 0, 0
	turns := len(l.conns)
	if cmd.Active > 0 {
		turns = min(turns, cmd.Active)
	}
	ask := func(c *conn, n int) error {
		t := now()
		for range n {
			c.times[c.sent%ring] = t
			c.sent++
		}
		waiting += n
		return l.write(c, batch[:n*len(frame)])
	}
	askNext := func(n int) error {
		for range n {
			turn = (turn + 1) % turns
			if err := ask(l.conns[turn], 1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := askNext(cmd.Spread); err != nil {
		return Result{}, err
	}
	if cmd.Spread == 0 {
		for _, c := range l.conns {
			if err := ask(c, cmd.InFlight); err != nil {
				return Result{}, err
			}
		}
	}
	return l.run(w, func() bool { return waiting > 0 }, func(c *conn, answers int) error {
		t := now()
		for range answers {
			w.latency(t - c.times[c.got%ring])
			c.got++
		}
		w.messages += answers
		waiting -= answers
		switch {
		case w.state == done:
			return nil
		case cmd.Spread > 0:
			return askNext(answers)
		default:
			return ask(c, answers)
		}
	})
}

// broadcast keeps cmd.InFlight broadcasts on their way, all sent by the first
// connection to everybody. Its latency is that of the last delivery of each.
func (l *loop) broadcast(cmd Command) (Result, error) {
	frame, err := l.prepare("broadcast", "news", cmd.Size)
	if err != nil {
		return Result{}, err
	}
	w := newWindow(cmd)
	sender, waiting := l.conns[0], 0
	var missing [ring]int
	send := func() error {
		missing[sender.sent%ring] = len(l.conns)
		sender.times[sender.sent%ring] = now()
		sender.sent++
		waiting++
		return l.write(sender, frame)
	}
	for range cmd.InFlight {
		if err := send(); err != nil {
			return Result{}, err
		}
	}
	return l.run(w, func() bool { return waiting > 0 }, func(c *conn, answers int) error {
		w.messages += answers
		for range answers {
			i := c.got % ring
			c.got++
			if missing[i]--; missing[i] > 0 {
				continue
			}
			waiting--
			w.latency(now() - sender.times[i])
			if w.state != done {
				if err := send(); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// samples are strings that a server must echo unchanged, however it encodes its
// JSON.
var samples = []string{"hi", "", `"quoted" \ and <b>&amp;</b>`, "数据不能为空！ 🎈", "\u0000\u001f\u2028", strings.Repeat("long ", 5000)}

// check sends the server a few samples, one by one.
func (l *loop) check() error {
	for _, sample := range samples {
		if _, err := l.try("echo", "echo", sample); err != nil {
			return err
		}
		if _, err := l.try("broadcast", "news", sample); err != nil {
			return err
		}
	}
	return nil
}
