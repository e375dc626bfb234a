package mptcp_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/scheduler"
)

// The public names that programs compile against: a change of one of them breaks this file before it breaks a program.
// Fields may be added, names and types stay.

type control = func(network, address string, c syscall.RawConn) error

var _ = mptcp.Config{
	Mode: mptcp.Mode(0), Multipath: mptcp.Multipath(0), Discovery: mptcp.Discovery(0),
	Peers: []string(nil), RequireMultipath: bool(false), Secret: []byte(nil),
	PrefaceTimeout: time.Duration(0), ServerSpeaksFirst: bool(false),
	Paths: extapi.PathPolicy{}, Scheduler: scheduler.Factory(nil), Congestion: congestion.Factory(nil),
	SendBuffer: int(0), RecvBuffer: int(0), Checksum: bool(false),
	HandshakeTimeout: time.Duration(0), JoinTimeout: time.Duration(0), IdlePathTimeout: time.Duration(0), StallTimeout: time.Duration(0),
	NoPathTimeout: time.Duration(0), CloseTimeout: time.Duration(0), KeepAlive: net.KeepAliveConfig{},
	Logger: (*slog.Logger)(nil), Trace: (func(context.Context, extapi.ConnInfo) extapi.Tracer)(nil),
}

var (
	_ = mptcp.Transport{Interfaces: (func(net.Interface) bool)(nil), Network: mptcp.Network(nil), Control: control(nil), MemoryLimit: int64(0)}
	_ = mptcp.Capabilities{Wire: error(nil), Kernel: error(nil), Watch: error(nil)}
	_ = mptcp.DialSpec{Local: netip.AddrPort{}, Remote: netip.AddrPort{}, Interface: string(""), KernelMPTCP: bool(false), Control: control(nil)}
	_ = mptcp.ListenSpec{Network: string(""), Local: netip.AddrPort{}, KernelMPTCP: bool(false), Control: control(nil)}
	_ = mptcp.Dialer{
		Config: mptcp.Config{}, Transport: (*mptcp.Transport)(nil), LocalAddr: net.Addr(nil),
		FallbackDelay: time.Duration(0), Resolver: (*net.Resolver)(nil),
	}
	_ = mptcp.ListenConfig{
		Config: mptcp.Config{}, Transport: (*mptcp.Transport)(nil), Backlog: int(0), Announce: []netip.AddrPort(nil),
		ConfigForPeer: (func(local, remote netip.AddrPort) (*mptcp.Config, error))(nil),
	}
	_ = mptcp.ResetError{Reason: mptcp.ResetReason(0), Transient: bool(false), Remote: bool(false), Path: extapi.PathID(0)}
	_ = mptcp.PathError{Op: string(""), Local: netip.AddrPort{}, Remote: netip.AddrPort{}, Err: error(nil)}
	_ = mptcp.ProtocolError{Section: string(""), Detail: string("")}
)

