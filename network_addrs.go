package mptcp

import (
	"context"
	"net/netip"
	"sync"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/netmon"
)

// system is the operating system as a Network. While somebody watches the addresses, they are known; else
// every question reads them anew, and nothing is held.
type system struct {
	mu      sync.Mutex
	watcher *netmon.Watcher // nil: nobody watches
}

// everything watches loopback too: a connection over loopback has its interface there.
var everything = netmon.Options{Loopback: true}

// now returns the watcher that there is, or one that reads when asked.
func (s *system) now() *netmon.Watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watcher != nil {
		return s.watcher
	}
	return netmon.New(everything)
}

// Addrs implements Network.
func (s *system) Addrs() ([]extapi.Candidate, error) { return s.now().Snapshot(), nil }

// WatchAddrs implements Network. Where there are no events the ticks come from polling.
func (s *system) WatchAddrs(ctx context.Context) (<-chan struct{}, error) {
	w := netmon.New(everything)
	ticks := w.Watch(ctx)
	s.mu.Lock()
	s.watcher = w
	s.mu.Unlock()
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		if s.watcher == w {
			s.watcher = nil
		}
		s.mu.Unlock()
		w.Close()
	})
	return ticks, nil
}

// surroundings is the optional half of a Network that knows more than addresses.
type surroundings interface {
	Watchable() error                                       // why changes are found by polling
	HasRoute(ifIndex int, remote netip.Addr) bool           // true where nobody can tell
	DefaultTunnel() (name string, ok bool)                  // the VPN that far destinations are reached through
	Announceable(ip netip.Addr) bool                        // whether a peer may be told of a local address
	Source(context.Context, netip.Addr) (netip.Addr, error) // the local address that the routing table takes to a remote one
}

var _ surroundings = (*system)(nil)

func (s *system) Watchable() error { return s.now().Mode() }

func (s *system) HasRoute(ifIndex int, remote netip.Addr) bool {
	return s.now().HasRoute(ifIndex, remote)
}

func (s *system) DefaultTunnel() (name string, ok bool) { return s.now().DefaultTunnel() }

func (s *system) Announceable(ip netip.Addr) bool {
	for _, a := range s.now().Addrs() {
		if a.Local.Addr() == ip {
			return netmon.Announceable(a)
		}
	}
	return false
}
