package tcp

import (
	"encoding/binary"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// A SYN cookie is an initial sequence number in which a listener that can't keep state has put what it
// needs of the SYN (RFC 4987 section 3.6): the time in 5 bits, the MSS in 3, and a keyed hash of these, the
// addresses and the peer's sequence number in 24. What else was negotiated stands in the lowest bits of our
// timestamp, which comes back as well; without timestamps there is no window scale and no SACK.
const (
	cookieTick = 64 * time.Second
	cookieLife = 2 // ticks
	cookieMAC  = 1<<24 - 1

	cookieBits   = 6 // of the timestamp
	cookieNoSACK = 1 << 4
	cookieNoECN  = 1 << 5
	cookieScale  = 0xF // 15: no window scale
)

// cookieMSS are the sizes that a cookie can tell: those of common links, less their headers.
var cookieMSS = [8]uint16{216, 536, 1220, 1300, 1400, 1440, 1460, 8940}

// Cookie is what a valid cookie says.
type Cookie struct {
	mss      int
	ts       bool
	sack     bool
	ecn      bool
	scale    uint8
	hasScale bool
}

func mssIndex(mss int) int {
	i := len(cookieMSS) - 1
	for i > 0 && int(cookieMSS[i]) > mss {
		i--
	}
	return i
}

// bake makes the cookie for a SYN.
func (l *Listener) bake(now time.Duration, s *packet.Segment, h *header) uint32 {
	mss := h.mss
	if mss == 0 {
		mss = 536
	}
	return l.cookie(uint32(now/cookieTick), s, s.Seq, uint32(mssIndex(mss)))
}

func (l *Listener) cookie(count uint32, s *packet.Segment, irs, index uint32) uint32 {
	h := l.cfg.Secret.hash(forCookie, s.Dst, s.Src, count, irs, index)
	return count<<27 | index<<24 | binary.BigEndian.Uint32(h[:])&cookieMAC
}

// taste checks the cookie that the third segment of a handshake brings back.
func (l *Listener) taste(now time.Duration, s *packet.Segment) (c Cookie, ok bool) {
	cookie := s.Ack - 1
	current := uint32(now / cookieTick)
	age := (current - cookie>>27) & 31
	if age > cookieLife || age > current {
		return Cookie{}, false
	}
	index := cookie >> 24 & 7
	if l.cookie(current-age, s, s.Seq-1, index) != cookie {
		return Cookie{}, false
	}
	c.mss = int(cookieMSS[index])
	var h header
	h.parse(s.Options, false)
	if h.hasTS && !l.cfg.Conn.NoTimestamps {
		c.ts = true
		c.sack = h.tsEcr&cookieNoSACK == 0 && !l.cfg.Conn.NoSACK
		c.ecn = h.tsEcr&cookieNoECN == 0 && (l.cfg.Conn.ECN || l.cfg.Conn.ECNAnswer)
		if v := uint8(h.tsEcr & cookieScale); v <= maxScale && !l.cfg.Conn.NoScale {
			c.scale, c.hasScale = v, true
		}
	}
	return c, true
}

// stamp is our timestamp with the bits of what the SYN asks for, not later than the clock.
func (l *Listener) stamp(now time.Duration, s *packet.Segment, h *header, ecn bool) uint32 {
	t := stamps{offset: TSOffset(&l.cfg.Secret, s.Dst, s.Src)}
	clock := t.clock(now)
	bits := uint32(cookieScale)
	if h.hasScale {
		bits = uint32(h.scale)
	}
	if !h.sackOK {
		bits |= cookieNoSACK
	}
	if !ecn {
		bits |= cookieNoECN
	}
	v := clock>>cookieBits<<cookieBits | bits
	if int32(v-clock) > 0 {
		v -= 1 << cookieBits
	}
	return v
}

// stateless fills in the SYN/ACK with a cookie. False: the extension needs state for this SYN.
func (l *Listener) stateless(now time.Duration, s, out *packet.Segment) bool {
	var h header
	h.parse(s.Options, true)
	cfg := l.cfg.Conn
	cfg.Local, cfg.Remote = s.Dst, s.Src
	cfg = cfg.withDefaults() // as the connection will be made
	var m pathMTU
	m.start(&cfg)
	var r receiver
	r.start(&cfg)
	var e ecn
	e.negotiate(&cfg, s.Flags)
	ts := h.hasTS && !cfg.NoTimestamps
	offer := synOptions{mss: m.advertise(), scale: r.scale, hasScale: ts && h.hasScale && !cfg.NoScale, sack: ts && h.sackOK && !cfg.NoSACK, ts: ts, tsEcr: h.tsVal}
	if ts {
		offer.tsVal = l.stamp(now, s, &h, e.on)
	}
	dst := offer.append(out.Options[:0])
	if l.cfg.Stateless != nil {
		got, ok := l.cfg.Stateless.Offer(now, s, dst, (packet.MaxOptions-len(dst))&^3)
		if !ok {
			return false
		}
		if len(got) >= len(dst) && len(got) <= packet.MaxOptions {
			dst = pad(got)
		}
	}
	*out = packet.Segment{Src: s.Dst, Dst: s.Src, Seq: l.bake(now, s, &h), Ack: s.Seq + 1, Flags: packet.SYN | packet.ACK, Window: uint16(r.firstWindow()), Options: dst}
	if ts && e.on {
		out.Flags |= packet.ECE
	}
	return true
}

// Resume makes a connection of the third segment of a handshake that was answered with a cookie. The
// caller passes the segment to HandleSegment next, like any other: that establishes the connection.
func Resume(now time.Duration, cfg Config, h Handler, ack *packet.Segment, k Cookie) *Conn {
	cfg.ISN = ack.Ack - 1
	c := newConn(cfg, h)
	c.borrow()
	defer c.giveBack()
	c.live.heard = now
	c.head = header{mss: k.mss, sackOK: k.sack, hasTS: k.ts, scale: k.scale, hasScale: k.hasScale}
	syn := packet.Segment{Seq: ack.Seq - 1, Flags: packet.SYN, Window: ack.Window}
	if k.ecn {
		syn.Flags |= packet.ECE | packet.CWR
	}
	if k.ts {
		var h header
		h.parse(ack.Options, false)
		c.head.tsVal = h.tsVal
	}
	c.peerSYN(now, &syn)
	c.state = SynReceived
	c.hs.passive = true
	c.hs.attempt = 2 // whether it was sent more than once is not known: no round trip is measured by it
	c.snd.nxt = 1
	c.timers.set(timerHandshake, now+initialRTO)
	return c
}
