package wsrouter_test

import (
	"context"
	"fmt"

	"github.com/wsrouter/wsrouter"
)

// To the server, a client that comes back is a new one. It asks for what it watches in
// OnConnect, which runs for each connection.
func ExampleReconnect() {
	ctx := context.Background()
	server := wsrouter.New(nil)
	wsrouter.Handle(server, "watch", func(c *wsrouter.Context, room string) (string, error) {
		return "watching " + room, c.Join("watch:" + room)
	})

	handlers := wsrouter.New(nil)
	connects := make(chan string)
	handlers.OnConnect(func(c *wsrouter.Conn) error {
		answer, err := wsrouter.Call[string](c.Context(), c, "watch", "prices")
		connects <- answer
		return err // a client whose OnConnect fails comes back, too
	})
	prices := make(chan float64)
	handlers.On("price", func(c *wsrouter.Context) error {
		var price float64
		err := c.Bind(&price)
		prices <- price
		return err
	})
	client, err := server.Connect(ctx, &wsrouter.DialOptions{Router: handlers, Reconnect: &wsrouter.Reconnect{}})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	fmt.Println(<-connects)
	client.Abort() // as if the network were cut
	fmt.Println(<-connects)
	server.To("watch:prices").Emit("price", 4.2)
	fmt.Println(<-prices)
	// Output:
	// watching prices
	// watching prices
	// 4.2
}
