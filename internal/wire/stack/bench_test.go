package stack

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkCounters is what a busy server's counters cost: those of 10,000 connections in TIME-WAIT.
func BenchmarkCounters(b *testing.B) {
	const conns = 10_000
	w := newWorld(b)
	w.server.waits.accepted = conns
	for range conns {
		w.served()
	}
	require.Eventually(b, func() bool { return waiting(w.server) == conns }, 5*time.Second, time.Millisecond)
	b.ReportAllocs()
	for b.Loop() {
		w.server.Counters()
	}
}
