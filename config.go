package mptcp

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/scheduler"
)

// Mode chooses what carries the subflows.
type Mode uint8

const (
	ModeAuto   Mode = iota // stream where the peer speaks it, else the operating system's MPTCP, else TCP
	ModeStream             // records over kernel TCP; falls back to TCP when the peer does not speak it

	// ModeWire is TCP of this package's own, on Linux, through raw sockets, with the options of RFC 8684 in the TCP
	// headers: what every MPTCP host understands, Linux's kernel among them, in both roles. The process needs CAP_NET_RAW
	// ("setcap cap_net_raw+ep PROGRAM"; Docker's default capabilities have it); without it dials and listens fail with
	// ErrNotPermitted, and on other systems or with Transport.Network set with errors.ErrUnsupported: see
	// Transport.Capabilities. Nobody is asked beforehand, so Discovery and Peers play no part. Where the peer or the path
	// does not know Multipath TCP the connection becomes plain TCP by the protocol's own rules (ConnInfo.Fallback has the
	// reason, Transport.Blackholes the destinations), or with RequireMultipath the dial fails. A listener takes MPTCP, plain
	// TCP and stream peers on one port. A dial with Secret fails with ErrNotMultipath: that needs the stream carrier.
	// Transport.Control is not called for raw sockets.
	ModeWire

	ModeKernel // the operating system's MPTCP; plain TCP where it has none, or the peer does not answer it
	ModeTCP    // plain TCP, no multipath
)

// Multipath says whether to negotiate multipath at all (RFC 6897 TCP_MULTIPATH_ENABLE).
type Multipath uint8

const (
	MultipathDefault Multipath = iota // on, but off for a Dialer bound to an address or device (RFC 6897 section 4.2.1)
	MultipathOn                       // on; a bound Dialer uses only its LocalAddr (section 5.3.2)
	MultipathOff                      // off: plain TCP, no preface, no option
)

// Discovery says which unknown peers are asked, with a stream preface, whether they speak multipath.
type Discovery uint8

const (
	// DiscoverPrivate asks loopback, link-local, RFC 1918, RFC 6598 and ULA addresses, on ports where bytes that
	// nobody asked for do no harm: 80, 443 and those from 1024 on, but neither 3306 nor 9100 to 9109.
	DiscoverPrivate Discovery = iota
	DiscoverAll               // every address and port: only where the program knows that all of its peers bear unknown bytes
	DiscoverNone              // nobody: the stream carrier is used with Config.Peers alone, or with ModeStream
)

// Config holds what Dialer and ListenConfig share. The zero value is ready to use. A Config must
// not be changed after first use; Clone it instead. The package never writes to it.
type Config struct {
	Mode      Mode      // 0: ModeAuto
	Multipath Multipath // 0: MultipathDefault
	Discovery Discovery // whom ModeAuto may ask; ModeStream asks everybody. 0: DiscoverPrivate

	// Peers names who is known to speak the stream carrier, as "host:port" or "host" (any port). They are not asked:
	// data goes out with the first message (early data, up to 16 KiB), so that a connection costs no round trip more
	// than TCP. Like the early data of TLS 1.3 it can be replayed by who has recorded it. A connection to a named peer
	// never falls back: when the peer does not speak multipath after all, it fails with ErrNotMultipath, at the first Read or
	// Write that notices.
	Peers []string

	// RequireMultipath fails with ErrNotMultipath instead of falling back; the operating system's MPTCP counts. A
	// listener then resets plain TCP peers and never returns them: at their first byte, or after HandshakeTimeout without one.
	RequireMultipath bool

	// Secret is mixed into keys and HMACs of the stream carrier; both ends need the same. Without it nobody connects or
	// joins, and nothing falls back. Use 16 random bytes or more; empty: none. It does not encrypt: TLS does.
	Secret []byte

	PrefaceTimeout    time.Duration // listener, stream carrier: wait for a preface, where plain TCP may come too; 0: 200ms
	ServerSpeaksFirst bool          // listener, stream carrier: hand out silent peers at once (after 10ms, in which a preface that follows the handshake arrives)

	Paths     extapi.PathPolicy // which paths may be used, and how; zero value: all alike, up to 8 subflows
	Scheduler scheduler.Factory // nil: scheduler.MinRTT

	// Congestion is how ModeWire controls congestion; nil: congestion.Cubic, for each subflow alone: subflows of one connection
	// that share a bottleneck take several shares of it. congestion.LIA, OLIA and BALIA are coupled (RFC 6356): together
	// such subflows take one. The stream carrier has the kernel's own, shown as "kernel:NAME", whatever stands here.
	Congestion congestion.Factory

	SendBuffer       int                 // ceiling in bytes, auto-tuned up to it; 0: 6 MiB; never below RecvBuffer (RFC 8684 section 3.3.5)
	RecvBuffer       int                 // ceiling in bytes, auto-tuned up to it; 0: 6 MiB; never below 64 KiB
	Checksum         bool                // require DSS checksums (RFC 8684 section 3.3.1): a path that changes data is found out and left
	HandshakeTimeout time.Duration       // of the first subflow, TCP's own handshake aside; 0 or less: 10s
	JoinTimeout      time.Duration       // of a further subflow, TCP's handshake included; 0 or less: 5s
	IdlePathTimeout  time.Duration       // of the side that dialled: close extra subflows that were idle for this long; 0: keep; <0: close them at once
	StallTimeout     time.Duration       // no DATA_ACK progress on a path: reinject elsewhere after this; 0: adaptive from its RTT
	NoPathTimeout    time.Duration       // no subflow left (a stale one is not gone): wait this long for one, then ErrNoPath; 0: 60s, <0: fail at once
	CloseTimeout     time.Duration       // after Close: keep delivering what was written for this long; 0: 60s, <0: drop it
	KeepAlive        net.KeepAliveConfig // of every subflow's socket; zero value: package net's default; Enable false with anything else set: off

	// Logger gets what operators should know (level Warn) and every event of every connection (level Debug, with the
	// attribute "conn"). nil: discard.
	Logger *slog.Logger
	// Trace is called once for each connection, before its first event, with the context of the dial or the
	// listener's own. nil, or a nil result: no trace.
	Trace func(ctx context.Context, info extapi.ConnInfo) extapi.Tracer
}

