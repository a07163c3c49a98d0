package redisbroker_test

import (
	"context"
	"errors"
	"log"
	"net/http"
	"time"

	"github.com/redis/rueidis"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/redisbroker"
	"github.com/wsrouter/wsrouter/socketio"
)

// It takes one line more than a single server. Servers on Node.js with Socket.IO's
// Redis adapter or NestJS's RedisIoAdapter may be in the same cluster.
func ExampleNew() {
	broker, err := redisbroker.New(rueidis.ClientOption{InitAddress: []string{"localhost:6379"}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	router := wsrouter.New(&wsrouter.Options{Broker: broker})
	router.On("say", func(c *wsrouter.Context) error {
		return c.To("room:lobby").Emit("said", c.Raw()) // on all servers
	})

	http.Handle("/ws", router)
	http.Handle("/socket.io/", socketio.New(router, nil))
	server := &http.Server{Addr: ":3000", ReadHeaderTimeout: 5 * time.Second}
	go server.ListenAndServe()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	log.Println(errors.Join(router.Shutdown(ctx), server.Shutdown(ctx), broker.Close()))
}

// A cron job tells clients something without being a server itself.
func ExampleNewEmitter() {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"localhost:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	emitter := redisbroker.NewEmitter(client, nil)
	if err := emitter.To("user:7").Emit(context.Background(), "paid", map[string]int{"invoice": 1}); err != nil {
		log.Fatal(err)
	}
}
