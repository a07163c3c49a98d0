package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// playGorilla sends messages of several lengths with another Go library, which
// compresses all of them if the server agrees.
func playGorilla(t *testing.T, url, extensions string) {
	dialer := websocket.Dialer{EnableCompression: true, HandshakeTimeout: patience}
	conn, resp, err := dialer.DialContext(t.Context(), url, nil)
	require.NoError(t, err)
	defer conn.Close()
	agreed := resp.Header.Get("Sec-Websocket-Extensions")
	require.Equal(t, extensions, agreed[:min(len(extensions), len(agreed))])
	require.Equal(t, extensions == "", agreed == "")
	conn.SetReadDeadline(time.Now().Add(patience))
	for _, size := range []int{1, 100, 600, 10_000, 500_000} {
		body := strings.Repeat("0123456789", size/10+1)
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"event":"events","data":"%s"}`, body)))
		kind, got, err := conn.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, websocket.TextMessage, kind)
		require.Equal(t, `{"event":"events","data":"`+body+`"}`, string(got))
	}
	bye := websocket.FormatCloseMessage(4001, "bye")
	require.NoError(t, conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(patience)))
	_, _, err = conn.ReadMessage()
	require.True(t, websocket.IsCloseError(err, 4001), err)
}
