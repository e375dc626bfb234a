package mptcp

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"github.com/mptcp-go/mptcp/extapi"
)

// Network is what the stream carrier and discovery ask of the outside world. Programs plug in a simulated network, a
// userspace stack (tsnet, WireGuard netstack) or a proxy; specs grow by fields, the interface by optional interfaces.
//
// Its methods may be called from any goroutine at once.
type Network interface {
	// Dial opens one TCP connection. Its addresses should be *net.TCPAddr. When it is a *net.TCPConn, or leads to one by
	// NetConn, the operating system's measurements and non-blocking I/O are used; any other net.Conn works too, more slowly.
	Dial(ctx context.Context, spec DialSpec) (net.Conn, error)
	// Listen opens a listener; ctx bounds nothing but this call.
	Listen(ctx context.Context, spec ListenSpec) (net.Listener, error)
	// Addrs lists the local addresses that are usable now, loopback included. Remote is ignored; Cost counts where no
	// rule of the path policy gives one.
	Addrs() ([]extapi.Candidate, error)
	// WatchAddrs ticks for each change of Addrs until ctx ends. errors.ErrUnsupported: they are read every 2 s.
	WatchAddrs(ctx context.Context) (<-chan struct{}, error)
	// LookupNetIP follows net.Resolver; network is "ip", "ip4" or "ip6".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// DialSpec asks a Network for one TCP connection.
type DialSpec struct {
	Local, Remote netip.AddrPort // Local: invalid address and port 0 mean any
	Interface     string         // leave through it; "" is the routing table's choice
	KernelMPTCP   bool           // the operating system's MPTCP where it has one; false: never

	// Control is Transport.Control, for a Network that has sockets; nil: none.
	Control func(network, address string, c syscall.RawConn) error
}

// ListenSpec asks a Network for a listener.
type ListenSpec struct {
	Network     string         // tcp, tcp4, tcp6
	Local       netip.AddrPort // invalid address: every one
	KernelMPTCP bool           // accept the operating system's MPTCP as well, where it has one

	// Control is Transport.Control, for a Network that has sockets; nil: none.
	Control func(network, address string, c syscall.RawConn) error
}

// Dial implements Network.
func (*system) Dial(ctx context.Context, spec DialSpec) (net.Conn, error) {
	name := "tcp6"
	if spec.Remote.Addr().Unmap().Is4() {
		name = "tcp4"
	}
	d := net.Dialer{ControlContext: spec.control}
	if spec.Local.Addr().IsValid() || spec.Local.Port() != 0 {
		d.LocalAddr = net.TCPAddrFromAddrPort(spec.Local)
	}
	d.SetMultipathTCP(spec.KernelMPTCP)
	return d.DialContext(ctx, name, spec.Remote.String())
}

// control binds the socket to its interface before the program's own Control sees it.
func (s DialSpec) control(_ context.Context, network, address string, c syscall.RawConn) error {
	if s.Local.Addr().IsValid() && !s.Local.Addr().IsUnspecified() && s.Local.Port() == 0 {
		if err := bindWithoutPort(c); err != nil {
			return err
		}
	}
	if s.Interface != "" {
		if err := bindInterface(c, network, s.Interface); err != nil {
			return err
		}
	}
	if s.Control != nil {
		return s.Control(network, address, c)
	}
	return nil
}

// Listen implements Network.
func (*system) Listen(ctx context.Context, spec ListenSpec) (net.Listener, error) {
	lc := net.ListenConfig{Control: spec.Control}
	lc.SetMultipathTCP(spec.KernelMPTCP)
	return lc.Listen(ctx, spec.Network, net.TCPAddrFromAddrPort(spec.Local).String())
}

// LookupNetIP implements Network.
func (*system) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, network, host)
}

// onSocket runs f on the descriptor of c and returns f's error.
func onSocket(c syscall.RawConn, f func(fd uintptr) error) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = f(fd) }); cerr != nil {
		return cerr
	}
	return err
}

// Source is the local address that the routing table takes to remote. Connecting a UDP socket asks for
// it and sends nothing.
func (*system) Source(ctx context.Context, remote netip.Addr) (netip.Addr, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", netip.AddrPortFrom(remote, 9).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	u, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, &net.AddrError{Err: "unexpected address type", Addr: c.LocalAddr().String()}
	}
	return u.AddrPort().Addr().Unmap(), nil
}
