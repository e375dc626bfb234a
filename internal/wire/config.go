package wire

import (
	"time"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// Config is what a flow is made from.
type Config struct {
	TCP         tcp.Config       // Extension is this package's to set, and with Group Controller
	Group       congestion.Group // makes the flow's controller in Attach; nil: TCP.Controller is it
	Congestion  string           // name of the controller's factory, for statistics
	Interface   string           // that the flow leaves through: the zone of its link-local addresses
	Counters    *mib.Tally       // where the flow counts; nil: nowhere
	CapableSYNs int              // Dial: SYNs that carry MP_CAPABLE before one without it leaves; 0: 2
}

// capableSYNs follows Linux (syn_retrans_before_tcp_fallback): "the number of multipath-capable attempts
// that are made first will be up to local policy" (RFC 8684 section 3.1).
const capableSYNs = 2

// Result is what came of a handshake.
type Result struct {
	// Err says that it failed, and that there is nothing to attach: one of package tcp's errors, an
	// *engine.ResetError (the peer refused; with the reason that its MP_TCPRST gave) or an
	// *engine.ProtocolError (the peer's answer was wrong). Refused goes with it: the other side said no, so
	// that the path is not to be tried again (engine.Conn.JoinFailed).
	Err     error
	Refused bool
	// Fallback says of a first subflow why it is plain TCP; FallbackNone: it is multipath.
	// FallbackBlackhole says that SYNs with MP_CAPABLE got lost and one without came through: the caller
	// may remember the destination (RFC 8684 section 3.9.3).
	Fallback extapi.FallbackReason
	// Capable are the keys of a first subflow that is multipath, and what was agreed. A server makes its
	// engine connection with Capable.Local.
	Capable engine.Capable
	RTT     time.Duration // of the handshake; 0: unknown
}
