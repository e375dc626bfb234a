// Package deque is a queue that costs nothing per entry once it has grown to its working size.
package deque

// keep is how many entries' worth of backing array an empty deque keeps when it is trimmed, so that
// a connection that goes idle after a backlog does not sit on the backlog's bookkeeping.
const keep = 16

// Deque is a sequence that grows at the back, shrinks at the front and, rarely, takes an entry in
// between. Pushing and popping cost O(1) amortised, and nothing is allocated once it has grown to its
// working size. The zero Deque is empty.
type Deque[T any] struct {
	s    []T
	head int // s[:head] has been popped
}

// Len is the number of entries.
func (d *Deque[T]) Len() int { return len(d.s) - d.head }

// At is the i-th entry from the front, valid until the next change of the deque.
func (d *Deque[T]) At(i int) *T { return &d.s[d.head+i] }

// Last is the last entry, valid until the next change of the deque.
func (d *Deque[T]) Last() *T { return &d.s[len(d.s)-1] }

// Push puts v at the back.
func (d *Deque[T]) Push(v T) {
	if len(d.s) == cap(d.s) && d.head > 0 && d.head >= d.Len() {
		// At least as many entries are gone as live: sliding down is cheaper than growing.
		n := copy(d.s, d.s[d.head:])
		clear(d.s[n:])
		d.s, d.head = d.s[:n], 0
	}
	d.s = append(d.s, v)
}

// Insert puts v before the i-th entry.
func (d *Deque[T]) Insert(i int, v T) {
	if d.head > 0 && i <= d.Len()/2 {
		d.head--
		copy(d.s[d.head:], d.s[d.head+1:d.head+1+i])
		d.s[d.head+i] = v
		return
	}
	var zero T
	d.Push(zero)
	live := d.s[d.head:]
	copy(live[i+1:], live[i:])
	live[i] = v
}

// Pop takes the first entry off.
func (d *Deque[T]) Pop() T {
	var zero T
	v := d.s[d.head]
	d.s[d.head] = zero
	d.head++
	if d.head == len(d.s) {
		d.Reset()
	}
	return v
}

// Reset forgets all entries.
func (d *Deque[T]) Reset() {
	clear(d.s)
	d.s, d.head = d.s[:0], 0
}

// Bulky says whether trim would give anything back.
func (d *Deque[T]) Bulky() bool { return d.Len() == 0 && cap(d.s) > keep }

// Trim gives the array of an empty deque back: nothing goes on. While data flows the array stays, since
// it would only grow again at once.
func (d *Deque[T]) Trim() {
	if d.Bulky() {
		d.s = nil
	}
}
