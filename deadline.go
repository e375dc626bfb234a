package mptcp

import (
	"sync"
	"time"
)

// deadline is a point in time to wait for that may be moved while somebody waits.
type deadline struct {
	mu      sync.Mutex
	timer   *time.Timer
	expired chan struct{} // closed when the time has come; nil: no deadline
	changed chan struct{} // closed when set is called; nil: nobody waits
}

// wait returns the channels to wait on: expired, and changed, after which to ask again.
func (d *deadline) wait() (expired, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.expired, d.changed
}

// set moves the deadline; the zero time takes it away.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer, d.expired = nil, nil
	if !t.IsZero() {
		expired := make(chan struct{})
		d.expired = expired
		if left := time.Until(t); left <= 0 {
			close(expired)
		} else {
			d.timer = time.AfterFunc(left, func() { close(expired) })
		}
	}
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}
