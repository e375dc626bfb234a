package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// script is a host of ours whose peer is played by hand, segment by segment: the peer sends this, and
// wants that, because. The peer's TCP offers neither timestamps nor SACK nor window scale.
type script struct {
	t    *testing.T
	w    *world
	us   *host
	mine engine.Key // the peer's
	ends map[[2]netip.AddrPort]*peerEnd
	list []*peerEnd // in the order in which our SYNs came
	sums bool       // flag A: set before open
}

// peerEnd is the peer's end of one subflow.
type peerEnd struct {
	s        *script
	us, peer netip.AddrPort
	isn, iss uint32 // the peer's and our initial sequence numbers
	next     uint32 // what the peer sends next, relative to isn
	got      uint32 // what it acknowledges, relative to iss
	window   uint16
	deaf     bool // nothing arrives any more
	out      []packet.Segment
}

// newScript has one route for each of our addresses; with a listener, we are the server.
func newScript(t *testing.T, client bool, with ...func(h *host)) *script {
	s := &script{t: t, w: newWorld(t, 1, with...), ends: map[[2]netip.AddrPort]*peerEnd{}}
	s.us, s.mine = s.w.client, s.w.server.key
	if !client {
		s.us, s.mine = s.w.server, s.w.client.key
	}
	for _, a := range []string{"10.0.1.1", "10.0.2.1"} {
		s.w.connect(a, "10.0.1.2", route{}).box = s.take
	}
	s.us.addrs = s.us.addrs[:1] // a test that wants joins brings the second address up
	return s
}

// take is what we have sent.
func (s *script) take(_ bool, seg packet.Segment) []packet.Segment {
	p := s.ends[[2]netip.AddrPort{seg.Src, seg.Dst}]
	if p == nil {
		p = s.end(seg.Src, seg.Dst)
	}
	if p.deaf {
		return nil
	}
	if seg.Flags.Has(packet.SYN) {
		p.iss, p.got = seg.Seq, 1
	}
	rel := seg.Seq - p.iss
	if n := uint32(len(seg.Payload)); rel == p.got {
		p.got += n
		if seg.Flags.Has(packet.FIN) {
			p.got++
		}
	}
	p.out = append(p.out, seg)
	return nil
}

func (s *script) end(us, peer netip.AddrPort) *peerEnd {
	p := &peerEnd{s: s, us: us, peer: peer, isn: 5000, window: 60000}
	s.ends[[2]netip.AddrPort{us, peer}] = p
	s.list = append(s.list, p)
	return p
}

// wait lets time pass.
func (s *script) wait(d time.Duration) { s.w.run(s.w.now+d, nil) }

// until lets it pass until there are n subflows, or have been.
func (s *script) until(n int, limit time.Duration) {
	s.w.run(s.w.now+limit, func() bool { return len(s.list) >= n })
}

// write is our program's.
func (s *script) write(n int) {
	s.us.out = append(s.us.out, pattern(n)...)
	s.w.settle()
}

// keys are both keys as the peer sees them.
func (s *script) keys() engine.Keys { return engine.Keys{Local: s.mine, Remote: s.us.key} }

// ack is a DATA_ACK of the first n bytes that we wrote.
func (s *script) ack(n uint64) options.DSS {
	return options.DSS{HasAck: true, Ack64: true, DataAck: s.us.key.IDSN() + 1 + n}
}

// maps is a mapping of the peer's.
func (s *script) maps(dsn uint64, ssn uint32, n int) options.DSS {
	d := s.ack(0)
	d.HasMap, d.DSN64, d.DSN, d.SSN, d.DataLen = true, true, s.mine.IDSN()+1+dsn, ssn, uint16(n)
	return d
}

// summed is m with the checksum of its payload.
func summed(m options.DSS, payload string) options.DSS {
	m.HasChecksum, m.Checksum = true, checksum(m, []byte(payload))
	return m
}

// checksum is "the standard TCP checksum [RFC0793], operating over the data covered by this mapping, along with a pseudo-header"
// (RFC 8684 section 3.3.1).
func checksum(d options.DSS, payload []byte) uint16 {
	b := binary.BigEndian.AppendUint64(nil, d.DSN)
	b = binary.BigEndian.AppendUint32(b, d.SSN)
	b = binary.BigEndian.AppendUint16(b, d.DataLen)
	b = append(append(b, 0, 0), payload...)
	sum := 0
	for i, x := range b {
		sum += int(x) << (8 * ((i + 1) % 2))
	}
	return ^uint16(sum % 0xffff)
}

