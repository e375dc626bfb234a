package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// pathMTU is what the path takes, in bytes of IP packet: what the route says, lowered by ICMP messages that
// can be believed and by packets that vanish, raised again by packetization layer path MTU discovery (RFC
// 4821, RFC 8899).
type pathMTU struct {
	headers int
	route   int  // Config.MTU, but no more than a packet has room for
	least   int  // what every path carries
	off     bool // Config.NoPMTUD

	current int
	passed  int    // the largest size that is known to have arrived
	fullEnd uint64 // offset after the first segment of full size since current changed; 0: none left yet
	claimed int    // an ICMP message that contradicts passed: it counts if a timeout confirms it
	ceiling int    // the largest size to look for

	wanted int   // size of the probe to be sent; 0: none
	out    int   // size of the probe in flight; 0: none
	probed Range // its payload
}

const (
	// raiseAfter is when to look for a larger MTU again: RFC 8899 section 5.1.1, PMTU_RAISE_TIMER.
	raiseAfter = 600 * time.Second
	// recoverAfter is the first look after packets had vanished: it may have been the path as a whole.
	recoverAfter = time.Second
)

// plateaus are common sizes, to step down to where nobody says what fits (RFC 1191 section 7).
var plateaus = [...]int{65535, 32000, 17914, 9000, 8166, 4352, 2002, 1500, 1492, 1440, 1400, 1350, 1280, 1006, 552}

// below is the largest plateau under size, but not under the least.
func (m *pathMTU) below(size int) int {
	for _, p := range plateaus {
		if p < size {
			return max(p, m.least)
		}
	}
	return m.least
}

func (m *pathMTU) start(cfg *Config) {
	route := min(cfg.MTU, packet.MaxPacket) // Linux's lo says 65536
	*m = pathMTU{headers: cfg.headers(), route: route, least: cfg.minMTU(), off: cfg.NoPMTUD, current: route, ceiling: route}
}

// mss is what options and payload may come to.
func (m *pathMTU) mss() int { return m.current - m.headers }

// advertise is our MSS option: "the MSS value to be sent in an MSS Option SHOULD be equal to the effective
// MTU minus the fixed IP and TCP headers" (RFC 6691 section 2), of the link, not of what the path has lost.
func (m *pathMTU) advertise() int { return min(m.route-m.headers, 0xFFFF) }

// setMTU changes the size of segments.
func (c *Conn) setMTU(size int) {
	m := &c.mtu
	if size == m.current {
		return
	}
	if size < m.current {
		c.event().MTUReductions++
		m.passed = min(m.passed, size)
	}
	m.current, m.fullEnd = size, 0
	c.snd.mss = min(c.snd.peerMSS, m.mss())
	if c.rtx != nil {
		c.rtx.SetMSS(c.snd.payload(c))
	}
}

// full notes that a segment of full size leaves for the first time.
func (m *pathMTU) full(end uint64) {
	if m.fullEnd == 0 {
		m.fullEnd = end
	}
}

// acked learns from an acknowledgment which sizes pass.
func (m *pathMTU) acked(c *Conn, now time.Duration, ack uint64) {
	if m.fullEnd > 0 && ack >= m.fullEnd {
		m.passed = max(m.passed, m.current)
		if m.claimed > 0 && m.current > m.claimed {
			m.claimed = 0 // the message lied: larger packets pass
		}
	}
	if m.out > 0 && ack >= m.probed.To {
		size := m.out
		m.out = 0
		c.setMTU(size)
		m.passed = size
		c.search(now, m.ceiling)
	}
}

// search looks for a size between the current one and ceiling, later if there is none in between.
func (c *Conn) search(now time.Duration, ceiling int) {
	m := &c.mtu
	m.wanted = 0
	if m.off || m.current >= m.route {
		return
	}
	if ceiling > m.current {
		m.wanted = ceiling
		return
	}
	c.timers.set(timerRaiseMTU, now+raiseAfter)
}

// raiseMTU begins a search.
func (c *Conn) raiseMTU(now time.Duration) {
	c.mtu.ceiling = c.mtu.route
	c.search(now, c.mtu.ceiling)
}

// probeMTU sends a segment of the size that is wanted, where limit bytes may leave and they fill it. It
// waits until other data is in flight, whose acknowledgments tell that the probe alone was lost.
func (c *Conn) probeMTU(now time.Duration, out *packet.Segment, limit int64) bool {
	m := &c.mtu
	if m.wanted == 0 || m.out > 0 || c.snd.una == c.snd.nxt || c.snd.probe || c.rtx.Recovering() {
		return false
	}
	size := min(m.wanted, c.snd.peerMSS+m.headers)
	off := c.snd.nxt
	n := size - m.headers - (c.snd.mss - c.segmentPayload(off))
	if size <= m.current || int64(n) > limit || c.ext.Limit(off, n) < n {
		return false
	}
	m.out, m.probed, m.wanted = size, Range{From: off, To: off + uint64(n)}, 0
	if !c.send(now, out, off, n, false, false) || c.outgoing.Len < n {
		m.out = 0
		return c.outgoing.Off == off && c.snd.nxt > off
	}
	c.event().MTUProbes++
	c.rtx.Excuse(m.probed)
	return true
}

// mtuProbeLost notes that bytes of the probe are sent again: it did not arrive. The next one is smaller.
func (c *Conn) mtuProbeLost(now time.Duration, off uint64) {
	m := &c.mtu
	if m.out == 0 || off < m.probed.From || off >= m.probed.To {
		return
	}
	size := m.out
	m.out = 0
	m.ceiling = m.below(size)
	c.search(now, m.ceiling)
}

// probes says whether the segment that leaves is the probe.
func (m *pathMTU) probes(off uint64, again bool) bool {
	return m.out > 0 && !again && off == m.probed.From
}

// sentMSS is what options and payload of the segment that is leaving may come to.
func (c *Conn) sentMSS() int {
	if m := &c.mtu; m.probes(c.outgoing.Off, c.outgoing.Retransmit) {
		return m.out - m.headers
	}
	return c.snd.mss
}

// base is what nearly every path carries, the first size to fall back to (BASE_PLPMTU, RFC 8899 section
// 5.1.2, which leaves the number open; here it is IPv6's least).
const base = 1280

// suspectMTU steps down when full segments vanish: a second timeout in a row may mean that somebody on the
// way drops what is too large and says nothing, and so may the first where none has ever arrived. It steps
// far, since each step costs a timeout twice as long; the search finds back. A packet that is not full counts by its
// own size, for it may be too large as well.
func (c *Conn) suspectMTU(now time.Duration, timeouts int) {
	m := &c.mtu
	if m.claimed > 0 && m.claimed < m.current {
		c.setMTU(m.claimed) // an ICMP message had said so
		m.ceiling, m.claimed = m.claimed, 0
		c.timers.set(timerRaiseMTU, now+raiseAfter)
		return
	}
	size := m.current // of the packet that goes again and again
	enough := 2
	if short := c.segmentPayload(c.snd.una) - int(c.snd.nxt-c.snd.una); short > 0 {
		size -= short
	} else if m.passed == 0 {
		enough = 1
	}
	if m.off || timeouts < enough || size <= m.least {
		return
	}
	if size > base {
		c.setMTU(base)
	} else {
		c.setMTU(m.least)
	}
	m.wanted, m.out = 0, 0
	c.timers.set(timerRaiseMTU, now+recoverAfter)
}
