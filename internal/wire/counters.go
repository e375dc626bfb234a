package wire

import (
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// Counters are what the flow's TCP has counted.
func (f *Flow) Counters() *extapi.TCPCounters {
	s := f.c.Stats()
	c := countersOf(&s)
	return &c
}

func countersOf(s *tcp.Stats) extapi.TCPCounters {
	p, e := &s.Perf, &s.Events
	return extapi.TCPCounters{TCPPerfCounters: extapi.TCPPerfCounters{
		SegsOut: p.SegsOut, DataSegsOut: p.DataSegsOut, HCDataOctetsOut: p.HCDataOctetsOut,
		SegsRetrans: p.SegsRetrans, OctetsRetrans: p.OctetsRetrans,
		SegsIn: p.SegsIn, DataSegsIn: p.DataSegsIn, HCDataOctetsIn: p.HCDataOctetsIn,
		HCThruOctetsAcked: s.App.HCThruOctetsAcked, HCThruOctetsReceived: s.App.HCThruOctetsReceived,
		Timeouts: p.Timeouts, CongSignals: p.CongSignals, ZeroRwinSent: p.ZeroRwinSent, ZeroRwinRcvd: p.ZeroRwinRcvd,
	}, TCPStackCounters: extapi.TCPStackCounters{
		DupAcksOut: s.Path.DupAcksOut, DupAcksIn: s.Stack.DupAcksIn,
		CERcvd: s.Path.CERcvd, ECESent: s.Path.ECESent, ECNsignals: s.Path.ECNsignals,
		SpuriousFrDetected: s.Stack.SpuriousFrDetected, SoftErrors: s.Stack.SoftErrors, FastRetran: s.Stack.FastRetran,
		AbruptTimeouts: s.Stack.AbruptTimeouts, SACKsRcvd: s.Stack.SACKsRcvd, SACKBlocksRcvd: s.Stack.SACKBlocksRcvd,
		DSACKDups: s.Stack.DSACKDups,
	}, TCPEventCounters: extapi.TCPEventCounters{
		SimultaneousOpens: e.SimultaneousOpens, DupSYNs: e.DupSYNs, InSYNs: e.InSYNs, InRSTs: e.InRSTs,
		InAckErrs: e.InAckErrs, InNoTS: e.InNoTS, PAWSDrops: e.PAWSDrops, ChallengeAcks: e.ChallengeAcks,
		DupSegsIn: e.DupSegsIn, OutOfOrderSegs: e.OutOfOrderSegs, ReassemblyDrops: e.ReassemblyDrops,
		BeyondWindow: e.BeyondWindow, DSACKsSent: e.DSACKsSent, SACKBlocksSent: e.SACKBlocksSent,
		LossProbes: e.LossProbes, WindowProbes: e.WindowProbes, KeepAlives: e.KeepAlives, ICMPIgnored: e.ICMPIgnored,
		MTUReductions: e.MTUReductions, MTUProbes: e.MTUProbes, Supers: e.Supers,
	}}
}
