package pool

import "sync"

// Free keeps values of one type for whoever needs one next: what every segment needs for a moment, and no idle
// connection. The zero value is ready.
type Free[T any] struct{ values sync.Pool }

// Get gives out a value as it was when it was put back, or a zero one.
func (f *Free[T]) Get() *T {
	if v, ok := f.values.Get().(*T); ok {
		return v
	}
	return new(T)
}

// Put takes a value that is not needed any more.
func (f *Free[T]) Put(v *T) { f.values.Put(v) }
