package congestion

// BALIA is the Balanced Linked Adaptation (Peng, Walid, Hwang, Low, IEEE/ACM ToN 2016;
// draft-walid-mptcp-congestion-control-04): between LIA and OLIA, as friendly to others as the one where it
// matters and as quick to use a path that has become free as the other.
var BALIA Factory = coupledFactory{"balia", balia{}}

type balia struct{}

// growth is, with x = w/rtt and a = MAX (x_k) / x_i, in segments for each segment acknowledged,
//
//	x_i / (rtt_i * (SUM x_k)^2) * (1+a)/2 * (4+a)/5
func (balia) growth(g *coupledGroup, c *coupled) float64 {
	r := g.rates(c)
	x := c.rate()
	a := r.fastest / x
	return x / c.srtt.Seconds() / r.sum / r.sum * ((1 + a) / 2) * ((4 + a) / 5)
}

// remains: a loss takes w/2 * min (a, 3/2).
func (balia) remains(g *coupledGroup, c *coupled) (float64, int64) {
	a := g.rates(c).fastest / c.rate()
	return 1 - min(a, 1.5)/2, 1
}
