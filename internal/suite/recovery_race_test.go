package suite_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/rawtest"
)

// TestTakeoverOfWhoIsLost: the transport ends at the moment when the client comes back
// on another. What the connection holds counts, and is released in the end.
func TestTakeoverOfWhoIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := &resuming{Router: newManyfold(wsrouter.Options{}).Router}
		s := router.raw(t, `{"session":""}`)
		secret := s.opens()
		conn := router.only()
		require.NoError(t, conn.SetData(strings.Repeat("x", 100<<10)))
		held := router.Stats().Inbox
		for range 3000 {
			next := router.raw(t, comeBack(secret, 0))
			var wg sync.WaitGroup
			wg.Go(s.Abort)
			wg.Go(func() { next.Read() })
			wg.Wait()
			s.Wait()
			synctest.Wait()
			require.Equal(t, held, router.Stats().Inbox)
			s = next
		}
		s.Close(1000, "")
		s.Wait()
		requireNothingHeld(t, router.Router)
	})
}

// TestShutdownOfWhoComesBack: the client comes back at the moment when the namespace is
// shut down.
func TestShutdownOfWhoComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 1000 {
			router := &resuming{Router: newManyfold(wsrouter.Options{}).Router.Namespace("/chat")}
			router.OnDisconnect(func(context.Context, *wsrouter.Conn, *wsrouter.CloseError) { router.tell("disconnect") })
			s := router.raw(t, `{"session":""}`)
			secret := s.opens()
			synctest.Wait()
			next := session{t, rawtest.Connect(router.Router, nil, rawtest.SessionRequest())}
			synctest.Wait()
			var wg sync.WaitGroup
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			wg.Go(func() { next.Send(comeBack(secret, 0)) })
			wg.Go(func() { require.NoError(t, router.Shutdown(ctx)) })
			go func() {
				for {
					if _, ce := s.Read(); ce != nil {
						return
					}
				}
			}()
			go func() {
				for {
					if _, ce := next.Read(); ce != nil {
						return
					}
				}
			}()
			wg.Wait()
			cancel()
			s.Abort()
			next.Abort()
			synctest.Wait()
			require.Equal(t, []string{"disconnect"}, router.wasTold())
			requireNothingHeld(t, router.Router)
		}
	})
}
