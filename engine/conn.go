// Package engine is the semantic half of Multipath TCP (RFC 6182 section 4): one byte stream over
// several subflows. It is the data sequence space with its mappings and DATA_ACKs, reinjection, keys
// and tokens, address management, path management, scheduling, closing and fallback of RFC 8684,
// without a socket, a clock or a lock.
//
// A Conn is driven from outside. Its methods fall into four classes:
//
//   - inputs from below (AddFlow, Handle...): what subflows report;
//   - the application's calls (Write, Read, CloseWrite, Close, Abort, ...), which never block: zero
//     bytes and a nil error mean "not now";
//   - time (HandleTimeout at or after the deadline that Next gives);
//   - outputs, which the driver drains after every call of the classes above, in this order:
//     PollJoin until empty, PollEvent until empty, then Readable, Writable, Drained and Done to wake
//     who waits, then Next to set the timer. What flows have queued leaves after that.
//
// Subflows are reached through the one port, Flow (flow.go). Every call takes now, the time since
// an epoch of the driver's choice that never goes backwards.
package engine

import (
	"io"
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
)

// Conn is one connection's semantic half. It is not safe for concurrent use: the driver locks.
type Conn struct {
	cfg  kept
	keys Keys

	remoteKnown bool // the peer's key is known: DATA_ACKs may be sent (RFC 8684, erratum 6609)
	established bool // both sides are known to have both keys: joins are allowed
	checksum    bool

	snd     sendBuffer
	sent    sentQueue
	peer    peerWindow
	rcv     receiver
	flows   []*subflow // in order of id
	slots   uint32
	nextID  PathID
	paths   pathPlanner
	addrs   addresses
	joins   joinLimits
	sched   schedule
	fin     dataFIN
	closing closeState
	fall    fallback
	out     outputs
	time    timers
	noPath  time.Duration // when the connection gives up for want of a subflow; 0: there is one
	id      identity
	lastErr error

	congestionFailed bool // the program's congestion control has panicked, and that was said
}

// addresses are both sides' addresses: the book of their ids, this host's own, those that the program
// announced, and what it said of the paths between them.
type addresses struct {
	addrBook
	hosts  []netip.Addr
	own    []netip.AddrPort // what the program announces on this connection (AddLocalAddr)
	auto   []netip.AddrPort // what the listener announces (SetAnnounce), as far as it may leave this host
	wishes wishes
}

// identity is what stays the same for the connection's life.
type identity struct {
	conn    extapi.ConnID
	born    time.Duration
	carrier extapi.Carrier
	past    flowCounters // of subflows that are gone
}

// NewConn makes a connection whose own key is local. The peer's key may come later (SetRemote): a
// client may write before, and those bytes leave with its first message.
func NewConn(now time.Duration, cfg Config, local Key) *Conn {
	c := &Conn{cfg: cfg.kept(), checksum: cfg.Checksum}
	c.keys = Keys{Local: local, Secret: cfg.Secret}
	c.id.born = now
	// RFC 8684 section 3.1: the SYN occupies IDSN, so the first byte of data has IDSN+1.
	first := local.IDSN() + 1
	c.snd.init(first, int64(cfg.SendBuffer), cfg.Memory)
	c.peer.edge = first + initialWindow
	c.sched.init(cfg.Scheduler, cfg.SchedName)
	c.addrs.init(cfg)
	c.paths.init(now, cfg, &c.addrs.addrBook)
	return c
}

// SetRemote makes the peer's key known: from now on DATA_ACKs are sent, and mappings understood.
func (c *Conn) SetRemote(now time.Duration, remote Key) {
	if c.remoteKnown {
		return
	}
	c.keys.Remote = remote
	c.remoteKnown = true
	c.rcv.begin(remote.IDSN()+1, &c.cfg)
	c.ackAll(now)
	c.pump(now)
}

// SetID names the connection in Info and events; the driver calls it once, at the start.
func (c *Conn) SetID(id extapi.ConnID, carrier extapi.Carrier) { c.id.conn, c.id.carrier = id, carrier }

// SetChecksum says what MP_CAPABLE negotiated: "if either host requires the use of checksums,
// checksums MUST be used" (RFC 8684 section 3.1). It comes before the first flow.
func (c *Conn) SetChecksum(on bool) { c.checksum = on }

// SetJoinInitial says whether the peer takes joins on the address and port that the connection was
// made to: its C flag forbids them (RFC 8684 section 3.1).
func (c *Conn) SetJoinInitial(allowed bool) { c.paths.joinInitial(allowed) }

// Keys are both keys of the connection, for the handshakes of joins.
func (c *Conn) Keys() Keys { return c.keys }

func (c *Conn) setEstablished(now time.Duration) {
	c.established = true
	c.paths.established(now)
	c.event(extapi.ConnEstablished{Info: c.info()})
	for _, s := range c.flows {
		c.announce(s)
	}
	c.replan(now)
	c.flushSignals(now)
}

