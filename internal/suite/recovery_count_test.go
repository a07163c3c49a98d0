package suite_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
)

// TestExceptionsAreCountedOnce: that of an event that is no request is one frame.
func TestExceptionsAreCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := newResuming(wsrouter.Options{})
		client, err := router.Connect(t.Context(), resumes(wsrouter.DialOptions{}))
		require.NoError(t, err)
		require.NoError(t, client.Emit("no such event"))
		synctest.Wait()
		client.Abort()
		synctest.Wait()
		require.NoError(t, client.Ready(t.Context()))
		synctest.Wait()
		require.EqualValues(t, 1, router.Stats().Resumed)
		require.NoError(t, client.Close())
	})
}
