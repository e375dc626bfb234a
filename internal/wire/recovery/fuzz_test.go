package recovery

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/congestion"
)

// FuzzAcks lets a hostile peer acknowledge what it likes: in splits, ahead of time, below and beyond
// what was sent, with SACK and DSACK blocks of any kind, marks and echoes from nowhere, at any pace.
// The scoreboard stays whole and bounded, no more leaves than the window and a few segments, and an
// honest ACK at the end leaves nothing behind.
func FuzzAcks(f *testing.F) {
	f.Add(true, true, []byte{0x10, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add(false, true, []byte("duplicates, duplicates, duplicates, and then a partial one"))
	f.Add(true, false, []byte{0x83, 0xff, 0xff, 0, 0, 0, 1, 0, 2, 0, 4, 0, 6, 0xf0, 0xf1, 0xf2, 0x42, 9, 9, 9, 9})
	f.Add(false, true, []byte(",0%000000000000000000001000010E\xc50\xf9\xe91000010\xe1\x8c0\xe5\xf5%00000000000000000000Z000\"0\x8701X%00000000000000000000\xf6"))
	f.Add(true, false, []byte("100\xa4\x0000%7000X00000000000000000T00C0000X0A00000200000000000$010000100100$0$00000000\x040X00000700C0000000000x000001x0$\xf6$00\xab00000000000001x0$\xd1$000000\xda0000000001\x850100100\xfd0000000001A000\xbd\xfb0000"))
	f.Fuzz(func(t *testing.T, sack, reno bool, data []byte) {
		var ctl congestion.Controller = &fixed{window: 20_000}
		if reno {
			ctl = congestion.Reno.NewGroup().New(0, congestion.Subflow{MSS: 1000})
		}
		p := &peer{t: t, data: data, s: New(Config{MSS: 1000, Controller: ctl, SACK: sack, Timestamps: true, Pacing: len(data)%2 == 0})}
		p.s.OnSend(0, 0, 1, false)
		for len(p.data) > 0 {
			p.act()
			p.pump()
			if b := p.s.broken(); b != "" {
				t.Fatalf("at %v: %s", p.now, b)
			}
			if n := p.s.board.order.n; n > maxRecords+8 {
				t.Fatalf("%d records", n)
			}
			// What was taken for lost by mistake is in flight again beside what has left since.
			if most := 2*p.most + 4*p.s.mss + p.wild; p.s.InFlight() > most {
				t.Fatalf("%d in flight, the window never was more than %d", p.s.InFlight(), most)
			}
		}
		p.s.OnAck(p.now+time.Millisecond, &Ack{Off: p.s.Nxt(), Pure: true})
		if _, ok := p.s.Next(); p.s.InFlight() != 0 || p.s.Lost() != 0 || p.s.Sacked() != 0 || p.s.timer.kind != None {
			t.Fatalf("something is left after all was acknowledged (%v): %+v", ok, p.s.board)
		}
	})
}

// peer is whoever acknowledges, as the fuzzer has it.
type peer struct {
	t      *testing.T
	s      *Sender
	data   []byte
	now    time.Duration
	most   int64 // the largest window so far
	wild   int64 // bytes that left beside the window
	ranges [6]Range
}

func (p *peer) byte() byte {
	if len(p.data) == 0 {
		return 0
	}
	b := p.data[0]
	p.data = p.data[1:]
	return b
}

// offset draws an offset: from a little below SND.UNA to a little beyond SND.NXT, or wild.
func (p *peer) offset() uint64 {
	x := uint64(binary.BigEndian.Uint16([]byte{p.byte(), p.byte()}))
	switch {
	case x >= 0xfff0:
		return ^uint64(0) - (x & 0xf)
	case x >= 0xff00:
		return x << 40
	}
	span := p.s.Nxt() - p.s.Una() + 200
	return max(p.s.Una()+x%span, 100) - 100
}

func (p *peer) act() {
	op := p.byte()
	p.now += time.Duration(p.byte()) * 300 * time.Microsecond
	switch op & 7 {
	case 0:
		if at, ok := p.s.Next(); ok {
			p.now = max(p.now, min(at, p.now+time.Minute))
		}
		had := p.s.Sacked()
		e := p.s.OnTimer(p.now)
		p.wild += had - p.s.Sacked() // what the peer has taken back flies again as well, should the timeout turn out to be spurious
		switch e {
		case Probe:
			if r, ok := p.s.Probe(); ok {
				p.s.OnSend(p.now, r.From, r.To, op&8 != 0)
			}
		case RTO:
			p.wild += 2 * p.s.mss // what F-RTO may send beside a window that turns out not to be lost
			if r, ok := p.s.Retransmit(); !ok || p.s.Allowance(p.now) < min(r.Len(), p.s.mss) && p.s.pacer.rate == 0 {
				p.t.Fatal("nothing to send after a timeout")
			}
		}
	case 1:
		p.s.SetMSS(100 + 8*int(p.byte()))
	case 2:
		if r := (Range{p.offset(), p.offset()}); op&8 == 0 {
			p.s.Excuse(r)
		} else {
			p.s.Refused(p.now, r)
		}
	case 3:
		r := Range{p.s.Una(), p.s.Una() + uint64(p.byte())%(p.s.Nxt()-p.s.Una()+1)}
		p.wild += r.Len()
		p.s.OnSend(p.now, r.From, r.To, false)
	default:
		a := Ack{Off: p.s.Una(), Pure: op&8 == 0, HasEcho: op&16 != 0, ECE: op&0x60 == 0x60, Unsent: int64(op) * 100}
		if op&0x80 != 0 {
			a.Off = min(p.offset(), p.s.Nxt()+5)
		}
		if a.HasEcho {
			a.EchoedAt = p.now - time.Duration(int8(p.byte()))*10*time.Millisecond
		}
		for i := range int(p.byte() & 7) {
			if i < len(p.ranges) {
				p.ranges[i] = Range{p.offset(), p.offset()}
				a.Sacks = p.ranges[:i+1]
			}
		}
		if op&0x30 == 0x30 {
			a.HasDSACK, a.DSACK = true, Range{p.offset(), p.offset()}
		}
		p.most = max(p.most, p.s.Window())
		p.s.OnAck(p.now, &a)
	}
	p.most = max(p.most, p.s.Window())
}

// pump sends what may leave.
func (p *peer) pump() {
	for range 100 {
		n := p.s.Allowance(p.now)
		if r, ok := p.s.Retransmit(); ok {
			size := min(r.Len(), p.s.mss)
			if n < size {
				return
			}
			p.s.OnSend(p.now, r.From, r.From+uint64(size), false)
			continue
		}
		if n < p.s.mss {
			return
		}
		p.s.OnSend(p.now, p.s.Nxt(), p.s.Nxt()+uint64(p.s.mss), false)
	}
}
