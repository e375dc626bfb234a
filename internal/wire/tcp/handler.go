package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Handler hears what happens to a connection. It is called from HandleSegment, HandleICMP and
// HandleTimeout alone, and may call every method of the Conn but those and Poll.
type Handler interface {
	// Established tells that the three-way handshake is done on this side.
	Established(now time.Duration)
	// Data brings the next payload in order, never empty, and passes one reference.
	Data(now time.Duration, p pool.Ref)
	// FIN tells that the peer sends no more: after all Data.
	FIN(now time.Duration)
	// Acked tells that the cumulative acknowledgment has reached off.
	Acked(now time.Duration, off uint64)
	// Room tells that Conn.Room has grown to something worth filling.
	Room(now time.Duration)
	// Stuck tells of the n-th retransmission timeout in a row.
	Stuck(now time.Duration, n int)
	// Closed is the last call, and the only one of its kind: of the segments to come, none matters but
	// those that TIME-WAIT answers. err is nil or one of this package's errors. It is not called after
	// Abort, of which the caller knows.
	Closed(now time.Duration, err error)
}

// Kind is what a segment is for.
type Kind uint8

const (
	KindSYN    Kind = iota + 1
	KindSYNACK      // SYN and ACK
	KindACK         // no payload, no FIN
	KindDATA        // payload, with or without FIN
	KindFIN         // a FIN without payload
	KindRST
	KindPROBE // outgoing only: an old sequence number, for a sign of life or of a window
)

var kindNames = [...]string{KindSYN: "SYN", KindSYNACK: "SYN/ACK", KindACK: "ACK", KindDATA: "DATA", KindFIN: "FIN", KindRST: "RST", KindPROBE: "PROBE"}

// String names the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}

func kindOf(f packet.Flags, payload int) Kind {
	switch {
	case f.Has(packet.RST):
		return KindRST
	case f.Has(packet.SYN | packet.ACK):
		return KindSYNACK
	case f.Has(packet.SYN):
		return KindSYN
	case payload > 0:
		return KindDATA
	case f.Has(packet.FIN):
		return KindFIN
	}
	return KindACK
}

// Outgoing describes a segment that is about to leave.
type Outgoing struct {
	Kind       Kind
	Attempt    int    // of a SYN or SYN/ACK: 0 the first time, 1 for the first retransmission
	Off        uint64 // of the first byte of payload, or of where it would be
	Len        int    // bytes of payload
	Retransmit bool
	Super      bool // it will be split, and the options repeated on each part
}

// Incoming describes an acceptable segment that has arrived.
type Incoming struct {
	Seg        *packet.Segment // with its options; valid during the call
	Kind       Kind
	Off        uint64 // of the first byte of payload, which may lie before what has been received already
	Len        int    // bytes of payload
	Ack        uint64 // what it acknowledges, as an offset of this side's; 0 when it has no ACK
	Duplicate  bool   // every byte of the payload, and there are some, has been received before
	OutOfOrder bool   // bytes before Off are missing
}

// Extension is what rides in TCP's options beside TCP's own: Multipath TCP. It is called from Handle…
// methods and from Poll, and may call the Conn as a Handler may.
type Extension interface {
	// Append appends whole options to dst, at most budget bytes of them, for the segment that is about to
	// leave. It is called exactly once for each, retransmissions included.
	Append(now time.Duration, o *Outgoing, dst []byte, budget int) []byte
	// Limit is how many of the n bytes from off on may go into one segment, or into one super-segment. 0:
	// none may leave now.
	Limit(off uint64, n int) int
	// Reserve is how many bytes of options a data segment from off on will want.
	Reserve(off uint64) int
	// Handle sees every acceptable segment (in the window, its ACK valid) before its ACK counts and its
	// payload is delivered, those out of order too. False: it is dropped whole, not even its ACK counts.
	Handle(now time.Duration, in *Incoming) bool
	// Asked tells of a segment without payload that repeats the last sequence number while the window is open, and known to be: a
	// keep-alive. Who sends one has nothing else to send, and nothing outstanding.
	Asked(now time.Duration)
	// Window is the receive window to announce, in bytes, a multiple of 1<<scale; -1: TCP's own. The ACK that announces it
	// stays behind what has arrived by so many bytes, which are for the extension to add if its window counts from there.
	Window(now time.Duration, scale uint8, behind int64) int64
}
