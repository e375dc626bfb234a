package rawip

import (
	"container/list"
	"time"
)

// A port rests when its last flow is over: it stays shielded, though nobody uses it. The peer of a flow that a RST has ended at
// this end alone knows nothing of that and still sends. Without the shield the kernel would answer, in our name and past our limit
// on RSTs; with it the Stack does. Who wants the port takes it meanwhile.
const (
	restTime   = time.Second // so long at least, and at most twice as long
	maxResting = 512         // each is a socket of the process; the oldest makes room for the next
)

// rest is a port's place among those that rest, and the round in which it has begun to.
type rest struct {
	place *list.Element
	round uint64
}

// rests says whether the port's last flow was over a moment ago.
func (h *held) rests() bool { return h.rest.place != nil }

// resting are the ports that rest, those first that began first. They are looked after in rounds of restTime, as long as there are
// some. The lock of ports guards it.
type resting struct {
	list  list.List // of *held
	round uint64
	timer *time.Timer // ends the round; nil: none is under way
}

// add lets a port rest, and returns the one that has to go for it, if there are too many. sweep is to be called when a round is over.
func (r *resting) add(h *held, sweep func()) (oldest *held) {
	h.rest = rest{r.list.PushBack(h), r.round}
	if r.timer == nil {
		r.timer = time.AfterFunc(restTime, sweep)
	}
	if r.list.Len() <= maxResting {
		return nil
	}
	return r.pop()
}

// remove ends the rest of a port, if it has one.
func (r *resting) remove(h *held) {
	if h.rests() {
		r.list.Remove(h.rest.place)
		h.rest.place = nil
	}
}

// pop ends the rest of the port that has rested longest.
func (r *resting) pop() *held {
	h := r.list.Front().Value.(*held)
	r.remove(h)
	return h
}

// rested ends the round, and returns the ports that have rested through it.
func (r *resting) rested() (all []*held) {
	for e := r.list.Front(); e != nil && e.Value.(*held).rest.round < r.round; e = r.list.Front() {
		all = append(all, r.pop())
	}
	r.round++
	if r.list.Len() > 0 {
		r.timer.Reset(restTime)
	} else {
		r.timer = nil
	}
	return all
}

// clear ends everything.
func (r *resting) clear() {
	for r.list.Len() > 0 {
		r.pop()
	}
	if r.timer != nil {
		r.timer.Stop()
	}
}

// sweep lowers the shields of the ports that have rested.
func (p *ports) sweep() {
	p.opening.Lock() // for which close waits
	defer p.opened()
	var gone []*held
	p.mu.Lock()
	if !p.closed {
		for _, h := range p.resting.rested() {
			gone = append(gone, p.spare(h))
		}
	}
	p.mu.Unlock()
	p.lower(gone...)
}
