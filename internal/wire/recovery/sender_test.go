package recovery

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// RFC 4821 section 4: "the normal congestion (window or data rate) reduction SHOULD be suppressed" for
// an isolated probe, and for that alone.
func TestRFC4821Excuse(t *testing.T) {
	x := newScript(t, 20).send(0, 10)
	x.s.Excuse(segments(2, 3)[0])
	x.at(100)
	x.ack(2, 3, 10)
	x.lost(2, 3)
	require.Empty(t, x.ctl.losses)
	require.EqualValues(t, 20*simMSS-7*simMSS+7*simMSS, x.s.Window())
	x.send(2, 3).at(200)
	require.True(t, x.ack(10).Recovered)

	x = newScript(t, 20).send(0, 10)
	x.s.Excuse(segments(2, 3)[0])
	x.at(100)
	x.ack(0, 3, 10)
	require.Len(t, x.ctl.losses, 1)
	require.EqualValues(t, 2*simMSS, x.ctl.losses[0].Bytes)
}

// What the link has refused goes again at once, also after a timeout, and congestion control hears nothing of it.
func TestRefused(t *testing.T) {
	x := newScript(t, 20).send(0, 10)
	x.s.Refused(x.now, segments(7, 9)[0])
	x.lost(7, 9)
	require.EqualValues(t, 8*simMSS, x.s.InFlight())
	require.Empty(t, x.ctl.losses)
	x.s.Refused(x.now, segments(7, 9)[0])
	x.s.Refused(x.now, Range{off(20), off(30)})
	require.Empty(t, x.s.broken(), "once is enough, and it has to have left")
	x.send(7, 9).at(100)
	require.True(t, x.ack(10).Recovered)

	x = newScript(t, 20).send(0, 10)
	x.timer(201, Probe)
	x.timer(501, RTO)
	x.send(0, 1)
	require.Zero(t, x.s.Allowance(x.now))
	x.s.Refused(x.now, segments(0, 1)[0])
	x.lost(0, 10)
	require.EqualValues(t, simMSS, x.s.Allowance(x.now))
	require.Len(t, x.ctl.losses, 1, "the timeout")
}

func TestSetMSS(t *testing.T) {
	x := newScript(t, 20).send(0, 5)
	x.s.SetMSS(500)
	require.Equal(t, 500, x.ctl.mss)
	require.Equal(t, 500, x.s.MSS())
	x.ctl.mss = 0
	x.s.SetMSS(500)
	x.s.SetMSS(0)
	x.s.SetMSS(-1)
	require.Zero(t, x.ctl.mss, "no change is no news")
	r, _ := x.s.Probe()
	require.Equal(t, Range{off(5) - 500, off(5)}, r)
}

// A SYN that a cookie answered was never seen here.
func TestResume(t *testing.T) {
	x := newScript(t, 20)
	require.EqualValues(t, 1, x.s.Una())
	x.send(0, 1)
	x.s.Resume(77)
	require.EqualValues(t, 1, x.s.Una(), "too late")
}

// What may leave: whole, and the clock does not run backwards.
func TestOnSendEdges(t *testing.T) {
	x := newScript(t, 20).at(100).send(0, 2)
	x.s.OnSend(ms(50), off(2), off(3), false)
	require.Equal(t, ms(100), x.s.board.last().sentAt)
	x.s.OnSend(ms(100), off(3), off(3), false)
	require.EqualValues(t, 3*simMSS, x.s.InFlight())
	x.s.OnSend(ms(120), off(2), off(4), false) // half of it new
	require.EqualValues(t, 4*simMSS, x.s.InFlight())
	require.EqualValues(t, simMSS, x.s.Retransmitted())
	x.s.OnSend(ms(130), off(9), off(10), false) // a gap would never be acknowledged: it counts as sent
	require.EqualValues(t, 10*simMSS, x.s.InFlight())
	require.Empty(t, x.s.broken())
	require.Equal(t, "probe", Probe.String())
	require.EqualValues(t, 0, Range{5, 4}.Len())
}

// Records of what leaves at one instant are one, up to a super-segment, and retransmissions as well.
func TestRecordsCoalesce(t *testing.T) {
	x := newScript(t, 1000).send(0, 200)
	require.LessOrEqual(t, x.s.board.order.n, 4)
	x.at(100)
	x.ack(0, 100, 200)
	r, ok := x.s.Retransmit()
	require.True(t, ok)
	require.EqualValues(t, maxRecord, r.Len())
	x.send(0, 100)
	require.LessOrEqual(t, x.s.board.order.n, 5)
}