// Clone returns a copy of c that shares nothing with it that either may write to. Clone of nil is nil.
func (c *Config) Clone() *Config {
	if c == nil {
		return nil
	}
	d := *c
	d.Peers = slices.Clone(c.Peers)
	d.Secret = slices.Clone(c.Secret)
	d.Paths.Rules = slices.Clone(c.Paths.Rules)
	for i, r := range d.Paths.Rules {
		if r.MaxCost != nil {
			cost := *r.MaxCost
			d.Paths.Rules[i].MaxCost = &cost
		}
	}
	return &d
}

// Defaults of Config.
const (
	defaultPrefaceTimeout   = 200 * time.Millisecond
	defaultHandshakeTimeout = 10 * time.Second
	defaultJoinTimeout      = 5 * time.Second
	defaultNoPathTimeout    = 60 * time.Second
	defaultCloseTimeout     = 60 * time.Second
	defaultBuffer           = 6 << 20
	minBuffer               = 64 << 10

	// The second subflow waits until the connection has lived this long or moved this many bytes, so
	// that short requests cost nothing.
	joinDelay = 50 * time.Millisecond
	joinBytes = 64 << 10
)

// settings is a Config with every default filled in: cloned once, then never written to.
type settings struct {
	Config
	bound netip.Addr // the address that the program bound to, whose ports are free; invalid: none
}

// resolve clones c and fills in the defaults.
func (c *Config) resolve() *settings {
	s := &settings{Config: *c.Clone()}
	s.PrefaceTimeout = orDefault(s.PrefaceTimeout, defaultPrefaceTimeout)
	s.HandshakeTimeout = orDefault(s.HandshakeTimeout, defaultHandshakeTimeout)
	s.JoinTimeout = orDefault(s.JoinTimeout, defaultJoinTimeout)
	if s.NoPathTimeout == 0 {
		s.NoPathTimeout = defaultNoPathTimeout
	}
	switch {
	case s.CloseTimeout == 0:
		s.CloseTimeout = defaultCloseTimeout
	case s.CloseTimeout < 0:
		s.CloseTimeout = 0
	}
	s.resolveBuffers()
	if s.Scheduler == nil {
		s.Scheduler = scheduler.MinRTT
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return s
}

// resolveBuffers keeps to RFC 8684 section 3.3.5: "The send buffer MUST, at a minimum, be as big as the
// receive buffer, to enable the sender to reach maximum throughput."
func (s *settings) resolveBuffers() {
	if s.RecvBuffer <= 0 {
		s.RecvBuffer = defaultBuffer
	}
	if s.SendBuffer <= 0 {
		s.SendBuffer = defaultBuffer
	}
	s.RecvBuffer = max(s.RecvBuffer, minBuffer)
	s.SendBuffer = max(s.SendBuffer, s.RecvBuffer)
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}
