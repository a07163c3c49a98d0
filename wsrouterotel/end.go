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

// end says how a span ends.
type end struct {
	span    trace.Span
	at      time.Time
	status  bool   // its outcome goes into an attribute for the answer's status
	outcome string // what Context.Outcome says, bounded
	failed  bool   // the failure is this side's fault
	why     string // by reason
	items   int64  // of a stream; noItems for anything else
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

// reason returns what a span says about an error. The span may wait to be ended, so
// nothing more is kept.
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
	maxEnds  = 2048 // how many spans may wait to be ended
	keptEnds = 64   // how many of them the queue keeps room for while none waits
)

// ends are spans that wait to be ended. A goroutine ends them one after another,
// and exists as long as there are some.
type ends struct {
	mu      sync.Mutex // guards what follows
	queue   []end
	taken   int // how many of the queue have been taken
	running bool
	quiet   chan struct{} // closed when the goroutine ends; nil if nobody waits for that
}

// put queues a span to be ended soon. An exporter that takes its time delays only
// spans.
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

// next takes the first span out of the queue. If there is none it reports false and
// the goroutine must end.
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

// wait waits until all spans have been ended, or ctx ends.
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
