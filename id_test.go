package wsrouter_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

const notYours = "another connection's id"

// Nobody can take the place of a connection: before it is let in, while it exists, when
// it has ended, or on another node.
func TestNoIDCanBeJoinedAsARoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cluster broker.Memory
		here, there := inCluster(&cluster), inCluster(&cluster)
		var taken string
		here.OnConnect(func(c *wsrouter.Conn) error {
			if taken != "" {
				assert.ErrorContains(t, c.Join(taken), notYours, "in OnConnect")
			}
			return nil
		})
		owner, owners := crowd(t, there, 1)
		taken = owners[0].ID()
		assert.Regexp(t, "^~[A-Za-z0-9_-]{19}$", taken)
		_, conns := crowd(t, here, 1)
		stranger := conns[0]

		refused := func(when string) {
			assert.ErrorContains(t, stranger.Join(taken), notYours, when)
			assert.ErrorContains(t, here.Except().Join(taken), notYours, when)
			there.Except().Join(taken) // nobody on this process
			assert.ErrorContains(t, wsrouter.NodeOf(here).Apply(&broker.Operation{Kind: broker.OpJoin, Rooms: []string{taken}}), notYours, when)
			assert.Empty(t, stranger.Rooms(), when)
			assert.False(t, wsrouter.NodeOf(here).HasRoom(taken), when)
		}
		refused("on another node")
		assert.NoError(t, owners[0].Join(taken), "it is in there already")
		assert.Empty(t, owners[0].Rooms())
		require.NoError(t, here.To(taken).Emit("hello"))
		owner[0].Expect("hello", nil)
		require.NoError(t, owner[0].Close())
		synctest.Wait()
		refused("when it has gone")
		assert.ErrorContains(t, stranger.Join("~0123456789_-abcdefg"), notYours, "of nobody")
	})
}

// Names that merely resemble ids are ordinary names, including the ids of other
// systems.
func TestOtherNamesOf20CharactersCanBeJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := &keeping{}
		router := inCluster(brokerFunc(func(context.Context, broker.Node) (broker.Subscription, error) { return sub, nil }))
		clients, conns := crowd(t, router, 1)
		for i, name := range []string{
			"9m4e2mr0ui3e8a215n4g", "-JhLeOlGIEjaIOFHR0xd", "_0123456789012345678", // xid, a push id, Node.js
			"~0123456789.12345678", "~012345678901234567é"[:20], "~~012345678901234567",
			"~012345678901234567", "~0123456789012345678X", "~",
		} {
			require.NoError(t, conns[0].Join(name), name)
			require.NoError(t, router.To(name).Emit("n", i))
			clients[0].Expect("n", i)
			assert.Equal(t, []string{name}, sub.last().To.Rooms, "others may have it, too")
		}
	})
}

// keeping is a subscription that keeps what is published, as a Broker may.
type keeping struct{ published []*broker.Operation }

func (k *keeping) Publish(op *broker.Operation) error {
	k.published = append(k.published, op)
	return nil
}
func (k *keeping) Close() error            { return nil }
func (k *keeping) last() *broker.Operation { return k.published[len(k.published)-1] }

// Once published, an operation belongs to the Broker, whatever the caller does with its
// slices.
func TestAnOperationIsNotWrittenTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := &keeping{}
		router := inCluster(brokerFunc(func(context.Context, broker.Node) (broker.Subscription, error) { return sub, nil }))
		wsroutertest.Connect(t, router, nil)
		rooms := []string{"a", "b"}
		for name, op := range map[string]func(){
			"join":  func() { router.To(rooms...).Except(rooms...).Join(rooms...) },
			"leave": func() { router.To(rooms...).Except(rooms...).Leave(rooms...) },
		} {
			op()
			copy(rooms, []string{"x", "y"})
			want := []string{"a", "b"}
			assert.Equal(t, want, sub.last().Rooms, name)
			assert.Equal(t, broker.Selection{Rooms: want, Except: want}, sub.last().To, name)
			copy(rooms, want)
		}
	})
}
