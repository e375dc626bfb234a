package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Stats are a connection's counters and gauges.
type Stats struct {
	extapi.TCPCounters
	Gauges
}

// Gauges are those that RFC 4898 defines, under its names, and what else says how a connection is at the moment.
type Gauges struct {
	App   AppStats
	Perf  PerfStats
	Path  PathStats
	Stack StackStats
}

// PerfStats are of tcpEStatsPerfTable.
type PerfStats struct {
	CurMSS               int // payload bytes
	PipeSize             int64
	CurCwnd, CurSsthresh int64         // bytes; CurSsthresh -1: no loss yet
	SmoothedRTT, CurRTO  time.Duration // 0: unknown
	CurRwinSent          uint64        // bytes
	CurRwinRcvd          int64
}

// AppStats are of tcpEStatsAppTable.
type AppStats struct {
	SndNxt, SndUna, RcvNxt uint64 // as offsets
	CurAppWQueue           int64  // bytes that wait to be sent
}

// PathStats are of tcpEStatsPathTable.
type PathStats struct {
	MinRTT, RTTVar time.Duration // 0: unknown
	Patience       time.Duration // CurRTO without its back-off; not of RFC 4898
	DeliveryRate   int64         // bytes per second; 0: unknown. Not of RFC 4898
}

// StackStats are of tcpEStatsStackTable.
type StackStats struct {
	ActiveOpen                 bool
	State                      State
	MSSSent, MSSRcvd           int
	WinScaleSent, WinScaleRcvd uint8
	TimeStamps, SACK, ECN      bool // negotiated
	InRecovery                 bool
	CurReasmQueue              int   // bytes that wait for what is missing before them
	CurRetxQueue               int64 // bytes sent and not acknowledged
}

// Stats is a snapshot.
func (c *Conn) Stats() Stats { return Stats{c.Counters(), c.Gauges()} }

// Gauges is a snapshot without the counters, for who asks with every piece of data.
func (c *Conn) Gauges() (s Gauges) {
	p := &s.Perf
	p.CurMSS = c.snd.payload(c)
	s.App.SndNxt, s.App.SndUna, s.App.RcvNxt = c.snd.nxt, c.snd.una, c.rcv.nxt
	s.App.CurAppWQueue = c.snd.unsent()
	s.Stack.CurReasmQueue = c.rcv.q.bytes
	s.Stack.CurRetxQueue = int64(c.snd.nxt - c.snd.una)
	p.CurRwinSent = max(c.rcv.edge, c.rcv.nxt) - c.rcv.nxt
	p.CurRwinRcvd = c.snd.wnd
	s.Stack.State = c.state
	s.Stack.ActiveOpen = !c.hs.passive
	s.Stack.MSSSent, s.Stack.MSSRcvd = c.mtu.advertise(), c.hs.peerMSS
	s.Stack.WinScaleSent, s.Stack.WinScaleRcvd = c.rcv.scale, c.snd.scale
	s.Stack.TimeStamps, s.Stack.SACK, s.Stack.ECN = c.ts.on, c.snd.sack, c.ecn.on
	if r := c.rtx; r != nil {
		m := c.cfg.Controller.Metrics()
		p.PipeSize, p.CurCwnd, p.CurSsthresh = r.InFlight(), r.Window(), m.SSThresh
		p.SmoothedRTT, p.CurRTO = r.SRTT(), r.RTO()
		s.Path.Patience = r.Patience()
		s.Path.MinRTT, s.Path.RTTVar, s.Path.DeliveryRate = r.MinRTT(), r.RTTVar(), r.DeliveryRate()
		s.Stack.InRecovery = r.Recovering()
	}
	return s
}

// countIn counts a segment that comes, with n bytes of payload.
func countIn(p *extapi.TCPPerfCounters, n int) {
	p.SegsIn++
	if n > 0 {
		p.DataSegsIn++
		p.HCDataOctetsIn += uint64(n)
	}
}

// countOut counts a segment that leaves; a super-segment counts as what it is split into.
func (c *Conn) countOut(o *Outgoing, out *packet.Segment) {
	p := &c.stats.TCPPerfCounters
	n := uint64(1)
	if o.Super {
		n = segments(o.Len, out.SegSize)
		c.event().Supers++
	}
	p.SegsOut += n
	if o.Len > 0 {
		p.DataSegsOut += n
		p.HCDataOctetsOut += uint64(o.Len)
	}
	if out.Flags.Has(packet.ECE) && !out.Flags.Has(packet.SYN) {
		c.stats.ECESent++
	}
}
