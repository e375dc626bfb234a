package tcp

import "github.com/mptcp-go/mptcp/extapi"

// counters are what of the Stats is counted; the rest is gathered when somebody asks. Most connections never see one
// of the events.
type counters struct {
	extapi.TCPPerfCounters
	extapi.TCPStackCounters
	events *extapi.TCPEventCounters // nil: none
}

// event is where the events are counted.
func (c *Conn) event() *extapi.TCPEventCounters {
	if c.stats.events == nil {
		c.stats.events = new(extapi.TCPEventCounters)
	}
	return c.stats.events
}

// Counters are what has been counted so far.
func (c *Conn) Counters() (n extapi.TCPCounters) {
	c.AddCounters(&n)
	return n
}

// OctetsRetrans is the counter of that name: payload bytes that were sent again.
func (c *Conn) OctetsRetrans() uint64 { return c.stats.OctetsRetrans }

// AddCounters adds what has been counted so far to sum, for who has thousands of connections.
func (c *Conn) AddCounters(sum *extapi.TCPCounters) {
	addPerf(&sum.TCPPerfCounters, &c.stats.TCPPerfCounters)
	addStack(&sum.TCPStackCounters, &c.stats.TCPStackCounters)
	if c.stats.events != nil {
		addEvents(&sum.TCPEventCounters, c.stats.events)
	}
}

func addPerf(sum, n *extapi.TCPPerfCounters) {
	sum.SegsOut += n.SegsOut
	sum.DataSegsOut += n.DataSegsOut
	sum.HCDataOctetsOut += n.HCDataOctetsOut
	sum.SegsRetrans += n.SegsRetrans
	sum.OctetsRetrans += n.OctetsRetrans
	sum.SegsIn += n.SegsIn
	sum.DataSegsIn += n.DataSegsIn
	sum.HCDataOctetsIn += n.HCDataOctetsIn
	sum.HCThruOctetsAcked += n.HCThruOctetsAcked
	sum.HCThruOctetsReceived += n.HCThruOctetsReceived
	sum.Timeouts += n.Timeouts
	sum.CongSignals += n.CongSignals
	sum.ZeroRwinSent += n.ZeroRwinSent
	sum.ZeroRwinRcvd += n.ZeroRwinRcvd
}

func addStack(sum, n *extapi.TCPStackCounters) {
	sum.DupAcksOut += n.DupAcksOut
	sum.DupAcksIn += n.DupAcksIn
	sum.CERcvd += n.CERcvd
	sum.ECESent += n.ECESent
	sum.ECNsignals += n.ECNsignals
	sum.SpuriousFrDetected += n.SpuriousFrDetected
	sum.SoftErrors += n.SoftErrors
	sum.FastRetran += n.FastRetran
	sum.AbruptTimeouts += n.AbruptTimeouts
	sum.SACKsRcvd += n.SACKsRcvd
	sum.SACKBlocksRcvd += n.SACKBlocksRcvd
	sum.DSACKDups += n.DSACKDups
}

func addEvents(sum, n *extapi.TCPEventCounters) {
	sum.SimultaneousOpens += n.SimultaneousOpens
	sum.DupSYNs += n.DupSYNs
	sum.InSYNs += n.InSYNs
	sum.InRSTs += n.InRSTs
	sum.InAckErrs += n.InAckErrs
	sum.InNoTS += n.InNoTS
	sum.PAWSDrops += n.PAWSDrops
	sum.ChallengeAcks += n.ChallengeAcks
	sum.DupSegsIn += n.DupSegsIn
	sum.OutOfOrderSegs += n.OutOfOrderSegs
	sum.ReassemblyDrops += n.ReassemblyDrops
	sum.BeyondWindow += n.BeyondWindow
	sum.DSACKsSent += n.DSACKsSent
	sum.SACKBlocksSent += n.SACKBlocksSent
	sum.LossProbes += n.LossProbes
	sum.WindowProbes += n.WindowProbes
	sum.KeepAlives += n.KeepAlives
	sum.ICMPIgnored += n.ICMPIgnored
	sum.MTUReductions += n.MTUReductions
	sum.MTUProbes += n.MTUProbes
	sum.Supers += n.Supers
}
