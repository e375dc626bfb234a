package tcp

// deque is a sequence that grows at the back and shrinks at the front. Nothing is allocated once it has
// grown to its working size. The zero deque is empty.
type deque[T any] struct {
	s    []T
	head int // s[:head] has been popped
}

func (d *deque[T]) len() int { return len(d.s) - d.head }

// at is the i-th entry from the front, valid until the next change of the deque.
func (d *deque[T]) at(i int) *T { return &d.s[d.head+i] }

func (d *deque[T]) last() *T { return &d.s[len(d.s)-1] }

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
	var zero T
	d.push(zero)
	live := d.s[d.head:]
	copy(live[i+1:], live[i:])
	live[i] = v
}

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

func (d *deque[T]) reset() {
	clear(d.s)
	d.s, d.head = d.s[:0], 0
}
