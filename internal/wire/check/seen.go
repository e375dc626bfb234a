package check

import (
	"net/netip"
	"slices"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// Answer is what came back for a SYN.
type Answer uint8

const (
	NoAnswer Answer = iota
	Accepted        // a SYN/ACK
	Reset           // a RST
)

// Seen is what passed of one connection, as its client sees it.
type Seen struct {
	Handshake
	Data
	Signals
	Hole

	isn, peerISN uint32
	idsn         uint64 // of our data; with keyed
	keyed        bool
	closing      bool // our FIN or RST has left
}

// Handshake is the part of Seen that is about SYNs and their answer.
type Handshake struct {
	OptionSYNs int    // SYNs that have left with an MPTCP option
	BareSYNs   int    // and without
	Answer     Answer // to them
	Option     bool   // the SYN/ACK has the MPTCP option that belongs there
	Odd        string // it has another one, or one that makes no sense
	Timestamps bool   // what else the SYN/ACK has
	SACK       bool
	Scale      bool
	NoJoins    bool // its MP_CAPABLE has the flag C
}

// Data is the part of Seen that is about payload. Bytes of ours count from 0.
type Data struct {
	Sent      uint32 // bytes of payload that have left
	Acked     uint32 // of them acknowledged by TCP
	DataSent  int64  // bytes of the data sequence that have left, on this subflow or before
	DataAcked int64  // bytes of the data sequence that a DATA_ACK covers, a DATA_FIN among them; -1: there was no DATA_ACK
	Lagged    int    // segments that acknowledge new payload, and have no DATA_ACK
	DSS       int    // the peer's segments with DSS, SYN/ACK aside
	Mapped    int    // segments with payload and a mapping
	Plain     int    // segments with payload and without a mapping
	Elsewhere int    // mappings that do not touch the payload they came with
	Checksums int    // mappings with a checksum
	TTLs      []uint8

	maps, bare []span // of payload that has mappings, and of segments that have none
	unmapped   int    // of another subflow, whose numbers are others
}

// Signals is the part of Seen that is about MPTCP's other options.
type Signals struct {
	FailSent, FailReceived bool
	Announced              int          // ADD_ADDRs that have left
	Echoed                 bool         // one of them came back
	Told                   []netip.Addr // that the peer announces
	ThirdSent              bool         // the third message of a join has left
	Fourth                 bool         // something came after it that is no RST
	Broken                 bool         // a RST came after the handshake
	Reason                 int          // of a RST; -1: it gave none
}

// Hole is the part of Seen that is about the gap that a probe makes in its own sequence numbers.
type Hole struct {
	Made    bool   // the first piece of payload was kept back
	End     uint32 // where the second one ends, which has left
	Hints   int    // acknowledgments of nothing new, which say that the second one has come
	SACKs   int    // blocks that describe it
	Strange int    // blocks with other numbers
	Filled  bool   // everything was acknowledged in the end
}

// span are bytes of the peer's, by their subflow sequence numbers.
type span struct{ from, to uint32 }

// maxSpans bounds what is kept of a connection: an exchange is short.
const maxSpans = 1024

// add keeps a span, if there is room.
func add(l []span, s span) []span {
	if len(l) < maxSpans {
		l = append(l, s)
	}
	return l
}

// Unmapped counts segments of the peer's data that no mapping covers, whichever segment that came with: boxes that split
// segments leave the option on one of the pieces.
func (d *Data) Unmapped() (n int) {
	for _, b := range d.bare {
		if !slices.ContainsFunc(d.maps, func(m span) bool { return int32(b.from-m.from) >= 0 && int32(m.to-b.to) >= 0 }) {
			n++
		}
	}
	return n + d.unmapped
}

// newSeen is for a connection with this IDSN; keyed is false where it has none.
func newSeen(idsn uint64, keyed bool) *Seen {
	return &Seen{Data: Data{DataAcked: -1}, Signals: Signals{Reason: -1}, idsn: idsn, keyed: keyed}
}

// digest are the options of one segment that matter.
type digest struct {
	any     bool // an MPTCP option
	capable *options.MPCapable
	join    *options.MPJoin
	dss     *options.DSS
	sack    *options.SACK
	odd     string
}

// each decodes the options of a segment.
func each(s *packet.Segment, f func(options.Option)) (malformed bool) {
	for b := s.Options; len(b) > 0; {
		raw, rest, err := options.Next(b)
		if err != nil {
			return true
		}
		if len(raw) == 0 {
			return false
		}
		b = rest
		o, err := options.Decode(raw)
		if err != nil {
			malformed = true
			continue
		}
		f(o)
	}
	return malformed
}

// sent takes a segment that leaves.
func (v *Seen) sent(s *packet.Segment) {
	d := v.digest(s, func(o options.Option) {
		switch o := o.(type) {
		case options.AddAddr:
			if !o.Echo {
				v.Announced++
			}
		case options.MPFail:
			v.FailSent = v.FailSent || !v.FailReceived // else it is the answer to the peer's
		}
	})
	if s.Flags.Has(packet.SYN) {
		v.isn = s.Seq
		if d.any {
			v.OptionSYNs++
		} else {
			v.BareSYNs++
		}
		return
	}
	v.closing = v.closing || s.Flags&(packet.FIN|packet.RST) != 0
	if d.join != nil && d.join.Form == options.JoinAck {
		v.ThirdSent = true
	}
	if n := s.PayloadLen(); n > 0 {
		v.Sent = max(v.Sent, s.Seq-v.isn-1+uint32(n))
		switch {
		case d.capable != nil && d.capable.HasData:
			v.DataSent = max(v.DataSent, int64(d.capable.DataLen))
		case d.dss != nil && d.dss.HasMap && d.dss.DSN64 && !d.dss.Infinite():
			end := int64(d.dss.DSN + uint64(d.dss.DataLen) - v.idsn - 1)
			if d.dss.DataFIN {
				end--
			}
			v.DataSent = max(v.DataSent, end)
		}
	}
}

func (v *Seen) digest(s *packet.Segment, f func(options.Option)) (d digest) {
	malformed := each(s, func(o options.Option) {
		switch o := o.(type) {
		case options.MPCapable:
			d.any, d.capable = true, &o
		case options.MPJoin:
			d.any, d.join = true, &o
		case options.DSS:
			d.any, d.dss = true, &o
		case options.SACK:
			d.sack = &o
		case options.AddAddr, options.RemoveAddr, options.MPPrio, options.MPFail, options.Fastclose, options.TCPRst:
			d.any = true
		case options.SACKPermitted:
			v.SACK = v.SACK || s.Flags.Has(packet.SYN|packet.ACK)
		case options.Timestamps:
			v.Timestamps = v.Timestamps || s.Flags.Has(packet.SYN|packet.ACK)
		case options.WindowScale:
			v.Scale = v.Scale || s.Flags.Has(packet.SYN|packet.ACK)
		}
		f(o)
	})
	if malformed {
		d.odd = "options that are malformed"
	}
	return d
}

// received takes a segment that has come.
func (v *Seen) received(s *packet.Segment) {
	if !slices.Contains(v.TTLs, s.TTL) && s.TTL != 0 && len(v.TTLs) < 8 {
		v.TTLs = append(v.TTLs, s.TTL)
	}
	d := v.digest(s, v.signal)
	switch {
	case s.Flags.Has(packet.RST):
		if v.Answer == NoAnswer {
			v.Answer = Reset
		} else {
			v.Broken = v.Broken || !v.closing
		}
		return
	case s.Flags.Has(packet.SYN):
		v.synack(s, &d)
		return
	}
	v.Fourth = v.Fourth || v.ThirdSent
	if d.dss != nil {
		v.DSS++
	}
	v.ack(s, &d)
	v.payload(s, &d)
}

// signal takes an option of the peer's.
func (v *Seen) signal(o options.Option) {
	switch o := o.(type) {
	case options.AddAddr:
		if o.Echo {
			v.Echoed = true
		} else if !slices.Contains(v.Told, o.Addr) && len(v.Told) < 16 {
			v.Told = append(v.Told, o.Addr)
		}
	case options.MPFail:
		v.FailReceived = v.FailReceived || !v.FailSent
	case options.TCPRst:
		v.Reason = int(o.Reason)
	}
}

// synack takes the answer to a SYN.
func (v *Seen) synack(s *packet.Segment, d *digest) {
	if !s.Flags.Has(packet.ACK) {
		return
	}
	v.Answer, v.peerISN = Accepted, s.Seq
	switch {
	case d.odd != "":
		v.Odd = d.odd
	case d.capable != nil && d.capable.Version != 1:
		v.Odd = "MP_CAPABLE of another version of the protocol"
	case d.capable != nil && d.capable.Len() != 12:
		v.Odd = "MP_CAPABLE without a key, as in our own SYN: options are copied"
	case d.join != nil && d.join.Form != options.JoinSynAck:
		v.Odd = "MP_JOIN as in our own SYN: options are copied"
	case d.capable != nil || d.join != nil:
		v.Option = true
		v.NoJoins = d.capable != nil && d.capable.Flags&options.FlagC != 0
	}
}

// ack takes the acknowledgment of a segment.
func (v *Seen) ack(s *packet.Segment, d *digest) {
	if !s.Flags.Has(packet.ACK) {
		return
	}
	acked := s.Ack - v.isn - 1
	news := int32(acked-v.Acked) > 0 && acked <= v.Sent // beyond lies our FIN
	if news {
		v.Acked = acked
		v.Filled = v.Made && v.End != 0 && acked >= v.End
	} else if v.End != 0 && v.Acked == 0 && acked == 0 {
		v.Hints++
	}
	if d.dss != nil && d.dss.HasAck && v.keyed {
		n := int64(d.dss.DataAck - v.idsn - 1)
		if !d.dss.Ack64 {
			n = int64(int32(uint32(d.dss.DataAck) - uint32(v.idsn) - 1))
		}
		v.DataAcked = max(v.DataAcked, n)
	} else if news && !d.any {
		v.Lagged++
	}
	if d.sack == nil {
		return
	}
	for _, b := range d.sack.Blocks[:min(int(d.sack.N), len(d.sack.Blocks))] {
		if l, r := b.Left-v.isn-1, b.Right-v.isn-1; l < r && r <= v.Sent+1 {
			v.SACKs++
		} else {
			v.Strange++
		}
	}
}

// payload takes the data of a segment.
func (v *Seen) payload(s *packet.Segment, d *digest) {
	n := uint32(s.PayloadLen())
	if n == 0 {
		return
	}
	from := s.Seq - v.peerISN // the first byte is 1, as in a mapping
	switch {
	case d.dss == nil || !d.dss.HasMap:
		v.Plain++
		v.bare = add(v.bare, span{from, from + n})
	case !d.dss.Infinite():
		v.Mapped++
		v.maps = add(v.maps, span{d.dss.SSN, d.dss.SSN + uint32(d.dss.DataLen)})
		if d.dss.HasChecksum {
			v.Checksums++
		}
		if int32(from+n-d.dss.SSN) <= 0 || int32(from-d.dss.SSN-uint32(d.dss.DataLen)) >= 0 {
			v.Elsewhere++
		}
	}
}
