package extapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// The public names that programs compile against. Fields and events may be added, names and types stay.

var (
	_ = extapi.PathMatch{Interface: string(""), Kind: extapi.LinkKind(0), Local: netip.Prefix{}, Remote: netip.Prefix{}, MaxCost: (*int)(nil)}
	_ = extapi.PathRule{PathMatch: extapi.PathMatch{}, Role: extapi.Role(0), Cost: int(0)}
	_ = extapi.PathPolicy{
		Rules: []extapi.PathRule(nil), Default: extapi.Role(0), MaxSubflows: int(0), PerPair: int(0), FullMesh: bool(false),
		AnyAnnouncedPort: bool(false), Decide: (func(extapi.Candidate) (extapi.Role, bool))(nil),
	}
	_ = extapi.Candidate{
		Local: netip.AddrPort{}, Remote: netip.AddrPort{}, Interface: string(""), IfIndex: int(0), Kind: extapi.LinkKind(0), Cost: int(0),
	}
	_ = extapi.SubflowInfo{
		ID: extapi.PathID(0), Carrier: extapi.Carrier(0), State: extapi.SubflowState(0), Local: netip.AddrPort{}, Remote: netip.AddrPort{},
		LocalID: extapi.AddrID(0), RemoteID: extapi.AddrID(0), Interface: string(""), Role: extapi.Role(0), Backup: bool(false),
		SRTT: time.Duration(0), RTTVar: time.Duration(0), MinRTT: time.Duration(0), CWnd: int64(0), InFlight: int64(0), DeliveryRate: int64(0),
		BytesSent: uint64(0), BytesRetransmitted: uint64(0), BytesReceived: uint64(0), BytesReinjected: uint64(0),
		Congestion: string(""), LastError: error(nil),
	}
	_ = extapi.ConnInfo{
		ID: extapi.ConnID(0), Carrier: extapi.Carrier(0), Fallback: extapi.FallbackReason(0), Version: int(0), Token: uint32(0),
		Established: time.Time{}, SndNxt: uint64(0), SndUna: uint64(0), RcvNxt: uint64(0),
		SendBuffered: int64(0), RecvBuffered: int64(0), OutOfOrder: int64(0),
		BytesSent: uint64(0), BytesReceived: uint64(0), BytesReinjected: uint64(0), Scheduler: string(""), Checksum: bool(false),
	}
)

func isUint8[T ~uint8]()   {}
func isUint32[T ~uint32]() {}
func isUint64[T ~uint64]() {}

var _ = []func(){
	isUint64[extapi.ConnID], isUint32[extapi.PathID], isUint8[extapi.AddrID], isUint8[extapi.Carrier], isUint8[extapi.FallbackReason],
	isUint8[extapi.Role], isUint8[extapi.LinkKind], isUint8[extapi.SubflowState],
}

// The interfaces have these methods and no other, since programs implement them.
type (
	control interface {
		Info() extapi.ConnInfo
		Subflows() []extapi.SubflowInfo
		SetPathPolicy(extapi.PathPolicy) error
		OpenSubflow(ctx context.Context, local, remote netip.AddrPort) (extapi.PathID, error)
		CloseSubflow(extapi.PathID) error
		SetBackup(extapi.PathID, bool) error
	}
	event interface {
		Name() string
		slog.LogValuer
	}
	tracer interface {
		Trace(now time.Duration, ev extapi.Event)
		Close() error
	}
)

var (
	_ control        = extapi.Control(nil)
	_ extapi.Control = control(nil)
	_ event          = extapi.Event(nil)
	_ extapi.Event   = event(nil)
	_ tracer         = extapi.Tracer(nil)
	_ extapi.Tracer  = tracer(nil)

	_ func(...string) extapi.PathPolicy            = extapi.Only
	_ func(...string) extapi.PathPolicy            = extapi.Prefer
	_ func(...string) extapi.PathPolicy            = extapi.Avoid
	_ func(...string) extapi.PathPolicy            = extapi.Backup
	_ func(net.Conn) (extapi.Control, bool)        = extapi.From
	_ func(*slog.Logger, slog.Level) extapi.Tracer = extapi.SlogTracer
	_ func(...extapi.Tracer) extapi.Tracer         = extapi.MultiTracer
	_ func(extapi.Carrier) string                  = extapi.Carrier.String
	_ fmt.Stringer                                 = extapi.Carrier(0)
)

var _ = []extapi.Event{
	extapi.ConnEstablished{Info: extapi.ConnInfo{}},
	extapi.ConnFellBack{Reason: extapi.FallbackReason(0)},
	extapi.ConnClosed{Err: error(nil)},
	extapi.AddrAnnounced{ID: extapi.AddrID(0), Addr: netip.AddrPort{}, Remote: bool(false)},
	extapi.AddrRemoved{ID: extapi.AddrID(0), Remote: bool(false)},
	extapi.EventsLost{N: int(0)},
	extapi.SubflowEstablished{Info: extapi.SubflowInfo{}},
	extapi.SubflowClosed{Info: extapi.SubflowInfo{}, Err: error(nil)},
	extapi.SubflowPriority{ID: extapi.PathID(0), Backup: bool(false), Remote: bool(false)},
	extapi.DataReinjected{From: extapi.PathID(0), To: extapi.PathID(0), Seq: uint64(0), Len: int(0)},
	extapi.Scheduled{ID: extapi.PathID(0), Seq: uint64(0), Len: int(0)},
	extapi.MetricsUpdated{Info: extapi.SubflowInfo{}},
}

func TestValuesOfTheConstants(t *testing.T) {
	for i, c := range []extapi.Carrier{extapi.CarrierTCP, extapi.CarrierWire, extapi.CarrierStream, extapi.CarrierKernel} {
		require.EqualValues(t, i+1, c)
	}
	for i, r := range []extapi.FallbackReason{
		extapi.FallbackNone, extapi.FallbackPeer, extapi.FallbackDiscovery, extapi.FallbackBlackhole, extapi.FallbackThirdAck,
		extapi.FallbackStripped, extapi.FallbackChecksum, extapi.FallbackInfiniteMap, extapi.FallbackSimultaneousOpen,
		extapi.FallbackPrivilege, extapi.FallbackBound, extapi.FallbackDisabled,
	} {
		require.EqualValues(t, i, r)
	}
	for i, r := range []extapi.Role{extapi.RoleDefault, extapi.RolePrefer, extapi.RoleAvoid, extapi.RoleBackup, extapi.RoleNever} {
		require.EqualValues(t, i, r)
	}
	for i, k := range []extapi.LinkKind{
		extapi.KindAny, extapi.KindUnknown, extapi.KindEthernet, extapi.KindWiFi, extapi.KindCellular, extapi.KindTunnel, extapi.KindLoopback,
	} {
		require.EqualValues(t, i, k)
	}
	for i, s := range []extapi.SubflowState{
		extapi.StateConnecting, extapi.StateJoining, extapi.StateActive, extapi.StateStale, extapi.StateClosing, extapi.StateClosed,
	} {
		require.EqualValues(t, i, s)
	}
}
