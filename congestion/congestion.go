package congestion

import "time"

// Time is an instant on the monotonic clock of the connection that is passed in, never read.
type Time = time.Duration

// Controller decides how much one subflow may have in flight. It runs under the connection's lock. The owner calls it from one
// goroutine at a time; implementations need no locks and must not read a clock.
type Controller interface {
	OnSent(now Time, bytes, inFlight int64)
	OnAck(now Time, a Ack)
	OnLoss(now Time, l Loss)
	OnSpuriousLoss(now Time)
	OnMSS(mss int)
	Window() int64     // bytes that may be in flight
	PacingRate() int64 // bytes per second; 0 means unpaced
	Metrics() Metrics
}

type Ack struct {
	Bytes, InFlight   int64
	SentAt            Time // of the newest segment this ACK covers
	RTT, SRTT, MinRTT time.Duration
	AppLimited        bool
	ECE               bool
	DeliveryRate      int64
}

type Loss struct {
	Bytes, InFlight int64
	SentAt          Time
	Timeout         bool // RTO rather than fast retransmit
	ECN             bool
	Persistent      bool
}

type Metrics struct {
	Window, SSThresh, PacingRate int64
	State                        string
}

// Factory builds the controllers of one connection. New is called once per subflow; controllers of
// the same Group may couple (RFC 6356): the Group outlives them.
type Factory interface {
	Name() string
	NewGroup() Group
}

type Group interface {
	New(now Time, s Subflow) Controller
	Remove(Controller)
}

// Subflow says what a controller may know when it starts; it grows by fields, Controller by optional interfaces.
type Subflow struct {
	MSS           int
	InitialWindow int64         // bytes
	RTT           time.Duration // of the handshake; 0: unknown
}
