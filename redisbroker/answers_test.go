package redisbroker_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
)

// Each of two nodes answers in its own way and understands the other.
func TestAnswersForTheAskerAlone(t *testing.T) {
	addr := redistest.Start(t).Addr
	all := newNode(t, newBroker(t, addr, nil))
	one := newNode(t, newBroker(t, addr, &redisbroker.Options{PublishOnSpecificResponseChannel: true}))
	connect(t, all)
	connect(t, one)
	w := listen(t, addr, "socket.io-response#*")

	members, err := all.Find(t.Context())
	require.NoError(t, err)
	assert.Len(t, members, 2)
	assert.Regexp(t, regexp.MustCompile(`^socket\.io-response#/#[A-Za-z0-9_-]{6}#$`), w.next().Channel)

	members, err = one.Find(t.Context())
	require.NoError(t, err)
	assert.Len(t, members, 2)
	assert.Equal(t, responses, w.next().Channel)

	w.say(requests, `{"uid":"abcdef","requestId":"q","type":1}`)
	assert.ElementsMatch(t, []string{responses, responses + "abcdef#"}, []string{w.next().Channel, w.next().Channel})
	w.say(requests, `{"uid":"abcdef","requestId":"q","type":6,"data":["e"]}`)
	assert.Equal(t, []string{responses, responses}, []string{w.next().Channel, w.next().Channel})
}