// checked looks at the checksum of a mapping of ours that one segment holds.
func (s *script) checked(d options.DSS, payload []byte) {
	require.Equal(s.t, s.sums, d.HasChecksum, "as negotiated")
	if n := int(d.DataLen); s.sums && (len(payload) == n || d.DataFIN && len(payload) == n-1) {
		require.Zero(s.t, (int(checksum(d, payload))-int(d.Checksum))%0xffff, "checksum of the mapping")
	}
}

// sends is a segment of the peer's.
func (p *peerEnd) sends(flags packet.Flags, payload string, opts ...options.Option) {
	seg := packet.Segment{Src: p.peer, Dst: p.us, Seq: p.isn + p.next, Flags: flags, Window: p.window, Payload: []byte(payload)}
	if flags.Has(packet.ACK) {
		seg.Ack = p.iss + p.got
	}
	if flags.Has(packet.SYN) {
		seg.Options = options.MSS{Size: 1460}.Append(nil)
	}
	for _, o := range opts {
		seg.Options = fit(seg.Options, o, packet.MaxOptions-len(seg.Options))
	}
	p.next += uint32(len(payload))
	if flags.Has(packet.SYN) || flags.Has(packet.FIN) {
		p.next++
	}
	p.s.us.receive(seg)
	p.s.w.settle()
}

// acks is a pure ACK of the peer's.
func (p *peerEnd) acks(opts ...options.Option) { p.sends(packet.ACK, "", opts...) }

// resets is its RST.
func (p *peerEnd) resets(opts ...options.Option) { p.sends(packet.RST|packet.ACK, "", opts...) }

// wants is what must have come since the last time.
func (p *peerEnd) wants(why string, want ...string) {
	p.s.t.Helper()
	var got []string
	for _, seg := range p.out {
		got = append(got, p.tell(seg))
	}
	p.out = nil
	if len(want)+len(got) > 0 {
		require.Equal(p.s.t, want, got, why)
	}
}

// tell describes a segment of ours.
func (p *peerEnd) tell(seg packet.Segment) string {
	l := []string{kind(seg)}
	switch rel := seg.Seq - p.iss; {
	case seg.Flags.Has(packet.RST):
		l[0] = "RST"
	case len(seg.Payload) > 0:
		l[0] = fmt.Sprintf("DATA %d+%d", rel, len(seg.Payload))
	case seg.Flags.Has(packet.FIN):
		l[0] = "FIN"
	case l[0] == "ACK" && rel+1 == p.got:
		l[0] = "PROBE"
	}
	require.Zero(p.s.t, seg.Flags&packet.URG|packet.Flags(seg.Urgent), "nothing of ours is urgent")
	for b := seg.Options; len(b) > 0; {
		o, rest, err := options.Next(b)
		require.NoError(p.s.t, err)
		if _, ok := o.Subtype(); ok {
			d, err := options.Decode(o)
			require.NoError(p.s.t, err)
			if d, ok := d.(options.DSS); ok && d.HasMap && d.DataLen > 0 {
				p.s.checked(d, seg.Payload)
			}
			l = append(l, p.s.option(d))
		}
		b = rest
	}
	return strings.Join(l, ", ")
}

// again are the segments with payload below offset off, which were sent before, of those that have come since.
func (p *peerEnd) again(off uint32) (l []string) {
	for _, seg := range p.out {
		if len(seg.Payload) > 0 && seg.Seq-p.iss < off {
			l = append(l, p.tell(seg))
		}
	}
	p.out = nil
	return l
}

// option describes an option of ours.
func (s *script) option(o options.Option) string {
	switch o := o.(type) {
	case options.MPCapable:
		return fmt.Sprintf("MP_CAPABLE %d", o.Len())
	case options.MPJoin:
		if o.Form == options.JoinSyn {
			return fmt.Sprintf("MP_JOIN %v id=%d", o.Form, o.AddrID)
		}
		return fmt.Sprintf("MP_JOIN %v", o.Form)
	case options.DSS:
		return s.dss(o)
	case options.AddAddr:
		addr := o.Addr.String()
		if o.HasPort {
			addr = netip.AddrPortFrom(o.Addr, o.Port).String()
		}
		if o.Echo {
			return fmt.Sprintf("ADD_ADDR echo %d %s", o.AddrID, addr)
		}
		require.True(s.t, s.keys().CheckAddAddr(o), "HMAC of ADD_ADDR")
		return fmt.Sprintf("ADD_ADDR %d %s", o.AddrID, addr)
	case options.MPFail:
		return fmt.Sprintf("MP_FAIL %d", o.DSN-s.mine.IDSN()-1)
	case options.RemoveAddr:
		return fmt.Sprintf("REMOVE_ADDR %v", o.IDs[:o.N])
	case options.MPPrio:
		return fmt.Sprintf("MP_PRIO %t", o.Backup)
	case options.TCPRst:
		require.False(s.t, o.U || o.V || o.W)
		if o.Transient {
			return fmt.Sprintf("MP_TCPRST %d T", o.Reason)
		}
		return fmt.Sprintf("MP_TCPRST %d", o.Reason)
	}
	return o.String()
}

