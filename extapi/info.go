package extapi

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// SubflowState is a subset of the life of a subflow, in order.
type SubflowState uint8

const (
	StateConnecting SubflowState = iota // TCP's handshake is under way
	StateJoining                        // handshake done, HMAC not yet acknowledged
	StateActive                         // carries data
	StateStale                          // alive but not progressing; its data is reinjected elsewhere
	StateClosing                        // no new data; what it carries is being finished
	StateClosed                         // gone
)

var stateNames = []string{"connecting", "joining", "active", "stale", "closing", "closed"}

// String returns a stable lower-case name: "active".
func (s SubflowState) String() string { return nameOf("SubflowState", stateNames, s) }

// MarshalText returns the bytes of String.
func (s SubflowState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts the names that String returns.
func (s *SubflowState) UnmarshalText(text []byte) (err error) {
	*s, err = parseName[SubflowState]("SubflowState", stateNames, text)
	return err
}

// SubflowInfo is a snapshot; it never changes after it is returned.
type SubflowInfo struct {
	ID                 PathID
	Carrier            Carrier
	State              SubflowState
	Local, Remote      netip.AddrPort
	LocalID, RemoteID  AddrID
	Interface          string // "" when the routing table chose
	Role               Role
	Backup             bool          // either side asked for backup
	SRTT, RTTVar       time.Duration // -1 when the carrier cannot tell
	MinRTT             time.Duration // -1 when the carrier cannot tell
	CWnd, InFlight     int64         // bytes; -1 when the carrier cannot tell
	DeliveryRate       int64         // bytes per second; -1 when the carrier cannot tell
	BytesSent          uint64        // payload, retransmissions not counted
	BytesRetransmitted uint64        // by the subflow's own TCP
	BytesReceived      uint64        // payload
	BytesReinjected    uint64        // sent here after another subflow had carried them
	Congestion         string        // "olia", "kernel:cubic"
	LastError          error         // nil: none so far
	TCP                *TCPCounters  // in snapshots and SubflowClosed, where the subflow is our own TCP's; else nil
}

// LogValue puts what tells subflows apart, and how they do, into a log line.
func (i SubflowInfo) LogValue() slog.Value {
	a := make([]slog.Attr, 0, 12)
	a = append(a,
		slog.Uint64("path", uint64(i.ID)),
		slog.String("carrier", i.Carrier.String()),
		slog.String("state", i.State.String()),
		slog.String("local", i.Local.String()),
		slog.String("remote", i.Remote.String()),
	)
	if i.Interface != "" {
		a = append(a, slog.String("interface", i.Interface))
	}
	if i.Role != RoleDefault {
		a = append(a, slog.String("role", i.Role.String()))
	}
	if i.Backup {
		a = append(a, slog.Bool("backup", true))
	}
	if i.SRTT >= 0 {
		a = append(a, slog.Duration("srtt", i.SRTT))
	}
	if i.CWnd >= 0 {
		a = append(a, slog.Int64("cwnd", i.CWnd))
	}
	a = append(a, slog.Uint64("sent", i.BytesSent), slog.Uint64("received", i.BytesReceived))
	if i.LastError != nil {
		a = append(a, slog.String("last_error", i.LastError.Error()))
	}
	return slog.GroupValue(a...)
}

// ConnInfo is a snapshot of one connection.
type ConnInfo struct {
	ID              ConnID
	Carrier         Carrier // of the connection: CarrierTCP once it has fallen back
	Fallback        FallbackReason
	Version         int       // MPTCP version, 0 when fallen back
	Token           uint32    // a hash; keys are never exposed
	Established     time.Time // when the handshake was done
	SndNxt, SndUna  uint64    // data sequence numbers
	RcvNxt          uint64    // data sequence number
	SendBuffered    int64     // bytes written and not DATA_ACKed
	RecvBuffered    int64     // bytes received in order and not read
	OutOfOrder      int64     // bytes held by data-level reassembly
	BytesSent       uint64    // payload, each byte counted once
	BytesReceived   uint64    // payload, each byte counted once
	BytesReinjected uint64    // sent once more, on another subflow
	Scheduler       string    // Factory.Name of the scheduler in use
	Checksum        bool      // DSS checksums are in use

	// MPTCP are the connection's own counters, those of subflows that are gone among them; nil in events, and where the connection
	// is not ModeWire's, or its peer asked a Listener for plain TCP. What comes before it is known whose it is counts in Transport.Counters alone: MPCapableSYNRX,
	// MPFallbackTokenInit of a listener, MPJoinNoTokenFound.
	MPTCP *MPTCPCounters
}

// LogValue puts the connection's identity and its totals into a log line.
func (i ConnInfo) LogValue() slog.Value {
	a := make([]slog.Attr, 0, 8)
	a = append(a,
		slog.Uint64("conn", uint64(i.ID)),
		slog.String("carrier", i.Carrier.String()),
	)
	if i.Fallback != FallbackNone {
		a = append(a, slog.String("fallback", i.Fallback.String()))
	} else {
		a = append(a, slog.Int("version", i.Version), slog.String("token", tokenText(i.Token)))
	}
	if i.Scheduler != "" {
		a = append(a, slog.String("scheduler", i.Scheduler))
	}
	a = append(a, slog.Uint64("sent", i.BytesSent), slog.Uint64("received", i.BytesReceived))
	return slog.GroupValue(a...)
}

// tokenText writes a token as tools such as ss and tshark do.
func tokenText(t uint32) string { return fmt.Sprintf("%08x", t) }
