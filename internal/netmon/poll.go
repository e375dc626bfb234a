package netmon

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

// poller looks at the interfaces every now and then, with what package net tells on every system: not
// whether an IPv6 address is temporary, tentative or deprecated, and no routes.
type poller struct {
	opts   Options
	once   sync.Once
	closed chan struct{}
	state  func(Options) (*table, error)
}

func newPoller(opts Options) source {
	return &poller{opts: opts, closed: make(chan struct{}), state: readPortable}
}

func (p *poller) wait() error {
	t := time.NewTimer(p.opts.Poll)
	defer t.Stop()
	select {
	case <-p.closed:
		return errClosed
	case <-t.C:
		return nil
	}
}

func (p *poller) settle(time.Duration)  {}
func (p *poller) read() (*table, error) { return p.state(p.opts) }
func (p *poller) close()                { p.once.Do(func() { close(p.closed) }) }

func readPortable(opts Options) (*table, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	t := new(table)
	for _, i := range ifaces {
		if !opts.wants(i) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it went away between the two questions
		}
		n := natureByName(i.Name)
		if i.Flags&net.FlagLoopback != 0 {
			n.kind = extapi.KindLoopback
		}
		for _, a := range addrs {
			if ipn, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(ipn.IP); ok {
					t.addrs = append(t.addrs, newAddr(ip.Unmap(), i.Name, i.Index, n))
				}
			}
		}
	}
	t.finish()
	t.markWayOut()
	return t, nil
}

func newAddr(ip netip.Addr, name string, index int, n nature) Addr {
	return Addr{
		Candidate: extapi.Candidate{Local: netip.AddrPortFrom(ip, 0), Interface: name, IfIndex: index, Kind: n.kind},
		Bridge:    n.bridge, Tunnel: n.tunnel(),
	}
}