// Write takes what fits of b into the send buffer and maps as much as the flows take. It returns how
// many bytes it took: 0 without an error means that the buffer is full.
func (c *Conn) Write(now time.Duration, b []byte) (int, error) {
	switch {
	case c.closing.err != nil:
		return 0, c.closing.err
	case c.fin.queued:
		return 0, io.ErrClosedPipe
	case len(b) == 0:
		return 0, nil
	}
	n := c.snd.write(b, c.WriteRoom())
	c.pump(now)
	return n, nil
}

// WriteChunk is Write for a chunk that is full, whose reference it takes over with all of its bytes. 0 without an error means
// that there is no room for all of it.
func (c *Conn) WriteChunk(now time.Duration, p *pool.Chunk) (int, error) {
	switch {
	case c.closing.err != nil:
		return 0, c.closing.err
	case c.fin.queued:
		return 0, io.ErrClosedPipe
	case c.WriteRoom() < int64(p.Cap()) || !c.snd.append(p):
		return 0, nil
	}
	c.pump(now)
	return p.Cap(), nil
}

// Writable says whether Write would take at least one byte, or fail.
func (c *Conn) Writable() bool {
	return c.closing.err != nil || c.fin.queued || c.WriteRoom() > 0
}

// WriteRoom is how many bytes Write takes now, as far as is known of the memory budget.
func (c *Conn) WriteRoom() int64 {
	return c.snd.room(int64(c.peer.edge-c.snd.nxt) <= 0 && c.snd.unacked() == 0)
}

// Drained says whether the peer has DATA_ACKed everything written, the DATA_FIN included when there is one; after a
// fallback, whether its TCP has acknowledged all that, with the FIN in the DATA_FIN's place.
func (c *Conn) Drained() bool {
	return c.snd.size() == 0 && (!c.fin.queued || c.fin.acked) && (!c.fall.begun() || c.deliveredPlain())
}

// Info is a snapshot of the connection. Established is left to the driver, which knows the clock.
func (c *Conn) Info() extapi.ConnInfo {
	i := c.info()
	i.MPTCP = c.cfg.Counters.Snapshot()
	return i
}

// info is Info without the counters, for events.
func (c *Conn) info() extapi.ConnInfo {
	i := extapi.ConnInfo{
		ID: c.id.conn, Carrier: c.id.carrier, Fallback: c.fall.reason,
		SndNxt: c.snd.nxt, SndUna: c.snd.una, RcvNxt: c.rcv.q.rcvNxt(),
		SendBuffered: c.snd.size(), RecvBuffered: int64(c.rcv.q.buffered()), OutOfOrder: c.rcv.q.outOfOrder(),
		Scheduler: c.sched.name, Checksum: c.checksum,
	}
	if !c.fall.begun() {
		i.Version, i.Token = 1, c.keys.Local.Token()
	}
	sum := c.id.past
	for _, s := range c.flows {
		sum.add(s.count)
	}
	i.BytesReinjected = sum.reinjected
	i.BytesSent = c.snd.una - c.snd.first
	i.BytesReceived = c.rcv.delivered
	return i
}

func (f *flowCounters) add(o flowCounters) {
	f.sent += o.sent
	f.received += o.received
	f.reinjected += o.reinjected
}

// addLog keeps a closed subflow's counters in the connection's sums.
func (c *Conn) addLog(s *subflow) {
	c.id.past.add(s.count)
	if s.err != nil {
		c.lastErr = s.err
	}
}

// Subflows are snapshots of the subflows that exist, in order of id.
func (c *Conn) Subflows(now time.Duration) []extapi.SubflowInfo {
	l := make([]extapi.SubflowInfo, 0, len(c.flows))
	for _, s := range c.flows {
		s.stats = s.f.Stats(now)
		l = append(l, c.counted(s))
	}
	return l
}

// counted is subflowInfo with TCP's counters, where they are ours.
func (c *Conn) counted(s *subflow) extapi.SubflowInfo {
	i := c.subflowInfo(s)
	if f, ok := s.f.(interface{ Counters() *extapi.TCPCounters }); ok {
		i.TCP = f.Counters()
	}
	return i
}

func (c *Conn) subflowInfo(s *subflow) extapi.SubflowInfo {
	st := &s.stats
	return extapi.SubflowInfo{
		ID: s.id, Carrier: s.p.Carrier, State: s.state, Local: s.p.Local, Remote: s.p.Remote,
		LocalID: s.p.LocalID, RemoteID: s.p.RemoteID, Interface: s.p.Interface, Role: s.p.Role, Backup: s.backup(),
		SRTT: st.SRTT, RTTVar: st.RTTVar, MinRTT: st.MinRTT, CWnd: st.CWnd, InFlight: s.inFlight(),
		DeliveryRate: max(0, st.DeliveryRate), BytesSent: s.count.sent, BytesReceived: s.count.received,
		BytesRetransmitted: uint64(max(0, st.Retransmitted)), BytesReinjected: s.count.reinjected,
		Congestion: st.Congestion, LastError: s.err,
	}
}
