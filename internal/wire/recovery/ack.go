package recovery

import "time"

// Range is the bytes from From up to, but without, To.
type Range struct{ From, To uint64 }

// Len is the number of bytes, 0 for a range that is empty or upside down.
func (r Range) Len() int64 {
	if r.To <= r.From {
		return 0
	}
	return int64(r.To - r.From)
}

// Ack is what one acceptable segment acknowledges.
type Ack struct {
	// Off is the cumulative acknowledgment: everything below it has arrived. One below SND.UNA is old:
	// its SACK blocks count all the same.
	Off uint64
	// Sacks are the SACK blocks in the segment's order, without the duplicate one. At most four are
	// looked at, which is all that fits into a header.
	Sacks []Range
	// DSACK is the first SACK block where it reports a duplicate (RFC 2883); HasDSACK says that it does.
	DSACK    Range
	HasDSACK bool
	// EchoedAt is when the segment left whose timestamp comes back (TSecr), rounded down to the tick of
	// Config.Tick; HasEcho says that there is one.
	EchoedAt time.Duration
	HasEcho  bool
	// Clock is the peer's own timestamp on the segment (TSval), which HasClock says that there is.
	Clock    uint32
	HasClock bool
	// ECE is the flag of RFC 3168.
	ECE bool
	// Pure says that the segment carries neither payload nor SYN nor FIN, WindowChanged that it announces
	// another window than the one before: only a pure ACK that changes nothing is a duplicate (RFC 5681).
	Pure, WindowChanged bool
	// OptionsOnly says that the segment carries an MPTCP option other than a DSS: "A duplicate ACK that
	// includes any MPTCP signaling (with the exception of the DSS option) MUST NOT be treated as a signal
	// of congestion" (RFC 8684 section 3.9).
	OptionsOnly bool
	// Unsent is how many bytes wait that were never sent and that the peer's window lets leave. F-RTO
	// needs new data to send (RFC 5682 section 2.1); with 0 it retransmits the conventional way.
	Unsent int64
}

// Outcome is what an ACK meant.
type Outcome struct {
	Acked  int64         // bytes that the cumulative acknowledgment advanced by
	Sacked int64         // bytes newly covered by SACK blocks above it
	Lost   int64         // bytes newly taken for lost
	RTT    time.Duration // sample for the estimator, if HasRTT
	HasRTT bool
	// Spurious says that the last retransmission was unnecessary, and undone.
	Spurious bool
	// Duplicate says that the ACK is a duplicate one in the sense of RFC 5681.
	Duplicate bool
	// Entered and Recovered say that loss recovery began or ended with this ACK.
	Entered, Recovered bool
	// CWR says that the window was reduced for the ECE mark: the next segment with new data carries the
	// CWR flag (RFC 3168 section 6.1.2).
	CWR bool
	// Reneged says that the peer has taken a selective acknowledgment back (RFC 2018 section 8). The
	// timer does the rest.
	Reneged bool
}

// Expired says what a timer wants.
type Expired uint8

// The reasons for which OnTimer returns.
const (
	None    Expired = iota // it was too early, or there is nothing to do
	RTO                    // retransmission timeout: everything may be lost; Retransmit has the first segment
	Probe                  // loss probe: send a segment of new data or else Probe's range, whatever Allowance says
	Reorder                // the reordering window has passed: Retransmit has what is lost
	Paced                  // the pacing rate lets something leave: see Allowance
)

// String names the reason.
func (e Expired) String() string {
	return [...]string{"none", "rto", "probe", "reorder", "paced"}[min(e, Paced)]
}
