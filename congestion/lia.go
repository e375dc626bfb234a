package congestion

// LIA is the Linked Increases Algorithm of RFC 6356: the subflows of a connection together take what one
// TCP would on the best of their paths, none takes more than a TCP on its path would, and the less
// congested path carries more.
var LIA Factory = coupledFactory{"lia", lia{}}

type lia struct{}

// growth is equation (1): the increase is the least of alpha * bytes_acked * MSS_i / cwnd_total and
// bytes_acked * MSS_i / cwnd_i, where alpha is equation (2):
//
//	cwnd_total * MAX (cwnd_i/rtt_i^2) / (SUM (cwnd_i/rtt_i))^2
//
// cwnd_total cancels out. Fractions of a byte add up, which makes "the increase MUST be set to 1" when it is
// 0 pointless.
func (lia) growth(g *coupledGroup, c *coupled) float64 {
	var best, sum float64
	for _, m := range g.members {
		if g.counts(m, c) {
			rtt := m.srtt.Seconds()
			sum += m.load() / rtt
			best = max(best, m.load()/rtt/rtt)
		}
	}
	linked := best / sum / sum
	return float64(c.mss) * min(linked, 1/float64(c.cwnd))
}

// remains is NewReno's: "the multiplicative decrease of the congestion avoidance state are the same as in
// standard TCP" (section 3).
func (lia) remains(*coupledGroup, *coupled) (float64, int64) { return 0.5, 2 }
