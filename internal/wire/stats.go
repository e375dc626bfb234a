package wire

import (
	"time"

	"github.com/mptcp-go/mptcp/engine"
)

// Stats are TCP's measurements, as the engine wants them.
func (f *Flow) Stats(time.Duration) engine.FlowStats {
	s := f.c.Gauges()
	return engine.FlowStats{
		SRTT: known(s.Perf.SmoothedRTT), RTTVar: known(s.Path.RTTVar), MinRTT: known(s.Path.MinRTT),
		CWnd:          s.Perf.CurCwnd,
		InFlight:      int64(s.App.SndNxt - s.App.SndUna),
		Unsent:        s.App.CurAppWQueue,
		DeliveryRate:  s.Path.DeliveryRate,
		Acked:         f.acked,
		Retransmitted: int64(f.c.OctetsRetrans()),
		LastProgress:  f.progress,
		Patience:      s.Path.Patience,
		Segment:       f.c.FullPayload(),
		Worth:         f.c.Worthwhile(),
		Congestion:    f.congestion,
	}
}

// known is d, or -1 for what is not known yet.
func known(d time.Duration) time.Duration {
	if d <= 0 {
		return -1
	}
	return d
}

// rto is TCP's retransmission timeout, and before it has measured anything its first one (RFC 6298 section
// 2.1).
func (f *Flow) rto() time.Duration {
	if d := f.c.Gauges().Perf.CurRTO; d > 0 {
		return d
	}
	return time.Second
}
