package wsrouter_test

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"time"

	"github.com/wsrouter/wsrouter"
)

// Counts how events end, beside another Trace, for example that of a module.
func ExampleMultiTrace() {
	ends := make(map[string]int) // one client only: several would need a lock
	counting := &wsrouter.Trace{
		EventEnd: func(c *wsrouter.Context, _ time.Duration, err error) {
			ends[c.Route()+" "+cmp.Or(c.Outcome(err), "ok")]++
		},
	}
	logging := &wsrouter.Trace{
		EventStart: func(c *wsrouter.Context) { fmt.Println(c.Kind(), c.Route()) },
	}
	router := wsrouter.New(&wsrouter.Options{Trace: wsrouter.MultiTrace(counting, logging)})
	router.On("login", func(*wsrouter.Context) error { return wsrouter.NewError("who?").WithCode("E_UNKNOWN") })
	router.On("ping", func(*wsrouter.Context) error { return nil })

	client, err := router.Connect(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.Call(context.Background(), "login", nil, nil)
	client.Call(context.Background(), "ping", nil, nil)
	fmt.Println(ends)
	// Output:
	// request login
	// request ping
	// map[login E_UNKNOWN:1 ping ok:1]
}
