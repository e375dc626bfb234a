package onpath

import "net/netip"

// maxFlows is how many flows an element remembers; the oldest is forgotten for a further one.
const maxFlows = 1 << 14

// flow names a connection by its ends, wherever the packet that tells of it travels.
type flow struct{ near, far netip.AddrPort }

func flowOf(v *view, d Dir) flow {
	if d == Forward {
		return flow{v.src(), v.dst()}
	}
	return flow{v.dst(), v.src()}
}

// flows is what an element remembers of connections.
type flows[T any] struct {
	of    map[flow]*T
	order []flow // a ring, once it is full
	next  int
}

// get returns what is known of a flow; nil: nothing.
func (f *flows[T]) get(k flow) *T { return f.of[k] }

// make returns it too, and begins with a zero T where nothing is known.
func (f *flows[T]) make(k flow) *T {
	if t := f.of[k]; t != nil {
		return t
	}
	if f.of == nil {
		f.of = map[flow]*T{}
	}
	if len(f.order) < maxFlows {
		f.order = append(f.order, k)
	} else {
		delete(f.of, f.order[f.next])
		f.order[f.next] = k
		f.next = (f.next + 1) % maxFlows
	}
	t := new(T)
	f.of[k] = t
	return t
}

// before compares sequence numbers: a < b, modulo 2^32.
func before(a, b uint32) bool { return int32(a-b) < 0 }
