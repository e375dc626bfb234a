package congestion

// OLIA is the Opportunistic Linked Increases Algorithm (Khalili et al., CoNEXT 2012;
// draft-khalili-mptcp-congestion-control-05): coupled as LIA, it also moves windows to the paths that look
// best, and leaves a congested one to a segment per round trip. So it takes less from others where it gains nothing
// itself.
var OLIA Factory = coupledFactory{"olia", olia{}}

type olia struct{}

// growth is, in segments for each segment acknowledged,
//
//	(w_i/rtt_i^2) / (SUM (w_k/rtt_k))^2  +  epsilon_i/w_i
//
// where epsilon takes from the largest windows what it gives to the best paths that have smaller ones.
func (olia) growth(g *coupledGroup, c *coupled) float64 {
	r := g.rates(c)
	rtt := c.srtt.Seconds()
	w := c.segments()
	return w/rtt/rtt/r.sum/r.sum + epsilon(g, c, r.n)/w
}

// epsilon is +1/(n*|C|) on the best paths whose window is not the largest (C), and, where there is one,
// -1/(n*|M|) on those with the largest window (M).
func epsilon(g *coupledGroup, c *coupled, n int) float64 {
	var largest, best float64
	for _, m := range g.members {
		if g.counts(m, c) {
			largest = max(largest, m.segments())
			best = max(best, m.quality())
		}
	}
	var inM, inC int
	for _, m := range g.members {
		switch {
		case !g.counts(m, c):
		case m.segments() == largest:
			inM++
		case m.collected(best):
			inC++
		}
	}
	switch {
	case inC == 0:
		return 0
	case c.segments() == largest:
		return -1 / float64(n*inM)
	case c.collected(best):
		return 1 / float64(n*inC)
	}
	return 0
}

// quality is the paper's l/rtt^2, with l the larger of what was acknowledged between the last two losses
// and since the last one: an estimate of the square of TCP's rate.
func (c *coupled) quality() float64 {
	rtt := c.srtt.Seconds()
	return float64(max(c.losses.before, c.losses.since)) / float64(c.mss) / rtt / rtt
}

// collected: a subflow on which nothing was acknowledged yet is not known to be good.
func (c *coupled) collected(best float64) bool { return best > 0 && c.quality() == best }

// remains has a floor of one segment instead of two: what probes a bad path is to cost it as little as possible.
func (olia) remains(*coupledGroup, *coupled) (float64, int64) { return 0.5, 1 }
