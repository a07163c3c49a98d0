package soak

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/wsrouter/wsrouter"
)

// dialer is a client of ours that stays at one place, whichever server is there.
type dialer struct {
	*member
	client  *wsrouter.Client
	router  *wsrouter.Router
	web     http.Transport
	at      atomic.Pointer[server] // the server that was dialed last
	aborted atomic.Bool            // the next loss is our own doing
	conns   atomic.Int64           // how many there have been
}

// heard is what a dialer knows of one of its connections.
type heard struct {
	news, ticks sequence // used by the handlers, which run one at a time
	notes       int      // sent by the dialer
}

var heardKey = wsrouter.NewKey[*heard]("heard")

func (m *member) dialAndTalk() {
	place := &m.fleet.places[m.IntN(len(m.fleet.places))]
	d := &dialer{member: m, router: wsrouter.New(nil)}
	d.web.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		srv := place.Load()
		d.at.Store(srv)
		return new(net.Dialer).DialContext(ctx, network, srv.addr)
	}
	defer d.web.CloseIdleConnections()
	d.register()
	if !d.dial() {
		return
	}
	life := time.Now().Add(d.between(time.Second, 10*time.Second))
	for d.ctx.Err() == nil && time.Now().Before(life) {
		d.turn()
		d.dawdle(0, 20*time.Millisecond)
	}
	d.aborted.Store(true)
	d.watch("close", func() { d.client.Close() })
}

func (d *dialer) watch(what string, do func()) { d.dog.watch(d.name+": "+what, do) }

// register registers handlers for the server's messages.
func (d *dialer) register() {
	d.router.OnConnect(func(c *wsrouter.Conn) error {
		heardKey.Set(c, &heard{})
		if d.conns.Add(1) > 1 {
			d.deeds.add(reconnected)
		}
		return nil
	})
	d.router.On("double", func(c *wsrouter.Context) error {
		var n int
		if err := c.Bind(&n); err != nil {
			return err
		}
		return c.Reply(2 * n)
	})
	d.router.On("news", func(c *wsrouter.Context) error {
		var story news
		if err := c.Bind(&story); err != nil {
			return err
		}
		h, _ := heardKey.Get(c.Conn())
		if story.From != "" {
			return nil
		}
		if err := h.news.next(story.N); err != nil {
			d.fault("news: %v", err)
		}
		return nil
	})
	d.router.On("tick", func(c *wsrouter.Context) error {
		var n int
		if err := c.Bind(&n); err != nil {
			return err
		}
		h, _ := heardKey.Get(c.Conn())
		if n == 1 {
			h.ticks = sequence{known: true}
		}
		if err := h.ticks.next(n); err != nil {
			d.fault("ticks: %v", err)
		}
		return nil
	})
}

// dial reports whether there is a first connection.
func (d *dialer) dial() bool {
	var err error
	d.watch("dial", func() {
		d.client, err = wsrouter.Dial(context.Background(), "ws://place/ws", &wsrouter.DialOptions{
			Router:     d.router,
			HTTPClient: &http.Client{Transport: &d.web},
			Reconnect:  &wsrouter.Reconnect{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond, OnRetry: d.retry},
		})
	})
	if err != nil && !d.at.Load().closing.Load() {
		d.fault("dial: %v", err)
	}
	return err == nil
}

// retry is told of each connection that was lost, and of each failed attempt.
func (d *dialer) retry(_ int, _ time.Duration, err error) bool {
	if !d.aborted.Swap(false) && !d.at.Load().closing.Load() {
		d.fault("%s lost it: %v", d.at.Load().name, err)
	}
	return true
}

func (d *dialer) turn() {
	ctx := context.Background() // bounded by the watchdog
	var err error
	d.at.Load().turn(d.name+": a turn", func() {
		switch n := d.IntN(1000); d.IntN(8) {
		case 0, 1:
			err = d.expect(ctx, "echo", n, n)
		case 2:
			err = d.expect(ctx, "burst", n%100, n%100)
		case 3:
			err = d.expect(ctx, "ask", n, 2*n)
		case 4:
			err = d.expect(ctx, "slow", n, n)
		case 5:
			err = d.pull(ctx, n%100)
		case 6:
			err = d.emitNote()
		case 7:
			if n%10 == 0 {
				d.aborted.Store(true)
				d.client.Abort()
			}
		}
	})
	d.settle(err)
}

func (d *dialer) expect(ctx context.Context, event string, in, want int) error {
	got, err := wsrouter.Call[int](ctx, d.client, event, in)
	if err == nil {
		d.deeds.add(answered)
		if got != want {
			d.fault("%s %d was answered %d", event, in, got)
		}
	}
	return err
}

// pull takes a stream, and half of the time leaves it in the middle.
func (d *dialer) pull(ctx context.Context, n int) error {
	items := sequence{last: -1, known: true}
	leave := d.IntN(2 * (n + 1))
	var token int
	for it, err := range wsrouter.Pull[item](ctx, d.client, "count", count{token, n}) {
		if err != nil {
			return err
		}
		if err := items.next(it.N); err != nil {
			d.fault("pull: %v", err)
		}
		if it.N == leave {
			d.deeds.add(canceled)
			return nil
		}
	}
	if items.last+1 != n {
		d.fault("pull: a stream of %d ended after %d", n, items.last+1)
	}
	d.deeds.add(streamed)
	return nil
}

func (d *dialer) emitNote() error {
	conn := d.client.Conn()
	h, ok := heardKey.Get(conn)
	if !ok {
		return nil // the connection is new
	}
	h.notes++
	return conn.Emit("note", h.notes)
}

// settle examines how a turn failed, and waits for the next connection.
func (d *dialer) settle(err error) {
	var ws *wsrouter.WsError
	switch {
	case err == nil:
		return
	case errors.As(err, &ws) && ws.Code == wsrouter.CodeShutdown:
	case !isGone(err):
		d.fault("%v", err)
	}
	d.watch("ready", func() { err = d.client.Ready(context.Background()) })
	if err != nil {
		d.fault("it does not come back: %v", err)
	}
}
