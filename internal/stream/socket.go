package stream

import (
	"net"
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
)

// firstCap is what a flow queues at most before anything is known of its rate; the driver adapts it.
const firstCap = 128 << 10

// newSubflow makes a flow over nc, whose handshake the caller has done.
func newSubflow(nc net.Conn, cfg FlowConfig, p engine.FlowParams) (driver.Subflow, *Flow) {
	if l, ok := nc.(interface{ SetNoDelay(bool) error }); ok {
		_ = l.SetNoDelay(true) // records are complete when they are written: nothing to wait for
	}
	raw := rawSocket(nc)
	cfg.Cap, cfg.EstimateStats = firstCap, raw == nil
	f := NewFlow(cfg)
	p.Carrier, p.Blind = extapi.CarrierStream, raw == nil
	if !p.Local.IsValid() || p.Local.Port() == 0 {
		p.Local = addrPort(nc.LocalAddr())
	}
	if !p.Remote.IsValid() {
		p.Remote = addrPort(nc.RemoteAddr())
	}
	s := driver.Subflow{Flow: f, Net: nc, Params: p}
	if raw != nil { // else a nil pointer would be a non-nil interface
		s.Raw = raw
	}
	s.Bind = func(e *engine.Conn, id engine.PathID) { f.Bind(e, id) }
	return s, f
}

// addrPort is the address behind a, if it is one of TCP's.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// setDeadline bounds a handshake; 0 lifts the bound.
func setDeadline(nc net.Conn, d time.Duration) {
	_ = nc.SetDeadline(driver.Deadline(d))
}
