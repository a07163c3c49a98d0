package wsrouterotel

import (
	"context"
	"slices"

	"github.com/wsrouter/wsrouter"
)

// incoming is the meta of an event. It implements [propagation.TextMapCarrier].
type incoming struct {
	c      *wsrouter.Context
	fields []string
}

func (in incoming) Get(key string) string { return in.c.Meta(key) }
func (in incoming) Set(string, string)    {}

func (in incoming) Keys() []string {
	return slices.DeleteFunc(slices.Clone(in.fields), func(key string) bool { return in.c.Meta(key) == "" })
}

// outgoing is the meta of a context. It implements [propagation.TextMapCarrier].
type outgoing struct {
	ctx    context.Context
	fields []string
	set    uint64 // which of them, a bit each
}

func (out *outgoing) Get(string) string { return "" }
func (out *outgoing) Keys() []string    { return nil }

func (out *outgoing) Set(key, value string) {
	if i := slices.Index(out.fields, key); i >= 0 {
		out.set |= 1 << i
	}
	out.ctx = wsrouter.WithMeta(out.ctx, key, value)
}

// Inject returns a context with which calls and emits carry the trace and the baggage
// that ctx has, and none that it had before: for an EmitContext outside of a handler.
// In a handler the context is like that already, and calls see to it by themselves.
func (t *Telemetry) Inject(ctx context.Context) context.Context {
	out := &outgoing{ctx: ctx, fields: t.fields}
	t.propagator.Inject(ctx, out)
	for i, field := range t.fields {
		if out.set&(1<<i) == 0 {
			out.ctx = wsrouter.WithMeta(out.ctx, field, "")
		}
	}
	return out.ctx
}
