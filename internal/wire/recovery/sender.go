package recovery

import (
	"time"

	"github.com/mptcp-go/mptcp/congestion"
)

// Config is what a Sender is made with.
type Config struct {
	// MSS is the most payload bytes in a segment, without options; not positive: 536.
	MSS int
	// Controller decides on the window. It must not be nil.
	Controller congestion.Controller
	// SACK and Timestamps say what was negotiated. A client does not know yet: see Negotiated.
	SACK, Timestamps bool
	// MinRTO is the least that the retransmission timeout exceeds the smoothed round-trip time by;
	// 0: 200 ms. RFC 6298 section 2.4 would have the timeout itself at least 1 s; what Linux does
	// is the custom of the Internet, and what is spurious is found out and undone.
	MinRTO time.Duration
	// MaxRTO bounds the timeout with its back-off; 0: 120 s.
	MaxRTO time.Duration
	// DelayedAck is how long the peer may hold an ACK back for a lone segment (TLP.max_ack_delay);
	// 0: 50 ms, a little more than what Linux begins with. Too little costs a superfluous probe, no more.
	DelayedAck time.Duration
	// Tick is the resolution of the timestamps that the peer echoes; 0: 1 ms.
	Tick time.Duration
	// Pacing spreads a window over the round trip even where the controller names no rate, up to maxPaced. A controller
	// that names one is always paced.
	Pacing bool
}

// Defaults of Config, and what RFC 6298 section 2.1 waits for without a sample.
const (
	defaultMSS        = 536
	defaultMinRTO     = 200 * time.Millisecond
	defaultMaxRTO     = 120 * time.Second
	defaultDelayedAck = 50 * time.Millisecond
	defaultTick       = time.Millisecond
	initialRTO        = time.Second
)

// Sender is the sending half of one connection. It is made by New, and is not for copying.
type Sender struct {
	cfg   Config
	mss   int64
	clock time.Duration // the latest now: time never runs backwards here

	board   scoreboard
	rtt     estimator
	back    wayBack
	rack    rack
	tlp     tlp
	timer   timer
	episode episode
	prr     prr
	undo    undo
	frto    frto
	reno    newReno
	rate    rateSampler
	lasting lasting
	pacer   pacer
	start   slowSYN

	full          uint64 // SND.NXT when the window was last full: what lies below was limited by the window
	retransmitted int64
}

// New makes a sender that has sent nothing.
func New(cfg Config) *Sender {
	if cfg.MSS <= 0 {
		cfg.MSS = defaultMSS
	}
	if cfg.MinRTO <= 0 {
		cfg.MinRTO = defaultMinRTO
	}
	if cfg.MaxRTO <= 0 {
		cfg.MaxRTO = defaultMaxRTO
	}
	if cfg.DelayedAck <= 0 {
		cfg.DelayedAck = defaultDelayedAck
	}
	if cfg.Tick <= 0 {
		cfg.Tick = defaultTick
	}
	s := &Sender{cfg: cfg, mss: int64(cfg.MSS)}
	s.board.init()
	s.rack.init()
	s.tlp.sampled = true // "or the start of the connection" (RFC 8985 section 7.3)
	return s
}

// Negotiated says what the handshake came to: a client asks for SACK and timestamps before it knows.
func (s *Sender) Negotiated(sack, timestamps bool) {
	s.cfg.SACK, s.cfg.Timestamps = sack, timestamps
}

// Resume starts at off: everything below has been sent and acknowledged without this sender, as by a
// SYN cookie. It has no effect once something was sent.
func (s *Sender) Resume(off uint64) {
	if s.board.nxt == 0 {
		s.board.una, s.board.nxt, s.board.fack = off, off, off
	}
}

// Una is the lowest offset not cumulatively acknowledged, SND.UNA.
func (s *Sender) Una() uint64 { return s.board.una }

// Nxt is the offset after the highest that was sent, SND.NXT.
func (s *Sender) Nxt() uint64 { return s.board.nxt }