// network has the methods of mptcp.Network and no other, since programs implement it.
type network interface {
	Dial(ctx context.Context, spec mptcp.DialSpec) (net.Conn, error)
	Listen(ctx context.Context, spec mptcp.ListenSpec) (net.Listener, error)
	Addrs() ([]extapi.Candidate, error)
	WatchAddrs(ctx context.Context) (<-chan struct{}, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var (
	_ network       = mptcp.Network(nil)
	_ mptcp.Network = network(nil)

	_ net.Conn       = (*mptcp.Conn)(nil)
	_ net.Listener   = (*mptcp.Listener)(nil)
	_ extapi.Control = (*mptcp.Conn)(nil)
	_ io.ReaderFrom  = (*mptcp.Conn)(nil)
	_ io.WriterTo    = (*mptcp.Conn)(nil)

	_ error = (*mptcp.ResetError)(nil)
	_ error = (*mptcp.PathError)(nil)
	_ error = (*mptcp.ProtocolError)(nil)

	_ = http.Transport{DialContext: mptcp.Dial}
	_ = http.Transport{DialContext: (&mptcp.Dialer{}).DialContext}
)

var (
	_ *mptcp.Transport                                                                    = mptcp.DefaultTransport
	_ func(context.Context, string, string) (net.Conn, error)                             = mptcp.Dial
	_ func(string, string) (*mptcp.Listener, error)                                       = mptcp.Listen
	_ func(context.Context, extapi.PathPolicy) context.Context                            = mptcp.WithPathPolicy
	_ func(context.Context, scheduler.Factory) context.Context                            = mptcp.WithScheduler
	_ func(*mptcp.Config) *mptcp.Config                                                   = (*mptcp.Config).Clone
	_ func(*mptcp.Transport, context.Context) error                                       = (*mptcp.Transport).Shutdown
	_ func(*mptcp.Transport) error                                                        = (*mptcp.Transport).Close
	_ func(*mptcp.Transport) mptcp.Capabilities                                           = (*mptcp.Transport).Capabilities
	_ func(*mptcp.Transport) extapi.Counters                                              = (*mptcp.Transport).Counters
	_ func(*mptcp.Listener) extapi.ListenCounters                                         = (*mptcp.Listener).Counters
	_ func(*mptcp.Transport) []extapi.ConnInfo                                            = (*mptcp.Transport).Conns
	_ func(*mptcp.Transport, extapi.ConnID) (*mptcp.Conn, bool)                           = (*mptcp.Transport).Conn
	_ func(*mptcp.Transport) []extapi.Candidate                                           = (*mptcp.Transport).Addrs
	_ func(*mptcp.Dialer) *mptcp.Dialer                                                   = (*mptcp.Dialer).Clone
	_ func(*mptcp.Dialer, string, string) (net.Conn, error)                               = (*mptcp.Dialer).Dial
	_ func(*mptcp.Dialer, context.Context, string, string) (net.Conn, error)              = (*mptcp.Dialer).DialContext
	_ func(*mptcp.Dialer, context.Context, string, string) (*mptcp.Conn, error)           = (*mptcp.Dialer).DialMultipath
	_ func(*mptcp.ListenConfig) *mptcp.ListenConfig                                       = (*mptcp.ListenConfig).Clone
	_ func(*mptcp.ListenConfig, context.Context, string, string) (*mptcp.Listener, error) = (*mptcp.ListenConfig).Listen
	_ func(*mptcp.Listener) (net.Conn, error)                                             = (*mptcp.Listener).Accept
	_ func(*mptcp.Listener, context.Context) (*mptcp.Conn, error)                         = (*mptcp.Listener).AcceptMultipath
	_ func(*mptcp.Listener, time.Time) error                                              = (*mptcp.Listener).SetDeadline
	_ func(*mptcp.Listener) error                                                         = (*mptcp.Listener).Close
	_ func(*mptcp.Listener) net.Addr                                                      = (*mptcp.Listener).Addr
)

func isUint8[T ~uint8]() {}

var _ = []func(){isUint8[mptcp.Mode], isUint8[mptcp.Multipath], isUint8[mptcp.Discovery], isUint8[mptcp.ResetReason]}

type conn = *mptcp.Conn

var (
	_ func(conn, []byte) (int, error)                                                    = conn.Read
	_ func(conn, []byte) (int, error)                                                    = conn.Write
	_ func(conn, io.Reader) (int64, error)                                               = conn.ReadFrom
	_ func(conn, io.Writer) (int64, error)                                               = conn.WriteTo
	_ func(conn) error                                                                   = conn.Close
	_ func(conn) error                                                                   = conn.CloseWrite
	_ func(conn) error                                                                   = conn.CloseRead
	_ func(conn, mptcp.ResetReason) error                                                = conn.Abort
	_ func(conn) net.Addr                                                                = conn.LocalAddr
	_ func(conn) net.Addr                                                                = conn.RemoteAddr
	_ func(conn, time.Time) error                                                        = conn.SetDeadline
	_ func(conn, time.Time) error                                                        = conn.SetReadDeadline
	_ func(conn, time.Time) error                                                        = conn.SetWriteDeadline
	_ func(conn, bool) error                                                             = conn.SetNoDelay
	_ func(conn, int) error                                                              = conn.SetLinger
	_ func(conn, bool) error                                                             = conn.SetKeepAlive
	_ func(conn, time.Duration) error                                                    = conn.SetKeepAlivePeriod
	_ func(conn, net.KeepAliveConfig) error                                              = conn.SetKeepAliveConfig
	_ func(conn, int) error                                                              = conn.SetReadBuffer
	_ func(conn, int) error                                                              = conn.SetWriteBuffer
	_ func(conn) context.Context                                                         = conn.Context
	_ func(conn, context.Context) error                                                  = conn.Flush
	_ func(conn) extapi.ConnInfo                                                         = conn.Info
	_ func(conn) []extapi.SubflowInfo                                                    = conn.Subflows
	_ func(conn) bool                                                                    = conn.Multipath
	_ func(conn, extapi.PathPolicy) error                                                = conn.SetPathPolicy
	_ func(conn, context.Context, netip.AddrPort, netip.AddrPort) (extapi.PathID, error) = conn.OpenSubflow
	_ func(conn, extapi.PathID) error                                                    = conn.CloseSubflow
	_ func(conn, extapi.PathID, bool) error                                              = conn.SetBackup
	_ func(conn, netip.AddrPort) error                                                   = conn.AddLocalAddr
	_ func(conn, netip.AddrPort) error                                                   = conn.RemoveLocalAddr
	_ func(conn, scheduler.Factory) error                                                = conn.SetScheduler
	_ func(conn, context.Context) <-chan extapi.Event                                    = conn.Watch
	_ func(*mptcp.ResetError, error) bool                                                = (*mptcp.ResetError).Is
	_ func(*mptcp.PathError) error                                                       = (*mptcp.PathError).Unwrap
)

// The zero value is the default of each, and the reset reasons are RFC 8684's codes (section 3.6).
func TestValuesOfTheConstants(t *testing.T) {
	for i, m := range []mptcp.Mode{mptcp.ModeAuto, mptcp.ModeStream, mptcp.ModeWire, mptcp.ModeKernel, mptcp.ModeTCP} {
		require.EqualValues(t, i, m)
	}
	for i, m := range []mptcp.Multipath{mptcp.MultipathDefault, mptcp.MultipathOn, mptcp.MultipathOff} {
		require.EqualValues(t, i, m)
	}
	for i, d := range []mptcp.Discovery{mptcp.DiscoverPrivate, mptcp.DiscoverAll, mptcp.DiscoverNone} {
		require.EqualValues(t, i, d)
	}
	for i, r := range []mptcp.ResetReason{
		mptcp.ResetUnspecified, mptcp.ResetProtocol, mptcp.ResetResources, mptcp.ResetProhibited,
		mptcp.ResetTooMuchData, mptcp.ResetPerformance, mptcp.ResetMiddlebox,
	} {
		require.EqualValues(t, i, r)
	}
}

func TestErrorsAreTheStandardOnes(t *testing.T) {
	require.ErrorIs(t, mptcp.ErrNotPermitted, os.ErrPermission)
	require.ErrorIs(t, &mptcp.ResetError{}, syscall.ECONNRESET)
	require.ErrorIs(t, &mptcp.PathError{Err: mptcp.ErrNoPath}, mptcp.ErrNoPath)
	named := []error{mptcp.ErrNotMultipath, mptcp.ErrNotPermitted, mptcp.ErrNoPath, mptcp.ErrPolicy}
	for i, err := range named {
		for j, other := range named {
			require.Equal(t, i == j, errors.Is(err, other), "%v is %v", err, other)
		}
	}
}
