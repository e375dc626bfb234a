package wire

import "github.com/mptcp-go/mptcp/extapi"

// Counters are what the flow's TCP has counted.
func (f *Flow) Counters() *extapi.TCPCounters {
	c := f.c.Counters()
	return &c
}
