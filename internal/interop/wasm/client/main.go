//go:build js

// Command client dials the server of wasm_test.go with JavaScript's WebSocket, and
// prints what it sees, a line for each step.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/payload"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url := os.Args[1]

	handlers := wsrouter.New(&wsrouter.Options{PingInterval: 100 * time.Millisecond})
	handlers.On("question", func(c *wsrouter.Context) error { return c.Reply(c.Value()) })
	client, err := wsrouter.Dial(ctx, url, &wsrouter.DialOptions{Router: handlers})
	check(err)
	fmt.Println("over", client.Conn().Transport())

	check(client.Call(ctx, "echo", map[string]any{"text": "é😀"}, tell("echo")))
	var asked payload.Value
	check(client.Call(ctx, "ask", "who?", &asked))
	fmt.Println("ask", string(asked.JSON))
	var long string
	check(client.Call(ctx, "echo", strings.Repeat("x", 300_000), &long))
	fmt.Println("long", len(long))
	sum := 0
	for n, err := range wsrouter.Pull[int](ctx, client, "count", 100) {
		check(err)
		sum += n
	}
	fmt.Println("sum", sum)
	var ws *wsrouter.WsError
	errors.As(client.Call(ctx, "fail", nil, nil), &ws)
	fmt.Println("fail", ws.Message, ws.Code)

	check(client.Call(ctx, "silence", nil, tell("silence"))) // longer than a ping takes
	check(client.Emit("close"))
	<-client.Conn().Context().Done()
	var ce *wsrouter.CloseError
	errors.As(context.Cause(client.Conn().Context()), &ce)
	fmt.Println("closed", ce.Code, ce.Reason, ce.Cause)
	client.Close()

	again, err := wsrouter.Dial(ctx, url, nil)
	check(err)
	check(again.Conn().Close(4002, "enough"))
	<-again.Conn().Context().Done()
	again.Close()

	_, err = wsrouter.Dial(ctx, url+"/nowhere", nil)
	fmt.Println("refused", err != nil)
	_, err = wsrouter.Dial(ctx, url, &wsrouter.DialOptions{Header: map[string][]string{"X": {"y"}}})
	fmt.Println("header", err)
}

// tell returns a pointer that prints what is stored in it.
func tell(name string) *printer { return &printer{name} }

type printer struct{ name string }

func (p *printer) UnmarshalJSON(b []byte) error {
	fmt.Println(p.name, string(b))
	return nil
}

var _ json.Unmarshaler = (*printer)(nil)

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}
