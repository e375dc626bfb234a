package mptcp

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire"
)

// Blackhole is a destination to which SYNs with MP_CAPABLE got lost while one without came through: dials with
// ModeWire begin as plain TCP there (RFC 8684 section 3.9.3).
type Blackhole struct {
	Remote netip.Addr
	Until  time.Time // then Multipath TCP is tried again
}

const (
	// blackholeFirst is for how long a destination is remembered the first time; it doubles each time that
	// Multipath TCP, tried again, gets lost again, up to blackholeDoublings times (as on Linux:
	// net.mptcp.blackhole_timeout).
	blackholeFirst     = time.Hour
	blackholeDoublings = 6
	maxBlackholes      = 1024
)

// blackholes are remembered per destination, in a Transport.
type blackholes struct {
	mu sync.Mutex
	m  map[netip.Addr]*blackhole
}

type blackhole struct {
	until time.Time
	times int
}

// has says whether Multipath TCP is not to be tried now.
func (b *blackholes) has(a netip.Addr, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.m[a]
	return h != nil && now.Before(h.until)
}

// learn takes what a dial has found out.
func (b *blackholes) learn(a netip.Addr, r wire.Result, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.m[a]
	switch {
	case r.Fallback == extapi.FallbackNone:
		delete(b.m, a)
	case r.Fallback != extapi.FallbackBlackhole || h != nil && now.Before(h.until):
	case h != nil:
		h.times = min(h.times+1, blackholeDoublings)
		h.until = now.Add(blackholeFirst << h.times)
	default:
		if b.m == nil {
			b.m = make(map[netip.Addr]*blackhole)
		}
		if len(b.m) >= maxBlackholes {
			b.evict()
		}
		b.m[a] = &blackhole{until: now.Add(blackholeFirst)}
	}
}

// evict forgets the destination that is due first.
func (b *blackholes) evict() {
	var oldest netip.Addr
	for a, h := range b.m {
		if !oldest.IsValid() || h.until.Before(b.m[oldest].until) {
			oldest = a
		}
	}
	delete(b.m, oldest)
}

// Blackholes lists the destinations where dials with ModeWire do without Multipath TCP for now.
func (t *Transport) Blackholes() []Blackhole {
	if s := t.peek(); s != nil {
		return s.blackholes.list(time.Now())
	}
	return nil
}

// list is what has not run out by now, in the order of the addresses.
func (b *blackholes) list(now time.Time) []Blackhole {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []Blackhole
	for a, h := range b.m {
		if now.Before(h.until) {
			list = append(list, Blackhole{a, h.until})
		}
	}
	slices.SortFunc(list, func(a, b Blackhole) int { return a.Remote.Compare(b.Remote) })
	return list
}

// ForgetBlackholes lets dials try Multipath TCP again everywhere: after the network has changed.
// That happens by itself when the addresses of this host say so.
func (t *Transport) ForgetBlackholes() {
	if s := t.peek(); s != nil {
		s.blackholes.forget()
	}
}

// forget forgets all of them.
func (b *blackholes) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.m)
}
