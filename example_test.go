package wsrouter_test

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"time"

	"github.com/wsrouter/wsrouter"
)

// connect connects a client in memory that prints what it receives. The returned
// function waits for n events and closes the client.
func connect(router *wsrouter.Router) (client *wsrouter.Client, done func(n int)) {
	received := make(chan struct{}, 100)
	handlers := wsrouter.New(nil)
	handlers.NotFound(func(c *wsrouter.Context) error {
		fmt.Printf("%s %s\n", c.Event(), c.Raw())
		received <- struct{}{}
		return nil
	})
	client, err := router.Connect(context.Background(), &wsrouter.DialOptions{Router: handlers})
	if err != nil {
		log.Fatal(err)
	}
	return client, func(n int) {
		for range n {
			<-received
		}
		client.Close()
	}
}

func Example() {
	router := wsrouter.New(nil)
	router.On("events", func(c *wsrouter.Context) error {
		var text string
		if err := c.Bind(&text); err != nil {
			return err
		}
		if text == "" {
			return wsrouter.NewError("数据不能为空！")
		}
		return c.Reply(text)
	})
	// http.Handle("/ws", router) serves it; here a client connects in memory.

	client, done := connect(router)
	client.Emit("events", "hi")
	client.Emit("events", "")
	done(2)
	// Output:
	// events "hi"
	// exception {"status":"error","message":"数据不能为空！"}
}

func ExampleRouter_Use() {
	router := wsrouter.New(nil)
	router.Use(func(next wsrouter.HandlerFunc) wsrouter.HandlerFunc {
		return func(c *wsrouter.Context) error {
			err := next(c)
			fmt.Printf("%s: %v\n", c.Event(), err)
			return err
		}
	})
	router.On("ok", func(c *wsrouter.Context) error { return nil })
	router.On("fail", func(c *wsrouter.Context) error { return errors.New("disk full") })

	client, done := connect(router)
	client.Call(context.Background(), "ok", nil, nil)
	fmt.Println("client:", client.Call(context.Background(), "fail", nil, nil))
	done(0)
	// Output:
	// ok: <nil>
	// fail: disk full
	// client: Internal server error
}

// A namespace has its own handlers, hooks and rooms, and can be mounted anywhere.
func ExampleRouter_Namespace() {
	router := wsrouter.New(nil)
	rooms := router.Namespace("/rooms")
	rooms.OnConnect(func(c *wsrouter.Conn) error {
		return c.Join("room:" + c.Request().PathValue("id"))
	})
	rooms.On("say", func(c *wsrouter.Context) error {
		return rooms.To("room:"+c.Request().PathValue("id")).Emit("said", c.Value())
	})

	mux := http.NewServeMux()
	mux.Handle("/rooms/{id}", rooms)
	server := httptest.NewServer(mux)
	defer server.Close()

	said := make(chan string)
	handlers := wsrouter.New(nil)
	handlers.On("said", func(c *wsrouter.Context) error { said <- string(c.Raw()); return nil })
	client, err := wsrouter.Dial(context.Background(), server.URL+"/rooms/7", &wsrouter.DialOptions{Router: handlers})
	if err != nil {
		log.Fatal(err)
	}
	client.Emit("say", "hello, room 7")
	fmt.Println(<-said)
	client.Close()
	// Output: "hello, room 7"
}

