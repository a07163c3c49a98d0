package wsrouterotel

import (
	"context"
	"slices"

	"github.com/wsrouter/wsrouter"
)

// incoming reads the meta of an event. It implements [propagation.TextMapCarrier].
type incoming struct {
	c      *wsrouter.Context
	fields []string
}

func (in incoming) Get(key string) string { return in.c.Meta(key) }
func (in incoming) Set(string, string)    {}

func (in incoming) Keys() []string {
	return slices.DeleteFunc(slices.Clone(in.fields), func(key string) bool { return in.c.Meta(key) == "" })
}

// outgoing writes the meta of a context. It implements
// [propagation.TextMapCarrier].
type outgoing struct {
	ctx    context.Context
	fields []string
	set    uint64 // the fields that were set, one bit each
}

func (out *outgoing) Get(string) string { return "" }
func (out *outgoing) Keys() []string    { return nil }

func (out *outgoing) Set(key, value string) {
	if i := slices.Index(out.fields, key); i >= 0 {
		out.set |= 1 << i
	}
	out.ctx = wsrouter.WithMeta(out.ctx, key, value)
}

// Inject returns a context with which calls and emits carry the trace and the
// baggage of ctx, in place of any that it carried before. Use it for an EmitContext
// outside of handlers: a handler's context is like that already, and calls inject
// on their own.
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