// InFlight is how many bytes are in the network: neither acknowledged nor taken for lost. A byte that
// was sent twice counts once.
func (s *Sender) InFlight() int64 { return s.board.flying - s.reno.left }

// Lost is how many bytes wait for their retransmission.
func (s *Sender) Lost() int64 { return s.board.lost }

// Sacked is how many bytes above SND.UNA the peer has acknowledged selectively.
func (s *Sender) Sacked() int64 { return s.board.sacked }

// MSS is the most payload bytes in a segment.
func (s *Sender) MSS() int { return int(s.mss) }

// SRTT is the smoothed round-trip time, 0 before the first sample.
func (s *Sender) SRTT() time.Duration { return s.rtt.srtt }

// RTTVar is the variation of the round-trip time (RFC 6298), 0 before the first sample.
func (s *Sender) RTTVar() time.Duration { return s.rtt.rttvar }

// MinRTT is the least round-trip time of the last minutes, 0 before the first sample.
func (s *Sender) MinRTT() time.Duration { return s.rtt.min() }

// RTO is the retransmission timeout with its back-off.
func (s *Sender) RTO() time.Duration { return s.timeout() }

// Timeouts is the number of retransmission timeouts since SND.UNA last advanced.
func (s *Sender) Timeouts() int { return s.timer.timeouts }

// Backoff is how often the timeout has been doubled; unlike Timeouts it stays until there is a fresh
// sample of the round-trip time (RFC 6298 section 5.7).
func (s *Sender) Backoff() int { return s.timer.backoff }

// DeliveryRate is the last rate at which data was seen to arrive, in bytes per second; 0: unknown.
func (s *Sender) DeliveryRate() int64 { return s.rate.last }

// Delivered is how many bytes have arrived so far, selectively acknowledged ones included.
func (s *Sender) Delivered() int64 { return s.rate.delivered }

// Retransmitted is how many bytes have left more than once, each time counted.
func (s *Sender) Retransmitted() int64 { return s.retransmitted }

// Window is the congestion window in bytes.
func (s *Sender) Window() int64 { return s.start.cap(s.cfg.Controller.Window()) }

// Rate is the congestion window's, in bytes per second: what the path carries as far as is known; 0: nothing is yet.
func (s *Sender) Rate() int64 {
	if s.rtt.srtt <= 0 {
		return 0
	}
	return perSecond(s.Window(), s.rtt.srtt)
}

// LastingRate is how fast data has arrived of late, in bytes per second, over no less than 256 KiB and a round trip: no more
// than there was to send; 0: nothing is known yet.
func (s *Sender) LastingRate() int64 { return s.lasting.rate }

// PacingRate is the rate in bytes per second that Allowance keeps to; 0: unpaced.
func (s *Sender) PacingRate() int64 { return s.pacer.rate }

// Recovering says that lost data is being repaired, by fast recovery or after a timeout.
func (s *Sender) Recovering() bool { return s.episode.phase >= fastRecovery }

// SetMSS changes the size of segments from now on and tells the controller. Not positive: no change.
func (s *Sender) SetMSS(n int) {
	if n <= 0 || int64(n) == s.mss {
		return
	}
	s.mss = int64(n)
	s.cfg.Controller.OnMSS(n)
}

// SetRTT tells of a round-trip time that was measured without this sender: of a handshake that a SYN
// cookie made, or one remembered. Not positive: no effect.
func (s *Sender) SetRTT(now, rtt time.Duration) {
	if rtt > 0 {
		s.sampleRTT(s.advance(now), rtt)
	}
}

// Trim gives memory back while nothing is outstanding: for a connection that has become idle.
func (s *Sender) Trim() {
	if s.board.una == s.board.nxt {
		s.board.trim()
	}
}

// advance moves the clock. A now that lies in the past is taken for the latest one.
func (s *Sender) advance(now time.Duration) time.Duration {
	s.clock = max(s.clock, now)
	return s.clock
}
