package congestion

import "time"

// PacingRate is the rate in bytes per second at which a window of data is spread over a round trip, with
// some to spare so that the rate does not keep the window from growing: twice window/srtt in slow start,
// which doubles it, else 1.2 times. These are Linux's ratios; as there, the lower one counts from half
// of the threshold on, where the rate begins to matter. 0, which means unpaced, without an srtt.
func PacingRate(m Metrics, srtt time.Duration) int64 {
	if srtt <= 0 || m.Window <= 0 {
		return 0
	}
	percent := int64(120)
	if m.SSThresh < 0 || m.Window < m.SSThresh/2 {
		percent = 200
	}
	// In microseconds and hundredths: windows up to 4 TB do not overflow.
	us := max(int64(srtt/time.Microsecond), 1)
	return max(m.Window*percent/us*10_000+m.Window*percent%us*10_000/us, 1)
}

// Paced makes controllers that pace as PacingRate says from ones that do not. The windows are those of f,
// but for Cubic, whose slow start lets one ACK add more when what it releases does not leave in a burst
// (RFC 9406 section 4.3). Whether pacing pays depends on the owner's timers, hence nothing of this
// package does it unasked.
func Paced(f Factory) Factory { return pacedFactory{f} }

type pacedFactory struct{ of Factory }

func (f pacedFactory) Name() string    { return f.of.Name() + "-paced" }
func (f pacedFactory) NewGroup() Group { return pacedGroup{f.of.NewGroup()} }

type pacedGroup struct{ of Group }

func (g pacedGroup) New(now Time, s Subflow) Controller {
	c := g.of.New(now, s)
	if p, ok := c.(interface{ paced() }); ok {
		p.paced()
	}
	return &paced{Controller: c, srtt: s.RTT}
}

func (g pacedGroup) Remove(c Controller) {
	if p, ok := c.(*paced); ok {
		g.of.Remove(p.Controller)
	}
}

type paced struct {
	Controller
	srtt time.Duration
}

func (p *paced) OnAck(now Time, a Ack) {
	if a.SRTT > 0 {
		p.srtt = a.SRTT
	}
	p.Controller.OnAck(now, a)
}

func (p *paced) PacingRate() int64 { return PacingRate(p.Controller.Metrics(), p.srtt) }

func (p *paced) Metrics() Metrics {
	m := p.Controller.Metrics()
	m.PacingRate = p.PacingRate()
	return m
}
