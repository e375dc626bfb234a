//go:build linux && !mptcp_portable

package netmon

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The three messages of rtnetlink(7) that matter here, decoded from the kernel's own layout: a fixed
// header in native byte order, then attributes padded to four bytes.

var errMessage = errors.New("netmon: malformed rtnetlink message")

// attributes calls f for each attribute in b.
func attributes(b []byte, f func(kind uint16, value []byte) error) error {
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return errMessage
		}
		kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if err := f(kind, b[unix.SizeofRtAttr:n]); err != nil {
			return err
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

func uint32Of(b []byte) (uint32, error) {
	if len(b) < 4 {
		return 0, errMessage
	}
	return binary.NativeEndian.Uint32(b), nil
}

func stringOf(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// link is what an ifinfomsg says of an interface.
type link struct {
	net.Interface
	hardware uint16 // ARPHRD_*
	driver   string // IFLA_INFO_KIND: "bridge", "wireguard", "veth"; "" for hardware
}

func parseLink(b []byte) (link, error) {
	if len(b) < unix.SizeofIfInfomsg {
		return link{}, errMessage
	}
	l := link{hardware: binary.NativeEndian.Uint16(b[2:])}
	l.Index = int(int32(binary.NativeEndian.Uint32(b[4:])))
	l.Flags = interfaceFlags(binary.NativeEndian.Uint32(b[8:]))
	err := attributes(b[unix.SizeofIfInfomsg:], func(kind uint16, v []byte) (err error) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = stringOf(v)
		case unix.IFLA_ADDRESS:
			l.HardwareAddr = slices.Clone(v)
		case unix.IFLA_MTU:
			var mtu uint32
			mtu, err = uint32Of(v)
			l.MTU = int(mtu)
		case unix.IFLA_LINKINFO:
			err = attributes(v, func(kind uint16, v []byte) error {
				if kind == unix.IFLA_INFO_KIND {
					l.driver = stringOf(v)
				}
				return nil
			})
		}
		return err
	})
	return l, err
}

func interfaceFlags(raw uint32) (f net.Flags) {
	for _, m := range []struct {
		raw uint32
		net net.Flags
	}{
		{unix.IFF_UP, net.FlagUp},
		{unix.IFF_RUNNING, net.FlagRunning},
		{unix.IFF_BROADCAST, net.FlagBroadcast},
		{unix.IFF_LOOPBACK, net.FlagLoopback},
		{unix.IFF_POINTOPOINT, net.FlagPointToPoint},
		{unix.IFF_MULTICAST, net.FlagMulticast},
	} {
		if raw&m.raw != 0 {
			f |= m.net
		}
	}
	return f
}

// address is what an ifaddrmsg says.
type address struct {
	ip      netip.Addr
	ifIndex int
	flags   uint32 // IFA_F_*
}

func parseAddress(b []byte) (address, error) {
	if len(b) < unix.SizeofIfAddrmsg {
		return address{}, errMessage
	}
	a := address{flags: uint32(b[2]), ifIndex: int(binary.NativeEndian.Uint32(b[4:]))}
	size := familySize(b[0])
	var local, other netip.Addr
	err := attributes(b[unix.SizeofIfAddrmsg:], func(kind uint16, v []byte) (err error) {
		switch kind {
		case unix.IFA_LOCAL:
			local, err = addrOf(v, size)
		case unix.IFA_ADDRESS:
			other, err = addrOf(v, size)
		case unix.IFA_FLAGS: // the eight bits of the header were not enough
			a.flags, err = uint32Of(v)
		}
		return err
	})
	// On a point-to-point interface IFA_ADDRESS is the other end; IPv6 mostly has nothing else.
	if a.ip = local; !a.ip.IsValid() {
		a.ip = other
	}
	if err == nil && !a.ip.IsValid() {
		err = errMessage
	}
	return a, err
}

// usable reports whether the address may be the source of new connections.
func (a address) usable() bool {
	if a.flags&(unix.IFA_F_DEPRECATED|unix.IFA_F_DADFAILED) != 0 {
		return false
	}
	return a.flags&unix.IFA_F_TENTATIVE == 0 || a.flags&unix.IFA_F_OPTIMISTIC != 0
}

// temporary reports an RFC 8981 address. On an IPv4 address the same bit means "secondary".
func (a address) temporary() bool { return a.ip.Is6() && a.flags&unix.IFA_F_TEMPORARY != 0 }

func familySize(family byte) int {
	switch family {
	case unix.AF_INET:
		return 4
	case unix.AF_INET6:
		return 16
	}
	return 0
}

func addrOf(b []byte, size int) (netip.Addr, error) {
	if len(b) != size {
		return netip.Addr{}, errMessage
	}
	a, _ := netip.AddrFromSlice(b)
	return a, nil
}

// parseRoutes returns the routes of an rtmsg, one for each of its next hops, of every table: hosts
// with several uplinks keep one table for each. Routes that lead nowhere give none.
func parseRoutes(b []byte) ([]route, error) {
	if len(b) < unix.SizeofRtMsg {
		return nil, errMessage
	}
	size, bits, kind := familySize(b[0]), int(b[1]), b[7]
	if size == 0 || kind != unix.RTN_UNICAST && kind != unix.RTN_LOCAL {
		return nil, nil
	}
	if binary.NativeEndian.Uint32(b[8:])&unix.RTM_F_CLONED != 0 {
		return nil, nil
	}
	dst, _ := netip.AddrFromSlice(make([]byte, size))
	var hops []int
	err := attributes(b[unix.SizeofRtMsg:], func(kind uint16, v []byte) (err error) {
		switch kind {
		case unix.RTA_DST:
			dst, err = addrOf(v, size)
		case unix.RTA_OIF:
			var i uint32
			i, err = uint32Of(v)
			hops = append(hops, int(i))
		case unix.RTA_MULTIPATH:
			err = nextHops(v, &hops)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	p := netip.PrefixFrom(dst, bits)
	if !p.IsValid() {
		return nil, errMessage
	}
	routes := make([]route, len(hops))
	for i, h := range hops {
		routes[i] = route{dst: p, ifIndex: h}
	}
	return routes, nil
}

// nextHops collects the interfaces of a list of rtnexthop.
func nextHops(b []byte, hops *[]int) error {
	for len(b) >= unix.SizeofRtNexthop {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			return errMessage
		}
		*hops = append(*hops, int(int32(binary.NativeEndian.Uint32(b[4:]))))
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}
