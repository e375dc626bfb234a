// Package timer has timers that let go.
package timer

import (
	"sync/atomic"
	"time"
)

// Timer is one of time.AfterFunc that keeps its owner in memory until End, and no longer. Of package time a stopped one does:
// the runtime does not take it out of its heaps at once, and where the processor of such a heap has nothing to do, it stays
// until the time that it was set for.
type Timer[T any] struct {
	*time.Timer
	owner atomic.Pointer[T]
}

// After sets a timer: fire is called with the owner when d is over.
func After[T any](d time.Duration, owner *T, fire func(*T)) *Timer[T] {
	t := new(Timer[T])
	t.owner.Store(owner)
	t.Timer = time.AfterFunc(d, func() {
		if o := t.owner.Load(); o != nil {
			fire(o)
		}
	})
	return t
}

// End stops it for good. A call that has begun goes on. A nil *Timer has ended.
func (t *Timer[T]) End() {
	if t != nil {
		t.Stop()
		t.owner.Store(nil)
	}
}
