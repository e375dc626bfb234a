package stream

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
)

// A record that has waited takes the DATA_ACK along that is the newest when it leaves, and not the one that
// was when it was queued: no other record may follow for long, and the ACK that is put off waits for one.
func TestQueuedRecordsCarryTheNewestAck(t *testing.T) {
	a, ra := established(t, FlowConfig{})
	b, rb := established(t, FlowConfig{})
	a.Ack(0, engine.Ack{Valid: true, DataAck: 100, Window: 1 << 20})
	require.NoError(t, b.Feed(0, drain(a, 0, 0)))
	send(a, 0, 1, payload(10, 0))
	ra.newest = engine.Ack{Valid: true, DataAck: 777, Window: 1 << 20}
	rb.events = nil
	require.NoError(t, b.Feed(ms, drain(a, ms, 0)))
	require.Contains(t, rb.events[len(rb.events)-1], "ack=0x0000000000000309")
}
