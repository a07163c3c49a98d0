package pipe_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/leak"
	"github.com/wsrouter/wsrouter/internal/pipe"
	"github.com/wsrouter/wsrouter/internal/plain"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestMain(m *testing.M) { leak.Main(m) }

// TestTransport checks that the pipe keeps the promises of a transport.
func TestTransport(t *testing.T) {
	wsroutertest.TestTransport(t, wsroutertest.TransportAdapter{
		Serve: func(tb testing.TB, host adapter.Host) func() *wsroutertest.TransportPeer {
			return func() *wsroutertest.TransportPeer { return peer(tb, host) }
		},
		Bubble:   true,
		Overhead: len(`{"event":"e","data":}`),
	})
}

// nobody is the link of an end that belongs to no host.
type nobody struct{ adapter.Link }

func (nobody) Alive() {}

func peer(tb testing.TB, host adapter.Host) *wsroutertest.TransportPeer {
	server, client := pipe.New(host.Limits(), adapter.Limits{MaxMessage: 1 << 30})
	link, err := host.NewLink(server, adapter.LinkOptions{Request: &http.Request{Header: http.Header{}}})
	if err != nil {
		tb.Fatal(err)
	}
	server.Attach(link)
	client.Attach(nobody{})
	limits := host.Limits()
	s := &plain.Session{Link: link, Namespace: host.Lookup("/"), Limits: &limits}
	go func() {
		defer s.Begin()()
		s.Serve(server)
	}()
	return &wsroutertest.TransportPeer{
		Send: func(data string) error {
			if !client.Send([]byte(`{"event":"e","data":` + data + `}`)) {
				return errors.New("the pipe has ended")
			}
			return nil
		},
		Read: func() (wsroutertest.TransportPart, error) {
			data, _, end := client.Read()
			if end != nil {
				return wsroutertest.TransportPart{}, errors.New(end.Reason)
			}
			return wsroutertest.TransportPart{Data: data}, nil
		},
		Cut:     client.Abort,
		Goodbye: func() { client.Close(adapter.End{Code: 1000}) },
		Garbage: func() { client.Send([]byte(`{"event":"e","id":1,"re":1}`)) },
	}
}
