package wsrouterotel

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// end is how a span ends.
type end struct {
	span    trace.Span
	at      time.Time
	status  bool   // its outcome is an answer
	outcome string // what Context.Outcome says, bounded
	failed  bool   // for which somebody is to blame here
	why     string // by reason
	items   int64  // of a stream; noItems if it is none
}

const (
	noItems = -1
	maxWhy  = 1 << 10 // bytes
)

func (e *end) apply() {
	attrs := make([]attribute.KeyValue, 0, 3)
	if e.status {
		attrs = append(attrs, rpcStatus.String(orOK(e.outcome)))
	}
	if e.failed {
		attrs = append(attrs, errorType.String(e.outcome))
	}
	if e.items != noItems {
		attrs = append(attrs, itemsKey.Int64(e.items))
	}
	e.span.SetAttributes(attrs...)
	if e.failed {
		e.span.SetStatus(codes.Error, e.why)
	}
	e.span.End(trace.WithTimestamp(e.at))
}

// reason is what a span says of an error. It may wait, so it keeps no more than that.
func reason(err error) string {
	why := err.Error()
	if len(why) > maxWhy {
		why = strings.Clone(why[:maxWhy])
	}
	return strings.ToValidUTF8(why, "")
}

func orOK(outcome string) string {
	if outcome == "" {
		return "OK"
	}
	return outcome
}

const (
	maxEnds  = 2048 // spans that may wait to be ended
	keptEnds = 64   // for which there is room while none waits
)

// ends are spans that are about to be ended, one after another, in a goroutine that
// is there as long as there are some.
type ends struct {
	mu      sync.Mutex // guards what follows
	queue   []end
	taken   int // of the queue, from the beginning
	running bool
	quiet   chan struct{} // closed when it does not run; nil if nobody waits
}

// put ends a span soon. An exporter that takes its time holds up nobody but itself.
func (t *Telemetry) put(e end) {
	t.ends.mu.Lock()
	defer t.ends.mu.Unlock()
	if len(t.ends.queue)-t.ends.taken == maxEnds {
		t.lost.Add(1)
		return
	}
	if t.ends.taken > len(t.ends.queue)/2 {
		t.ends.queue = slices.Delete(t.ends.queue, 0, t.ends.taken)
		t.ends.taken = 0
	}
	t.ends.queue = append(t.ends.queue, e)
	if !t.ends.running {
		t.ends.running = true
		go t.endAll()
	}
}

func (t *Telemetry) endAll() {
	for e, ok := t.ends.next(); ok; e, ok = t.ends.next() {
		t.endOne(&e)
	}
}

func (t *Telemetry) endOne(e *end) {
	defer func() {
		if panicked := recover(); panicked != nil {
			t.lost.Add(1)
			t.report(panicked)
		}
	}()
	e.apply()
}

// next takes the first out; without one nobody asks again.
func (es *ends) next() (e end, ok bool) {
	es.mu.Lock()
	defer es.mu.Unlock()
	if es.taken == len(es.queue) {
		if es.queue, es.taken, es.running = es.queue[:0], 0, false; cap(es.queue) > keptEnds {
			es.queue = nil
		}
		if es.quiet != nil {
			close(es.quiet)
			es.quiet = nil
		}
		return end{}, false
	}
	e, es.queue[es.taken] = es.queue[es.taken], end{}
	es.taken++
	return e, true
}

// wait waits until all have been ended, or ctx ends.
func (es *ends) wait(ctx context.Context) error {
	es.mu.Lock()
	if !es.running {
		es.mu.Unlock()
		return nil
	}
	if es.quiet == nil {
		es.quiet = make(chan struct{})
	}
	quiet := es.quiet
	es.mu.Unlock()
	select {
	case <-quiet:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
