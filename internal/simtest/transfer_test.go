package simtest

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

var errTimeout = errors.New("the join timed out")

var twoPaths = []wire{{50 * mbit, 10 * ms, 0}, {50 * mbit, 20 * ms, 0}}

func TestBothDirectionsAtOnce(t *testing.T) {
	w := newWorld(t, setup{wires: twoPaths})
	w.client.send(8<<20, true)
	w.server.send(8<<20, true)
	w.dial()
	w.until(20*second, func() bool { return w.client.eof && w.server.eof })
	require.EqualValues(t, 8<<20, w.client.got)
	require.EqualValues(t, 8<<20, w.server.got)
	t.Log(w.sim.Now())
}
