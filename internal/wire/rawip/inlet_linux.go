package rawip

import (
	"errors"
	"os"
	"sync"
	"time"
)

const (
	// alone is for how long all traffic must have been that of one connection before it may receive by itself: what comes
	// for others then may have to wait for the keeper.
	alone = 10 * time.Millisecond
	// tick is how often the keeper looks whether guests still come. It receives again when none has between two looks.
	tick = time.Millisecond
)

// inlet is a raw socket and the right to receive from it. The keeper has that, a goroutine of the link's, or else a guest:
// who waits for what a connection brings. A guest gets its bytes without a hand-over between goroutines, and while they
// are in the caches of its processor. It leaves whenever it has got some, and comes back for more; to wake the keeper
// each time would cost what is to be saved, so that the keeper only looks from time to time whether guests still come.
type inlet struct {
	link   *Link
	reader *reader
	handle func(*Link, *reader, int, time.Duration)
	n      int // packets in the reader that nobody has handled yet; the holder's affair

	mu     sync.Mutex
	holder holder
	guest  any           // the connection of the guest that is here
	only   any           // the one connection that everything has been for; nil: several
	since  time.Duration // when that began
	came   bool          // guests have come since the keeper looked
	asleep bool          // the keeper waits for a guest that is here to leave
	intr   bool          // the guest is not to wait
	parked bool          // the holder waits for packets
	past   bool          // the socket's deadline is over, which ends that

	out  chan struct{} // the keeper has made room for a guest
	back chan struct{} // the keeper is wanted
}

// holder says who has the right to receive.
type holder uint8

const (
	nobody holder = iota
	keeper
	guest
)

func newInlet(l *Link, s *rawSocket, size int, handle func(*Link, *reader, int, time.Duration)) *inlet {
	k := &inlet{link: l, handle: handle, out: make(chan struct{}), back: make(chan struct{}, 1)}
	k.reader = newReader(s, size, k.park)
	return k
}

// keep is the keeper. It ends when the link is closed and no guest is there any more.
func (k *inlet) keep() {
	defer k.reader.close()
	for k.reclaim() {
		for k.fetch(keeper, true) {
			k.deliver()
		}
	}
}

// reclaim waits until no more guests come, and takes the right to receive then. False: the link is closed.
func (k *inlet) reclaim() bool {
	t := time.NewTimer(tick)
	defer t.Stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.holder == guest || k.came && !k.link.closed.Load() {
		// A guest that has been here since the look before may wait for long.
		k.asleep, k.came = k.holder == guest && !k.came, false
		wake := t.C
		if k.asleep {
			wake = nil
		} else {
			t.Reset(tick)
		}
		k.mu.Unlock()
		select {
		case <-wake:
		case <-k.back:
		}
		k.mu.Lock()
		k.asleep = false
	}
	k.holder = keeper
	return !k.link.closed.Load()
}

// Take implements link.Inlet.
func (k *inlet) Take(conn any) bool {
	now := k.link.cfg.Clock()
	k.mu.Lock()
	busy := k.holder == guest || k.holder == keeper && !k.parked
	if busy || k.link.closed.Load() || k.only != conn || now-k.since < alone {
		k.mu.Unlock()
		return false
	}
	displaces := k.holder == keeper
	k.holder, k.guest, k.came, k.intr = guest, conn, true, false
	if displaces {
		k.interrupt()
	}
	k.mu.Unlock()
	if displaces {
		<-k.out // it comes at once: what it may have received it leaves to the guest
	}
	return true
}

// Receive implements link.Inlet.
func (k *inlet) Receive(b []byte, wait bool) (n int, stays bool) {
	if k.n == 0 { // else a batch of the keeper's is there already
		k.reader.lend(b, k.guest)
	}
	ok := k.fetch(guest, wait)
	if ok && k.n > 0 {
		k.link.counters.guestBatches.Add(1)
		k.deliver()
	}
	n = k.reader.unlend()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.intr = false
	return n, ok && k.only == k.guest
}

// Leave implements link.Inlet.
func (k *inlet) Leave(wanted bool) {
	k.mu.Lock()
	k.holder = nobody
	k.came = !wanted && k.only == k.guest
	k.guest = nil
	if wanted {
		k.since = k.link.cfg.Clock() // or it would come and go with each piece that a reader takes while a writer waits
	}
	call := k.asleep || !k.came
	k.mu.Unlock()
	if call || k.link.closed.Load() {
		k.call()
	}
}

// SetReadDeadline implements link.Inlet.
func (k *inlet) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.intr = true
	if k.holder == guest {
		k.interrupt()
	}
	return nil
}

// interrupt ends the holder's wait. The holder takes the deadline back.
func (k *inlet) interrupt() {
	if k.parked && !k.past {
		k.past = true
		_ = k.reader.sock.file.SetReadDeadline(longAgo)
	}
}

// longAgo is a deadline that is over.
var longAgo = time.Unix(1, 0)

// call wakes the keeper.
func (k *inlet) call() {
	select {
	case k.back <- struct{}{}:
	default: // it has been called already
	}
}

// fetch receives a batch for me, and with wait it waits for one. False: I can't go on.
func (k *inlet) fetch(me holder, wait bool) bool {
	var err error
	if k.n == 0 {
		k.n, err = k.reader.receive(wait)
	}
	k.mu.Lock()
	k.parked = false
	if k.past {
		k.past = false
		_ = k.reader.sock.file.SetReadDeadline(time.Time{})
	}
	displaced := k.holder != me
	k.mu.Unlock()
	switch {
	case displaced:
		k.out <- struct{}{}
		return false
	case k.link.closed.Load() || errors.Is(err, os.ErrClosed):
		return false
	case err == nil || errors.Is(err, os.ErrDeadlineExceeded):
		return true
	}
	k.link.counters.receiveErrors.Add(1)
	if me == keeper {
		k.link.pause() // an error that stays must not become a loop
	}
	return me == keeper
}

// park says whether the holder may wait: the reader asks when there is nothing to receive.
func (k *inlet) park() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.parked = k.holder == keeper || !k.intr
	return k.parked
}

// deliver hands the batch to its handlers and lets it have its consequences.
func (k *inlet) deliver() {
	l, n := k.link, k.n
	if k.n = 0; n == 0 {
		return
	}
	l.counters.batches.Add(1)
	only, now := l.deliver(k, n)
	k.mu.Lock()
	if k.only != only {
		k.only, k.since = only, now
	}
	k.mu.Unlock()
}
