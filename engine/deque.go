package engine

// dequeKeep is how many entries' worth of backing array an empty deque keeps when it is trimmed, so that
// a connection that goes idle after a backlog does not sit on the backlog's bookkeeping.
const dequeKeep = 16

// deque is a sequence that grows at the back, shrinks at the front and, rarely, takes an entry in
// between. Pushing and popping cost O(1) amortised, and nothing is allocated once it has grown to its
// working size. The zero deque is empty.
type deque[T any] struct {
	s    []T
	head int // s[:head] has been popped
}

func (d *deque[T]) len() int { return len(d.s) - d.head }

// at is the i-th entry from the front, valid until the next change of the deque.
func (d *deque[T]) at(i int) *T { return &d.s[d.head+i] }

// push puts v at the back.
func (d *deque[T]) push(v T) {
	if len(d.s) == cap(d.s) && d.head > 0 && d.head >= d.len() {
		// At least as many entries are gone as live: sliding down is cheaper than growing.
		n := copy(d.s, d.s[d.head:])
		clear(d.s[n:])
		d.s, d.head = d.s[:n], 0
	}
	d.s = append(d.s, v)
}

// insert puts v before the i-th entry.
func (d *deque[T]) insert(i int, v T) {
	if d.head > 0 && i <= d.len()/2 {
		d.head--
		copy(d.s[d.head:], d.s[d.head+1:d.head+1+i])
		d.s[d.head+i] = v
		return
	}
	var zero T
	d.push(zero)
	live := d.s[d.head:]
	copy(live[i+1:], live[i:])
	live[i] = v
}

// pop takes the first entry off.
func (d *deque[T]) pop() T {
	var zero T
	v := d.s[d.head]
	d.s[d.head] = zero
	d.head++
	if d.head == len(d.s) {
		d.reset()
	}
	return v
}

// reset forgets all entries.
func (d *deque[T]) reset() {
	clear(d.s)
	d.s, d.head = d.s[:0], 0
}

// bulky says whether trim would give anything back.
func (d *deque[T]) bulky() bool { return d.len() == 0 && cap(d.s) > dequeKeep }

// trim gives the array of an empty deque back: nothing goes on. While data flows the array stays, since
// it would only grow again at once.
func (d *deque[T]) trim() {
	if d.bulky() {
		d.s = nil
	}
}
