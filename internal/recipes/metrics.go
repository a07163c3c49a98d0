package recipes

import (
	"cmp"
	"expvar"
	"time"

	"github.com/wsrouter/wsrouter"
)

// Metrics count what Stats does not: by event and by cause.
type Metrics struct {
	Events  expvar.Map // how many, by event and outcome
	Seconds expvar.Map // how long in total, by event
	Closed  expvar.Map // connections, by cause
}

// Trace returns the Trace for Options.Trace.
func (m *Metrics) Trace() *wsrouter.Trace {
	return &wsrouter.Trace{
		EventEnd: func(c *wsrouter.Context, took time.Duration, err error) {
			m.Events.Add(c.Route()+" "+cmp.Or(c.Outcome(err), "ok"), 1)
			m.Seconds.AddFloat(c.Route(), took.Seconds())
		},
		Disconnect: func(_ *wsrouter.Conn, err *wsrouter.CloseError) { m.Closed.Add(err.Cause.String(), 1) },
	}
}

// Vars returns what expvar.Publish("wsrouter", vars) shows at /debug/vars.
func (m *Metrics) Vars(router *wsrouter.Router) expvar.Var {
	vars := new(expvar.Map)
	vars.Set("events", &m.Events)
	vars.Set("seconds", &m.Seconds)
	vars.Set("closed", &m.Closed)
	vars.Set("stats", expvar.Func(func() any { return router.Stats() }))
	return vars
}
