package serve

import (
	"context"
	"encoding/json"
	"log"
	"net/http"

	"github.com/centrifugal/centrifuge"
)

// newCentrifuge has events as RPC methods, and the server subscribes everybody to a
// channel: the nearest equivalent in centrifuge's JSON protocol.
func newCentrifuge() http.Handler {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 8 * maxMessage})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{},
			Subscriptions: map[string]centrifuge.SubscribeOptions{"news": {}},
		}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnRPC(func(event centrifuge.RPCEvent, reply centrifuge.RPCCallback) {
			var text string
			if err := json.Unmarshal(event.Data, &text); err != nil {
				reply(centrifuge.RPCReply{}, centrifuge.ErrorBadRequest)
				return
			}
			data, err := json.Marshal(text)
			switch {
			case err != nil:
			case event.Method == "echo":
				reply(centrifuge.RPCReply{Data: data}, nil)
				return
			case event.Method == "broadcast":
				_, err = node.Publish("news", data)
			default:
				err = centrifuge.ErrorMethodNotFound
			}
			reply(centrifuge.RPCReply{}, err)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	return centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{MessageSizeLimit: maxMessage})
}
