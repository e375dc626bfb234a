//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	gvheader "gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	gvtcp "gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// gVisor's netstack on a packet socket, set up as its own sandbox does it: the best-known TCP in Go. It is plain
// TCP, so that its peers are too.
var (
	gvisor    = netstack("gvisor", "gVisor's netstack on a packet socket with host GSO", 1<<16)
	gvisorMTU = netstack("gvisor-mtu", "the same without GSO", 0)
)

func netstack(name, about string, gso uint32) *contender {
	return &contender{
		name: name, about: about, raw: true, stack: true,
		look: func(net.Conn) connState { return connState{CC: "gvisor:cubic", Subflows: 1} },
		listen: func(t *task) (net.Listener, error) {
			s, err := newNetstack(t.Device, stackServer, gso)
			if err != nil {
				return nil, err
			}
			at, err := netip.ParseAddrPort(t.Addr)
			if err != nil {
				return nil, err
			}
			return gonet.ListenTCP(s, tcpip.FullAddress{NIC: 1, Port: at.Port()}, ipv4.ProtocolNumber)
		},
		dialer: func(t *task) (dialFunc, error) {
			s, err := newNetstack(t.Device, stackClient, gso)
			if err != nil {
				return nil, err
			}
			to, err := netip.ParseAddrPort(t.Addr)
			if err != nil {
				return nil, err
			}
			return func(ctx context.Context) (net.Conn, error) {
				c, err := gonet.DialContextTCP(ctx, s, tcpip.FullAddress{NIC: 1, Addr: address(to.Addr()), Port: to.Port()}, ipv4.ProtocolNumber)
				if err != nil {
					return nil, err // a nil *TCPConn is no nil net.Conn
				}
				return c, nil
			}, nil
		},
	}
}

func address(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

// newNetstack is a stack with one interface, which shares a device with the kernel and has an address of its own.
func newNetstack(device, addr string, gso uint32) (*stack.Stack, error) {
	dev, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	fd, err := packetSocket(dev, gso > 0)
	if err != nil {
		return nil, err
	}
	link, err := fdbased.New(&fdbased.Options{
		FDs: []int{fd}, MTU: uint32(dev.MTU), EthernetHeader: true, Address: tcpip.LinkAddress(dev.HardwareAddr),
		PacketDispatchMode: fdbased.RecvMMsg, GSOMaxSize: gso, RXChecksumOffload: true,
		InterfaceIndex: dev.Index,
	})
	if err != nil {
		return nil, err
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{gvtcp.NewProtocol},
	})
	sack, cc, moderate := tcpip.TCPSACKEnabled(true), tcpip.CongestionControlOption("cubic"), tcpip.TCPModerateReceiveBufferOption(true)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: window}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: window}
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &cc, &moderate, &receive, &send} {
		if e := s.SetTransportProtocolOption(gvtcp.ProtocolNumber, o); e != nil {
			return nil, fmt.Errorf("gvisor: %T: %s", o, e)
		}
	}
	if e := s.CreateNIC(1, link); e != nil {
		return nil, fmt.Errorf("gvisor: interface: %s", e)
	}
	at := tcpip.AddressWithPrefix{Address: address(netip.MustParseAddr(addr)), PrefixLen: 24}
	if e := s.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: at}, stack.AddressProperties{}); e != nil {
		return nil, fmt.Errorf("gvisor: address: %s", e)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: gvheader.IPv4EmptySubnet, NIC: 1}})
	return s, nil
}

// packetSocket is bound to a device. With GSO a header in front of every frame says how to split it.
func packetSocket(dev *net.Interface, gso bool) (int, error) {
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
	if err != nil {
		return 0, fmt.Errorf("packet socket: %w", err)
	}
	set := func(level, name, value int) {
		if err == nil {
			err = unix.SetsockoptInt(fd, level, name, value)
		}
	}
	if gso {
		set(unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	}
	set(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	set(unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: dev.Index})
	}
	if err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("packet socket on %s: %w", dev.Name, err)
	}
	return fd, nil
}
