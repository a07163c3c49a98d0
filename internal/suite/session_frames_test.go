package suite_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// TestSessionFrames holds the frames of sessions, PROTOCOL.md, one by one. A line is a
// frame that the client sends, one that it gets, or what happens: SECRET is what the
// server has told first, OTHER what it told next.
func TestSessionFrames(t *testing.T) {
	const begin = `→ {"session":""}|← {"session":"SECRET","window":120000}|`
	const lost = `cut|connect|`
	tests := []struct {
		name   string
		script string
	}{
		{"new", begin + `→ {"event":"echo","data":1}|← {"event":"echo","data":1}`},
		{"nobody waits for the answer", `→ {"session":""}|→ {"event":"echo","data":1,"id":1}|← {"session":"SECRET","window":120000}|← {"event":"echo","data":1,"re":1}`},
		{"ping before and after", `→ {"ping":1}|← {"pong":1}|` + begin + `→ {"ping":2}|← {"pong":2}`},
		{"resumed, and nothing was missed", begin + `→ {"event":"echo","data":1}|← {"event":"echo","data":1}|` + lost +
			`→ {"session":"SECRET","received":1}|← {"session":"SECRET","window":120000,"received":1}|→ {"event":"echo","data":2}|← {"event":"echo","data":2}`},
		{"resumed, and what was missed", begin + `→ {"event":"emits"}|← {"event":"zero"}|← {"event":"one","data":null}|← {"event":"two","data":[1,"b"]}|` + lost +
			`→ {"session":"SECRET","received":1}|← {"session":"SECRET","window":120000,"received":1}|← {"event":"one","data":null}|← {"event":"two","data":[1,"b"]}`},
		{"signs of life and acks do not count", begin + `→ {"ping":1}|← {"pong":1}|→ {"event":"none"}|→ {"ack":0}|→ {"pong":1}|wait|← {"ack":1}|` + lost +
			`→ {"session":"SECRET","received":0}|← {"session":"SECRET","window":120000,"received":1}`},
		{"all else counts", begin + `→ {"event":"none","id":7}|← {"event":"none","re":7}|→ {"id":7,"cancel":true}|→ {"id":7,"pull":1}|→ {"event":"x","re":1}|` + lost +
			`→ {"session":"SECRET","received":1}|← {"session":"SECRET","window":120000,"received":4}`},
		{"mistakes count, and their answers", begin + `→ garbage|← ` + invalid + `frame is not valid JSON","code":"invalid"}}|` +
			`→ {"session":""}|← ` + invalid + `session must come first","code":"invalid"}}|→ {"auth":1}|← ` + invalid + `unexpected auth frame","code":"invalid"}}|` + lost +
			`→ {"session":"SECRET","received":3}|← {"session":"SECRET","window":120000,"received":3}|` +
			`→ {"event":"none"}|→ {"ack":3}|wait|← {"ack":4}`},
		{"a mistake is sent again", begin + `→ garbage|← ` + invalid + `frame is not valid JSON","code":"invalid"}}|` + lost +
			`→ {"session":"SECRET","received":0}|← {"session":"SECRET","window":120000,"received":1}|← ` + invalid + `frame is not valid JSON","code":"invalid"}}`},
		{"ack after a second", begin + `→ {"event":"none"}|→ {"event":"none"}|wait|← {"ack":2}|→ {"event":"none"}|wait|← {"ack":3}`},
		{"ack after 32", begin + strings.Repeat(`→ {"event":"none"}|`, 32) + `← {"ack":32}`},
		{"ack after 64 KiB", begin + `→ {"event":"none","data":"` + strings.Repeat("x", 64<<10) + `"}|← {"ack":1}`},
		{"ack of what was not sent", begin + `→ {"ack":1}|closed 1002 ack of what was not sent`},
		{"unknown", `→ {"session":"AAAAAAAAAAAAAAAAAAAA","received":5}|← {"session":"SECRET","window":120000}|→ {"event":"echo","data":1}|← {"event":"echo","data":1}`},
		{"too late", begin + `cut|expire|connect|→ {"session":"SECRET","received":0}|← {"session":"OTHER","window":120000}`},
		{"said goodbye", begin + `goodbye|connect|→ {"session":"SECRET","received":0}|← {"session":"OTHER","window":120000}`},
		{"more received than was sent", begin + lost + `→ {"session":"SECRET","received":1}|← {"session":"OTHER","window":120000}`},
		{"closed with 4900", begin + `→ {"event":"come back"}|closed 4900 token|connect|→ {"session":"SECRET","received":0}|← {"session":"SECRET","window":120000,"received":1}`},
		{"the client gives up", begin + `give up|connect|→ {"session":"SECRET","received":0}|← {"session":"SECRET","window":120000,"received":0}`},
		{"resumed elsewhere", begin + `connect|→ {"session":"SECRET","received":0}|← {"session":"SECRET","window":120000,"received":0}|before closed 4409 resumed elsewhere`},
		{"auth", `auth|→ {"session":"","auth":{"token":"…"}}|← {"session":"SECRET","window":120000}|cut|auth|` +
			`→ {"session":"SECRET","received":0,"auth":2}|← {"session":"SECRET","window":120000,"received":0}|→ {"event":"auth"}|← {"event":"auth","data":2}`},
		{"auth is missing", `auth|→ {"session":""}|closed 1008 auth expected`},
		{"auth is not expected", `→ {"session":"","auth":1}|← ` + invalid + `unexpected auth frame","code":"invalid"}}|← {"session":"SECRET","window":120000}|` + lost +
			`→ {"session":"SECRET","received":0}|← {"session":"SECRET","window":120000,"received":0}`},
		{"another frame first", `→ {"event":"echo"}|closed 1008 session expected`},
		{"no frame", `expire|closed 1013 connect timeout`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playSession(t, strings.Split(test.script, "|")) })
		})
	}
}

