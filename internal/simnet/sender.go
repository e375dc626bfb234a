package simnet

import (
	"io"
	"slices"
	"time"
)

// packet is one segment on its way.
type packet struct {
	seq     int64
	data    []byte
	fin     bool
	sent    time.Duration
	ackedAt int64 // how much had been acknowledged when it was sent
	again   bool  // retransmitted: no RTT sample (Karn)
	gone    bool  // acknowledged, selectively or not
	lost    bool  // known to be lost and not yet sent again
}

func (k *packet) end() int64 { return k.seq + int64(len(k.data)) }

// sender is the near end of a pipe.
type sender struct {
	buf     []byte // from una on
	una     int64
	nxt     int64 // next byte never sent
	edge    int64 // of the receive window
	fin     bool
	finSent bool
	dead    bool      // its owner has aborted: it sends nothing more
	packets []*packet // sent and not cumulatively acknowledged, in order

	cwnd, ssthresh int64
	inFlight       int64
	lost           int   // packets known to be lost and not yet sent again
	recover        int64 // losses below it belong to a reduction already made

	srtt, rttvar, minRTT time.Duration
	rto                  *Event
	backoff              uint
	rate                 int64
	retransmitted        int64
	lastAck              time.Duration
}

func (s *sender) unsent() int64 { return s.una + int64(len(s.buf)) - s.nxt }

// pump sends what the windows allow: lost packets first.
func (p *Pipe) pump() {
	s := &p.send
	if p.err != nil || s.dead {
		return
	}
	for i := 0; i < len(s.packets) && s.lost > 0 && s.inFlight < s.cwnd; i++ {
		if s.packets[i].lost {
			p.resend(s.packets[i])
		}
	}
	for p.err == nil && s.inFlight < s.cwnd {
		n := min(p.cfg.MSS, s.unsent(), s.edge-s.nxt)
		last := s.fin && !s.finSent && n == s.unsent()
		if n <= 0 && !last {
			break
		}
		n = max(n, 0)
		from := s.nxt - s.una
		k := &packet{seq: s.nxt, data: slices.Clone(s.buf[from : from+n]), fin: last}
		s.nxt += n
		s.finSent = s.finSent || last
		s.packets = append(s.packets, k)
		p.transmit(k)
	}
	if len(s.packets) == 0 && s.unsent() > 0 && !s.rto.Pending() {
		p.armRTO() // the window is closed: probe it (RFC 9293 section 3.8.6.1)
	}
	p.tellWritable()
}

func (p *Pipe) transmit(k *packet) {
	s := &p.send
	if k.lost {
		s.lost--
	}
	k.sent, k.ackedAt, k.lost = p.sim.now, s.una, false
	s.inFlight += int64(len(k.data))
	if !s.rto.Pending() {
		p.armRTO()
	}
	travel(p.hops, headerSize+int64(len(k.data)), func() { p.arrive(k) }, func() {
		// The duplicate acknowledgements of what follows tell, one round trip later.
		sent := k.sent
		p.sim.After(max(s.srtt, time.Millisecond), func() {
			if p.err == nil && !k.gone && k.sent == sent && !k.lost {
				p.lose(k)
				p.reduce(k)
				p.pump()
			}
		})
	})
}

func (p *Pipe) lose(k *packet) {
	k.lost = true
	p.send.lost++
	p.send.inFlight -= int64(len(k.data))
}

func (p *Pipe) resend(k *packet) {
	k.again = true
	p.send.retransmitted += int64(len(k.data))
	// What is on its way may arrive yet: the copy must not share its fate.
	p.transmit(k)
}

// reduce halves the window, once per window of losses.
func (p *Pipe) reduce(k *packet) {
	s := &p.send
	if k.seq < s.recover {
		return
	}
	s.recover = s.nxt
	s.ssthresh = max(s.cwnd/2, 2*p.cfg.MSS)
	s.cwnd = s.ssthresh
}

// acked takes an acknowledgement of everything below next, and of k.
func (p *Pipe) acked(next, edge int64, k *packet, done bool) {
	if p.err != nil && p.err != io.EOF || p.send.dead {
		return
	}
	s := &p.send
	full := s.inFlight+p.cfg.MSS >= s.cwnd
	before := s.una
	s.edge = max(s.edge, edge)
	if k != nil && !k.gone {
		p.sample(k)
		p.gone(k)
	}
	for len(s.packets) > 0 && (s.packets[0].end() < next || s.packets[0].end() == next && (!s.packets[0].fin || done)) {
		p.gone(s.packets[0])
		s.packets = s.packets[1:]
	}
	if next > s.una {
		s.buf = s.buf[next-s.una:]
		s.una = next
		s.lastAck = p.sim.now
		s.backoff = 0
		p.grow(next-before, full)
		s.rto.Stop()
	}
	if len(s.packets) == 0 {
		s.rto.Stop()
	} else if !s.rto.Pending() {
		p.armRTO()
	}
	p.pump()
}

func (p *Pipe) gone(k *packet) {
	if !k.gone && !k.lost {
		p.send.inFlight -= int64(len(k.data))
	}
	if k.lost {
		p.send.lost--
	}
	k.gone, k.lost = true, false
}

// sample measures the round trip and the rate of delivery from k.
func (p *Pipe) sample(k *packet) {
	s := &p.send
	rtt := p.sim.now - k.sent
	if d := s.una + int64(len(k.data)) - k.ackedAt; rtt > 0 {
		s.rate = int64(float64(d) / rtt.Seconds())
	}
	if k.again {
		return
	}
	if s.srtt == 0 { // RFC 6298 section 2.2
		s.srtt, s.rttvar, s.minRTT = rtt, rtt/2, rtt
		return
	}
	s.rttvar += ((s.srtt - rtt).Abs() - s.rttvar) / 4
	s.srtt += (rtt - s.srtt) / 8
	s.minRTT = min(s.minRTT, rtt)
}

// grow opens the window if it was in use.
func (p *Pipe) grow(n int64, full bool) {
	s := &p.send
	switch {
	case !full:
	case s.cwnd < s.ssthresh:
		s.cwnd += n
	case s.una < s.recover: // still repairing
	default:
		s.cwnd += max(1, p.cfg.MSS*n/s.cwnd)
	}
}

func (p *Pipe) armRTO() {
	s := &p.send
	s.rto.Stop()
	if p.err != nil {
		return
	}
	wait := time.Second // RFC 6298 section 2.1
	if s.srtt > 0 {
		wait = max(s.srtt+4*s.rttvar, minRTO)
	}
	wait = min(wait<<min(s.backoff, 10), maxRTO)
	s.rto = p.sim.After(wait, p.timeout)
}

// timeout is RFC 6298 section 5: everything outstanding counts as lost, one segment goes out.
func (p *Pipe) timeout() {
	s := &p.send
	if p.err != nil || s.dead {
		return
	}
	s.backoff++
	if len(s.packets) == 0 {
		travel(p.hops, headerSize, func() { p.acknowledge(nil) }, func() {})
		p.armRTO()
		return
	}
	s.ssthresh = max(s.cwnd/2, 2*p.cfg.MSS)
	s.cwnd, s.recover = p.cfg.MSS, s.nxt
	for _, k := range s.packets {
		if !k.gone && !k.lost {
			p.lose(k)
		}
	}
	p.armRTO()
	p.pump()
}

func (p *Pipe) tellWritable() {
	if p.full && p.err == nil && p.writable != nil && p.Room() >= min(p.cfg.MSS, p.cfg.SendBuffer) {
		p.full = false
		p.writable()
	}
}
