package wire

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

// inbox is what segments have brought and the engine has not heard yet. It is told when TCP has done with
// a segment, so that what the engine answers never finds the connection half way through one; and before
// Attach there is no engine to tell.
type inbox struct {
	items *[]item // nil: nothing
	heard bool    // payload has come

	acked    bool // the subflow's cumulative acknowledgement has moved
	finAcked bool // over our FIN
	room     bool
	stuck    bool
	closed   bool
	err      error // with closed
}

// itemKind says what an item is.
type itemKind uint8

const (
	itemDSS itemKind = iota + 1
	itemSignal
	itemPlain
	itemBare
	itemOpen // the fourth message of a join
	itemProgress
	itemAsked
	itemData
	itemFIN
)

// item is one thing that has arrived, in order.
type item struct {
	kind   itemKind
	dss    options.DSS
	window int64 // of the segment that brought the DSS, in bytes; -1: it counts for nothing
	signal options.Option
	data   pool.Ref
}

// maxWaiting bounds what waits for Attach. A peer that says more before its third message has been looked
// at says it again.
const maxWaiting = 64

// full says whether nothing more may wait.
func (b *inbox) full() bool { return b.items != nil && len(*b.items) >= maxWaiting }

// rooms are for items; a flow of which nothing waits has none.
var rooms pool.Free[[]item]

func (b *inbox) put(i item) {
	if b.items == nil {
		b.items = rooms.Get()
	}
	*b.items = append(*b.items, i)
}

// drop releases what waits.
func (b *inbox) drop() {
	if b.items == nil {
		return
	}
	list := *b.items
	for i := range list {
		list[i].data.Release()
	}
	clear(list)
	*b.items = list[:0]
	rooms.Put(b.items)
	b.items = nil
}

// dispatch tells the engine what has come.
func (f *Flow) dispatch(now time.Duration) {
	b := &f.in
	if f.eng == nil {
		return
	}
	for n := 0; b.items != nil && n < len(*b.items) && !f.rst.aborted; n++ {
		i := (*b.items)[n]
		(*b.items)[n].data = pool.Ref{}
		f.tell(now, &i)
	}
	b.drop()
	if b.acked {
		b.acked = false
		f.eng.HandleAcked(now, f.id)
	}
	if b.finAcked {
		b.finAcked = false
		f.eng.HandleFINAcked(now, f.id)
	}
	if b.stuck {
		b.stuck = false
		f.eng.HandleStuck(now, f.id)
	}
	if b.room {
		b.room = false
		f.eng.HandleRoom(now, f.id)
	}
	if b.closed {
		b.closed = false
		f.eng.HandleClosed(now, f.id, b.err)
	}
}

// tell brings one item to the engine.
func (f *Flow) tell(now time.Duration, i *item) {
	switch i.kind {
	case itemDSS:
		if i.window >= 0 {
			f.eng.HandleWindow(now, f.id, i.dss.DataAck, i.window)
		}
		f.eng.HandleDSS(now, f.id, &i.dss)
	case itemSignal:
		f.eng.HandleOption(now, f.id, i.signal)
	case itemPlain:
		f.eng.HandlePlain(now, f.id)
	case itemBare:
		f.eng.HandleBare(now, f.id)
	case itemOpen:
		f.eng.HandleEstablished(now, f.id)
	case itemProgress:
		f.eng.HandleProgress(now, f.id)
	case itemAsked:
		f.eng.HandleAsked(now, f.id)
	case itemData:
		f.deliver(now, i.data)
	case itemFIN:
		f.eng.HandleFIN(now, f.id)
	}
}

// deliver brings payload to the engine. What has arrived in the buffer of a Read is there already if it comes next.
func (f *Flow) deliver(now time.Duration, p pool.Ref) {
	if l := p.Loan(); l != nil {
		for p.Len() > 0 {
			n := min(p.Len(), f.eng.DirectRoom(f.id))
			if n == 0 {
				break
			}
			l.Take(p.B[:n])
			f.eng.HandleDirect(now, f.id, n)
			p.B = p.B[n:]
		}
		if p.Len() == 0 {
			return
		}
		p = p.Own()
	}
	f.eng.HandleBytes(now, f.id, p)
}

// Established implements tcp.Handler. For a first subflow that is not multipath this is where its
// handshake ends.
func (h *handler) Established(now time.Duration) {
	f := (*Flow)(h)
	f.progress = now
	f.hs.tcpDone(f)
}

// Data implements tcp.Handler.
func (h *handler) Data(now time.Duration, p pool.Ref) {
	f := (*Flow)(h)
	if f.rst.aborted || f.fc.waiting || f.hs.result.Err != nil {
		p.Release()
		return
	}
	if f.eng == nil {
		p = p.Own() // it waits
	}
	f.in.heard = true
	f.sig.alone = 0 // the ACK for this is no duplicate
	f.in.put(item{kind: itemData, data: p})
}

// FIN implements tcp.Handler.
func (h *handler) FIN(now time.Duration) { (*Flow)(h).in.put(item{kind: itemFIN}) }

// Acked implements tcp.Handler.
func (h *handler) Acked(now time.Duration, off uint64) {
	f := (*Flow)(h)
	f.tx.ack(off)
	f.acked = int64(min(off, f.tx.next())) - 1 // the SYN is no payload, and the FIN neither
	f.progress = now
	f.in.acked, f.in.finAcked = true, off > f.tx.next()
}

// Room implements tcp.Handler.
func (h *handler) Room(now time.Duration) { (*Flow)(h).in.room = true }

// Stuck implements tcp.Handler.
func (h *handler) Stuck(now time.Duration, n int) {
	f := (*Flow)(h)
	f.unheeded(n)
	f.in.stuck = true
}

// Closed implements tcp.Handler.
func (h *handler) Closed(now time.Duration, err error) {
	f := (*Flow)(h)
	f.hs.again, f.sig.again, f.fc.again, f.probe.again = 0, 0, 0, 0
	f.fc.waiting = false
	f.tx.drop()
	if !f.hs.settled {
		f.hs.fail(f.closedBy(err), true)
		return
	}
	f.in.closed, f.in.err = true, f.closedBy(err)
}
