package suite_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
	"github.com/wsrouter/wsrouter/socketio"
)

// hoard is a way for clients to make the process hold as much as possible.
type hoard struct {
	name   string
	limit  int  // bytes that they may hold; zero means MaxBuffered
	unseen bool // not in Stats: frames in the writer's hand, rooms
	setup  func(r *wsrouter.Router)
	client func(r *wsrouter.Router, i int) // one of them, in its own goroutine
}

const (
	hoarders    = 16
	maxBuffered = 256 << 10
	ordinary    = 16 << 10 // what an in-memory connection and its client cost
	noise       = 32 << 10
)

// Data is made once, so that it is not part of what is measured.
var (
	large  = strings.Repeat("x", 240_000)
	medium = large[:70_000]
	small  = large[:14_000]
)

// untilGone is the handler used by the hoards.
func untilGone(c *wsrouter.Context) error { <-c.Context().Done(); return nil }

func sendAll(r *wsrouter.Router, opts *wsrouter.WSOptions, frames ...string) {
	raw := rawtest.Connect(r, opts, nil)
	for _, frame := range frames {
		if !raw.Send(frame) {
			return
		}
	}
}

// repeat returns n frames, each with a number in it.
func repeat(n int, format string) (frames []string) {
	for i := range n {
		frames = append(frames, fmt.Sprintf(format, i))
	}
	return frames
}

// withHeaders connects with that many small headers.
func withHeaders(r *wsrouter.Router, n int) {
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(
		"GET / HTTP/1.1\r\nHost: h\r\n" + strings.Join(repeat(n, "a%d: \r\n"), "") + "\r\n")))
	if err != nil {
		panic(err)
	}
	if client, err := r.Connect(req.Context(), &wsrouter.DialOptions{Request: req}); err == nil {
		<-client.Conn().Context().Done()
	}
}

var sid = regexp.MustCompile(`"sid":"([^"]+)"`)

// post opens a polling session of Socket.IO and sends bodies.
func post(r *wsrouter.Router, bodies ...string) {
	h := socketio.New(r, nil)
	do := func(method, query, body string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/?EIO=4&transport=polling"+query, strings.NewReader(body)))
		return w.Body.String()
	}
	open := sid.FindStringSubmatch(do("GET", "", ""))
	do("POST", "&sid="+open[1], "40")
	do("GET", "&sid="+open[1], "") // the welcome
	for _, body := range bodies {
		do("POST", "&sid="+open[1], body)
	}
}

