//go:build linux && !mptcp_portable

package netmon

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/extapi"
)

// groups are the changes to hear of: links, addresses, routes.
const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
	unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// maxRoutes bounds the memory for the routing table; with more, every interface counts as having a
// route to everywhere.
const maxRoutes = 1 << 16

// rtnetlink listens to the kernel. A message only says that something changed: the state is always
// read anew as a whole, so that lost and reordered messages do no harm.
type rtnetlink struct {
	opts Options

	mu     sync.Mutex
	conn   *netlink.Conn
	closed bool
	done   chan struct{} // closed by close
}

func openEvents(opts Options) (source, error) {
	c, err := subscribe()
	if err != nil {
		return nil, err
	}
	return &rtnetlink{opts: opts, conn: c, done: make(chan struct{})}, nil
}

func subscribe() (*netlink.Conn, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: groups})
	if err != nil {
		return nil, fmt.Errorf("netmon: no address events: %w", err)
	}
	return c, nil
}

func (r *rtnetlink) wait() error {
	r.mu.Lock()
	c, closed := r.conn, r.closed
	r.mu.Unlock()
	if closed {
		return errClosed
	}
	_, err := c.Receive()
	if err == nil || errors.Is(err, unix.ENOBUFS) {
		return nil // messages were lost or not: something changed
	}
	return r.reopen()
}

// reopen replaces a socket that failed. What happened in the meantime is unknown, so that success
// counts as a change.
func (r *rtnetlink) reopen() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	r.conn.Close()
	c, err := subscribe()
	if err != nil {
		return err
	}
	r.conn = c
	return nil
}

// settle waits without reading: the socket's buffer gathers what comes, and when it overflows, wait
// reads ENOBUFS. What has gathered is then thrown away.
func (r *rtnetlink) settle(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-r.done:
		return
	case <-t.C:
	}
	r.mu.Lock()
	c := r.conn
	r.mu.Unlock()
	// What has come is queued already: a deadline just ahead lets it be read and ends the loop, also
	// where more comes all the time. A deadline that has passed would let nothing be read.
	if c.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
		return // closed, or failed: wait finds out
	}
	for {
		if _, err := c.Receive(); err != nil {
			break
		}
	}
	_ = c.SetReadDeadline(time.Time{}) // fails only on a closed socket, which wait finds
}

func (r *rtnetlink) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		close(r.done)
		r.conn.Close()
	}
}

func (r *rtnetlink) read() (*table, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	links, err := dump(c, unix.RTM_GETLINK, unix.SizeofIfInfomsg)
	if err != nil {
		return nil, err
	}
	addrs, err := dump(c, unix.RTM_GETADDR, unix.SizeofIfAddrmsg)
	if err != nil {
		return nil, err
	}
	routes, err := dump(c, unix.RTM_GETROUTE, unix.SizeofRtMsg)
	if err != nil {
		routes = nil // better all interfaces than none
	}
	t := assemble(r.opts, links, addrs, routes, natureOf)
	t.routesKnown = t.routesKnown && err == nil
	t.markWayOut()
	return t, nil
}

// dumpTries is how often a dump that the kernel marks as interrupted by a change is taken again. After
// that it is used as it is: the change comes as an event, too.
const dumpTries = 3

func dump(c *netlink.Conn, kind netlink.HeaderType, header int) (msgs []netlink.Message, err error) {
	for range dumpTries {
		msgs, err = c.Execute(netlink.Message{
			Header: netlink.Header{Type: kind, Flags: netlink.Request | netlink.Dump},
			Data:   make([]byte, header), // family 0: all
		})
		if err != nil || !interrupted(msgs) {
			return msgs, err
		}
	}
	return msgs, nil
}

func interrupted(msgs []netlink.Message) bool {
	for _, m := range msgs {
		if m.Header.Flags&netlink.DumpInterrupted != 0 {
			return true
		}
	}
	return false
}

// assemble makes a table from three dumps. A message that cannot be decoded is left out; the rest is
// still true.
func assemble(opts Options, links, addrs, routes []netlink.Message, natureOf func(link) nature) *table {
	t := new(table)
	t.readRoutes(routes)
	gateways := map[int]bool{}
	for _, r := range t.routes {
		if r.dst.Bits() == 0 {
			gateways[r.ifIndex] = true
		}
	}
	wanted := map[int]link{}
	natures := map[int]nature{}
	for _, m := range links {
		l, err := parseLink(m.Data)
		if err == nil && m.Header.Type == unix.RTM_NEWLINK && opts.wants(l.Interface) {
			wanted[l.Index] = l
			natures[l.Index] = natureOf(l)
		}
	}
	for _, m := range addrs {
		a, err := parseAddress(m.Data)
		if err != nil || m.Header.Type != unix.RTM_NEWADDR || !a.usable() {
			continue
		}
		l, ok := wanted[a.ifIndex]
		if !ok {
			continue
		}
		addr := newAddr(a.ip, l.Name, l.Index, natures[l.Index])
		addr.Temporary = a.temporary()
		addr.DefaultRoute = gateways[l.Index]
		t.addrs = append(t.addrs, addr)
	}
	t.finish()
	return t
}

func (t *table) readRoutes(msgs []netlink.Message) {
	for _, m := range msgs {
		rs, err := parseRoutes(m.Data)
		if err != nil || m.Header.Type != unix.RTM_NEWROUTE {
			continue
		}
		for _, r := range rs {
			if r.dst.Bits() == 0 || len(t.routes) < maxRoutes {
				t.routes = append(t.routes, r)
			}
		}
	}
	t.routesKnown = len(t.routes) < maxRoutes
}

// natureOf guesses from the driver and hardware type that the kernel tells, from sysfs, and at last
// from the name.
func natureOf(l link) nature {
	if n, ok := natureByDriver[l.driver]; ok {
		return n
	}
	if n, ok := natureByHardware[l.hardware]; ok {
		return n
	}
	if n, ok := natureBySysfs(sysClassNet, l.Name, l.Index); ok {
		return n
	}
	if n := natureByName(l.Name); n.kind != extapi.KindUnknown {
		return n
	}
	switch l.hardware {
	case unix.ARPHRD_ETHER:
		return nature{kind: extapi.KindEthernet}
	case unix.ARPHRD_NONE:
		return tunnel // a modem that speaks bare IP has it too, but sysfs knows that one
	}
	return nature{kind: extapi.KindUnknown}
}
