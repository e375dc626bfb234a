package wire

import (
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/seqnum"
	"github.com/mptcp-go/mptcp/options"
)

// signals are the options that wait for a segment which has room for them: nearly always a pure ACK, for a
// DSS with a mapping and timestamps fill the header.
type signals struct {
	count *mib.Tally
	queue []options.Option
	fail  mpFail
	alone int           // pure ACKs in a row that left for the sake of signals
	last  time.Duration // when the last of them did
	again time.Duration // when the next may; 0: nothing waits for that
}

// mpFail is an MP_FAIL that is repeated until the peer shows that it has arrived: were it lost, the peer would go on with
// mappings that we no longer look at. But Linux takes each for a new complaint, and has stopped sending when several
// came at once. So it goes along with what leaves a retransmission timeout later, and an answer is repeated only when it
// is asked for again.
type mpFail struct {
	set    bool
	asked  bool // the peer's came first: ours is the answer
	option options.MPFail
	wait   time.Duration // between repetitions
	next   time.Duration // when it may leave
	behind bool          // it has left with a DATA_ACK that ends where the data failed: the true one is to follow
}

// bound keeps the DATA_ACK that goes along with a complaint from covering what has failed.
func (m *mpFail) bound(now time.Duration, a *engine.Ack) {
	if m.set && !m.asked && now >= m.next {
		a.DataAck = seqnum.Min(a.DataAck, m.option.DSN)
	}
}

// put makes o what leaves next.
func (m *mpFail) put(o options.MPFail, wait time.Duration) {
	m.set, m.option, m.wait, m.next = true, o, wait, 0
}

// take takes the peer's MP_FAIL: an answer to ours, or what ours, which may have yet to be queued, is the answer to.
func (m *mpFail) take() {
	if !m.set && m.wait == 0 {
		m.asked = true
	}
	m.set, m.next = m.asked && m.wait != 0, 0
}

// append appends it when it is due.
func (m *mpFail) append(now time.Duration, dst []byte, budget int, count *mib.Tally) []byte {
	if !m.set || now < m.next {
		return dst
	}
	from := len(dst)
	if dst = fit(dst, m.option, budget); len(dst) > from {
		count.Count(mib.MPFailTx)
		m.set, m.next, m.behind = !m.asked, now+m.wait, !m.asked
	}
	return dst
}

const (
	// maxQueued bounds the signals that wait. What does not fit is lost like a segment that carried it:
	// the engine or the peer repeats what matters.
	maxQueued = 32
	// maxAlone: "MPTCP SHOULD NOT send more than two duplicate ACKs containing (non-DSS) MPTCP signals in a
	// row" (RFC 8684 section 4).
	maxAlone = 2
	// maxIDs is how many address ids one REMOVE_ADDR carries: Linux takes no more.
	maxIDs = 8
)

// Signal queues an option. A DSS is a DATA_FIN without data.
func (f *Flow) Signal(now time.Duration, o options.Option) {
	if f.rst.aborted || f.fc.waiting {
		return
	}
	switch o := o.(type) {
	case options.DSS:
		if !f.hs.multipath() {
			return
		}
		f.fin = dataFIN{set: true, next: f.hs.thirds > 0 && !f.fin.dss.DataFIN, dss: o}
		f.c.AckNow(now)
		return
	case options.Fastclose:
		f.fc.set, f.fc.option = true, o
		return // it leaves with Abort or Close
	case options.MPFail:
		f.sig.fail.put(o, f.rto())
		f.c.AckNow(now)
		return
	case options.RemoveAddr:
		for ids := o.IDs[:o.N]; len(ids) > 0; {
			var part options.RemoveAddr
			part.N = uint8(copy(part.IDs[:min(maxIDs, len(ids))], ids))
			ids = ids[part.N:]
			f.sig.put(part)
		}
	default:
		f.sig.put(o)
	}
	f.hurry(now)
}

// put queues one option; it takes the place of what it makes obsolete.
func (s *signals) put(o options.Option) {
	_, prio := o.(options.MPPrio)
	for i, q := range s.queue {
		_, same := q.(options.MPPrio)
		if q == o || prio && same {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			break
		}
	}
	if len(s.queue) == maxQueued {
		s.dropped(o)
		return
	}
	s.queue = append(s.queue, o)
}