var hoards = []hoard{
	{
		name:   "messages in hand",
		setup:  func(r *wsrouter.Router) { r.On("e", untilGone) },
		client: func(r *wsrouter.Router, _ int) { sendAll(r, nil, `{"event":"e","data":"`+large+`"}`) },
	}, {
		name:  "messages of streams",
		setup: func(r *wsrouter.Router) { r.On("e", streamUntilGone) },
		client: func(r *wsrouter.Router, _ int) {
			sendAll(r, nil, repeat(3, `{"event":"e","id":%d,"data":"`+medium+`"}`)...)
		},
	}, {
		name:  "messages of concurrent handlers",
		setup: func(r *wsrouter.Router) { r.On("e", untilGone, wsrouter.Concurrent) },
		client: func(r *wsrouter.Router, _ int) {
			sendAll(r, nil, repeat(3, `{"event":"e","id":%d,"data":"`+medium+`"}`)...)
		},
	}, {
		name:   "small messages",
		setup:  func(r *wsrouter.Router) { r.On("e", untilGone) },
		client: func(r *wsrouter.Router, _ int) { sendAll(r, nil, repeat(700, `{"event":"e","data":%d}`)...) },
	}, {
		name:  "small requests with long ids",
		setup: func(r *wsrouter.Router) { r.On("e", untilGone, wsrouter.Concurrent) },
		client: func(r *wsrouter.Router, _ int) {
			sendAll(r, nil, repeat(150, `{"event":"e","id":"%d`+large[:55]+`"}`)...)
		},
	}, {
		name:   "events of Socket.IO with very many arguments",
		setup:  func(r *wsrouter.Router) { r.On("e", untilGone) },
		client: func(r *wsrouter.Router, _ int) { post(r, `42["e"`+strings.Repeat(`,0`, 120_000)+`]`) },
	}, {
		name:  "empty attachments",
		setup: func(r *wsrouter.Router) { r.On("e", untilGone) },
		client: func(r *wsrouter.Router, _ int) {
			event := `4510-["e",` + strings.Join(repeat(10, `{"_placeholder":true,"num":%d}`), ",") + `]` + strings.Repeat("\x1eb", 10)
			post(r, strings.Repeat(event+"\x1e", 180)+event)
		},
	}, {
		name:   "bodies of which a few bytes wait",
		setup:  func(r *wsrouter.Router) { r.On("e", streamUntilGone) },
		client: func(r *wsrouter.Router, _ int) { post(r, `437["`+large+"\"]\x1e"+`42["e",1]`) },
	}, {
		name:  "auth",
		setup: func(*wsrouter.Router) {},
		client: func(r *wsrouter.Router, _ int) {
			sendAll(r, &wsrouter.WSOptions{AuthFrame: true}, `{"auth":"`+large+`"}`)
		},
	}, {
		name:  "padding of auth",
		setup: func(*wsrouter.Router) {},
		client: func(r *wsrouter.Router, _ int) {
			sendAll(r, &wsrouter.WSOptions{AuthFrame: true}, `{"auth":1,"x":"`+large+`"}`)
		},
	}, {
		name:   "auth of Socket.IO",
		setup:  func(*wsrouter.Router) {},
		client: func(r *wsrouter.Router, _ int) { post(r, `40/a,{"a":"`+large+`"}`) },
	}, {
		name:   "megabytes of headers",
		setup:  func(*wsrouter.Router) {},
		client: func(r *wsrouter.Router, _ int) { withHeaders(r, 20_000) },
	}, {
		name:  "headers",
		setup: func(*wsrouter.Router) {},
		client: func(r *wsrouter.Router, _ int) {
			withHeaders(r, 1800)
		},
	}, {
		name: "data",
		setup: func(r *wsrouter.Router) {
			r.On("e", func(c *wsrouter.Context) error { return c.Conn().SetData(c.Raw()) })
		},
		client: func(r *wsrouter.Router, _ int) { sendAll(r, nil, `{"event":"e","data":"`+large[:100_000]+`"}`) },
	}, {
		name: "items that nobody takes",
		setup: func(r *wsrouter.Router) {
			r.On("e", func(c *wsrouter.Context) error {
				for range wsrouter.Pull[string](c.Context(), c.Conn(), "items", nil) {
					return untilGone(c)
				}
				return nil
			})
		},
		client: func(r *wsrouter.Router, _ int) {
			raw := rawtest.Connect(r, nil, nil)
			raw.Send(`{"event":"e"}`)
			raw.Read()
			for range 17 {
				raw.Send(`{"event":"items","data":"` + small + `","re":1,"more":true}`)
			}
		},
	}, {
		name: "messages of streams whose producers go on",
		setup: func(r *wsrouter.Router) {
			r.On("e", func(c *wsrouter.Context) error {
				ch, gone := make(chan int), c.Conn().Context()
				go func() { <-gone.Done(); close(ch) }()
				return wsrouter.Stream(c, ch)
			})
		},
		client: func(r *wsrouter.Router, _ int) {
			raw := rawtest.Connect(r, nil, nil)
			for range 3 {
				raw.Send(`{"event":"e","id":1,"data":"` + medium + `"}`)
				raw.Send(`{"id":1,"cancel":true}`)
				raw.Read()
			}
		},
	}, {
		name: "what OnConnect emits",
		setup: func(r *wsrouter.Router) {
			r.OnConnect(func(c *wsrouter.Conn) error { c.Emit("n", large); <-c.Context().Done(); return nil })
		},
		client: func(r *wsrouter.Router, _ int) { sendAll(r, nil) },
	}, {
		name:   "frames in the writer's hand",
		unseen: true,
		setup: func(r *wsrouter.Router) {
			r.On("e", func(c *wsrouter.Context) error { return c.Reply(large) })
		},
		client: func(r *wsrouter.Router, _ int) { sendAll(r, nil, `{"event":"e"}`) },
	}, {
		name:   "packets that no poll takes",
		unseen: true,
		setup: func(r *wsrouter.Router) {
			r.On("e", func(c *wsrouter.Context) error { return c.Reply(large) })
		},
		client: func(r *wsrouter.Router, _ int) { post(r, `420["e"]`) },
	}, {
		name:   "pongs that nobody reads",
		setup:  func(*wsrouter.Router) {},
		client: func(r *wsrouter.Router, _ int) { sendAll(r, nil, repeat(700, `{"ping":%d}`)...) },
	}, {
		name:   "rooms",
		limit:  hoarders * 250 * 256,
		unseen: true,
		setup: func(r *wsrouter.Router) {
			r.On("e", func(c *wsrouter.Context) error {
				var name string
				if err := c.Bind(&name); err != nil {
					return err
				}
				for i := range 250 {
					c.Join(fmt.Sprint(name, i))
				}
				return nil
			})
		},
		client: func(r *wsrouter.Router, i int) {
			sendAll(r, nil, fmt.Sprintf(`{"event":"e","data":"%d%s"}`, i, large[:250]))
		},
	},
}

func streamUntilGone(c *wsrouter.Context) error {
	return wsrouter.StreamSeq(c, func(func(int, error) bool) { <-c.Context().Done() })
}

// TestHeld: whatever clients do, the process holds at most four times the bytes that
// the limits allow, and Stats shows what it holds.
func TestHeld(t *testing.T) {
	for _, h := range hoards {
		t.Run(h.name, func(t *testing.T) { synctest.Test(t, h.test) })
	}
}

func (h hoard) test(t *testing.T) {
	router := wsrouter.New(&wsrouter.Options{MaxBuffered: maxBuffered, MaxRooms: 250, WriteTimeout: -1})
	router.Namespace("/a")
	h.setup(router)
	defer router.Close()
	before := heap()
	for i := range hoarders {
		go h.client(router, i)
		synctest.Wait()
	}
	time.Sleep(time.Nanosecond) // the bubble forgets stopped timers
	s := router.Stats()
	held := heap() - before - s.Connections*ordinary
	limit := h.limit
	if limit == 0 {
		limit = maxBuffered
	}
	t.Logf("%.2f MB held, %.2f MB charged, %d of %d connections", float64(held)/1e6, float64(s.Inbox+s.Outbox)/1e6, s.Connections, hoarders)
	require.LessOrEqual(t, held, 4*limit+noise)
	if !h.unseen {
		require.LessOrEqual(t, held, 4*(s.Inbox+s.Outbox)+noise)
	}
	router.Close()
	synctest.Wait()
	require.Zero(t, router.Stats().Inbox+router.Stats().Outbox)
}

// heap returns how many bytes are in use.
func heap() int {
	runtime.GC()
	runtime.GC() // empties the pools, too
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}
