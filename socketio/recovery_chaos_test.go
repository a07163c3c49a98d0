package socketio_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestRecoveryChaos: wherever and however often a client is lost, it gets every event,
// in order and once.
func TestRecoveryChaos(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func chaos(t *testing.T, random *rand.Rand) {
	const events = 300
	router := newRecovering(wsrouter.Options{PingInterval: 2 * time.Second, PongTimeout: 5 * time.Second})
	s := serveInBubble(t, router.Router, nil)
	var l lost
	for n := 0; n < events; {
		var w wire
		var ws *socket
		switch p := (&pollWire{}); random.IntN(3) {
		case 0:
			ws = s.direct()
			w = ws
			l = chaosJoin(t, w, l, router, events)
		case 1:
			p.poller = s.open()
			w = p
			l = chaosJoin(t, w, l, router, events)
		case 2: // with an upgrade
			p.poller = s.open()
			l = chaosJoin(t, p, l, router, events)
			n = chaosTake(t, p, &l, n, len(p.left)) // those of the same poll
			ws = p.probe()
			ws.write("5")
			w = ws
		}
		n = chaosTake(t, w, &l, n, min(random.IntN(30), events-n))
		if random.IntN(2) == 0 {
			time.Sleep(time.Duration(random.IntN(20)) * time.Second)
		}
		if ws != nil && random.IntN(3) > 0 { // otherwise it comes back too fast
			ws.CloseNow()
		}
	}
}

// chaosJoin joins, and the first time starts the events.
func chaosJoin(t *testing.T, w wire, l lost, router *recovering, events int) lost {
	t.Helper()
	back := join(t, w, l, "")
	if l.pid != "" {
		require.Equal(t, l, back)
		return l
	}
	go func() {
		for n := range events {
			router.Emit("n", n)
			if n%7 == 0 {
				time.Sleep(time.Duration(n%5) * 700 * time.Millisecond)
			}
		}
	}()
	return back
}

// chaosTake takes that many packets and returns which event is next.
func chaosTake(t *testing.T, w wire, l *lost, next, packets int) int {
	t.Helper()
	for range packets {
		got := w.read()
		switch got {
		case "2":
			w.write("3")
			continue
		case "6":
			continue
		}
		at := strings.LastIndexByte(got, ',')
		require.Equal(t, fmt.Sprintf(`42["n",%d`, next), got[:at])
		l.offset = got[at+2 : len(got)-2]
		next++
	}
	return next
}
