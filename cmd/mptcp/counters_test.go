package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

func TestFormatCounters(t *testing.T) {
	var c extapi.Counters
	require.Empty(t, formatCounters(c))
	c.TCP.SegsOut, c.TCP.MTUProbes, c.MPTCP.MPCapableFallbackSYNACK, c.Link.NotOurs = 12345, 1, 2, 3
	require.Equal(t, ""+
		"  tcp    SegsOut                  12345\n"+
		"  tcp    MTUProbes                1\n"+
		"  mptcp  MPCapableFallbackSYNACK  2\n"+
		"  link   NotOurs                  3\n", formatCounters(c))
}
