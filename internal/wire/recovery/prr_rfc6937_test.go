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
