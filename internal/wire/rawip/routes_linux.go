package rawip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/internal/wire/link"
)

// router asks the kernel for routes, interfaces and neighbours, one question at a time. What connections are made
// with it remembers.
type router struct {
	mu   sync.Mutex
	conn *netlink.Conn

	clock   func() time.Duration
	version atomic.Uint64 // of the network: grows with every change but those of neighbours
	routes  remembered[routeKey, link.Route]
	devices remembered[int, device]
}

// routeKey is what link.Link.Route is asked.
type routeKey struct {
	local, remote netip.Addr
	iface         string
}

func newRouter(clock func() time.Duration) (*router, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("rawip: routes: %w", err)
	}
	return &router{conn: c, clock: clock}, nil
}

func (r *router) close() { r.conn.Close() }

// ask sends one request and returns the first answer after its fixed header of skip bytes, and that header.
func (r *router) ask(kind netlink.HeaderType, header []byte, skip int, attrs func(*netlink.AttributeEncoder)) ([]byte, *netlink.AttributeDecoder, error) {
	e := netlink.NewAttributeEncoder()
	if attrs != nil {
		attrs(e)
	}
	b, err := e.Encode()
	if err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	msgs, err := r.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: kind, Flags: netlink.Request},
		Data:   append(header, b...),
	})
	switch {
	case errors.Is(err, os.ErrClosed), errors.Is(err, unix.EBADF):
		return nil, nil, link.ErrClosed
	case err != nil:
		return nil, nil, err
	case len(msgs) == 0 || len(msgs[0].Data) < skip:
		return nil, nil, errors.New("rawip: netlink: short answer")
	}
	d, err := netlink.NewAttributeDecoder(msgs[0].Data[skip:])
	return msgs[0].Data[:skip], d, err
}

// hop is the answer to a question for a route.
type hop struct {
	source  netip.Addr
	gateway netip.Addr // the neighbour; the remote itself when it is on the link
	oif     int
	mtu     int // of the route; 0: the interface's
	kind    uint8
}

// next finds the way to remote; local may be the zero Addr, and oif 0.
func (r *router) next(local, remote netip.Addr, oif int) (hop, error) {
	h, err := r.lookUp(local, remote, oif)
	if err != nil || oif == 0 || h.oif == oif || h.kind == unix.RTN_LOCAL {
		return h, err
	}
	// With IPv6 the interface is a mere wish beside a source address: see bound.
	h, err = r.lookUp(netip.Addr{}, remote, oif)
	switch {
	case err != nil:
		return hop{}, err
	case h.oif != oif:
		return hop{}, fmt.Errorf("rawip: route to %v through interface %d: %w", remote, oif, unix.ENETUNREACH)
	}
	if local.IsValid() {
		h.source = local
	}
	return h, nil
}

func (r *router) lookUp(local, remote netip.Addr, oif int) (hop, error) {
	h := hop{source: local, gateway: remote}
	header := make([]byte, unix.SizeofRtMsg)
	header[0], header[1] = unix.AF_INET, 32
	if remote.Is6() {
		header[0], header[1] = unix.AF_INET6, 128
	}
	if local.IsValid() {
		header[2] = header[1]
	}
	got, d, err := r.ask(unix.RTM_GETROUTE, header, unix.SizeofRtMsg, func(e *netlink.AttributeEncoder) {
		e.Bytes(unix.RTA_DST, remote.AsSlice())
		if local.IsValid() {
			e.Bytes(unix.RTA_SRC, local.AsSlice())
		}
		if oif != 0 {
			e.Uint32(unix.RTA_OIF, uint32(oif))
		}
	})
	if err != nil {
		return hop{}, fmt.Errorf("rawip: route to %v: %w", remote, err)
	}
	const typeAt = 7 // in struct rtmsg
	h.kind = got[typeAt]
	for d.Next() {
		switch d.Type() {
		case unix.RTA_OIF:
			h.oif = int(d.Uint32())
		case unix.RTA_GATEWAY:
			h.gateway, _ = netip.AddrFromSlice(d.Bytes())
		case unix.RTA_VIA: // a gateway of the other family (RFC 5549), behind its family number
			if b := d.Bytes(); len(b) > 2 {
				h.gateway, _ = netip.AddrFromSlice(b[2:])
			}
		case unix.RTA_PREFSRC:
			if a, ok := netip.AddrFromSlice(d.Bytes()); ok && !local.IsValid() {
				h.source = a
			}
		case unix.RTA_METRICS:
			d.Nested(func(n *netlink.AttributeDecoder) error {
				for n.Next() {
					if n.Type() == unix.RTAX_MTU {
						h.mtu = int(n.Uint32())
					}
				}
				return nil
			})
		}
	}
	if err := d.Err(); err != nil {
		return hop{}, fmt.Errorf("rawip: route to %v: %w", remote, err)
	}
	if h.kind != unix.RTN_UNICAST && h.kind != unix.RTN_LOCAL {
		return hop{}, fmt.Errorf("rawip: route to %v: %w", remote, unix.ENETUNREACH)
	}
	return h, nil
}

