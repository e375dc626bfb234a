package wire

import "github.com/mptcp-go/mptcp/extapi"

// Counters are what the flow's TCP has counted.
func (f *Flow) Counters() *extapi.TCPCounters {
	c := f.c.Counters()
	return &c
}

// AddCounters adds what its TCP has counted to sum.
func (f *Flow) AddCounters(sum *extapi.TCPCounters) { f.c.AddCounters(sum) }
