package netmon

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

// Options say what to watch. The zero value is ready to use.
type Options struct {
	Interfaces func(net.Interface) bool // nil: all that are not loopback; those that are down are never asked about
	Loopback   bool                     // with Interfaces nil: loopback too
	Debounce   time.Duration            // wait this long for a burst of changes to end; 0: 75ms
	Poll       time.Duration            // where there are no events, look this often; 0: 2s
}

func (o Options) wants(i net.Interface) bool {
	const usable = net.FlagUp | net.FlagRunning
	if i.Flags&usable != usable {
		return false
	}
	if o.Interfaces != nil {
		return o.Interfaces(i)
	}
	return o.Loopback || i.Flags&net.FlagLoopback == 0
}

// errClosed ends a source's wait.
var errClosed = errors.New("netmon: closed")

// source is where the state of the network comes from.
type source interface {
	// wait returns nil when something may have changed, errClosed after close, and another error when
	// the source has no more to tell.
	wait() error
	// settle returns after d, having swallowed the changes until then, or at once after close.
	settle(d time.Duration)
	// read returns the whole state. It may be called beside wait.
	read() (*table, error)
	// close may be called twice.
	close()
}

// Watcher keeps a snapshot of the local addresses up to date. Until somebody watches, it owns neither
// goroutine nor channel nor descriptor, and every question reads the system's state anew. Its methods
// may be called from any goroutine.
type Watcher struct {
	opts   Options
	events func(Options) (source, error) // opens a source of events; an error says why there is none
	poller func(Options) source

	mu     sync.Mutex
	closed bool
	src    source        // nil: not watching
	ended  chan struct{} // closed when the goroutine is gone
	now    *table
	mode   error
	subs   []chan struct{}
}

// New returns a Watcher that does nothing yet.
func New(opts Options) *Watcher {
	if opts.Debounce <= 0 {
		opts.Debounce = 75 * time.Millisecond
	}
	if opts.Poll <= 0 {
		opts.Poll = 2 * time.Second
	}
	return &Watcher{opts: opts, events: openEvents, poller: newPoller}
}

// Snapshot returns the usable local addresses, by interface. The slice is the caller's.
func (w *Watcher) Snapshot() []extapi.Candidate {
	t := w.table()
	s := make([]extapi.Candidate, len(t.addrs))
	for i, a := range t.addrs {
		s[i] = a.Candidate
	}
	return s
}

// Addrs is Snapshot with all that is known. The slice is the caller's.
func (w *Watcher) Addrs() []Addr { return slices.Clone(w.table().addrs) }

// HasRoute reports whether a route leads to remote through the interface. It is true where the system
// does not tell, and for interface 0.
func (w *Watcher) HasRoute(ifIndex int, remote netip.Addr) bool {
	return w.table().hasRoute(ifIndex, remote)
}

// DefaultTunnel returns the name of the tunnel that far destinations are reached through. A program
// that sends past it, through another interface, bypasses a VPN: only a policy may ask for that.
func (w *Watcher) DefaultTunnel() (name string, ok bool) {
	for _, a := range w.table().addrs {
		if a.WayOut && a.Tunnel {
			return a.Interface, true
		}
	}
	return "", false
}

// table returns the newest state, from the watching goroutine if there is one.
func (w *Watcher) table() *table {
	w.mu.Lock()
	t, src := w.now, w.src
	w.mu.Unlock()
	if src != nil {
		return t
	}
	return w.readOnce()
}

// readOnce reads the state without leaving anything open.
func (w *Watcher) readOnce() *table {
	if src, err := w.events(w.opts); err == nil {
		t, err := src.read()
		src.close()
		if err == nil {
			return t
		}
	}
	src := w.poller(w.opts)
	defer src.close()
	t, err := src.read()
	if err != nil {
		return new(table)
	}
	return t
}

// Mode returns nil when changes arrive as events, otherwise why they are found by polling.
func (w *Watcher) Mode() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.src != nil {
		return w.mode
	}
	src, err := w.events(w.opts)
	if err == nil {
		src.close()
	}
	return err
}

// Changes returns a channel that ticks after every change, until the Watcher is closed.
func (w *Watcher) Changes() <-chan struct{} { return w.Watch(context.Background()) }

// Watch returns a channel that ticks after every change and is closed when ctx or the Watcher ends.
// A tick that nobody has taken yet stands for all later ones: take a snapshot after each. The first
// call starts the watching.
func (w *Watcher) Watch(ctx context.Context) <-chan struct{} {
	ticks := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || ctx.Err() != nil {
		close(ticks)
		return ticks
	}
	w.start()
	w.subs = append(w.subs, ticks)
	context.AfterFunc(ctx, func() { w.unsubscribe(ticks) })
	return ticks
}

func (w *Watcher) unsubscribe(ticks chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.subs, ticks); i >= 0 {
		w.subs = slices.Delete(w.subs, i, i+1)
		close(ticks)
	}
}

// start begins to watch. The events are subscribed to before the state is read, so that no change
// falls between.
func (w *Watcher) start() {
	if w.src != nil {
		return
	}
	src, err := w.events(w.opts)
	if err != nil {
		src = w.poller(w.opts)
	}
	w.src, w.mode = src, err
	if w.now, err = src.read(); err != nil {
		w.now = new(table)
	}
	w.ended = make(chan struct{})
	go w.run(src)
}

// run is the watching goroutine.
func (w *Watcher) run(src source) {
	defer close(w.ended)
	pause := w.opts.Debounce
	for {
		if err := src.wait(); err != nil {
			if src = w.replace(src, err); src == nil {
				return
			}
		}
		src.settle(pause)
		began := time.Now()
		t, err := src.read()
		// A router's table takes long to read and changes all the time: never spend more than a tenth
		// of one processor on it.
		pause = max(w.opts.Debounce, 10*time.Since(began))
		if err == nil {
			w.publish(t)
		}
	}
}

// replace polls where a source has ended by itself. It returns nil after Close.
func (w *Watcher) replace(src source, why error) source {
	src.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.src, w.mode = w.poller(w.opts), why
	return w.src
}

func (w *Watcher) publish(t *table) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.equal(w.now) {
		return
	}
	w.now = t
	for _, s := range w.subs {
		select {
		case s <- struct{}{}:
		default: // an untaken tick says it already
		}
	}
}

// Close stops watching, closes the channels and returns when the goroutine is gone. Snapshots can
// still be taken.
func (w *Watcher) Close() error {
	w.mu.Lock()
	w.closed = true
	src, ended := w.src, w.ended
	w.mu.Unlock()
	if src != nil {
		src.close()
		<-ended
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.src = nil
	for _, s := range w.subs {
		close(s)
	}
	w.subs = nil
	return nil
}
