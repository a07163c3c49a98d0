package redisbroker_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// usersOfThePage writes the users that docs/scaling.md recommends to a file.
func usersOfThePage(t *testing.T) (path string) {
	t.Helper()
	page, err := os.ReadFile("../docs/scaling.md")
	require.NoError(t, err)
	var users strings.Builder
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "user ") {
			users.WriteString(line)
		}
	}
	path = filepath.Join(t.TempDir(), "users.acl")
	require.NoError(t, os.WriteFile(path, []byte(users.String()), 0o600))
	return path
}

func as(addr, user, password string) rueidis.ClientOption {
	option := optionFor(addr)
	option.Username, option.Password = user, password
	return option
}

// TestUsersOfThePage checks that what docs/scaling.md allows is enough, and no more
// than that.
func TestUsersOfThePage(t *testing.T) {
	redis := redistest.Start(t, "--aclfile", usersOfThePage(t))
	var chats []*wsrouter.Router
	var clients []*wsroutertest.Client
	for range 2 {
		broker, err := redisbroker.New(as(redis.Addr, "node", "a-long-password"), &redisbroker.Options{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		t.Cleanup(func() { broker.Close() })
		router := newNode(t, broker)
		chats = append(chats, router.Namespace("/chat"))
		clients = append(clients, connect(t, router), connect(t, chats[len(chats)-1]))
	}
	ctx := t.Context()
	require.NoError(t, chats[0].Emit("from a node"))
	clients[1].Expect("from a node", nil)
	clients[3].Expect("from a node", nil)
	members, err := chats[1].Find(ctx)
	require.NoError(t, err)
	require.Len(t, members, 2)

	worker, err := rueidis.NewClient(as(redis.Addr, "worker", "another-password"))
	require.NoError(t, err)
	defer worker.Close()
	emitter := redisbroker.NewEmitter(worker, nil)
	require.NoError(t, emitter.To("room").Emit(ctx, "from a worker"))
	clients[0].Expect("from a worker", nil)
	clients[2].Expect("from a worker", nil)

	node, err := rueidis.NewClient(as(redis.Addr, "node", "a-long-password"))
	require.NoError(t, err)
	defer node.Close()
	for _, command := range []rueidis.Completed{
		worker.B().Subscribe().Channel("socket.io-request#/#").Build(),
		worker.B().Publish().Channel("other#/#").Message("x").Build(),
		worker.B().Get().Key("secret").Build(),
	} {
		assert.ErrorContains(t, worker.Do(ctx, command).Error(), "NOPERM")
	}
	for _, command := range []rueidis.Completed{
		node.B().Publish().Channel("other#/#").Message("x").Build(),
		node.B().Psubscribe().Pattern("*").Build(),
		node.B().Get().Key("secret").Build(),
		node.B().Flushall().Build(),
		node.B().ConfigGet().Parameter("*").Build(),
	} {
		assert.ErrorContains(t, node.Do(ctx, command).Error(), "NOPERM")
	}
	_, err = rueidis.NewClient(optionFor(redis.Addr))
	require.Error(t, err, "who has no name may do nothing")
}

// What authorizes a client is neither sent to other nodes nor logged.
func TestSecretsStayHere(t *testing.T) {
	addr := redistest.Start(t).Addr
	log := new(lines)
	r := wsrouter.New(&wsrouter.Options{
		Broker: newBroker(t, addr, &redisbroker.Options{Logger: log.logger()}), Logger: log.logger(),
	})
	t.Cleanup(func() { r.Close() })
	server := httptest.NewServer(r.Handler(&wsrouter.WSOptions{AuthFrame: true}))
	t.Cleanup(server.Close)
	client, err := wsrouter.Dial(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http")+"/?token=secret", &wsrouter.DialOptions{
		Header: http.Header{
			"Cookie": {"session=secret"}, "Authorization": {"Bearer secret"}, "X-Api-Key": {"secret"}, "User-Agent": {"test"},
		},
		Auth: func(context.Context) (any, error) { return "secret", nil },
	})
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	eventually(t, func() bool { return r.Stats().Connects > 0 })

	w := listen(t, addr, "socket.io*response#*")
	w.say(requests, `{"uid":"u","requestId":"q","type":5,"opts":{"rooms":[],"except":[]}}`)
	answer := w.next().Message
	assert.Contains(t, answer, `"user-agent":"test"`)
	assert.Contains(t, answer, `"auth":{}`)
	assert.NotContains(t, answer, "secret")
	assert.Zero(t, log.count("secret"))
}
