package wire

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// The first subflow (RFC 8684 section 3.1). "the transmission of this packet must be made reliable": until
// the server shows that it has the client's key, everything that leaves with the client's first sequence
// number carries MP_CAPABLE, with both keys alone or with the length of the first mapping.

// takeSynAck takes the answer to our SYN.
func (f *Flow) takeSynAck(now time.Duration, in *tcp.Incoming) bool {
	h := &f.hs
	switch {
	case in.Kind == tcp.KindSYN:
		// The other side has opened at the same time. Which of the two connections' keys count cannot be
		// told: Linux gives up Multipath TCP here too.
		h.crossed = true
		return true
	case in.Kind != tcp.KindSYNACK || h.crossed:
		return true
	}
	if f.got.hasCapable && !f.got.hasJoin {
		if next, err := h.capable.HandleSynAck(f.got.capable); err == nil {
			h.capable = next
			f.sig.count.Count(mib.MPCapableSYNACKRX)
			h.settle(Result{Capable: next})
			return true
		}
	}
	why, count := extapi.FallbackPeer, mib.MPCapableFallbackSYNACK
	if h.bareSYN {
		why, count = extapi.FallbackBlackhole, mib.Blackhole
	}
	f.sig.count.Count(count)
	h.settle(Result{Fallback: why})
	return true
}

// maxPuzzled is how many third messages that carry other options than MP_CAPABLE are dropped before the
// connection falls back.
const maxPuzzled = 3

// takeThird takes the client's third message, alone or with the first data.
func (f *Flow) takeThird(now time.Duration, in *tcp.Incoming) bool {
	h := &f.hs
	switch {
	case in.Kind == tcp.KindSYN:
		return true // again; TCP answers it
	case in.Off != 1:
		// The first one was lost. Linux falls back where this one has no keys; but the client will send its first sequence
		// number again, and that with MP_CAPABLE. What has them, and is not the first, is no proof that the mapping
		// begins there: see below.
		return false
	}
	if f.got.hasCapable {
		next, err := h.capable.HandleAck(f.got.capable, in.Len > 0)
		if err == nil {
			h.capable = next
			f.sig.count.Count(mib.MPCapableACKRX)
			h.settle(Result{Capable: next})
			f.takeCapableData(in)
			return true
		}
	}
	if in.Len == 0 && f.got.any() && h.puzzled < maxPuzzled {
		// Options pass, so nothing has been stripped: a DATA_FIN that has taken the place of the keys. Our
		// SYN/ACK, sent again, asks for them. Data is another matter: Linux 6.18 sends what its SYN had, and we have not
		// taken, without a mapping, and counts subflow sequence numbers from behind it.
		h.puzzled++
		return false
	}
	// "If the third packet (the ACK) does not contain the MP_CAPABLE option, then the session MUST fall
	// back to operating as a regular, single-path TCP session."
	f.sig.count.Count(mib.MPCapableFallbackACK)
	h.settle(Result{Fallback: extapi.FallbackThirdAck})
	return true
}

// takeCapableData takes the mapping of an MP_CAPABLE that came with data, which is a DSS in all but name.
func (f *Flow) takeCapableData(in *tcp.Incoming) {
	if d, ok := f.hs.capable.Mapping(f.got.capable); ok && in.Len > 0 {
		f.in.put(item{kind: itemDSS, dss: d, window: -1})
	}
}

// repeatedThird takes a third message that comes again, which is how the first data comes too.
func (f *Flow) repeatedThird(in *tcp.Incoming) {
	h := &f.hs
	if h.role != roleCapable || h.client || !f.got.hasCapable {
		return
	}
	if _, err := h.capable.HandleAck(f.got.capable, in.Len > 0); err == nil {
		f.takeCapableData(in)
	}
}

// sendsCapable says whether a segment with this offset carries MP_CAPABLE.
func (f *Flow) sendsCapable(off uint64) bool {
	h := &f.hs
	return off == 1 && h.role == roleCapable && h.client && h.multipath() && !h.confirmed
}

// appendThird appends MP_CAPABLE to a segment without data.
func (f *Flow) appendThird(dst []byte, budget int) []byte {
	if !f.fin.set {
		f.hs.thirds++
	}
	if f.hs.thirds > maxUnheeded {
		f.hs.muted = true // the server has asked for it that often
		return dst
	}
	return fit(dst, f.hs.capable.Ack(), budget)
}

// maxUnheeded is how often the third message, or the first data with what follows it, leaves with options.
const maxUnheeded = 3

// unheeded takes note of the n-th timeout in a row. Some paths let SYNs with our options pass and nothing else that has any: a
// box loses what it does not know, or damages it, and Linux 6.18 drops a segment whose option is longer than its header.
// What has been said of the SYN holds here too: without options the server falls back, whose acknowledgement
// without a DATA_ACK then ends Multipath TCP. Until it comes nothing is decided, for the path may just have been away.
func (f *Flow) unheeded(n int) {
	if h := &f.hs; h.role == roleCapable && h.client && h.multipath() && !h.confirmed && n >= maxUnheeded {
		h.muted = true
	}
}

// appendCapableData appends MP_CAPABLE with the first mapping.
func (f *Flow) appendCapableData(dst []byte, m *txMapping, budget int) []byte {
	return fit(dst, f.hs.capable.AckWithData(uint16(m.n), m.sum), budget)
}

// confirm takes note of what shows that the server has the client's key: a DATA_ACK, or an ADD_ADDR, whose
// HMAC needs it.
func (f *Flow) confirm() {
	if h := &f.hs; h.role == roleCapable && h.client && (f.got.hasDSS && f.got.dss.HasAck || f.got.addAddr()) {
		h.confirmed, h.muted = true, false
	}
}
