package onpath

import "time"

// maxHeld is how many packets an element holds at most; further ones are lost, as in any full queue.
const maxHeld = 1 << 16

// held is a queue of packets that are to go on at a time: a heap, first come first served among equals.
type held struct {
	heap []heldPacket
	seq  uint64
}

type heldPacket struct {
	at  time.Duration
	seq uint64
	p   []byte
	d   Dir
}

func (a heldPacket) before(b heldPacket) bool {
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

// put queues a packet; false: the queue is full.
func (h *held) put(at time.Duration, p []byte, d Dir) bool {
	if len(h.heap) >= maxHeld {
		return false
	}
	h.seq++
	h.heap = append(h.heap, heldPacket{at, h.seq, p, d})
	for i := len(h.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !h.heap[i].before(h.heap[up]) {
			break
		}
		h.heap[i], h.heap[up] = h.heap[up], h.heap[i]
		i = up
	}
	return true
}

// pop takes the first packet off.
func (h *held) pop() heldPacket {
	first, last := h.heap[0], len(h.heap)-1
	h.heap[0], h.heap[last] = h.heap[last], heldPacket{}
	h.heap = h.heap[:last]
	for i := 0; ; {
		least := i
		for _, k := range [...]int{2*i + 1, 2*i + 2} {
			if k < last && h.heap[k].before(h.heap[least]) {
				least = k
			}
		}
		if least == i {
			return first
		}
		h.heap[i], h.heap[least] = h.heap[least], h.heap[i]
		i = least
	}
}

// Next makes an element that embeds held a Timed one.
func (h *held) Next() (time.Duration, bool) {
	if len(h.heap) == 0 {
		return 0, false
	}
	return h.heap[0].at, true
}

// Tick emits what is due.
func (h *held) Tick(now time.Duration, emit Emit) {
	for len(h.heap) > 0 && h.heap[0].at <= now {
		k := h.pop()
		emit(k.p, k.d)
	}
}
