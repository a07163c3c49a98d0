package wsrouter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
)

// newNode returns one server of a cluster. Each user has a room for all their
// devices, and is listed by Find.
func newNode(b broker.Broker) *wsrouter.Router {
	router := wsrouter.New(&wsrouter.Options{Broker: b})
	router.OnConnect(func(c *wsrouter.Conn) error {
		var auth struct{ User string } // from a token that you check, for example
		if err := c.Auth(&auth); err != nil {
			return err
		}
		if auth.User == "" {
			return wsrouter.NewError("who are you?")
		}
		if err := c.SetData(auth); err != nil {
			return err
		}
		return c.Join("user:" + auth.User)
	})
	return router
}

// device connects a device of a user, which prints what it receives. The returned
// function waits for n events, or until the connection has ended.
func device(router *wsrouter.Router, user, name string) (wait func(n int)) {
	received := make(chan struct{}, 100)
	handlers := wsrouter.New(nil)
	handlers.NotFound(func(c *wsrouter.Context) error {
		fmt.Printf("%s's %s: %s %s\n", user, name, c.Event(), c.Raw())
		received <- struct{}{}
		return nil
	})
	ended := make(chan struct{})
	handlers.OnDisconnect(func(_ context.Context, _ *wsrouter.Conn, err *wsrouter.CloseError) {
		if err.Code == 4001 {
			fmt.Printf("%s's %s: %s\n", user, name, err.Reason)
		}
		close(ended)
	})
	client, err := router.Connect(context.Background(), &wsrouter.DialOptions{
		Router: handlers,
		Auth:   func(context.Context) (any, error) { return map[string]string{"user": user}, nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	client.Call(context.Background(), "in?", nil, nil) // answered once OnConnect has let us in
	return func(n int) {
		for range n {
			select {
			case <-received:
			case <-ended:
			}
		}
	}
}

// With a room for each user, any server reaches all their devices, wherever they
// are connected. See newNode above for OnConnect, which joins that room.
func Example_cluster() {
	var cluster broker.Memory // in production the one of package redisbroker
	one, two := newNode(&cluster), newNode(&cluster)
	phone := device(one, "ann", "phone")
	laptop := device(two, "ann", "laptop")
	device(two, "bob", "laptop")

	one.To("user:ann").Emit("message", "hello, Ann")

	phone(1)
	laptop(1)
	one.Close()
	two.Close()
	// Unordered output:
	// ann's phone: message "hello, Ann"
	// ann's laptop: message "hello, Ann"
}

// Who is online, on all servers? Find returns what Conn.SetData has set in
// OnConnect.
func ExampleTarget_Find() {
	var cluster broker.Memory
	one, two := newNode(&cluster), newNode(&cluster)
	device(one, "ann", "phone")
	device(two, "ann", "laptop")
	device(two, "bob", "laptop")

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	members, err := one.Find(ctx)
	if errors.Is(err, wsrouter.ErrUnreached) {
		log.Print(err) // and continue with those that were found
	}
	var online []string
	for _, m := range members {
		var data struct{ User string }
		json.Unmarshal(m.Data, &data)
		online = append(online, data.User)
	}
	slices.Sort(online)
	fmt.Println(slices.Compact(online), "on", len(members), "devices")

	bobs, _ := one.To("user:bob").Find(ctx)
	fmt.Println("bob is online:", len(bobs) > 0)
	one.Close()
	two.Close()
	// Output:
	// [ann bob] on 3 devices
	// bob is online: true
}

// Sign a user out on all devices, on all servers. From then on OnConnect must keep
// the user out.
func ExampleTarget_Disconnect() {
	var cluster broker.Memory
	one, two := newNode(&cluster), newNode(&cluster)
	phone := device(one, "ann", "phone")
	laptop := device(two, "ann", "laptop")

	err := one.To("user:ann").Disconnect(4001, "signed out")
	if errors.Is(err, wsrouter.ErrUnreached) {
		log.Print(err) // devices on other servers may still be connected: try again
	}

	phone(1)
	laptop(1)
	one.Close()
	two.Close()
	// Unordered output:
	// ann's phone: signed out
	// ann's laptop: signed out
}
