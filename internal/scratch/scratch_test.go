package scratch_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/internal/scratch"
)

func TestMessage(t *testing.T) {
	for i := range 100 {
		m := scratch.Get()
		require.Equal(t, scratch.Message{}, *m, "what one had left is shown to the next")
		m.Kind, m.Event, m.ID = adapter.KindReply, "e", "7"
		m.SetArg(i)
		require.Equal(t, []any{i}, m.Args)
		m.Put()
	}
}
