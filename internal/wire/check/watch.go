package check

import (
	"net/netip"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// tuple is a connection as this side names it.
type tuple struct{ local, remote netip.AddrPort }

// watch notes what the connections of one path do. A new one begins with a SYN that leaves.
type watch struct {
	mu    sync.Mutex
	conns map[tuple]*Seen
	order []*Seen // as they began
	idsn  uint64  // of the connections that begin; with keyed
	keyed bool
	gap   bool // the next connection's first piece of payload is kept back once
}

func newWatch() *watch { return &watch{conns: make(map[tuple]*Seen)} }

// next says what the connections that begin from now on are, and returns how many there have been.
func (w *watch) next(idsn uint64, keyed, gap bool) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idsn, w.keyed, w.gap = idsn, keyed, gap
	return len(w.order)
}

// segment is a link.Onlooker.
func (w *watch) segment(_ time.Duration, sent bool, s *packet.Segment) (pass bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := tuple{s.Dst, s.Src}
	if sent {
		k = tuple{s.Src, s.Dst}
	}
	v := w.conns[k]
	switch {
	case sent && s.Flags.Has(packet.SYN) && !s.Flags.Has(packet.ACK) && (v == nil || v.isn != s.Seq): // ports come again
		v = newSeen(w.idsn, w.keyed)
		w.conns[k] = v
		w.order = append(w.order, v)
	case v == nil:
		return true
	}
	if !sent {
		v.received(s)
		return true
	}
	if w.gap && s.PayloadLen() > 0 {
		w.gap = false
		v.Made = true
		return false
	}
	v.sent(s)
	if v.Made && v.End == 0 {
		v.End = v.Sent
	}
	return true
}

// seen is a copy of what connection number i has come to; nil: it never began.
func (w *watch) seen(i int) *Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i >= len(w.order) {
		return nil
	}
	v := *w.order[i]
	v.TTLs = append([]uint8(nil), v.TTLs...)
	v.Told = append([]netip.Addr(nil), v.Told...)
	return &v
}
