package socketio

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLeavers: they are remembered once, briefly, and up to a limit.
func TestLeavers(t *testing.T) {
	var l leavers
	begin := time.Now()
	require.False(t, l.take("0", begin))
	for i := range 3 * maxLeavers {
		l.add(strconv.Itoa(i), begin)
		require.LessOrEqual(t, len(l.queue), maxLeavers)
	}
	require.Len(t, l.ids, maxLeavers)
	require.False(t, l.take(strconv.Itoa(2*maxLeavers-1), begin), "the first are forgotten")
	require.True(t, l.take(strconv.Itoa(2*maxLeavers), begin))
	require.False(t, l.take(strconv.Itoa(2*maxLeavers), begin), "once")
	soon, late := begin.Add(overtaken), begin.Add(overtaken+1)
	l.add("soon", soon)
	require.True(t, l.take(strconv.Itoa(2*maxLeavers+2), soon))
	require.False(t, l.take(strconv.Itoa(2*maxLeavers+3), late))
	require.Equal(t, []leaver{{"soon", soon}}, l.queue)
	require.True(t, l.take("soon", late))
	require.False(t, l.take("soon", late.Add(overtaken)))
	require.Equal(t, leavers{}, l, "nothing is kept")
}
