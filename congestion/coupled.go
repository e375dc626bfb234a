package congestion

import "time"

// coupling is how the subflows of a connection depend on one another in congestion avoidance, the only
// phase in which they do: "The slow start, fast retransmit, and fast recovery algorithms [...] are the
// same as in standard TCP" (RFC 6356 section 3).
type coupling interface {
	// growth is by how many bytes the window of c changes for each byte acknowledged on it. It is asked
	// only when c is not the one subflow that carries data.
	growth(g *coupledGroup, c *coupled) float64
	// remains is the part of the bytes in flight that a loss leaves of the window of c, and floor the least
	// number of segments, when c is not the one subflow that carries data.
	remains(g *coupledGroup, c *coupled) (part float64, floor int64)
}

// coupledFactory makes controllers that are NewReno where coupling does not come in, hence exactly
// NewReno on a connection with one subflow.
type coupledFactory struct {
	name string
	coupling
}

func (f coupledFactory) Name() string    { return f.name }
func (f coupledFactory) NewGroup() Group { return &coupledGroup{coupling: f.coupling} }

type coupledGroup struct {
	coupling
	members []*coupled
}

func (g *coupledGroup) New(_ Time, s Subflow) Controller {
	c := &coupled{reno: reno{window: newWindow(s)}, group: g, srtt: s.RTT}
	g.members = append(g.members, c)
	return c
}

func (g *coupledGroup) Remove(c Controller) {
	for i, m := range g.members {
		if m == c {
			g.members = append(g.members[:i], g.members[i+1:]...)
			return
		}
	}
}

// counts tells whether m takes part in the sums that c asks for: one without an RTT can't, one with
// nothing in flight has no rate.
func (g *coupledGroup) counts(m, c *coupled) bool { return m.srtt > 0 && (m == c || m.flight > 0) }

// alone tells whether there is nothing for c to be coupled with.
func (g *coupledGroup) alone(c *coupled) bool {
	if c.srtt <= 0 {
		return true
	}
	for _, m := range g.members {
		if m != c && g.counts(m, c) {
			return false
		}
	}
	return true
}

// rates is what the couplings sum over the subflows that count, in segments and seconds.
type rates struct {
	n       int
	sum     float64 // of w/rtt
	fastest float64 // the largest w/rtt
}

func (g *coupledGroup) rates(c *coupled) (r rates) {
	for _, m := range g.members {
		if g.counts(m, c) {
			r.n++
			r.sum += m.rate()
			r.fastest = max(r.fastest, m.rate())
		}
	}
	return r
}

// coupled is one subflow's controller: NewReno but for congestion avoidance and for what a loss leaves.
type coupled struct {
	reno
	group  *coupledGroup
	srtt   time.Duration
	flight int64   // bytes, when something was last sent or acknowledged
	credit float64 // bytes that the window has yet to change by, less than a segment
	losses epochs
}

// epochs counts what was acknowledged before and after the last loss, for OLIA.
type epochs struct {
	before, since           int64 // bytes: between the last two losses, and since the last one
	undoBefore, undoBetween int64 // before as it was ahead of the last loss, and since as it was then
}

// load is the window as far as it is used, in bytes: "To cater to connections that are app limited, the
// computation should consider the minimum between flight_size_i and cwnd_i" (RFC 6356 section 3).
func (c *coupled) load() float64 { return float64(max(min(c.flight, c.cwnd), c.mss)) }

func (c *coupled) segments() float64 { return c.load() / float64(c.mss) }
func (c *coupled) rate() float64     { return c.segments() / c.srtt.Seconds() }

func (c *coupled) OnSent(now Time, bytes, inFlight int64) {
	c.reno.OnSent(now, bytes, inFlight)
	c.flight = inFlight
}

func (c *coupled) OnAck(now Time, a Ack) {
	if a.SRTT > 0 {
		c.srtt = a.SRTT
	}
	c.flight = a.InFlight
	c.losses.since += max(a.Bytes, 0)
	if a.ECE {
		c.sample(a)
		c.OnLoss(now, Loss{InFlight: a.InFlight, SentAt: a.SentAt, ECN: true})
		return
	}
	n, avoidance := c.received(a)
	switch {
	case !avoidance:
	case c.group.alone(c):
		c.avoid(n)
	default:
		c.credit += float64(n) * c.group.growth(c.group, c)
		c.spend()
	}
}

// spend changes the window by whole segments, as NewReno does. A window that shrinks takes the threshold
// along: it stays in congestion avoidance.
func (c *coupled) spend() {
	if step := int64(c.credit) / c.mss * c.mss; step != 0 {
		c.credit -= float64(step)
		c.cwnd = max(c.cwnd+step, c.mss)
		c.ssthresh = min(c.ssthresh, c.cwnd)
	}
}

func (c *coupled) OnLoss(now Time, l Loss) {
	left := c.half(l.InFlight)
	if !c.group.alone(c) {
		part, floor := c.group.remains(c.group, c)
		left = max(int64(float64(c.reno.flight(l.InFlight))*part), floor*c.mss)
	}
	if c.lose(now, l, left) {
		e := &c.losses
		e.undoBefore, e.undoBetween = e.before, e.since
		e.before, e.since = e.since, 0
	}
	c.credit = 0
}

func (c *coupled) OnSpuriousLoss(now Time) {
	if e := &c.losses; c.undo.valid {
		e.before, e.since = e.undoBefore, e.undoBetween+e.since
	}
	c.reno.OnSpuriousLoss(now)
}

func (c *coupled) OnMSS(mss int) {
	if int64(mss) != c.mss {
		c.credit = 0
	}
	c.reno.OnMSS(mss)
}