// device is what an interface is like.
type device struct {
	index   int
	name    string
	mtu     int
	ether   bool // ARPHRD_ETHER: frames begin with an Ethernet header
	address [6]byte
}

// device finds an interface by index, or by name where index is 0.
func (r *router) device(index int, name string) (device, error) {
	header := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(header[4:], uint32(index))
	got, d, err := r.ask(unix.RTM_GETLINK, header, unix.SizeofIfInfomsg, func(e *netlink.AttributeEncoder) {
		if index == 0 {
			e.String(unix.IFLA_IFNAME, name)
		}
	})
	if err != nil {
		return device{}, fmt.Errorf("rawip: interface %d %s: %w", index, name, err)
	}
	v := device{index: int(int32(binary.NativeEndian.Uint32(got[4:]))), ether: binary.NativeEndian.Uint16(got[2:]) == unix.ARPHRD_ETHER}
	for d.Next() {
		switch d.Type() {
		case unix.IFLA_IFNAME:
			v.name = d.String()
		case unix.IFLA_MTU:
			v.mtu = int(d.Uint32())
		case unix.IFLA_ADDRESS:
			v.ether = v.ether && copy(v.address[:], d.Bytes()) == 6
		}
	}
	return v, d.Err()
}

// index is that of an interface by its name, or its index in digits; 0 is that of "".
func (r *router) index(iface string) (int, error) {
	n, err := strconv.Atoi(iface)
	if err == nil || iface == "" {
		return n, nil
	}
	d, err := r.device(0, iface)
	return d.index, err
}

// usableNeighbour are the states in which the kernel itself would send to the address that it knows.
const usableNeighbour = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_PERMANENT | unix.NUD_NOARP

// neighbour is the hardware address of an address on a link; false when the kernel has none that it would use.
func (r *router) neighbour(ifIndex int, a netip.Addr) (mac [6]byte, ok bool) {
	header := make([]byte, unix.SizeofNdMsg)
	header[0] = unix.AF_INET
	if a.Is6() {
		header[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(header[4:], uint32(ifIndex))
	got, d, err := r.ask(unix.RTM_GETNEIGH, header, unix.SizeofNdMsg, func(e *netlink.AttributeEncoder) {
		e.Bytes(unix.NDA_DST, a.AsSlice())
	})
	if err != nil || binary.NativeEndian.Uint16(got[8:])&usableNeighbour == 0 {
		return mac, false
	}
	for d.Next() {
		if d.Type() == unix.NDA_LLADDR {
			ok = len(d.Bytes()) == 6 && copy(mac[:], d.Bytes()) == 6
		}
	}
	return mac, ok && d.Err() == nil
}

// route answers link.Link.Route.
func (r *router) route(local, remote netip.Addr, iface string) (link.Route, error) {
	return r.routes.ask(routeKey{local, remote, iface}, r.version.Load(), r.clock(), func() (link.Route, error) {
		return r.findRoute(local, remote, iface)
	})
}

func (r *router) findRoute(local, remote netip.Addr, iface string) (link.Route, error) {
	oif, err := r.index(iface)
	if err != nil {
		return link.Route{}, err
	}
	h, err := r.next(local, remote, oif)
	if err != nil {
		return link.Route{}, err
	}
	d, err := r.devices.ask(h.oif, r.version.Load(), r.clock(), func() (device, error) { return r.device(h.oif, "") })
	if err != nil {
		return link.Route{}, err
	}
	mtu := d.mtu
	if h.mtu != 0 {
		mtu = min(mtu, h.mtu)
	}
	if !h.source.IsValid() {
		return link.Route{}, fmt.Errorf("rawip: route to %v: no source address: %w", remote, unix.EADDRNOTAVAIL)
	}
	return link.Route{Source: h.source, IfIndex: d.index, Interface: d.name, MTU: mtu, Local: h.kind == unix.RTN_LOCAL}, nil
}
