package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/mptcp-go/mptcp/options"
)

// Stateless is Multipath TCP's part of SYN cookies: "If the server behaves in a stateless manner, it has to
// generate its own key in a verifiable fashion. This verifiable way of generating the key can be done by
// using a hash of the 4-tuple, sequence number, and a local secret" (RFC 8684 section 3.1). It implements
// tcp.Stateless.
type Stateless struct {
	Secret []byte // of the process; at least 16 random bytes
	Want   engine.CapableOffer
	// Taken says whether a token is in use: "if uniqueness is not met and there is no way to generate an
	// alternative verifiable key, then the connection MUST fall back to using regular TCP by not sending an
	// MP_CAPABLE in the SYN/ACK". nil: none is.
	Taken func(token uint32) bool
}

var _ tcp.Stateless = Stateless{}

// key is the key of the connection between these addresses that begins with the peer's sequence number irs.
func (s Stateless) key(seg *packet.Segment, irs uint32) engine.Key {
	var msg [16 + 2 + 16 + 2 + 4]byte
	local, remote := seg.Dst.Addr().As16(), seg.Src.Addr().As16()
	b := append(msg[:0], local[:]...)
	b = binary.BigEndian.AppendUint16(b, seg.Dst.Port())
	b = append(b, remote[:]...)
	b = binary.BigEndian.AppendUint16(b, seg.Src.Port())
	b = binary.BigEndian.AppendUint32(b, irs)
	h := hmac.New(sha256.New, s.Secret)
	h.Write([]byte("mptcp key of a cookie"))
	h.Write(b)
	var sum [sha256.Size]byte
	return engine.Key(binary.BigEndian.Uint64(h.Sum(sum[:0])))
}

// Offer implements tcp.Stateless. An MP_JOIN needs state: "there is no need to provide mechanisms to allow a
// responder to operate statelessly at the MP_JOIN stage" (RFC 8684 section 3.2).
func (s Stateless) Offer(_ time.Duration, syn *packet.Segment, dst []byte, budget int) ([]byte, bool) {
	o := Open(syn)
	if o.Asks == AsksJoin {
		return dst, false
	}
	c, ok := o.Negotiate(s.Want)
	k := s.key(syn, syn.Seq)
	if !ok || k == 0 || s.Taken != nil && s.Taken(k.Token()) {
		return dst, true
	}
	return fit(dst, c.WithKey(k).SynAck(), budget), true
}

// Key is our key in the third segment of a handshake that was answered with a cookie, where it brings back the
// one that Offer made. False: the connection is plain TCP.
func (s Stateless) Key(ack *packet.Segment) (engine.Key, bool) {
	var r received
	r.parse(ack.Options)
	return s.returned(ack, &r)
}

func (s Stateless) returned(ack *packet.Segment, r *received) (engine.Key, bool) {
	key := s.key(ack, ack.Seq-1)
	return key, key != 0 && r.hasCapable && r.capable.HasReceiver && engine.Key(r.capable.ReceiverKey) == key
}

// Resume makes a flow of the third segment of a handshake that was answered with a cookie, where
// tcp.Listener says Restore. The caller passes the segment to HandleSegment next, and has entered Key into
// its token table (engine.Tokens.Enter). If that was not possible, plain says why the connection is plain TCP;
// else it is FallbackNone.
func (s Stateless) Resume(now time.Duration, cfg Config, ack *packet.Segment, k tcp.Cookie, plain extapi.FallbackReason) *Flow {
	h := handshake{role: rolePlain, why: plain}
	var r received
	r.parse(ack.Options)
	switch key, ok := s.returned(ack, &r); {
	case plain != extapi.FallbackNone:
	case !ok:
		h.why = extapi.FallbackPeer
	default:
		// What the SYN asked for is not remembered, but the third message repeats what was agreed.
		c := engine.Capable{Offer: s.Want, Local: key, Checksum: s.Want.Checksum || r.capable.Flags&options.FlagA != 0}
		h = handshake{role: roleCapable, capable: c}
	}
	f := newFlow(&cfg, h)
	f.c = tcp.Resume(now, cfg.TCP, (*handler)(f), ack, k)
	f.hs.scale = f.c.Gauges().Stack.WinScaleRcvd
	return f
}
