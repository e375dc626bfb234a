package recovery

import (
	"fmt"
	"time"
)

// model is a sender's book-keeping byte by byte, from the text of RFC 8985 and RFC 6675 alone: no
// records, no lists, no hints, everything looked at every time. It is told what the Sender is told, and
// must come to the same sums.
type model struct {
	s          *Sender
	bytes      []cell // from offset 0 on
	una, nxt   uint64
	calls      int // of OnSend: what left in a later call left later
	fack       uint64
	reordering bool
	rackCall   int
	rackEnd    uint64
	rackRTT    time.Duration
	rackAny    bool
	mult       int
	persist    int
	round      uint64
	inRound    bool
	recovering bool
	recover    uint64
	timeout    bool
	reported   uint64
	again      uint64
	probing    bool // a probe repeats the last segment
	probeEnd   uint64
	expect     bool // the next send is a probe
	minRTT     time.Duration
}

// cell is one byte.
type cell struct {
	state state
	sent  time.Duration
	call  int
	again bool
}

func newModel(s *Sender) *model {
	return &model{s: s, una: s.Una(), nxt: s.Nxt(), fack: s.Una(), mult: 1, minRTT: s.MinRTT(), bytes: make([]cell, s.Nxt())}
}

func (m *model) sum(st state) (n int64) {
	for off := m.una; off < m.nxt; off++ {
		if m.bytes[off].state == st {
			n++
		}
	}
	return n
}

// differs says where the Sender has other sums.
func (m *model) differs() string {
	s := m.s
	have := [...]int64{int64(s.Una()), int64(s.Nxt()), s.InFlight(), s.Sacked(), s.Lost()}
	want := [...]int64{int64(m.una), int64(m.nxt), m.sum(flying), m.sum(sacked), m.sum(lost)}
	if have != want {
		return fmt.Sprintf("una, nxt, in flight, sacked, lost are %v, naively %v", have, want)
	}
	if r, ok := s.Retransmit(); ok {
		off := m.una
		for m.bytes[off].state != lost {
			off++
		}
		if r.From != off {
			return fmt.Sprintf("retransmits from %d, the lowest lost byte is %d", r.From, off)
		}
		for off := r.From; off < r.To; off++ {
			if m.bytes[off].state != lost {
				return fmt.Sprintf("would retransmit %d, which is not lost", off)
			}
		}
	}
	return ""
}

func (m *model) onSend(now time.Duration, from, to uint64) {
	m.calls++
	if m.expect && to == m.nxt && from < m.nxt {
		m.probing, m.probeEnd = true, to
	} else if m.expect && to > m.nxt {
		m.probing = false
	}
	m.expect = false
	for off := from; off < to; off++ {
		if off >= m.nxt {
			m.bytes = append(m.bytes, cell{sent: now, call: m.calls})
			continue
		}
		if c := &m.bytes[off]; off >= m.una && c.state != sacked {
			*c = cell{sent: now, call: m.calls, again: true}
			m.again++
		}
	}
	m.nxt = max(m.nxt, to)
}

// arrived runs steps 2 and 3 for a byte.
func (m *model) arrived(now time.Duration, off uint64, a *Ack, cumulative bool, best *time.Duration) {
	c := &m.bytes[off]
	if off+1 < m.fack && !c.again {
		m.reordering = true
	}
	m.fack = max(m.fack, off+1)
	if c.again {
		if cumulative && a.HasEcho && a.EchoedAt+time.Millisecond <= c.sent {
			return
		}
		if now-c.sent < m.minRTT {
			return
		}
	}
	*best = max(*best, c.sent)
	if !m.rackAny || c.call > m.rackCall || c.call == m.rackCall && off+1 > m.rackEnd {
		m.rackCall, m.rackEnd, m.rackAny = c.call, off+1, true
	}
}

func (m *model) onAck(now time.Duration, a *Ack, o Outcome) {
	best := time.Duration(-1)
	for off := m.una; off < min(a.Off, m.nxt); off++ {
		if m.bytes[off].state != sacked {
			m.arrived(now, off, a, true, &best)
		}
	}
	m.una = max(m.una, min(a.Off, m.nxt))
	blocks := append([]Range(nil), a.Sacks...)
	for len(blocks) > 0 { // the lowest first
		low := 0
		for i := range blocks {
			if blocks[i].From < blocks[low].From {
				low = i
			}
		}
		b := blocks[low]
		blocks = append(blocks[:low], blocks[low+1:]...)
		if b.From <= m.una || b.From >= b.To || b.To > m.nxt {
			continue
		}
		for off := b.From; off < b.To; off++ {
			if m.bytes[off].state != sacked {
				m.arrived(now, off, a, false, &best)
				m.bytes[off].state = sacked
			}
		}
	}
	if best >= 0 {
		m.rackRTT = max(now-best, time.Microsecond)
	}
	m.dsack(a)
	if o.Spurious {
		m.reordering = m.reordering || !m.timeout
		for off := m.una; off < m.nxt; off++ {
			if m.bytes[off].state == lost {
				m.bytes[off].state = flying
			}
		}
		m.recovering, m.timeout = false, false
	}
	if m.recovering && m.una >= m.recover {
		m.recovering, m.timeout = false, false
		if m.persist--; m.persist <= 0 {
			m.mult = 1
		}
	}
	if m.probing && a.Off >= m.probeEnd {
		m.probing = m.s.tlp.out // what ends a probe is tested elsewhere
	}
	m.detect(now)
	m.minRTT = m.s.MinRTT()
}

func (m *model) dsack(a *Ack) {
	n := a.DSACK.To - a.DSACK.From
	if !a.HasDSACK || a.DSACK.To <= a.DSACK.From || a.DSACK.To > m.nxt || m.reported+n > m.again {
		return
	}
	m.reported += n
	if m.probing && a.DSACK.To == m.probeEnd {
		return
	}
	if m.inRound && m.una < m.round {
		return
	}
	m.round, m.inRound = m.nxt, true
	m.mult++
	m.persist = 16
}

func (m *model) window() time.Duration {
	if !m.reordering && (m.recovering || m.sum(sacked) > 2*m.s.mss) {
		return 0
	}
	return min(time.Duration(m.mult)*m.s.MinRTT()/4, m.s.SRTT())
}

// detect is RACK_detect_loss, byte by byte.
func (m *model) detect(now time.Duration) {
	if !m.rackAny {
		return
	}
	reo := m.window()
	for off := m.una; off < m.nxt; off++ {
		c := &m.bytes[off]
		before := c.call < m.rackCall || c.call == m.rackCall && off+1 < m.rackEnd
		if c.state == flying && before && c.sent+m.rackRTT+reo <= now {
			m.lose(off)
		}
	}
}

func (m *model) lose(off uint64) {
	m.bytes[off].state = lost
	if !m.recovering {
		m.recovering, m.recover = true, m.nxt
		m.probing = false
	}
}

func (m *model) onTimer(now time.Duration, e Expired) {
	switch e {
	case Probe:
		m.expect = true
	case Reorder:
		m.detect(now)
	case RTO:
		reo := m.window()
		first := m.s.board.first().to
		for off := m.una; off < m.nxt; off++ {
			c := &m.bytes[off]
			// The first record as a whole is the first segment: how it was cut is no matter of the RFC's.
			if c.state == flying && (off < first || !m.rackAny || c.sent+m.rackRTT+reo <= now) {
				c.state = lost
			}
		}
		m.recovering, m.timeout, m.recover = true, true, m.nxt
		m.probing = false
	}
}
