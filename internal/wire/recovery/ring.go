package recovery

// ring is a deque of record numbers in which the middle can be changed too: the shorter side moves.
type ring struct {
	buf   []int32 // its length is a power of two, or 0
	first int
	n     int
}

const minRing = 16

func (r *ring) slot(i int) *int32 { return &r.buf[(r.first+i)&(len(r.buf)-1)] }
func (r *ring) at(i int) int32    { return *r.slot(i) }
func (r *ring) pushBack(v int32)  { r.insert(r.n, v) }

func (r *ring) popFront() {
	r.first = (r.first + 1) & (len(r.buf) - 1)
	r.n--
}

// insert puts v before the i-th element.
func (r *ring) insert(i int, v int32) {
	if r.n == len(r.buf) {
		r.grow()
	}
	if i < r.n/2 {
		r.first = (r.first - 1) & (len(r.buf) - 1)
		for k := range i {
			*r.slot(k) = r.at(k + 1)
		}
	} else {
		for k := r.n; k > i; k-- {
			*r.slot(k) = r.at(k - 1)
		}
	}
	r.n++
	*r.slot(i) = v
}

// remove takes the i-th element out.
func (r *ring) remove(i int) {
	if i < r.n/2 {
		for k := i; k > 0; k-- {
			*r.slot(k) = r.at(k - 1)
		}
		r.popFront()
		return
	}
	for k := i; k < r.n-1; k++ {
		*r.slot(k) = r.at(k + 1)
	}
	r.n--
}

func (r *ring) grow() {
	buf := make([]int32, max(minRing, 2*len(r.buf)))
	for i := range r.n {
		buf[i] = r.at(i)
	}
	r.buf, r.first = buf, 0
}
