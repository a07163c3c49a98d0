package soak

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter"
)

// rooms are those that talkers join, each with its own news.
var rooms = []string{"a", "b", "c"}

// pace is how often news are sent, and everything else is done.
const pace = 20 * time.Millisecond

// emit starts what a server does besides answering its clients, until mute is called.
func (srv *server) emit(seed uint64) {
	for i, ns := range []*wsrouter.Router{srv.router, srv.router.Namespace("/chat")} {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		srv.often("Emit", pace, srv.tell(ns.Emit, ""))
		for _, room := range rooms {
			srv.often("Emit to a room", pace, srv.tell(ns.To(room).Emit, room))
		}
		srv.often("churn", pace/5, func() { srv.churn(ns, r) })
		srv.often("Target.Join", pace/10, func() { srv.check(ns.Except("victims").Join("topic")) })
		srv.often("Target.Call", 5*pace, func() { srv.callAll(ns) })
	}
	srv.often("spam", pace, func() {
		srv.check(srv.router.To("spam").Emit("spam", strings.Repeat("x", 20_000)))
	})
	srv.often("Disconnect", 10*pace, func() {
		srv.check(srv.router.To("victims").Disconnect(wsrouter.CloseNormal, "you are one"))
	})
	var stats wsrouter.Stats
	srv.often("Stats", 5*pace, func() {
		now := srv.router.Stats()
		srv.checkStats(stats, now)
		stats = now
	})
	srv.probe()
}

// often does something repeatedly, each time watched by the watchdog.
func (srv *server) often(what string, every time.Duration, do func()) {
	srv.wg.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				srv.turn(what, do)
			case <-srv.emits.Done():
				return
			}
		}
	})
}

// tell emits numbered news, some of which contain bytes.
func (srv *server) tell(emit func(string, ...any) error, room string) func() {
	n := 0
	return func() {
		n++
		story := news{From: room, N: n}
		if n%16 == 0 {
			story.Blob = []byte("blob")
		}
		srv.check(emit("news", story))
	}
}

// churn does one of the things that can be done with connections, to anybody. It leaves
// the rooms that talkers watch alone.
func (srv *server) churn(ns *wsrouter.Router, r *rand.Rand) {
	switch r.IntN(9) {
	case 0, 1:
		srv.check(ns.To("everyone").Leave("topic"))
	case 2:
		srv.check(ns.To("everyone", "topic").Except("a", "b").Join("crowd", "mob"))
	case 3:
		srv.check(ns.Except("a").Leave("crowd", "mob"))
	case 4:
		_, err := ns.To("everyone").Find(context.Background())
		srv.check(err)
	case 5:
		for c := range ns.Except("a").Conns() {
			srv.check(c.SetData(c.Rooms()))
		}
	case 6:
		for c := range ns.Conns() { // one of them
			srv.check(c.Join("lone"))
			c.Leave("lone")
			srv.check(c.Others().To("lone").Volatile().Emit("hey", c.ID()))
			return
		}
	case 7:
		srv.check(ns.To("topic", "crowd", "mob", "everyone", "a", "b").Except("c").Emit("hey", "all"))
	case 8:
		_, err := ns.Find(context.Background())
		srv.check(err)
	}
}

// callAll asks all friends, each of which must answer once.
func (srv *server) callAll(ns *wsrouter.Router) {
	ctx, cancel := context.WithTimeout(srv.emits, patience/2)
	defer cancel()
	answers, err := ns.To("friends").Call(ctx, "double", 21)
	if err != nil && srv.emits.Err() == nil {
		srv.fault("Target.Call: %v", err)
	}
	seen := make(map[string]bool)
	for _, a := range answers {
		var n int
		err := a.Bind(&n)
		switch {
		case seen[a.ID]:
			srv.fault("Target.Call: %s answered twice", a.ID)
		case err == nil && n != 42:
			srv.fault("Target.Call: %s doubled 21 to %d", a.ID, n)
		case err == nil:
			srv.soak.deeds.add(calledAll)
		case !isGone(err) && srv.emits.Err() == nil:
			srv.fault("Target.Call: %v", err)
		}
		seen[a.ID] = true
	}
}

// check allows for connections that have gone, and for hostile ones that are in as many
// rooms as allowed.
func (srv *server) check(err error) {
	var full *wsrouter.WsError
	if err != nil && !isGone(err) && !(errors.As(err, &full) && full.Code == wsrouter.CodeTooMany) {
		srv.fault("%v", err)
	}
}

func isGone(err error) bool {
	var gone *wsrouter.CloseError
	return errors.As(err, &gone)
}

// probe is a client that only asks, and is answered until the server shuts down or is
// muted.
func (srv *server) probe() {
	srv.wg.Go(func() {
		over := func() bool { return srv.closing.Load() || srv.emits.Err() != nil }
		client, err := wsrouter.Dial(srv.emits, "ws://"+srv.addr+"/ws", nil)
		if err != nil {
			if !over() {
				srv.fault("probe: %v", err)
			}
			return
		}
		defer client.Close()
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for !over() {
			<-ticker.C
			srv.turn("a probe's request", func() {
				n, err := wsrouter.Call[int](srv.emits, client, "echo", 1)
				if (err != nil || n != 1) && !over() {
					srv.fault("probe: %d, %v", n, err)
				}
			})
		}
	})
}