// hurry asks for an ACK that carries what waits, at once or when it is no longer the third in a row.
func (f *Flow) hurry(now time.Duration) {
	s := &f.sig
	if len(s.queue) == 0 {
		return
	}
	wait := f.rto()
	if s.alone > 0 && now-s.last >= wait {
		s.alone = 0 // nobody takes an ACK that comes so late for a sign of loss
	}
	switch {
	case s.alone < maxAlone:
		f.c.AckNow(now)
	case s.again == 0:
		s.again = s.last + wait
	}
}

// signalTimeout lets the next signals leave.
func (f *Flow) signalTimeout(now time.Duration) {
	if s := &f.sig; s.again != 0 && now >= s.again {
		s.again, s.alone = 0, 0
		f.hurry(now)
	}
}

// more asks for another ACK where the last one could not carry everything.
func (f *Flow) more(now time.Duration) bool {
	if f.eng == nil || f.rst.aborted || f.fc.waiting || f.hs.joining() {
		return false
	}
	f.fin.set = f.fin.set && !f.eng.FellBack()
	switch {
	case f.hs.muted || !f.hs.multipath():
		return false // no option leaves: another ACK would carry none either, nor the next
	case f.sig.fail.behind:
		f.sig.fail.behind = false
		f.c.AckNow(now)
		return true
	case f.fin.set:
		f.c.AckNow(now)
		return true
	case len(f.sig.queue) > 0 && f.sig.alone < maxAlone:
		f.c.AckNow(now)
		return true
	}
	f.hurry(now)
	return false
}

// append appends what fits of the signals that wait, in order. With lone, the segment is a pure ACK.
func (s *signals) append(now time.Duration, dst []byte, budget int, lone bool) []byte {
	from := len(dst)
	dst = s.fail.append(now, dst, budget, s.count)
	n := 0
	for _, o := range s.queue {
		if padded(o.Len()) > budget-(len(dst)-from) {
			break
		}
		dst = fit(dst, o, budget-(len(dst)-from))
		s.counted(o)
		n++
	}
	if n > 0 {
		rest := copy(s.queue, s.queue[n:])
		clear(s.queue[rest:])
		s.queue = s.queue[:rest]
	}
	switch {
	case !lone:
		s.alone = 0
	case n > 0:
		s.alone++
		s.last = now
	}
	return dst
}

// counted counts an option that leaves.
func (s *signals) counted(o options.Option) {
	switch o := o.(type) {
	case options.AddAddr:
		if o.Echo {
			s.count.Count(mib.EchoAddTx)
		} else {
			s.count.Count(mib.AddAddrTx)
		}
	case options.RemoveAddr:
		s.count.Count(mib.RmAddrTx)
	case options.MPPrio:
		s.count.Count(mib.MPPrioTx)
	}
}

// dropped counts an option that never leaves.
func (s *signals) dropped(o options.Option) {
	switch o := o.(type) {
	case options.AddAddr:
		if o.Echo {
			s.count.Count(mib.EchoAddTxDrop)
		} else {
			s.count.Count(mib.AddAddrTxDrop)
		}
	case options.RemoveAddr:
		s.count.Count(mib.RmAddrTxDrop)
	}
}

// next is the length of the option that is first in the queue; 0: none waits.
func (s *signals) next() int {
	if len(s.queue) == 0 {
		return 0
	}
	return padded(s.queue[0].Len())
}

// unfit drops signals that no segment of this subflow has room for: an ADD_ADDR with an IPv6 address and a
// port, where there are timestamps (Linux does not send it either).
func (s *signals) unfit(budget int) {
	for len(s.queue) > 0 && s.next() > budget {
		s.dropped(s.queue[0])
		s.queue = s.queue[:copy(s.queue, s.queue[1:])]
	}
}

// dataFIN is a DATA_FIN that travels without data.
type dataFIN struct {
	set  bool
	next bool // the third message need not leave ahead of it: it has just left
	dss  options.DSS
}

// splitFIN takes the DATA_FIN off a mapping that MP_CAPABLE declares, which has no flag for it. It follows
// on an ACK of its own.
func (f *Flow) splitFIN(now time.Duration, m engine.Mapping) engine.Mapping {
	d := options.DSS{HasMap: true, DSN64: true, DSN: m.DSN + uint64(m.Len), DataLen: 1, DataFIN: true}
	m.DataFIN = false
	if m.HasChecksum {
		m.Checksum = engine.WithoutFIN(m.Checksum)
		d.HasChecksum, d.Checksum = true, engine.EmptyChecksum(d.DSN)
	}
	f.Signal(now, d)
	return m
}
