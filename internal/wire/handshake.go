package wire

import (
	"errors"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/mptcp-go/mptcp/options"
)

// role is what a flow was made for.
type role uint8

const (
	rolePlain   role = iota // TCP
	roleCapable             // the first subflow of a connection (capable.go)
	roleJoin                // a further one (join.go)
)

// handshake is how a flow begins, up to the last message of which both sides can be sure.
type handshake struct {
	role   role
	client bool
	why    extapi.FallbackReason // rolePlain

	capable   engine.Capable        // roleCapable
	keys      engine.Keys           // roleJoin
	initiator *engine.JoinInitiator // roleJoin, client
	responder *engine.JoinResponder // roleJoin, server
	synack    options.MPJoin        // the responder's answer
	asks      int                   // how many SYNs carry MP_CAPABLE
	unscaled  bool                  // window scale was not asked for
	scale     uint8                 // of the windows that the peer announces
	bareSYN   bool                  // a SYN without the option has left
	crossed   bool                  // simultaneous open: the peer's SYN came instead of a SYN/ACK
	puzzled   int                   // third messages that made no sense and were dropped
	thirds    int                   // how often our third message has left without data
	confirmed bool                  // client: the peer has our third message
	muted     bool                  // client: no option leaves, since nothing that has one is answered
	again     time.Duration         // client, roleJoin: when the third message leaves again; 0: not
	tries     int                   // how often it has

	closing bool // a FIN follows what is queued
	settled bool
	result  Result
}

// multipath says whether the handshake has settled on Multipath TCP.
func (h *handshake) multipath() bool {
	return h.settled && h.result.Err == nil && h.result.Fallback == extapi.FallbackNone
}

// joining is PRE_ESTABLISHED: "It is not permissible to send data while in the PRE_ESTABLISHED state" (RFC
// 8684 section 3.2).
func (h *handshake) joining() bool { return h.role == roleJoin && h.client && !h.confirmed }

// settle ends the handshake.
func (h *handshake) settle(r Result) {
	if !h.settled {
		h.settled, h.result = true, r
	}
}

// fail ends the handshake without a subflow.
func (h *handshake) fail(err error, refused bool) {
	var r *engine.ResetError
	if errors.As(err, &r) && r.Transient {
		refused = false
	}
	h.settle(Result{Err: err, Refused: refused && !errors.Is(err, tcp.ErrTimeout) && !errors.Is(err, tcp.ErrUnreachable)})
}

// tcpDone takes note of the end of TCP's own handshake. For plain TCP that is all there is.
func (h *handshake) tcpDone(f *Flow) {
	switch {
	case h.role == rolePlain:
		h.settle(Result{Fallback: h.why})
	case h.role == roleCapable && h.crossed:
		f.sig.count.Count(mib.SimultConnectFallback)
		h.settle(Result{Fallback: extapi.FallbackSimultaneousOpen})
	}
	h.result.RTT = f.c.Gauges().Perf.SmoothedRTT
}

// takeOpening looks at a segment that comes before the handshake has settled. False: it does not count.
func (f *Flow) takeOpening(now time.Duration, in *tcp.Incoming) bool {
	h := &f.hs
	if in.Kind == tcp.KindSYN || in.Kind == tcp.KindSYNACK {
		if f.got.hasScale && !h.unscaled {
			h.scale = f.got.scale
		}
	}
	switch {
	case h.role == rolePlain:
		return true
	case h.role == roleCapable && h.client:
		return f.takeSynAck(now, in)
	case h.role == roleCapable:
		return f.takeThird(now, in)
	case h.client:
		return f.takeJoinSynAck(now, in)
	}
	return f.takeJoinThird(now, in)
}

// appendOpening appends the option of a SYN or SYN/ACK.
func (f *Flow) appendOpening(o *tcp.Outgoing, dst []byte, budget int) []byte {
	h := &f.hs
	switch {
	case h.role == roleCapable && o.Kind == tcp.KindSYN:
		if o.Attempt >= h.asks || h.crossed {
			// "a sender will eventually fall back to single-path TCP (i.e., without the MP_CAPABLE option) in
			// order to work around middleboxes that may drop packets with unknown options" (RFC 8684
			// section 3.1).
			if !h.bareSYN && !h.crossed {
				f.sig.count.Count(mib.MPCapableSYNTXDrop)
			}
			h.bareSYN = true
			return dst
		}
		return fit(dst, h.capable.Syn(), budget)
	case h.role == roleCapable && !h.client:
		return fit(dst, h.capable.SynAck(), budget)
	case h.role == roleJoin && o.Kind == tcp.KindSYN && h.client:
		return fit(dst, h.initiator.Syn(), budget)
	case h.role == roleJoin && !h.client:
		return fit(dst, h.synack, budget)
	}
	return dst
}

// fit appends an option, padded to a multiple of four bytes as Linux does, if there is room for it.
func fit(dst []byte, o options.Option, budget int) []byte {
	if padded(o.Len()) > budget {
		return dst
	}
	return pad(o.Append(dst), len(dst))
}

// fitted is fit for an option that is counted.
func (f *Flow) fitted(dst []byte, o options.Option, budget int, c mib.Counter) []byte {
	n := len(dst)
	if dst = fit(dst, o, budget); len(dst) > n {
		f.sig.count.Count(c)
	}
	return dst
}

// fitDSS is fit for the option of every segment: as an interface it would be allocated.
func fitDSS(dst []byte, d options.DSS, budget int) []byte {
	if padded(d.Len()) > budget {
		return dst
	}
	return pad(d.Append(dst), len(dst))
}

// padded is n rounded up to whole words.
func padded(n int) int { return (n + 3) &^ 3 }

// pad fills the options that were appended since from up to whole words.
func pad(dst []byte, from int) []byte {
	for (len(dst)-from)&3 != 0 {
		dst = append(dst, options.KindNOP)
	}
	return dst
}
