package stream

import (
	"time"

	"github.com/mptcp-go/mptcp/engine"
)

// SetStats takes what the socket's owner has read from TCP_INFO. Unsent are the kernel's bytes only.
func (f *Flow) SetStats(s engine.FlowStats) {
	e := &f.est
	e.sock, e.sockAt, e.has = s, e.out, true
}

// beyond is by how much the shortest round trip of an ECHO is longer than TCP's when it goes further. The
// others say less: an answer also waits for what the peer's TCP repairs, and for the peer.
const beyond = 5 * time.Millisecond

// Stats are the socket's measurements and ours. The round-trip time is the longer way's: TCP_INFO's
// ends at the first proxy, and where one is in the way so do its rate and what it calls acknowledged.
func (f *Flow) Stats(now time.Duration) engine.FlowStats {
	e, q := &f.est, &f.out
	s := engine.FlowStats{CWnd: -1, Retransmitted: -1, Congestion: "kernel"}
	asked := e.unanswered(now)
	if e.has {
		s = e.sock
	}
	if !e.has || e.early {
		s.SRTT, s.RTTVar, s.MinRTT = e.srtt, e.rttvar, e.minRTT
		s.InFlight, s.Unsent, s.DeliveryRate = e.missing(q), int64(q.queued), e.rate.best
		s.Acked, s.LastProgress = int64(e.acked), e.lastRx
		s.Unanswered, s.Grain = asked, e.grain()
		return s
	}
	if e.srtt > s.SRTT && e.minRTT-s.MinRTT > beyond {
		s.SRTT, s.RTTVar = e.srtt, e.rttvar
	}
	s.MinRTT = max(s.MinRTT, e.minRTT)
	s.Unsent = max(0, s.Unsent) + int64(q.queued)
	s.LastProgress = max(s.LastProgress, e.lastRx)
	s.Unanswered = asked
	return s
}

// alone says whether echoes are the only measure of what has arrived.
func (e *estimate) alone(cfg *FlowConfig) bool { return cfg.EstimateStats || e.early }

// handshakeMax is how much the handshake adds to what the socket counts, at most.
const handshakeMax = 1 << 10

// unanswered is since when the oldest ECHO has waited for its reply; 0: none does, as far as the peer
// is to blame: one that TCP still has to deliver waits for the path. The reply comes no sooner than
// TCP's own acknowledgement.
func (e *estimate) unanswered(now time.Duration) time.Duration {
	if e.n == 0 || e.n == 1 && e.frozen {
		return 0
	}
	x := &e.echoes[0]
	if !e.has {
		return x.sentAt
	}
	s := &e.sock
	if x.passed == 0 && x.end <= e.sockAt && (s.InFlight == 0 && s.Unsent == 0 || s.Acked-handshakeMax >= int64(x.end)) {
		x.passed = now
	}
	if x.passed == 0 {
		return 0
	}
	return max(x.sentAt, x.passed-max(0, s.SRTT))
}

const (
	// earlyBy is how much later than TCP's acknowledgement of an ECHO its reply is when more than the
	// peer's scheduler keeps it back.
	earlyBy = 15 * time.Millisecond
	// earlyCount is how many such replies, beyond those that are not, it takes to believe it.
	earlyCount = 5
)

// suspect looks for a proxy: what it acknowledges waits in its buffers, so that TCP sees another path,
// shorter and faster, than the bytes take. Then the echoes are believed alone, as where there is no
// TCP_INFO. A proxy stays as long as the connection.
func (e *estimate) suspect(now time.Duration, x echo) {
	if e.early || !e.has {
		return
	}
	if x.passed != 0 && now-x.passed > earlyBy {
		e.late++
	} else {
		e.late = max(e.late-1, 0)
	}
	if e.late >= earlyCount {
		e.early, e.rate = true, rate{}
	}
}
