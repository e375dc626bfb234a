package onpath

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// ThinAcks passes one of n pure acknowledgments of a flow in direction d on and loses the others, but for
// those that repeat a number: they tell of losses. What is lost is answered for by the next.
func ThinAcks(d Dir, n int) Element {
	type thinned struct {
		last  uint32
		count int
	}
	var all flows[thinned]
	return Where(And(Going(d), IsPureAck), Func(func(p []byte, d Dir, emit Emit) {
		v, _ := locate(p)
		f := all.make(flowOf(&v, d))
		repeated := f.last == v.tcp.Ack()
		f.last = v.tcp.Ack()
		if f.count++; repeated || f.count >= n {
			f.count = 0
			emit(p, d)
		}
	}))
}

// UnseenAcks loses segments that acknowledge what has not passed here: a box on one path that knows nothing of
// the others. Dropped counts them.
type UnseenAcks struct {
	Dropped int64
	flows   flows[[2]expected]
}

// Process implements Element.
func (u *UnseenAcks) Process(_ time.Duration, p []byte, d Dir, emit Emit) {
	v, ok := locate(p)
	if !ok {
		emit(p, d)
		return
	}
	f := u.flows.make(flowOf(&v, d))
	own, others := &f[d&1], &f[d.Reverse()&1]
	end := v.tcp.Seq() + v.seqLen()
	if v.has(packet.SYN) || !own.begun || before(own.next, end) {
		*own = expected{end, true}
	}
	if v.has(packet.ACK) && others.begun && before(others.next, v.tcp.Ack()) {
		u.Dropped++
		return
	}
	emit(p, d)
}

// ShrinkWindow lowers the windows that are announced in direction d to at most n bytes. The scale is learnt
// from the SYN; without one it is none.
func ShrinkWindow(d Dir, n int) Element {
	type scale struct{ shift uint8 }
	var all flows[scale]
	return Only(d, rewrite(func(v *view, d Dir) {
		f := all.make(flowOf(v, d))
		if v.has(packet.SYN) {
			f.shift, _ = scaleOf(v)
			v.setWindow(uint16(min(int(v.tcp.Window()), n)))
			return
		}
		v.setWindow(uint16(min(int(v.tcp.Window()), n>>f.shift)))
	}))
}

// scaleOf is the window scale that a SYN announces (RFC 7323 section 2.3 has 14 as the most).
func scaleOf(v *view) (shift uint8, ok bool) {
	eachOption(v.tcp.Options(), func(r options.Raw) bool {
		if r.Kind() == options.KindWindowScale && len(r) == 3 {
			shift, ok = min(r[2], 14), true
		}
		return !ok
	})
	return shift, ok
}
