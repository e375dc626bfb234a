package engine

import (
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

// PathID names a subflow within its connection.
type PathID = extapi.PathID

// Flow is the port to the lower half: one subflow, as the engine sees it. The engine calls it under
// the connection's lock; every method returns at once and calls nothing of the engine's.
type Flow interface {
	// Room is how many payload bytes the flow takes now. When it has been 0 and grows, the carrier
	// calls Conn.HandleRoom.
	Room() int
	// Send queues one mapping with its payload. The flow takes over one reference to p, which it
	// releases when the bytes are fully written (stream) or acknowledged by the peer's TCP (wire).
	Send(now time.Duration, m Mapping, p pool.Ref)
	// Ack asks the flow to carry the newest DATA_ACK and window soon, with or without data. It is
	// state, not a queue: a later Ack replaces one that has not left yet. After a fallback a is not Valid, and
	// asks for an ACK of TCP's own, since the window has opened.
	Ack(now time.Duration, a Ack)
	// Signal queues an option other than DSS mappings; options of one flow leave in order.
	Signal(now time.Duration, o options.Option)
	// Close sends a FIN once everything queued has left. The carrier still delivers what arrives. Right after
	// a Signal of MP_FASTCLOSE it means to drop what is queued and to repeat that option until the peer
	// resets the subflow (RFC 8684 section 3.5, option A): only carriers that lose segments are asked to.
	Close(now time.Duration)
	// Abort drops what is queued and resets the subflow with this reason (RFC 8684 section 3.6).
	Abort(now time.Duration, r ResetReason)
	// Limit caps the bytes in flight (coupled window, penalisation). 0 lifts the cap.
	Limit(bytes int64)
	// Probe asks the peer for a sign of life on this subflow (an echo, a TCP keep-alive), whatever is
	// under way; the answer comes as Conn.HandleProgress. It returns when the question leaves: a carrier whose
	// peer leaves some without an answer when they come too fast keeps it until its turn.
	Probe(now time.Duration) (leaves time.Duration)
	// Remind asks the peer's TCP for an ACK at once, which brings the newest DATA_ACK along. It is only called where
	// FlowStats.Patience is known.
	Remind(now time.Duration)
	// Stats reads the flow's measurements. It may make one cheap system call.
	Stats(now time.Duration) FlowStats
}

// Mapping is what a DSS says of the bytes that follow (RFC 8684 section 3.3.1).
type Mapping struct {
	DSN         uint64 // of the first byte
	SSN         uint32 // relative subflow sequence number of the first byte; a subflow starts at 1
	Len         int    // payload bytes, 1 to 65535 (65534 with DataFIN)
	DataFIN     bool   // a DATA_FIN follows the last byte: the option's length is Len+1
	HasChecksum bool
	Checksum    uint16
	Ack         Ack // the newest DATA_ACK, which the DSS carries along

	Infinite  bool // RFC 8684 section 3.7: the DSS has data-level length 0, and no other follows
	Continued bool // with Infinite: that DSS has left already, the payload goes without one
}

// Ack is the receiver's state that every DSS may carry.
type Ack struct {
	Valid   bool   // false until the peer's key is known: then no DATA_ACK may be sent
	DataAck uint64 // next data sequence number expected
	Window  int64  // bytes beyond DataAck that this side takes; the right edge never shrinks
}

// FlowStats are a flow's measurements. -1 means that the carrier cannot tell.
type FlowStats struct {
	SRTT, RTTVar, MinRTT time.Duration
	CWnd                 int64         // bytes
	InFlight             int64         // bytes sent and not acknowledged at the subflow level
	Unsent               int64         // bytes accepted by Send and not on the wire yet (ours and the kernel's)
	DeliveryRate         int64         // bytes per second
	Acked                int64         // bytes acknowledged at the subflow level, ever: stands still on a dead path
	Retransmitted        int64         // bytes, ever
	LastProgress         time.Duration // when Acked grew, or an echo or anything else came back, as seen by the flow
	// Unanswered is since when the oldest question (Probe, or one that the carrier asks by itself) has
	// waited for the peer's answer; 0: none does. One that the path's TCP has not acknowledged yet does
	// not count where the carrier can tell: it waits in a queue, and stalled acknowledgements say more.
	Unanswered time.Duration
	// Patience is how long the flow's own TCP waits for an acknowledgement before it takes all that is in flight for
	// lost (RFC 6298's RTO, without back-off), where that TCP is the carrier's own and sees every segment of the
	// peer's; 0: the carrier cannot tell.
	Patience time.Duration
	// Grain is the length of mappings, in bytes, above which the carrier learns too late what has
	// arrived, or a DATA_ACK waits too long behind one; 0: any will do.
	Grain int
	// Segment is the payload of a full segment, in bytes: a mapping that is no multiple of it ends with a short one.
	// Worth is the room below which a mapping costs more than it moves while more waits; more of it is about to
	// come. 0 of either: no matter.
	Segment, Worth int
	Congestion     string
}

// FlowParams describe a subflow that AddFlow puts under the engine.
type FlowParams struct {
	Carrier           extapi.Carrier
	Local, Remote     netip.AddrPort
	LocalID, RemoteID extapi.AddrID
	Interface         string
	IfIndex           int
	Kind              extapi.LinkKind
	Cost              int
	Role              extapi.Role
	Backup            bool                  // we asked for backup (B in our MP_JOIN)
	PeerBackup        bool                  // the peer asked for it
	Attempt           uint32                // the JoinRequest that this flow answers; 0: none (first subflow, or the peer's join)
	Initial           bool                  // the connection's first subflow (MP_CAPABLE)
	Accepted          bool                  // the peer joined it: the path planner did not ask for it
	Fallback          extapi.FallbackReason // of the first subflow: its handshake has come to plain TCP, for this reason
	Joining           bool                  // our join is complete but the fourth message has not come: no data yet
	Blind             bool                  // the carrier does not learn of losses: nothing here could keep two subflows from taking two shares
}

// JoinRequest asks the driver to open a subflow: connect from Path.Local (port 0: any; invalid
// address: the routing table's choice) to Path.Remote, and shake hands with MP_JOIN. The answer is
// AddFlow with its Attempt, or JoinFailed.
type JoinRequest struct {
	Attempt  uint32
	Path     extapi.Candidate
	LocalID  extapi.AddrID
	RemoteID extapi.AddrID
	Backup   bool
	Role     extapi.Role
	Probe    PathID // the stale or lost subflow whose path this join tries again; 0: a new path
}

// ResetReason is an RFC 8684 section 3.6 reset reason code.
type ResetReason uint8

const (
	ResetUnspecified ResetReason = iota
	ResetProtocol
	ResetResources
	ResetProhibited
	ResetTooMuchData
	ResetPerformance
	ResetMiddlebox
)