// dss describes a DSS with numbers that count from the first byte of either direction.
func (s *script) dss(d options.DSS) string {
	var l []string
	if d.HasMap {
		require.True(s.t, d.DSN64, "a DSN of 64 bits, whatever the rate")
		x := fmt.Sprintf("map %d+%d@%d", d.DSN-s.us.key.IDSN()-1, d.DataLen, d.SSN)
		if d.DataFIN {
			x += " DATA_FIN"
		}
		l = append(l, x)
	}
	if d.HasAck {
		require.True(s.t, d.Ack64, "a DATA_ACK of 64 bits")
		l = append(l, fmt.Sprintf("ack %d", d.DataAck-s.mine.IDSN()-1))
	}
	return "DSS " + strings.Join(l, " ")
}

// open is the handshake of the first subflow; the other end of it is established, and nothing was said.
func (s *script) open() *peerEnd {
	s.t.Helper()
	syn := options.MPCapable{Version: 1, Flags: options.FlagH}
	if s.sums {
		syn.Flags |= options.FlagA
	}
	key := syn
	key.HasSender, key.SenderKey = true, uint64(s.mine)
	if s.us == s.w.client {
		s.w.dial()
		s.w.settle()
		p := s.list[0]
		p.wants("a SYN", "SYN, MP_CAPABLE 4")
		p.sends(packet.SYN|packet.ACK, "", key)
		p.wants("the third message", "ACK, MP_CAPABLE 20")
		p.acks(s.ack(0))
		p.wants("nothing")
		return p
	}
	p := s.end(netip.MustParseAddrPort("10.0.1.2:80"), netip.MustParseAddrPort("10.0.1.1:4000"))
	p.sends(packet.SYN, "", syn)
	p.wants("our key", "SYN/ACK, MP_CAPABLE 12")
	both := key
	both.HasReceiver, both.ReceiverKey = true, uint64(s.us.key)
	p.acks(both)
	s.wait(time.Second)
	p.wants("a DATA_ACK, which proves that we have the key", "ACK, DSS ack 0")
	return p
}

// second brings the second address up, and takes our SYN from it.
func (s *script) second() *peerEnd {
	s.t.Helper()
	s.us.addrs = append(s.us.addrs, addr("10.0.2.1"))
	s.us.eng.SetLocalAddrs(s.w.now, s.us.candidates())
	n := len(s.list)
	s.wait(50 * time.Millisecond)
	require.Len(s.t, s.list, n+1, "a join")
	p := s.list[n]
	require.Equal(s.t, addr("10.0.2.1"), p.us.Addr())
	return p
}

// answers is the peer's side of a join that we have begun, up to the third message.
func (p *peerEnd) answers() {
	s := p.s
	s.t.Helper()
	require.Len(s.t, p.out, 1)
	j := engine.NewJoinResponder(s.keys(), 77, 0, false)
	synack, err := j.HandleSyn(Open(&p.out[0]).Join)
	require.NoError(s.t, err)
	p.wants("the first message", "SYN, MP_JOIN SYN id=1")
	p.sends(packet.SYN|packet.ACK, "", synack)
	require.Len(s.t, p.out, 1)
	var r received
	r.parse(p.out[0].Options)
	require.NoError(s.t, j.HandleAck(r.join))
	p.wants("the third message", "ACK, MP_JOIN ACK")
}

// join opens a second subflow: ours where we are the client, the peer's where we are the server.
func (s *script) join() *peerEnd {
	s.t.Helper()
	if s.us == s.w.client {
		p := s.second()
		p.answers()
		p.acks(s.ack(0))
		s.wait(time.Millisecond)
		p.out = nil
		return p
	}
	p := s.end(netip.MustParseAddrPort("10.0.1.2:80"), netip.MustParseAddrPort("10.0.2.1:5000"))
	j := engine.NewJoinInitiator(s.keys(), 77, 1, false)
	p.sends(packet.SYN, "", j.Syn())
	require.Len(s.t, p.out, 1)
	var r received
	r.parse(p.out[0].Options)
	third, err := j.HandleSynAck(r.join)
	require.NoError(s.t, err)
	p.wants("the second message", "SYN/ACK, MP_JOIN SYN/ACK")
	p.acks(third)
	p.wants("the fourth message, at once", "ACK, DSS ack 0")
	return p
}
