// Package extapi is the vocabulary shared by the engine and by programs that look inside a
// connection: identifiers, snapshots, events, path policies. It imports only the standard library.
package extapi

import (
	"context"
	"log/slog"
	"net/netip"
	"time"
)

// Identifiers.
type (
	ConnID  uint64 // local, never reused within a process
	PathID  uint32 // local, from 1, never reused within a connection; 0 is no path
	AddrID  uint8  // RFC 8684 section 3.4.1 address identifier
	Carrier uint8  // which lower half carries a subflow
)

const (
	CarrierTCP    Carrier = iota + 1 // no multipath: plain TCP (fallback or negotiated)
	CarrierWire                      // userspace TCP with real MPTCP options
	CarrierStream                    // records over kernel TCP connections
	CarrierKernel                    // the operating system's MPTCP
)

// FallbackReason says why a connection carries plain TCP. Zero means it does not.
type FallbackReason uint8

const (
	FallbackNone        FallbackReason = iota
	FallbackPeer                       // peer did not answer MP_CAPABLE
	FallbackDiscovery                  // discovery said that the peer does not speak the stream carrier, or was not allowed to ask
	FallbackBlackhole                  // SYNs with the option got lost
	FallbackThirdAck                   // the third ACK or the first data came without MP_CAPABLE
	FallbackStripped                   // the option vanished later
	FallbackChecksum                   // RFC 8684 section 3.7, single subflow
	FallbackInfiniteMap                // the peer sent an infinite mapping
	FallbackSimultaneousOpen
	FallbackPrivilege // wire carrier not permitted here
	FallbackBound     // a bound Dialer (RFC 6897 section 4.2.1)
	FallbackDisabled  // configuration asked for TCP
)

// Role is what a path may be used for.
type Role uint8

const (
	RoleDefault Role = iota // use when the scheduler picks it
	RolePrefer              // pick first while it has room
	RoleAvoid               // pick only when nothing else has room
	RoleBackup              // MP_PRIO B=1: pick only when no non-backup path works
	RoleNever               // do not open
)

// PathMatch selects paths; zero fields match everything.
type PathMatch struct {
	Interface string       // shell pattern on the interface name: "wlan*"
	Kind      LinkKind     // KindAny matches all
	Local     netip.Prefix // source address
	Remote    netip.Prefix // destination address
	MaxCost   *int         // matches paths whose Candidate.Cost is at most this
}

// LinkKind is the best guess of the platform.
type LinkKind uint8

const (
	KindAny LinkKind = iota // in a match only
	KindUnknown
	KindEthernet
	KindWiFi
	KindCellular
	KindTunnel
	KindLoopback
)

// PathRule gives matching paths a role and, optionally, a cost per byte relative to others.
type PathRule struct {
	PathMatch
	Role Role
	Cost int
}

// PathPolicy is evaluated in order; the first matching rule wins, then Decide, then Default.
// When it leaves no path, dialing fails with mptcp.ErrPolicy.
type PathPolicy struct {
	Rules       []PathRule
	Default     Role
	MaxSubflows int  // 0 means 8
	PerPair     int  // subflows per address pair, told apart by ports (ECMP); 0 means 1
	FullMesh    bool // every pair; else each further subflow uses a local interface or a remote address that no other uses

	AnyAnnouncedPort bool                         // dial announced addresses also on ports other than the connection's
	Decide           func(Candidate) (Role, bool) // runs under the connection's lock: be quick, call nothing
}

// Candidate is a path that could be opened.
type Candidate struct {
	Local, Remote netip.AddrPort
	Interface     string
	IfIndex       int
	Kind          LinkKind
	Cost          int
}

// SubflowState is a subset of the life of a subflow, in order.
type SubflowState uint8

const (
	StateConnecting SubflowState = iota
	StateJoining                 // handshake done, HMAC not yet acknowledged
	StateActive
	StateStale // alive but not progressing; its data is reinjected elsewhere
	StateClosing
	StateClosed
)

// SubflowInfo is a snapshot; it never changes after it is returned.
type SubflowInfo struct {
	ID                 PathID
	Carrier            Carrier
	State              SubflowState
	Local, Remote      netip.AddrPort
	LocalID, RemoteID  AddrID
	Interface          string
	Role               Role
	Backup             bool
	SRTT, RTTVar       time.Duration // -1 when the carrier cannot tell
	MinRTT             time.Duration
	CWnd, InFlight     int64 // bytes; -1 when the carrier cannot tell
	DeliveryRate       int64 // bytes per second
	BytesSent          uint64
	BytesRetransmitted uint64
	BytesReceived      uint64
	BytesReinjected    uint64
	Congestion         string // "olia", "kernel:cubic"
	LastError          error
}

// ConnInfo is a snapshot of one connection.
type ConnInfo struct {
	ID              ConnID
	Carrier         Carrier
	Fallback        FallbackReason
	Version         int    // MPTCP version, 0 when fallen back
	Token           uint32 // a hash; keys are never exposed
	Established     time.Time
	SndNxt, SndUna  uint64 // data sequence numbers
	RcvNxt          uint64
	SendBuffered    int64
	RecvBuffered    int64
	OutOfOrder      int64 // bytes held by data-level reassembly
	BytesSent       uint64
	BytesReceived   uint64
	BytesReinjected uint64
	Scheduler       string
	Checksum        bool
}

// Control is what a multipath connection offers beyond net.Conn. *mptcp.Conn implements it.
type Control interface {
	Info() ConnInfo
	Subflows() []SubflowInfo
	SetPathPolicy(PathPolicy) error
	OpenSubflow(ctx context.Context, local, remote netip.AddrPort) (PathID, error)
	CloseSubflow(PathID) error
	SetBackup(PathID, bool) error
}

// Event is one thing that happened. The set of implementations grows between releases.
type Event interface {
	Name() string // "subflow_established": stable, snake_case
	slog.LogValuer
}

// Each event has Name and LogValue methods.
type (
	ConnEstablished struct{ Info ConnInfo }
	ConnFellBack    struct{ Reason FallbackReason }
	ConnClosed      struct{ Err error }
	AddrAnnounced   struct {
		ID     AddrID
		Addr   netip.AddrPort
		Remote bool // by the peer
	}
	AddrRemoved struct {
		ID     AddrID
		Remote bool
	}
	EventsLost         struct{ N int }
	SubflowEstablished struct{ Info SubflowInfo }
	SubflowClosed      struct {
		Info SubflowInfo
		Err  error
	}
	SubflowPriority struct {
		ID             PathID
		Backup, Remote bool
	}
	DataReinjected struct {
		From, To PathID
		Seq      uint64
		Len      int
	}
	Scheduled struct {
		ID  PathID
		Seq uint64
		Len int
	}
	MetricsUpdated struct{ Info SubflowInfo }
)

// Tracer receives events of one connection, in order, from one goroutine at a time; now counts from
// ConnInfo.Established. It must not block and must not call into the connection.
type Tracer interface {
	Trace(now time.Duration, ev Event)
	Close() error
}
