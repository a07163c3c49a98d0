package socketio_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestJoinsAreBounded: a client that joins and leaves in a loop causes no more log than
// traffic, and is closed if it goes on.
func TestJoinsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		router, gone := watched(&wsrouter.Options{MaxOpen: 500, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		s := serveInBubble(t, router, nil)
		ws := s.direct()
		for range 500 {
			ws.join("40")
			ws.write("41")
			<-gone
		}
		synctest.Wait()
		traffic := router.Stats().BytesIn + router.Stats().BytesOut
		require.EqualValues(t, 500, router.Stats().Connects)
		require.LessOrEqual(t, int64(log.Len()), traffic+1<<10)
		require.Contains(t, log.String(), "lines_left_out=")
		time.Sleep(time.Minute / 500)
		ws.join("40") // one has come back
		ws.write("41")
		<-gone
		ws.write("40")
		ws.closed()
		require.EqualValues(t, 501, router.Stats().Connects)
		require.Equal(t, map[wsrouter.Refusal]int64{wsrouter.RefusedProtocol: 1}, router.Stats().Refused)
	})
}

// TestManyNamespacesAreLogged: a client that joins a few namespaces is not limited by
// that.
func TestManyNamespacesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		router := newRouter(&wsrouter.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		router.Namespace("/a")
		router.Namespace("/b")
		ws := serveInBubble(t, router, nil).direct()
		for _, packet := range []string{"40", "40/a,", "40/b,"} {
			ws.join(packet)
		}
		ws.CloseNow()
		synctest.Wait()
		require.Equal(t, 3, strings.Count(log.String(), "wsrouter: connected"))
		require.Equal(t, 3, strings.Count(log.String(), "wsrouter: disconnected"))
	})
}
