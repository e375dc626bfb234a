package recovery

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// prrRow runs an example of RFC 6937 section 3.1: 20 segments in flight of which the first few are lost, the
// window halved to 10; each further segment SACKed lets so many leave.
func prrRow(t *testing.T, lost int) (sent []int) {
	x := newScript(t, 20).send(0, 20).at(100)
	nxt := 20
	for n := lost; n < 20; n++ {
		x.ack(0, lost, n+1)
		k := 0
		for x.s.Allowance(x.now) >= simMSS {
			if r, ok := x.s.Retransmit(); ok {
				x.s.OnSend(x.now, r.From, r.From+simMSS, false)
			} else {
				x.send(nxt, nxt+1)
				nxt++
			}
			k++
		}
		sent = append(sent, k)
	}
	return sent
}

// A single loss: two new segments by limited transmit (RFC 3042), the retransmission, and from then on
// one segment for two ACKs, until the flight is ten. RFC 9937 counts RecoverFS without what was SACKed
// before, 20 here as well.
func TestRFC6937SingleLoss(t *testing.T) {
	sent := prrRow(t, 1)
	require.Equal(t, []int{1, 1, 1}, sent[:3])
	total := 0
	for i, k := range sent[3:] {
		require.LessOrEqual(t, k, 1, "a burst at ACK %d", i+3)
		total += k
	}
	// The ten of the new window are outstanding at the end: 20 less 19 arrived, one lost and sent again, and what left.
	require.Equal(t, 10, 1+2+total, "in flight at the end")
	gap := 0
	for _, k := range sent[3:] {
		if gap++; k > 0 {
			require.LessOrEqual(t, gap, 3)
			gap = 0
		}
	}
}

// Fifteen lost of twenty: the flight falls below the target at once, and what arrives is replaced
// segment by segment. RFC 6937's PRR-SSRB sends two for each, RFC 9937 does so where "snd.una" advances
// without further losses, which it does not here.
func TestRFC6937Burst(t *testing.T) {
	sent := prrRow(t, 15)
	require.Equal(t, []int{1, 1}, sent[:2])
	total := 0
	for _, k := range sent[2:] {
		require.GreaterOrEqual(t, k, 1)
		total += k
	}
	require.LessOrEqual(t, total, 10)
}

// The bound by itself: the sums of the RFC.
func TestRFC6937Sums(t *testing.T) {
	var p prr
	p.enter(20)
	p.onAck(1, 19, 10, 1, false)
	require.EqualValues(t, 1, p.credit, "ceil(1*10/20)")
	p.sent(1)
	p.onAck(1, 19, 10, 1, false)
	require.EqualValues(t, 0, p.credit, "ceil(2*10/20) less the one that left")
	p.onAck(1, 18, 10, 1, false)
	require.EqualValues(t, 1, p.credit)
	p.onAck(1, 5, 10, 1, false)
	require.EqualValues(t, 3, p.credit, "max(prr_delivered - prr_out, DeliveredData)")
	p.onAck(1, 5, 10, 1, true)
	require.EqualValues(t, 5, p.credit, "one more, but no more than the target")
	p.onAck(0, 5, 10, 1, true)
	require.EqualValues(t, 5, p.credit, "an ACK that delivers nothing changes nothing")

	p.enter(100)
	p.onAck(1, 99, 1, 10, false)
	require.EqualValues(t, 10, p.credit, "the first retransmission is not held back")
}

// A loss that an ACK reveals which delivers nothing, like the peer's data here, before the reordering timer does: what left the network
// by that may be put back by its retransmission, as if the timer had found it.
func TestRFC6937LossWithoutDelivery(t *testing.T) {
	for _, flying := range []int{0, 1} {
		x := newScript(t, 10).send(0, 2).at(50).send(2, 2+flying).at(100)
		x.ack(0, 1, 2)
		x.lost()
		require.True(t, x.at(125).acks(Ack{Off: off(0)}).Entered, "the timer is a millisecond later")
		x.lost(0, 1)
		require.EqualValues(t, flying*simMSS, x.s.InFlight())
		require.EqualValues(t, simMSS, x.s.Allowance(x.now))
	}
}

// While nothing is in flight no ACK comes that the sums could go by, and the timeout would have to repair what is lost: here what the
// link has refused, before or after the window began to shrink for a congestion mark.
func TestRFC6937NothingInFlight(t *testing.T) {
	mark := func(x *script, n int) {
		x.acks(Ack{Off: off(n), ECE: true})
		require.True(t, x.s.prr.active)
	}
	x := newScript(t, 2).send(0, 2).at(100)
	mark(x, 0)
	require.Zero(t, x.s.Allowance(x.now))
	x.s.Refused(x.now, segments(0, 2)[0])
	x.lost(0, 2)
	require.EqualValues(t, simMSS, x.s.Allowance(x.now))

	x = noProbe(newScript(t, 10).send(0, 1))
	x.timer(300, RTO)
	x.send(0, 2)
	x.s.Refused(x.now, segments(1, 2)[0])
	x.at(400).ack(1)
	mark(x, 1)
	x.lost(1, 2)
	require.EqualValues(t, simMSS, x.s.Allowance(x.now))
}
