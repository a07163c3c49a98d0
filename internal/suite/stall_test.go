package suite_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// TestOnDisconnectThatBlocks: Shutdown returns when its context ends, and Close
// returns, even if an OnDisconnect ignores its own context.
func TestOnDisconnectThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouterWith(&wsrouter.Options{})
		free := make(chan struct{})
		router.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) { <-free })
		raw := rawtest.Connect(router, nil, nil)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		require.ErrorIs(t, router.Shutdown(ctx), context.DeadlineExceeded)
		require.LessOrEqual(t, time.Since(begun), 6*time.Second)
		begun = time.Now()
		require.NoError(t, router.Close())
		require.LessOrEqual(t, time.Since(begun), time.Second)
		close(free)
		raw.Wait()
	})
}

// TestCloseThenReply: after a Close the reply returns how the connection leaves,
// whichever event asked.
func TestCloseThenReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		failed := make(chan error, 1)
		router.On("bye", func(c *wsrouter.Context) error {
			c.Conn().Close(4001, "bye")
			err := c.Reply(1)
			failed <- err
			return err
		})
		for _, frame := range []string{`{"event":"bye"}`, `{"event":"bye","id":1}`} {
			raw := rawtest.Connect(router, nil, nil)
			raw.Send(frame)
			got, ce := raw.Read()
			require.Empty(t, got)
			require.Equal(t, 4001, ce.Code)
			require.ErrorAs(t, <-failed, &ce)
			raw.Wait()
		}
	})
}

// TestOddValues: numbers that no type holds, deep nesting and duplicate keys are the
// mistake of one request; if they are only forwarded, they pass.
func TestOddValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		router.On("raw", func(c *wsrouter.Context) error { return c.Reply(c.Raw()) })
		binds := map[string]func() any{
			"any": func() any { return new(any) }, "int": func() any { return new(int) }, "float": func() any { return new(float64) },
			"number": func() any { return new(json.Number) }, "duration": func() any { return new(time.Duration) },
			"bytes": func() any { return new([]byte) }, "map": func() any { return new(map[string]any) },
			"struct": func() any { return new(struct{ A int }) },
		}
		for name, v := range binds {
			router.On(name, func(c *wsrouter.Context) error { return c.Bind(v()) })
		}
		raw := rawtest.Connect(router, nil, nil)
		for _, value := range []string{"1e999999999", "-1e-999999999", "1" + strings.Repeat("0", 100_000), `{"A":1e999999999,"A":2}`,
			`[1e999]`, `{"A":1e999999999}`, strings.Repeat("[", 9_998) + strings.Repeat("]", 9_998)} {
			raw.Send(`{"event":"raw","id":1,"data":` + value + `}`)
			got, _ := raw.Read()
			require.Equal(t, `{"event":"raw","data":`+value+`,"re":1}`, got)
			for name := range binds {
				raw.Send(`{"event":"` + name + `","id":1,"data":` + value + `}`)
				got, ce := raw.Read()
				require.Nil(t, ce)
				require.Contains(t, got, `"re":1}`)
				require.Less(t, len(got), 2000, name)
				require.NotContains(t, got, "internal", "%s %.40s", name, value)
			}
		}
		for _, bad := range []string{
			`{"event":"raw","id":1,"data":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
			`{"event":"` + strings.Repeat("x", 900_000) + `","id":1}`,
		} {
			raw.Send(bad)
			got, ce := raw.Read()
			require.Nil(t, ce, "%.40q", bad)
			require.Contains(t, got, `"code":"invalid"`)
		}
		raw.Close(1000, "")
	})
}

// TestAnswersNobodyAskedFor: they keep no memory.
func TestAnswersNobodyAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newRouter()
		raw := rawtest.Connect(router, nil, nil)
		raw.Send(`{"event":"events","data":"1","id":1}`)
		raw.Read()
		synctest.Wait()
		before := router.Stats().Inbox
		for i := range 1000 {
			id := json.Number(strings.Repeat("9", i%15+1)).String()
			for _, kind := range []string{"", `,"more":true`, `,"cancel":true`} {
				require.True(t, raw.Send(`{"event":"x","data":"`+large[:1000]+`","re":`+id+kind+`}`))
			}
			require.True(t, raw.Send(`{"id":`+id+`,"cancel":true}`))
			require.True(t, raw.Send(`{"id":`+id+`,"pull":9007199254740991}`))
		}
		raw.Send(`{"event":"events","data":"1","id":1}`)
		got, _ := raw.Read()
		require.Equal(t, `{"event":"events","data":"1","re":1}`, got)
		synctest.Wait()
		require.Equal(t, before, router.Stats().Inbox)
		raw.Close(1000, "")
	})
}
