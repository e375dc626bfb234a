// Package netlab is a path emulator for real packets: a process between two network namespaces that delays,
// limits, loses, reorders, duplicates, corrupts and rewrites what passes, with the elements of
// internal/onpath. It needs no netem, only TUN devices and root.
//
// Each end is a TUN interface in its namespace. What the kernel sends there comes as whole packets with
// complete checksums, whatever its offloads do elsewhere; what leaves the path is received there.
package netlab

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/internal/onpath"
)

// End is one end of a path.
type End struct {
	Namespace string         // a name that ip(8) knows; "": the one that this process is in
	Name      string         // of the interface; "": lab0, or the next that is free
	Addrs     []netip.Prefix // its addresses; what else lies in the prefixes is reached through it
	Routes    []netip.Prefix // further destinations that are reached through it
}

// Config says what to emulate. Near is where clients are: what goes from there to Far goes forward.
type Config struct {
	Near, Far End
	MTU       int // of both interfaces, in bytes; 0: 1500
	Elements  []onpath.Element
}

// Lab is a path that works.
type Lab struct {
	ends  [2]device // by the direction in which packets leave them: near's forward, far's back
	start time.Time
	wake  chan struct{} // something has become due earlier
	done  chan struct{}
	wg    sync.WaitGroup

	mu    sync.Mutex
	chain *onpath.Chain
	stats Stats
	alarm time.Duration // for which the timer is set; never: for nothing
	fail  error
}

// device is an interface: a packet for each Read and each Write.
type device interface {
	io.ReadWriteCloser
	name() string
}

// Count is packets and bytes.
type Count struct{ Packets, Bytes int64 }

func (c *Count) add(n int) {
	c.Packets++
	c.Bytes += int64(n)
}

// Stats count what entered and left the path, by direction of travel, and what the kernel refused to receive.
type Stats struct {
	In, Out [2]Count
	Refused int64
}

// Missing is how many packets of a direction are lost or under way; negative where elements made more than they
// lost.
func (s *Stats) Missing(d onpath.Dir) int64 { return s.In[d&1].Packets - s.Out[d&1].Packets }

const never = time.Duration(1<<63 - 1)

// maxPacket is the longest that a TUN device delivers.
const maxPacket = 65535

// Start sets a path up. On an error nothing is left behind.
func Start(cfg Config) (*Lab, error) {
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	if cfg.MTU < 68 || cfg.MTU > maxPacket {
		return nil, fmt.Errorf("netlab: an MTU of %d", cfg.MTU)
	}
	near, err := open(cfg.Near, cfg.MTU)
	if err != nil {
		return nil, fmt.Errorf("netlab: near end: %w", err)
	}
	far, err := open(cfg.Far, cfg.MTU)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("netlab: far end: %w", err), near.Close())
	}
	return between(near, far, cfg.Elements), nil
}

// between runs the path between two devices.
func between(near, far device, elements []onpath.Element) *Lab {
	l := &Lab{
		ends: [2]device{near, far}, start: time.Now(), chain: onpath.NewChain(elements...),
		wake: make(chan struct{}, 1), done: make(chan struct{}), alarm: never,
	}
	l.wg.Add(3)
	go l.carry(onpath.Forward)
	go l.carry(onpath.Back)
	go l.keepTime()
	return l
}

// Names are the interfaces' names.
func (l *Lab) Names() (near, far string) { return l.ends[0].name(), l.ends[1].name() }

// Stats counts since the beginning.
func (l *Lab) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Do lets f look at the elements, or change them, while no packet passes.
func (l *Lab) Do(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// Done is closed when the path ends by itself: an interface is gone. Close tells why.
func (l *Lab) Done() <-chan struct{} { return l.done }

// Close takes the path down, and its interfaces with it. It returns why it had ended before, if it had.
func (l *Lab) Close() error {
	l.end(nil)
	l.wg.Wait()
	return l.fail
}

func (l *Lab) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return
	default:
	}
	l.fail = err
	close(l.done)
	for _, e := range l.ends {
		_ = e.Close()
	}
}

// carry takes packets off one end.
func (l *Lab) carry(d onpath.Dir) {
	defer l.wg.Done()
	buf := make([]byte, maxPacket)
	for {
		n, err := l.ends[d].Read(buf)
		if err != nil {
			l.end(fmt.Errorf("netlab: reading from %s: %w", l.ends[d].name(), err))
			return
		}
		p := append([]byte(nil), buf[:n]...) // the elements may keep it
		l.mu.Lock()
		now := time.Since(l.start)
		l.stats.In[d].add(n)
		l.chain.Tick(now, l.emit)
		l.chain.Process(now, p, d, l.emit)
		l.rearm()
		l.mu.Unlock()
	}
}

// emit writes a packet to the end to which it travels, under the lock, so that packets keep their order.
func (l *Lab) emit(p []byte, d onpath.Dir) {
	if _, err := l.ends[d.Reverse()].Write(p); err != nil {
		l.stats.Refused++ // no IP packet any more, or an interface that is down
		return
	}
	l.stats.Out[d].add(len(p))
}

// rearm wakes the timer when the next packet is due before what it waits for.
func (l *Lab) rearm() {
	if at, ok := l.chain.Next(); ok && at < l.alarm {
		l.alarm = at
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// keepTime emits what is due.
func (l *Lab) keepTime() {
	defer l.wg.Done()
	timer := time.NewTimer(never)
	defer timer.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-l.wake:
		case <-timer.C:
		}
		l.mu.Lock()
		l.chain.Tick(time.Since(l.start), l.emit)
		at, ok := l.chain.Next()
		l.alarm = never
		wait := never
		if ok {
			l.alarm = at
			wait = max(at-time.Since(l.start), 0)
		}
		l.mu.Unlock()
		timer.Reset(wait)
	}
}
