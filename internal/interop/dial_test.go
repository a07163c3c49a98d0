package interop

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

const (
	hidden   = `{"status":"error","message":"Internal server error"}`
	empty    = `{"status":"error","message":"数据不能为空！"}`
	notToday = `{"status":"error","message":"not today","code":"E_FAIL","data":{"retry":true}}`
)

// replies are the rows that answer an event in one way and a request in another.
var replies = []struct {
	event, data string
	emitted     []event // come after Emit
	called      string  // Call's answer, or the body of its error
	beside      []event // arrive with that answer
}{
	{"events", `{"b": 1.50, "a":["<&>",null]}`, []event{{"events", `{"b": 1.50, "a":["<&>",null]}`}}, `{"b": 1.50, "a":["<&>",null]}`, nil},
	{"events", `""`, []event{{"exception", empty}}, empty, nil},
	{"events", `null`, []event{{"exception", empty}}, empty, nil},
	{"events", ``, []event{{"exception", empty}}, empty, nil},
	{"id", `{"id":42}`, []event{{"id", `42`}}, `42`, nil},
	{"custom", `[1]`, []event{{"custom", `"Hey there!"`}, {"custom", `[1]`}}, `[1]`, []event{{"custom", `"Hey there!"`}}},
	{"response", `"x"`, []event{{"events", `"x"`}}, `"x"`, nil},
	{"fail", ``, []event{{"exception", notToday}}, notToday, nil},
	{"boom", ``, []event{{"exception", hidden}}, hidden, nil},
	{"panic", ``, []event{{"exception", hidden}}, hidden, nil},
	{"slow", `{"ms":50}`, []event{{"slow", `"done"`}}, `"done"`, nil},
	{"ask", `["q"]`, []event{{"ask", `["q"]`}}, `["q"]`, nil},
}

// scenes are the rows that need more than that.
var scenes = []struct {
	event string
	play  func(t *testing.T, url string)
}{
	{"numbers", playNumbers},
	{"count", playCount},
	{"slow", playSlowCancelled},
	{"join", playRooms},
	{"leave", playRooms},
	{"say", playRooms},
	{"cast", playCast},
	{"whoami", playWhoami},
	{"stats", playStats},
	{"close", playClose},
	{"?token=bad", playBadToken},
	{"?refuse=1", playRefused},
}

// playDial plays the rows, up to the first that fails, and returns the events that
// they cover.
func playDial(t *testing.T, url string) (events []string) {
	t.Helper()
	for _, row := range replies {
		events = append(events, row.event)
		passed := t.Run(row.event+" "+row.data, func(t *testing.T) {
			p := dial(t, url)
			p.emit(row.event, row.data)
			p.expect(row.emitted...)
			answer, err := p.call(row.event, row.data)
			if err != nil {
				answer = exceptionBody(t, err)
			}
			require.Equal(t, row.called, answer)
			p.expect(row.beside...)
			p.expectNothing()
		})
		if !passed {
			return events
		}
	}
	for _, scene := range scenes {
		events = append(events, scene.event)
		if !t.Run(scene.event, func(t *testing.T) { scene.play(t, url) }) {
			break
		}
	}
	return events
}

// exceptionBody returns what the server must have sent.
func exceptionBody(t *testing.T, err error) string {
	t.Helper()
	var failure *wsrouter.WsError
	require.ErrorAs(t, err, &failure)
	body, err := json.Marshal(struct {
		Status  string `json:"status"`
		Message string `json:"message"`
		Code    string `json:"code,omitempty"`
		Data    any    `json:"data,omitempty"`
	}{failure.Status, failure.Message, failure.Code, failure.Data})
	require.NoError(t, err)
	return string(body)
}

func playNumbers(t *testing.T, url string) {
	p := dial(t, url)
	p.emit("numbers", "")
	p.expect(event{"events", "1"}, event{"events", "2"}, event{"events", "3"})
	require.Equal(t, []int{1, 2, 3}, p.pull("numbers", nil, 4))
	_, err := p.call("numbers", "")
	require.ErrorIs(t, err, wsrouter.ErrStream)
	p.expectNothing()
}

func playCount(t *testing.T, url string) {
	p := dial(t, url)
	p.emit("count", `{"to":3,"every_ms":10}`)
	p.expect(event{"count", "1"}, event{"count", "2"}, event{"count", "3"})
	require.Equal(t, []int{1, 2, 3}, p.pull("count", map[string]int{"to": 3}, 4))
	require.Len(t, p.pull("count", map[string]int{"to": 0}, 100), 100) // then the stream is canceled
	_, err := p.call("count", `{"to":0,"every_ms":1}`)
	require.ErrorIs(t, err, wsrouter.ErrStream)
	p.expectNothing()
}

// playSlowCancelled would wait for an hour if the cancel did not arrive, because
// the handler has the turn.
func playSlowCancelled(t *testing.T, url string) {
	p := dial(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := p.Call(ctx, "slow", map[string]int{"ms": 3_600_000}, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	p.expectNothing()
}

func playRooms(t *testing.T, url string) {
	a, b, outside := dial(t, url), dial(t, url), dial(t, url)
	for _, step := range []struct {
		peer               *peer
		event, data, rooms string
	}{
		{a, "join", `"z"`, `["z"]`},
		{a, "join", `"r"`, `["r","z"]`},
		{a, "leave", `"z"`, `["r"]`},
		{b, "join", `"r"`, `["r"]`},
		{outside, "join", `"other"`, `["other"]`},
	} {
		rooms, err := step.peer.call(step.event, step.data)
		require.NoError(t, err)
		require.Equal(t, step.rooms, rooms)
	}
	answer, err := a.call("say", `{"room":"r","text":"t"}`)
	require.NoError(t, err)
	require.Empty(t, answer)
	b.expect(event{"said", `"t"`})
	for _, p := range []*peer{a, b, outside} {
		p.expectNothing()
	}
}

func playCast(t *testing.T, url string) {
	peers := []*peer{dial(t, url), dial(t, url), dial(t, url)}
	for _, p := range peers {
		p.expectNothing() // its answer shows that the client has been let in
	}
	peers[0].emit("cast", `{"n":1}`)
	for _, p := range peers {
		p.expect(event{"cast", `{"n":1}`})
		p.expectNothing()
	}
}

func playWhoami(t *testing.T, url string) {
	p := dial(t, url)
	id, err := p.call("whoami", "")
	require.NoError(t, err)
	require.Regexp(t, `^"~[A-Za-z0-9_-]{19}"$`, id)
	p.emit("whoami", "")
	p.expect(event{"whoami", id})
}

func playStats(t *testing.T, url string) {
	p := dial(t, url)
	p.emit("count", `{"to":0,"every_ms":10}`)
	p.expect(event{"count", "1"}) // now it is a stream
	var stats struct{ Connections, Goroutines, Streams int }
	require.NoError(t, p.Call(t.Context(), "stats", nil, &stats))
	require.Positive(t, stats.Connections)
	require.Positive(t, stats.Goroutines)
	require.Positive(t, stats.Streams)
}

func playClose(t *testing.T, url string) {
	p := dial(t, url)
	p.emit("close", "")
	p.expectClose(4001, "bye")
}

func playBadToken(t *testing.T, url string) {
	_, err := wsrouter.Dial(t.Context(), url+"?token=bad", nil)
	var refused *wsrouter.StatusError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusUnauthorized, refused.StatusCode)
}

func playRefused(t *testing.T, url string) {
	dial(t, url+"?refuse=1").expectClose(wsrouter.ClosePolicy, "refused")
}