// TestNoSessionFrames: without the subprotocol they are mistakes.
func TestNoSessionFrames(t *testing.T) {
	for _, frame := range []string{`{"session":""}`, `{"ack":1}`} {
		synctest.Test(t, func(t *testing.T) {
			router := wireRouter(&wsrouter.Options{Recovery: &wsrouter.Recovery{}})
			got := exchangeFrames(t, rawtest.Connect(router, nil, nil), frame)
			require.Equal(t, []string{invalid + `a frame needs an event","code":"invalid"}}`, `{"event":"echo","data":"the end"}`}, got)
		})
	}
}

// playSession plays a script line by line.
func playSession(t *testing.T, script []string) {
	router := wireRouter(&wsrouter.Options{Recovery: &wsrouter.Recovery{}})
	router.On("come back", func(c *wsrouter.Context) error { return c.Conn().Close(wsrouter.CloseResume, "token") })
	router.On("auth", func(c *wsrouter.Context) error {
		var auth any
		if err := c.Conn().Auth(&auth); err != nil {
			return err
		}
		return c.Reply(auth)
	})
	names := &secrets{}
	raws := []*rawtest.Raw{rawtest.Connect(router, nil, rawtest.SessionRequest())}
	for _, line := range script {
		raw := raws[len(raws)-1]
		what, rest, _ := strings.Cut(line, " ")
		switch what {
		case "→":
			require.True(t, raw.Send(names.put(rest)))
			synctest.Wait()
		case "←":
			frame, ce := raw.Read()
			require.Nil(t, ce)
			require.Equal(t, rest, names.take(frame))
		case "before": // the connection before this one
			requireClosed(t, raws[len(raws)-2], strings.TrimPrefix(rest, "closed "))
		case "closed":
			requireClosed(t, raw, rest)
		case "connect":
			raws = append(raws, rawtest.Connect(router, nil, rawtest.SessionRequest()))
		case "auth":
			raws = append(raws, rawtest.Connect(router, &wsrouter.WSOptions{AuthFrame: true}, rawtest.SessionRequest()))
		case "wait":
			time.Sleep(time.Second)
		case "expire":
			time.Sleep(2*time.Minute + time.Second)
		default:
			leave(raw, what)
		}
	}
	for _, raw := range raws {
		raw.Abort()
		raw.Wait()
	}
	require.NoError(t, router.Close())
}

func leave(raw *rawtest.Raw, how string) {
	switch how {
	case "goodbye":
		raw.Close(1000, "")
	case "give":
		raw.Close(wsrouter.CloseResume, "silence")
	default:
		raw.Abort()
	}
	raw.Wait()
}

func requireClosed(t *testing.T, raw *rawtest.Raw, want string) {
	t.Helper()
	_, ce := raw.Read()
	require.NotNil(t, ce)
	require.Equal(t, want, fmt.Sprint(ce.Code, " ", ce.Reason))
}

// secrets gives the secrets of a script names.
type secrets struct{ known []string }

var secretNames = []string{"SECRET", "OTHER"}

func (s *secrets) put(frame string) string {
	for i, secret := range s.known {
		frame = strings.ReplaceAll(frame, secretNames[i], secret)
	}
	return frame
}

func (s *secrets) take(frame string) string {
	if rest, ok := strings.CutPrefix(frame, `{"session":"`); ok {
		secret, _, _ := strings.Cut(rest, `"`)
		if len(s.known) == 0 || s.known[0] != secret {
			s.known = append(s.known, secret)
		}
	}
	for i, secret := range s.known {
		frame = strings.ReplaceAll(frame, secret, secretNames[i])
	}
	return frame
}