// The guard of a namespace sees every client before any of its events is handled.
func ExampleRouter_OnConnect() {
	type User struct{ Name string }
	userKey := wsrouter.NewKey[User]("user")

	router := wsrouter.New(nil)
	router.OnConnect(func(c *wsrouter.Conn) error {
		var auth struct{ Token string }
		if err := c.Auth(&auth); err != nil {
			return err
		}
		if auth.Token != "good" {
			return wsrouter.NewError("who are you?") // closes with 1008
		}
		userKey.Set(c, User{"ann"})
		return c.Emit("welcome", "ann")
	})

	for _, token := range []string{"good", "bad"} {
		client, err := router.Connect(context.Background(), &wsrouter.DialOptions{
			Auth: func(context.Context) (any, error) { return map[string]string{"token": token}, nil },
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(client.Call(context.Background(), "anything", nil, nil))
		client.Close()
	}
	// Output:
	// no such event
	// wsrouter: closed (peer): code 1008 "who are you?"
}

func ExampleRouter_OnDisconnect() {
	done := make(chan struct{})
	router := wsrouter.New(nil)
	router.OnDisconnect(func(ctx context.Context, c *wsrouter.Conn, err *wsrouter.CloseError) {
		defer close(done)
		var ce *wsrouter.CloseError
		errors.As(err, &ce)
		switch ce.Cause {
		case wsrouter.CausePeer:
			fmt.Println("left with", ce.Code)
		case wsrouter.CauseSlow, wsrouter.CauseTimeout:
			fmt.Println("lost")
		}
	})
	router.On("ready", func(*wsrouter.Context) error { return nil })

	client, _ := connect(router)
	client.Call(context.Background(), "ready", nil, nil)
	client.Close()
	<-done
	// Output: left with 1000
}

func ExampleRouter_OnInit() {
	router := wsrouter.New(nil)
	router.OnInit(func(r *wsrouter.Router) error {
		return errors.New("no database yet")
	})
	_, err := router.Connect(context.Background(), nil)
	fmt.Println(err)
	// Output: wsrouter: server answered 503 Service Unavailable: not available
}

// Call Shutdown before http.Server.Shutdown, which does not know about WebSockets.
func ExampleRouter_Shutdown() {
	router := wsrouter.New(nil)
	server := &http.Server{Handler: router, ReadHeaderTimeout: 5 * time.Second}

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	fmt.Println(errors.Join(router.Shutdown(ctx), server.Shutdown(ctx)))
	// Output: <nil>
}

func ExampleRouter_Connect() {
	router := wsrouter.New(nil)
	router.On("sum", func(c *wsrouter.Context) error {
		var in []int
		if err := c.Bind(&in); err != nil {
			return err
		}
		sum := 0
		for _, n := range in {
			sum += n
		}
		return c.Reply(sum)
	})

	client, err := router.Connect(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	var sum int
	fmt.Println(client.Call(context.Background(), "sum", []int{1, 2, 3}, &sum), sum)
	fmt.Println(client.Call(context.Background(), "sum", []string{"1"}, &sum))
	// Output:
	// <nil> 6
	// [0]: expected an integer, got a string
}

func ExampleDial() {
	router := wsrouter.New(nil)
	router.On("hello", func(c *wsrouter.Context) error { return c.Reply("hello, " + string(c.Raw())) })
	server := httptest.NewServer(router)
	defer server.Close()

	client, err := wsrouter.Dial(context.Background(), server.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	var answer string
	err = client.Call(context.Background(), "hello", 7, &answer)
	fmt.Println(answer, err)
	// Output: hello, 7 <nil>
}

// A handler returns a channel as its stream. The producer stops with the event's
// context, which ends when the client cancels or goes.
func ExampleStream() {
	router := wsrouter.New(nil)
	router.On("count", func(c *wsrouter.Context) error {
		ch := make(chan int)
		go func() {
			defer close(ch)
			for i := 1; i <= 3; i++ {
				select {
				case ch <- i:
				case <-c.Context().Done():
					return
				}
			}
		}()
		return wsrouter.Stream(c, ch)
	})

	client, done := connect(router)
	client.Emit("count")
	done(3)
	// Output:
	// count 1
	// count 2
	// count 3
}

// A stream without a goroutine: yield returns false when no more items are wanted.
func ExampleStreamSeq() {
	router := wsrouter.New(nil)
	router.On("numbers", func(c *wsrouter.Context) error {
		return wsrouter.StreamSeq(c, func(yield func(wsrouter.Response, error) bool) {
			for i := 1; i <= 3; i++ {
				if !yield(wsrouter.Response{Event: "events", Data: i}, nil) {
					return
				}
			}
		})
	})

	client, done := connect(router)
	client.Emit("numbers")
	done(3)
	// Output:
	// events 1
	// events 2
	// events 3
}

func ExampleContext_Field() {
	router := wsrouter.New(nil)
	router.On("rename", func(c *wsrouter.Context) error {
		var id int
		if err := c.Field("user.id", &id); err != nil {
			return err
		}
		return c.Reply(id)
	})

	client, done := connect(router)
	client.Emit("rename", map[string]any{"user": map[string]any{"id": 42}})
	client.Emit("rename", map[string]any{"user": map[string]any{"id": "x"}})
	done(2)
	// Output:
	// rename 42
	// exception {"status":"error","message":"user.id: expected an integer, got a string","code":"invalid"}
}

func ExampleContext_Reply() {
	router := wsrouter.New(nil)
	router.On("plain", func(c *wsrouter.Context) error { return c.Reply("under its own name") })
	router.On("named", func(c *wsrouter.Context) error {
		return c.Reply(wsrouter.Response{Event: "events", Data: "under another"})
	})

	client, done := connect(router)
	client.Emit("plain")
	client.Emit("named")
	done(2)
	// Output:
	// plain "under its own name"
	// events "under another"
}

// A slow event lets later ones go ahead.
func ExampleConcurrent() {
	router := wsrouter.New(nil)
	release := make(chan struct{})
	router.On("report", func(c *wsrouter.Context) error {
		<-release
		return c.Reply("done")
	}, wsrouter.Concurrent)
	router.On("quick", func(c *wsrouter.Context) error {
		defer close(release)
		return c.Reply("first")
	})

	client, done := connect(router)
	client.Emit("report")
	client.Emit("quick")
	done(2)
	// Output:
	// quick "first"
	// report "done"
}

// A handler asks its own client and waits for the answer.
func ExampleConn_Call() {
	router := wsrouter.New(nil)
	router.On("delete", func(c *wsrouter.Context) error {
		ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
		defer cancel()
		var sure bool
		if err := c.Conn().Call(ctx, "confirm", "Delete everything?", &sure); err != nil {
			return err
		}
		return c.Reply(sure)
	})

	handlers := wsrouter.New(nil)
	handlers.On("confirm", func(c *wsrouter.Context) error {
		fmt.Printf("%s\n", c.Raw())
		return c.Reply(true)
	})
	client, err := router.Connect(context.Background(), &wsrouter.DialOptions{Router: handlers})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	var deleted bool
	fmt.Println(client.Call(context.Background(), "delete", nil, &deleted), deleted)
	// Output:
	// "Delete everything?"
	// <nil> true
}

func ExampleTarget() {
	router := wsrouter.New(nil)
	router.On("join", func(c *wsrouter.Context) error { return c.Join("room:go") })
	router.On("say", func(c *wsrouter.Context) error {
		return c.To("room:go").Emit("said", c.Value()) // everyone in it but the sender
	})

	ann, annDone := connect(router)
	bob, bobDone := connect(router)
	ann.Call(context.Background(), "join", nil, nil)
	bob.Call(context.Background(), "join", nil, nil)
	ann.Emit("say", "hi")
	bobDone(1)
	annDone(0)
	// Output: said "hi"
}

// An error that clients may see is a package variable. What varies goes into a
// copy, which still matches the original.
func ExampleWsError() {
	errFull := wsrouter.NewError("room is full").WithCode("E_FULL")
	router := wsrouter.New(nil)
	router.On("enter", func(c *wsrouter.Context) error {
		return errFull.WithData(map[string]int{"seats": 8}).WithCause(errors.New("only for the log"))
	})

	client, done := connect(router)
	client.Emit("enter")
	done(1)
	// Output: exception {"status":"error","message":"room is full","code":"E_FULL","data":{"seats":8}}
}

func ExampleOptions_errorBody() {
	router := wsrouter.New(&wsrouter.Options{
		ErrorBody: func(c *wsrouter.Context, err error) any {
			var ws *wsrouter.WsError
			if errors.As(err, &ws) {
				return map[string]string{"error": ws.Message, "in": c.Event()}
			}
			return map[string]string{"error": "oops", "in": c.Event()}
		},
	})
	router.On("fail", func(*wsrouter.Context) error { return errors.New("secret") })

	client, done := connect(router)
	client.Emit("fail")
	done(1)
	// Output: exception {"error":"oops","in":"fail"}
}

// Behind a proxy that terminates TLS and sets X-Forwarded-Proto, pages of http may
// not connect: anybody on the way may have written them.
func ExampleOptions_allowOrigin() {
	router := wsrouter.New(&wsrouter.Options{
		AllowOrigin: func(r *http.Request) bool {
			return r.Header.Get("Origin") == r.Header.Get("X-Forwarded-Proto")+"://"+r.Host
		},
	})
	for _, origin := range []string{"https://app.example.com", "http://app.example.com"} {
		req := httptest.NewRequest("GET", "http://app.example.com/ws", nil)
		req.Header.Set("X-Forwarded-Proto", "https")
		req.Header.Set("Origin", origin)
		client, err := router.Connect(context.Background(), &wsrouter.DialOptions{Request: req})
		if err != nil {
			fmt.Println(err)
			continue
		}
		client.Close()
		fmt.Println("connected")
	}
	// Output:
	// connected
	// wsrouter: server answered 403 Forbidden: origin not allowed
}

// A mount that requires a token in the first frame, because browsers cannot set
// headers.
func ExampleRouter_Handler() {
	router := wsrouter.New(&wsrouter.Options{Origins: []string{"https://app.example.com"}})
	http.Handle("/ws", router.Handler(&wsrouter.WSOptions{AuthFrame: true}))
	http.Handle("/nest", router.Handler(&wsrouter.WSOptions{Codec: wsrouter.NestJSON}))
}

// Print every frame on its own line, for debugging, without secrets and cut to 1
// KB.
func ExampleTrace() {
	secrets := regexp.MustCompile(`"(auth|token|password)":\s*("(\\.|[^"\\])*"|\{[^}]*\})`)
	show := func(arrow string, data []byte) {
		line := secrets.ReplaceAllString(string(data), `"$1":"***"`)
		if len(line) > 1<<10 {
			line = line[:1<<10] + "…"
		}
		fmt.Println(arrow, line)
	}
	router := wsrouter.New(&wsrouter.Options{Trace: &wsrouter.Trace{
		FrameIn:  func(_ *http.Request, data []byte) { show("→", data) },
		FrameOut: func(_ *http.Request, data []byte) { show("←", data) },
	}})
	router.On("login", func(c *wsrouter.Context) error { return c.Reply("welcome") })

	client, err := router.Connect(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.Call(context.Background(), "login", map[string]string{"name": "ann", "password": "secret"}, nil)
	// Output:
	// → {"event":"login","data":{"name":"ann","password":"***"},"id":1}
	// ← {"event":"login","data":"welcome","re":1}
}

// Show the router's numbers at /debug/vars, beside those of the process.
func ExampleRouter_Stats() {
	router := wsrouter.New(nil)
	expvar.Publish("wsrouter", expvar.Func(func() any { return router.Stats() }))

	client, done := connect(router)
	client.Call(context.Background(), "nobody", nil, nil)
	done(0)
	stats := router.Stats()
	fmt.Println(stats.EventsIn, stats.BytesIn, stats.Errors)
	// Output: 1 25 0
}
