package congestion

// Cubic is CUBIC (RFC 9438), with HyStart++ (RFC 9406) in the slow start before the first loss.
// Subflows are not coupled: n of them take n shares of a bottleneck. It does not pace; see Paced.
//
// Sizes are in bytes, hence what an ACK adds follows the bytes that it acknowledges. ECN marks reduce
// as losses do, but down to one segment (section 4.6).
var Cubic Factory = cubicFactory{}

type cubicFactory struct{}

func (cubicFactory) Name() string    { return "cubic" }
func (cubicFactory) NewGroup() Group { return cubicGroup{} }

type cubicGroup struct{}

func (cubicGroup) New(_ Time, s Subflow) Controller { return &cubic{window: newWindow(s)} }
func (cubicGroup) Remove(Controller)                {}

type cubic struct {
	window
	curve curve
	start hystart
	undo  cubicUndo
}

// cubicUndo is what OnSpuriousLoss restores (RFC 9438 section 4.9.2).
type cubicUndo struct {
	undo
	curve curve
}

// Metrics tells the conservative part of HyStart++ apart.
func (c *cubic) Metrics() Metrics {
	m := c.window.Metrics()
	if m.State == stateSlowStart && c.ssthresh == unset && c.start.conservative {
		m.State = stateConservative
	}
	return m
}

// paced lets slow start add all that an ACK tells of.
func (c *cubic) paced() { c.start.paced = true }

func (c *cubic) OnSent(now Time, bytes, inFlight int64) {
	if inFlight <= bytes {
		c.curve.pause(now)
	}
	if c.restart(now, bytes, inFlight) {
		c.curve.begun = false
	}
}

func (c *cubic) OnAck(now Time, a Ack) {
	if a.RTT > 0 {
		c.quiet.sample(a.RTT)
	}
	if a.ECE {
		c.congestion(now, a.SentAt, a.InFlight, true)
		return
	}
	if a.Bytes <= 0 {
		return
	}
	grow := c.mayGrow(a)
	n := a.Bytes
	if c.ssthresh == unset {
		if c.start.observe(now, a) { // congestion avoidance without a loss
			c.ssthresh = c.cwnd
			c.curve.settle(c.cwnd)
		} else if grow {
			c.cwnd += c.start.growth(n, c.mss)
		}
		return
	}
	if !grow {
		c.curve.pause(now)
		return
	}
	if c.cwnd < c.ssthresh {
		n = c.slowStart(n, c.appropriate())
	}
	if n > 0 && c.cwnd >= c.ssthresh {
		c.cwnd += c.curve.growth(now, &c.window, n)
	}
}

func (c *cubic) OnLoss(now Time, l Loss) {
	if l.Timeout || l.Persistent {
		c.timeout(now, l)
		return
	}
	c.congestion(now, l.SentAt, l.InFlight, l.ECN)
}

// congestion is section 4.6: "max(ssthresh, 2)" segments remain after a loss, "max(ssthresh, 1)" after
// a mark, for CUBIC "MUST continue to reduce cwnd in response to congestion events due to ECN-Echo
// ACKs until it reaches a value of 1 MSS".
func (c *cubic) congestion(now, sentAt Time, flight int64, marked bool) {
	if c.known(sentAt) {
		return
	}
	c.remember(!marked)
	less := int64(betaCubic * float64(c.flight(flight)))
	c.curve.peak(c.cwnd)
	floor := 2 * c.mss
	if marked {
		floor = c.mss
	}
	c.reduce(now, max(less, floor), max(less, 2*c.mss))
}

// timeout is section 4.8: "CUBIC follows Reno to reduce cwnd, but sets ssthresh using β_cubic", and it
// starts the next congestion avoidance at the plateau. As with Reno, a segment that times out again
// holds ssthresh constant.
func (c *cubic) timeout(now Time, l Loss) {
	if !c.timedOut {
		c.remember(true)
		c.curve.peak(c.cwnd)
		c.ssthresh = max(int64(betaCubic*float64(c.flight(l.InFlight))), 2*c.mss)
	}
	c.curve.flat = true
	c.collapse(now)
}

func (c *cubic) remember(valid bool) {
	c.undo = cubicUndo{undo{valid: valid, cwnd: c.cwnd, ssthresh: c.ssthresh, reduced: c.reduced}, c.curve}
}

// OnSpuriousLoss takes the last reduction back, once, unless the window has outgrown it: "In rare
// cases, when the detection happens long after a spurious loss event and the current cwnd is already
// higher than cwnd_prior, CUBIC SHOULD continue to use the current and the most recent values"
// (section 4.9.2).
func (c *cubic) OnSpuriousLoss(Time) {
	if !c.undo.valid {
		return
	}
	c.undo.valid = false
	c.recovering, c.timedOut, c.afterRTO = false, false, false
	if c.cwnd >= c.undo.cwnd {
		return
	}
	c.cwnd, c.ssthresh, c.reduced = c.undo.cwnd, c.undo.ssthresh, c.undo.reduced
	c.curve = c.undo.curve
}

// OnMSS leaves the peaks in bytes, which is what the path holds, and starts a new epoch.
func (c *cubic) OnMSS(mss int) {
	if c.resize(mss) {
		c.curve.begun = false
		c.undo.valid = false // its window was of segments of another size
	}
}
