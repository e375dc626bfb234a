package tcp

import "time"

// minBuffer is the window that a connection begins with, where the limit allows: ten full segments and
// some.
const minBuffer = 64 << 10

func (r *receiver) start(cfg *Config) {
	r.limit = cfg.RecvBuffer
	r.space = min(r.limit, minBuffer)
	if cfg.Extension != nil {
		r.space = r.limit // its window is its own; what waits out of order is bounded by this
	}
	r.mss = 536
	if !cfg.NoScale {
		for r.limit>>r.scale > 0xFFFF && r.scale < maxScale {
			r.scale++
		}
	}
}

// firstWindow is that of the SYN, whose field is never scaled.
func (r *receiver) firstWindow() int { return min(r.space, 0xFFFF) }

// quickSegments is how many segments fill half the window: as long as a peer in slow start needs an ACK
// each.
func (r *receiver) quickSegments() int { return min(16, max(2, r.space/(2*r.mss))) }

// slack is how far the promise may exceed the buffer for the sake of rounding: odd segments push the edge
// out by a fraction of the scale each, and tiny ones would push it for ever.
func (r *receiver) slack() int { return max(1<<r.scale, r.space/8) }

// announce is the window field for the next segment, which acknowledges what is before ack.
func (c *Conn) announce(now time.Duration, ack uint64) uint16 {
	r := &c.rcv
	if w := c.ext.Window(now, r.scale, int64(r.nxt-ack)); w >= 0 {
		// The window belongs to a sequence space of the extension's, which sees to it that it does not shrink.
		return c.announced(r.nxt, uint64(min(w>>r.scale, 0xFFFF)))
	}
	edge := r.nxt + uint64(max(0, r.space-r.unread))
	if edge < r.edge+uint64(min(r.space/2, c.mtu.mss())) {
		// Neither does it shrink nor grow by a trifle: "the receiver's SWS avoidance algorithm" (RFC 9293
		// section 3.8.6.2.2).
		edge = r.edge
	}
	wnd := edge - min(edge, ack)
	field := min(wnd>>r.scale, 0xFFFF)
	if up := (field + 1) << r.scale; ack+field<<r.scale < r.edge && field < 0xFFFF && ack+up <= r.nxt+uint64(max(0, r.space-r.unread)+r.slack()) {
		field++ // rounding must not take back what was promised
	}
	return c.announced(ack, field)
}

// announced notes the window from ack on that a segment announces.
func (c *Conn) announced(ack, field uint64) uint16 {
	r := &c.rcv
	r.edge = max(r.edge, ack+field<<r.scale)
	if field == 0 {
		r.zero = r.nxt
		c.stats.ZeroRwinSent++
	}
	return uint16(field)
}

// knownOpen says that the window is open and that the peer knows: what has opened it may be lost, and until something comes that a
// closed window kept back, the peer may be one that probes.
func (r *receiver) knownOpen() bool { return r.edge > r.nxt && r.nxt > r.zero }

// Consumed tells that the program has taken n bytes of what Data brought. With an Extension that has a
// window of its own it is of no interest.
func (c *Conn) Consumed(now time.Duration, n int) {
	r := &c.rcv
	r.unread = max(0, r.unread-n)
	if !c.state.mayReceive() {
		return
	}
	if c.rtx != nil {
		r.tune.consumed(now, c.rtx.SRTT(), n, r)
	}
	left := int64(r.edge) - int64(r.nxt)
	could := int64(r.space - r.unread)
	// An update leaves when it opens the window by much, half the buffer or a segment, and at least doubles
	// what the peer knows of: one for each segment read would be a waste.
	if could >= 2*left && could-left >= int64(min(r.space/2, c.mtu.mss())) && c.ext.Window(now, r.scale, 0) < 0 {
		c.ack.at()
	}
}

// autotune lets the window grow with what the program takes: it should be twice what arrives in a round
// trip, or the window is what limits the peer.
type autotune struct {
	since time.Duration
	taken int // bytes consumed since
}

func (a *autotune) start(now time.Duration) { *a = autotune{since: now} }

// consumed grows r.space when a round trip is over.
func (a *autotune) consumed(now, rtt time.Duration, n int, r *receiver) {
	a.taken += n
	if rtt <= 0 || now-a.since < rtt {
		return
	}
	if want := 2*a.taken + 16*r.mss; want > r.space {
		r.space = min(want, r.limit)
	}
	a.since, a.taken = now, 0
}
