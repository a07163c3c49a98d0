package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/redisbroker"
	"github.com/wsrouter/wsrouter/socketio"
)

// asNode is the first argument of this binary if it is a node, not a test.
const asNode = "node"

// startGo starts a node of ours: a process like node/server.mjs, with the same
// arguments and commands. It looks for data races if the test does.
func startGo(t *testing.T, args ...string) *process.Process {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	return process.Start(t, ".", binary, append([]string{asNode}, args...)...)
}

// goNode is that node, in its own process.
type goNode struct {
	router *wsrouter.Router
	server *http.Server
	broker *redisbroker.Broker

	mu    sync.Mutex // guards heard
	heard [][]any    // from serverSideEmit
}

// runGoNode runs it until standard input ends or it is told to stop. args are those
// of node/server.mjs.
func runGoNode(args []string) error {
	kind, url, port, names := args[0], args[1], args[2], args[3:]
	option, err := rueidis.ParseURL(url)
	if err != nil {
		return err
	}
	if kind == kindGoEmitter {
		return runGoEmitter(option)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n := new(goNode)
	n.broker, err = redisbroker.New(option, &redisbroker.Options{
		Logger: logger, ServerSideEmit: n.hello, RequestTimeout: 2 * patience,
	})
	if err != nil {
		return err
	}
	n.router = wsrouter.New(&wsrouter.Options{Broker: n.broker, OutboxBytes: 64 << 20, Logger: logger})
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", socketio.New(n.router, nil))
	for _, name := range names {
		r := n.at(name)
		register(r)
		mux.Handle("/ws"+strings.TrimSuffix(name, "/"), r)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	n.server = &http.Server{Handler: mux}
	go n.server.Serve(ln)
	for _, name := range names {
		if err := n.at(name).To("none").Leave("none"); err != nil { // subscribes
			return err
		}
	}
	return obey(n.command)
}

// at returns a namespace. Commands that concern no namespace do not name one.
func (n *goNode) at(name string) *wsrouter.Router {
	if name == "/" || name == "" {
		return n.router
	}
	return n.router.Namespace(name)
}

// to selects as Node.js does: everybody if there are no rooms.
func (n *goNode) to(namespace string, rooms []string) wsrouter.Target {
	if len(rooms) == 0 {
		return n.at(namespace).All()
	}
	return n.at(namespace).To(rooms...)
}

// hello answers serverSideEmit as node/server.mjs does.
func (n *goNode) hello(namespace, event string, args []json.RawMessage) (any, error) {
	heard := []any{namespace}
	for _, arg := range args {
		heard = append(heard, arg)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heard = append(n.heard, heard)
	if event != "hello" || len(args) == 0 {
		return nil, fmt.Errorf("what is %q?", event)
	}
	return "go " + string(args[0]), nil
}

// register gives a namespace the events of node/sockets.mjs, and whoami for our own
// clients, which are not told their ids.
func register(r *wsrouter.Router) {
	r.On("whoami", func(c *wsrouter.Context) error { return c.Reply(c.Conn().ID()) })
	r.On("join", func(c *wsrouter.Context) error { return inRoom(c, c.Join) })
	r.On("leave", func(c *wsrouter.Context) error {
		return inRoom(c, func(rooms ...string) error { c.Leave(rooms...); return nil })
	})
	r.On("data", func(c *wsrouter.Context) error {
		if err := c.Conn().SetData(c.Raw()); err != nil {
			return err
		}
		return c.Reply(true)
	})
	r.On("others", func(c *wsrouter.Context) error {
		return say(c, func(e []any) error { return c.Others().Emit(e[0].(string), e[1:]...) })
	})
	r.On("neighbours", func(c *wsrouter.Context) error {
		return say(c, func(e []any) error { return c.To(e[0].(string)).Emit(e[1].(string), e[2:]...) })
	})
}

func inRoom(c *wsrouter.Context, change func(rooms ...string) error) error {
	var room string
	if err := c.Bind(&room); err != nil {
		return err
	}
	if err := change(room); err != nil {
		return err
	}
	return c.Reply(slices.Sorted(slices.Values(c.Conn().Rooms())))
}

func say(c *wsrouter.Context, emit func(event []any) error) error {
	var event []any
	if err := c.Bind(&event); err != nil {
		return err
	}
	if err := emit(event); err != nil {
		return err
	}
	return c.Reply(true)
}

// command is a line from the test.
type command struct {
	ID        int             `json:"id"`
	Do        string          `json:"do"`
	Namespace string          `json:"namespace"`
	Rooms     []string        `json:"rooms"`
	Except    []string        `json:"except"`
	Volatile  bool            `json:"volatile"`
	Event     string          `json:"event"`
	Args      json.RawMessage `json:"args"`
	To        []string        `json:"to"`    // rooms to join or leave
	Close     bool            `json:"close"` // for disconnect: the transport, too
	Index     int             `json:"index"` // for oddities
}

// anyTarget is what a Target and an Emitter have in common.
type anyTarget interface {
	Emit(event string, args ...any) error
	Join(rooms ...string) error
	Leave(rooms ...string) error
	Disconnect(code int, reason string) error
	DisconnectTransport(code int, reason string) error
}

// act carries out a command that changes something.
func (cmd *command) act(t anyTarget) error {
	switch cmd.Do {
	case "emit":
		return t.Emit(cmd.Event, inGo(cmd.Args)...)
	case "join":
		return t.Join(cmd.To...)
	case "leave":
		return t.Leave(cmd.To...)
	case "disconnect":
		if cmd.Close {
			return t.DisconnectTransport(wsrouter.CloseNormal, "")
		}
		return t.Disconnect(wsrouter.CloseNormal, "")
	}
	return fmt.Errorf("no command %q", cmd.Do)
}

func (n *goNode) command(cmd *command) (value any, err error) {
	switch cmd.Do {
	case "heard":
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.heard, nil
	case "odd":
		return nil, oddities[cmd.Index].do(func(rooms ...string) anyTarget { return n.to(cmd.Namespace, rooms) })
	case "stop":
		return nil, n.stop()
	}
	t := n.to(cmd.Namespace, cmd.Rooms).Except(cmd.Except...)
	if cmd.Do == "find" {
		return n.find(t)
	}
	if cmd.Volatile {
		t = t.Volatile()
	}
	return nil, cmd.act(t)
}

func (n *goNode) find(t wsrouter.Target) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found, err := t.Find(ctx)
	members := make([]member, len(found))
	for i, m := range found {
		members[i] = member{m.ID, append([]string{}, m.Rooms...), m.Data}
	}
	return members, err
}

func (n *goNode) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return errors.Join(n.router.Shutdown(ctx), n.server.Shutdown(ctx), n.broker.Close())
}

// runGoEmitter runs a process that only publishes.
func runGoEmitter(option rueidis.ClientOption) error {
	option.ConnWriteTimeout = 2 * patience
	client, err := rueidis.NewClient(option)
	if err != nil {
		return err
	}
	defer client.Close()
	all := redisbroker.NewEmitter(client, nil)
	return obey(func(cmd *command) (any, error) {
		if cmd.Do == "stop" {
			return nil, nil
		}
		to := func(rooms ...string) anyTarget {
			e := all.Of(cmd.Namespace).Except(cmd.Except...)
			if cmd.Volatile {
				e = e.Volatile()
			}
			if len(rooms) > 0 {
				e = e.To(rooms...)
			}
			return emitterTarget{e}
		}
		if cmd.Do == "odd" {
			return nil, oddities[cmd.Index].do(to)
		}
		return nil, cmd.act(to(cmd.Rooms...))
	})
}

// emitterTarget turns an Emitter into an anyTarget.
type emitterTarget struct{ redisbroker.Emitter }

func (t emitterTarget) Emit(event string, args ...any) error {
	return t.Emitter.Emit(context.Background(), event, args...)
}

func (t emitterTarget) Join(rooms ...string) error {
	return t.Emitter.Join(context.Background(), rooms...)
}

func (t emitterTarget) Leave(rooms ...string) error {
	return t.Emitter.Leave(context.Background(), rooms...)
}

func (t emitterTarget) Disconnect(int, string) error {
	return t.Emitter.Disconnect(context.Background())
}

func (t emitterTarget) DisconnectTransport(int, string) error {
	return t.Emitter.DisconnectTransport(context.Background())
}

// obey carries out the lines of standard input, until it ends or "stop" has been
// carried out. It does not wait for commands that ask other nodes.
func obey(do func(*command) (any, error)) error {
	var mu sync.Mutex // guards standard output
	out := json.NewEncoder(os.Stdout)
	out.Encode("ready")
	in := json.NewDecoder(os.Stdin)
	for {
		cmd := new(command)
		if err := in.Decode(cmd); err != nil {
			return nil
		}
		carry := func() {
			answer := map[string]any{"id": cmd.ID}
			value, err := do(cmd)
			if err != nil {
				answer["error"] = err.Error()
			}
			answer["value"] = value
			mu.Lock()
			defer mu.Unlock()
			out.Encode(answer)
		}
		if cmd.Do == "find" {
			go carry()
			continue
		}
		carry()
		if cmd.Do == "stop" {
			return nil
		}
	}
}
