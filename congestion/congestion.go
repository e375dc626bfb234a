// Package congestion decides how much a subflow may have in flight. Controllers are values without
// clock, socket or lock: the owner tells them what was sent, acknowledged and lost, with the time, and
// asks for the window. Controllers of one connection form a Group, in which they may be coupled
// (RFC 6356).
package congestion

import "time"

// Time is an instant on the monotonic clock of the connection that is passed in, never read.
type Time = time.Duration

// Controller decides how much one subflow may have in flight. It runs under the connection's lock. The owner calls it from one
// goroutine at a time; implementations need no locks and must not read a clock.
type Controller interface {
	// OnSent tells that bytes left, retransmissions included; inFlight counts them already.
	OnSent(now Time, bytes, inFlight int64)
	// OnAck tells of an ACK that advances SND.UNA or selectively acknowledges new bytes.
	OnAck(now Time, a Ack)
	// OnLoss tells that segments are taken for lost. It is called for each detection; the controller
	// itself reacts once per window of data.
	OnLoss(now Time, l Loss)
	// OnSpuriousLoss tells that the last loss was none (RFC 4015, RFC 5682): its effect is undone.
	OnSpuriousLoss(now Time)
	// OnMSS tells that segments now carry up to mss bytes.
	OnMSS(mss int)
	Window() int64     // bytes that may be in flight; never less than one segment
	PacingRate() int64 // bytes per second; 0 means unpaced
	Metrics() Metrics
}

// Ack is what an acknowledgment says of one subflow.
type Ack struct {
	Bytes             int64         // newly acknowledged
	InFlight          int64         // bytes, before this ACK
	SentAt            Time          // of the newest segment this ACK covers
	RTT, SRTT, MinRTT time.Duration // RTT: this ACK's sample; not positive: unknown
	AppLimited        bool          // the window was not what limited the sender
	ECE               bool          // the ACK echoes a congestion mark (RFC 3168)
	DeliveryRate      int64         // bytes per second; not positive: unknown
	ReturnDelay       time.Duration // how much of RTT is the ACK's, whose way back took so much longer than the shortest; 0: unknown
}

// Loss is what a detection says of one subflow.
type Loss struct {
	Bytes      int64 // taken for lost
	InFlight   int64 // bytes outstanding when that was detected, the lost ones included: FlightSize
	SentAt     Time  // of the newest lost segment
	Timeout    bool  // RTO rather than fast retransmit
	ECN        bool  // nothing is lost, a mark came back
	Persistent bool  // nothing got through for so long that the path may have changed
}

// Metrics is a controller's state for people to read.
type Metrics struct {
	Window     int64  // bytes
	SSThresh   int64  // bytes; -1: no loss yet
	PacingRate int64  // bytes per second; 0: unpaced
	State      string // "slow_start", "conservative_slow_start" (HyStart++), "congestion_avoidance", "fast_recovery"
}

// The values of Metrics.State.
const (
	stateSlowStart    = "slow_start"
	stateConservative = "conservative_slow_start"
	stateAvoidance    = "congestion_avoidance"
	stateRecovery     = "fast_recovery"
)

// Factory builds the controllers of one connection. New is called once per subflow; controllers of
// the same Group may couple (RFC 6356): the Group outlives them, and all of it runs under the connection's lock.
// A panic in any of it is the program's mistake, which the connection survives: Cubic takes the place of the subflow's
// controller, and an extapi.CongestionFailed says so.
type Factory interface {
	Name() string // short and stable: "reno"
	NewGroup() Group
}

// Group holds the controllers of one connection.
type Group interface {
	New(now Time, s Subflow) Controller
	Remove(Controller) // the subflow is gone: the others no longer count it
}

// Subflow says what a controller may know when it starts; it grows by fields, Controller by optional interfaces.
type Subflow struct {
	MSS           int           // bytes; 0: 536 (RFC 9293 section 3.7.1)
	InitialWindow int64         // bytes; 0: InitialWindow(MSS)
	RTT           time.Duration // of the handshake; 0: unknown
}

// defaultMSS is for a subflow that does not say: "If an MSS Option is not received at connection
// setup, TCP implementations MUST assume a default send MSS of 536 (576 - 40) for IPv4" (RFC 9293
// section 3.7.1).
const defaultMSS = 536

// InitialWindow is the upper bound of RFC 6928 section 2 in bytes: min(10*MSS, max(2*MSS, 14600)).
func InitialWindow(mss int) int64 {
	m := int64(mss)
	return min(10*m, max(2*m, 14600))
}
