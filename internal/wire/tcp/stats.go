package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Stats are a connection's counters and gauges. In App, Perf, Path and Stack stand those that RFC 4898 defines,
// under its names; Events has the others.
type Stats struct {
	App    AppStats
	Perf   PerfStats
	Path   PathStats
	Stack  StackStats
	Events EventStats
}

// counters are what of the Stats is counted; the rest is gathered when somebody asks. Most connections never see one
// of the Events.
type counters struct {
	App    AppCounters
	Perf   PerfCounters
	Path   PathCounters
	Stack  StackCounters
	Events *EventStats // nil: none
}

// event is where the Events are counted.
func (c *Conn) event() *EventStats {
	if c.stats.Events == nil {
		c.stats.Events = new(EventStats)
	}
	return c.stats.Events
}

// PerfStats are of tcpEStatsPerfTable.
type PerfStats struct {
	PerfCounters
	CurMSS               int // payload bytes
	PipeSize             int64
	CurCwnd, CurSsthresh int64         // bytes; CurSsthresh -1: no loss yet
	SmoothedRTT, CurRTO  time.Duration // 0: unknown
	CurRwinSent          uint64        // bytes
	CurRwinRcvd          int64
}

// PerfCounters are those of the PerfStats that are counted.
type PerfCounters struct {
	SegsOut, DataSegsOut, HCDataOctetsOut uint64
	SegsRetrans, OctetsRetrans            uint64
	SegsIn, DataSegsIn, HCDataOctetsIn    uint64
	Timeouts                              uint64 // retransmission timeouts, of SYNs too
	CongSignals                           uint64 // reductions of the window, timeouts included
	ZeroRwinSent, ZeroRwinRcvd            uint64
}

// AppStats are of tcpEStatsAppTable.
type AppStats struct {
	AppCounters
	SndNxt, SndUna, RcvNxt uint64 // as offsets
	CurAppWQueue           int64  // bytes that wait to be sent
}

// AppCounters are those of the AppStats that are counted.
type AppCounters struct {
	HCThruOctetsAcked    uint64
	HCThruOctetsReceived uint64
}

// PathStats are of tcpEStatsPathTable.
type PathStats struct {
	PathCounters
	MinRTT, RTTVar time.Duration // 0: unknown
	Patience       time.Duration // CurRTO without its back-off; not of RFC 4898
	DeliveryRate   int64         // bytes per second; 0: unknown. Not of RFC 4898
}

// PathCounters are those of the PathStats that are counted.
type PathCounters struct {
	DupAcksOut      uint64
	CERcvd, ECESent uint64
	ECNsignals      uint64 // ACKs that brought a mark of ours back
}

// StackStats are of tcpEStatsStackTable.
type StackStats struct {
	StackCounters
	ActiveOpen                 bool
	State                      State
	MSSSent, MSSRcvd           int
	WinScaleSent, WinScaleRcvd uint8
	TimeStamps, SACK, ECN      bool // negotiated
	InRecovery                 bool
	CurReasmQueue              int   // bytes that wait for what is missing before them
	CurRetxQueue               int64 // bytes sent and not acknowledged
}

// StackCounters are those of the StackStats that are counted.
type StackCounters struct {
	DupAcksIn                 uint64
	SpuriousFrDetected        uint64 // retransmissions found to have been unnecessary, after timeouts too
	SoftErrors                uint64 // of ICMP
	FastRetran                uint64
	AbruptTimeouts            uint64 // the connection was given up without an answer
	SACKsRcvd, SACKBlocksRcvd uint64
	DSACKDups                 uint64
}

// EventStats are counters without a name in RFC 4898.
type EventStats struct {
	SimultaneousOpens uint64
	DupSYNs           uint64 // SYNs again, before the handshake was done
	InSYNs            uint64 // SYNs after it: challenged
	InRSTs            uint64 // RSTs that counted
	InAckErrs         uint64 // acknowledgments of what was never sent, or far too old
	InNoTS            uint64 // dropped for the lack of a timestamp
	PAWSDrops         uint64
	ChallengeAcks     uint64
	DupSegsIn         uint64 // with payload that had been received before
	OutOfOrderSegs    uint64
	ReassemblyDrops   uint64 // out of order, and no room to keep them
	BeyondWindow      uint64 // with payload beyond the window, which was cut off
	DSACKsSent        uint64
	SACKBlocksSent    uint64
	LossProbes        uint64
	WindowProbes      uint64
	KeepAlives        uint64
	ICMPIgnored       uint64 // quoting nothing that is in flight
	MTUReductions     uint64
	MTUProbes         uint64
	ExtensionDrops    uint64 // segments that the extension would not have
	Supers            uint64 // super-segments sent
	SYNData           uint64 // payload or FIN on a SYN/ACK, which has to come again
}

// Stats is a snapshot.
func (c *Conn) Stats() Stats {
	n := &c.stats
	s := Stats{
		App: AppStats{AppCounters: n.App}, Perf: PerfStats{PerfCounters: n.Perf},
		Path: PathStats{PathCounters: n.Path}, Stack: StackStats{StackCounters: n.Stack},
	}
	if n.Events != nil {
		s.Events = *n.Events
	}
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

// countOut counts a segment that leaves; a super-segment counts as what it is split into.
func (c *Conn) countOut(o *Outgoing, out *packet.Segment) {
	p := &c.stats.Perf
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
		c.stats.Path.ECESent++
	}
}
