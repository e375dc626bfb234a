package mptcp

import (
	"context"
	"net"
	"net/netip"
	"slices"
)

// ListenConfig follows net.ListenConfig; the zero value is ready to use.
type ListenConfig struct {
	Config
	Transport *Transport // nil: DefaultTransport

	// Backlog is how many connections may wait for Accept; further ones are reset. It is ours: package net has no
	// say in the kernel's. 0 or less: 1024.
	Backlog int

	// Announce lists the addresses that clients are told of (ADD_ADDR), also ones outside a NAT; port 0: the listener's.
	// nil: this host's addresses in the scope that the connection arrived on, but none when the listener is bound to one
	// address. Empty and not nil: none.
	Announce []netip.AddrPort

	// ConfigForPeer chooses the Config of a connection by the addresses of its first subflow; joins never change
	// it. A nil Config means the listener's; an error resets the connection. PrefaceTimeout and ServerSpeaksFirst are the
	// listener's always: they matter before anything is known of the peer.
	ConfigForPeer func(local, remote netip.AddrPort) (*Config, error)
}

const defaultBacklog = 1024

// Clone returns a copy of lc whose Config and Announce share nothing with it.
func (lc *ListenConfig) Clone() *ListenConfig {
	if lc == nil {
		return nil
	}
	c := *lc
	c.Config = *lc.Config.Clone()
	c.Announce = slices.Clone(lc.Announce)
	return &c
}

// Listen announces on the local address. network is tcp, tcp4 or tcp6, or mptcp, mptcp4 or mptcp6, which imply
// RequireMultipath. ctx bounds the resolution of the address. Errors are *net.OpError.
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (*Listener, error) {
	l, err := lc.listen(ctx, network, address)
	if err != nil {
		return nil, opError("listen", nil, dialledAddr{network, address}, err)
	}
	return l, nil
}

// Listen is (&ListenConfig{}).Listen with a background context: http.Serve takes the result.
func Listen(network, address string) (*Listener, error) {
	return (&ListenConfig{}).Listen(context.Background(), network, address)
}

func (lc *ListenConfig) listen(ctx context.Context, network, address string) (*Listener, error) {
	a, err := parseTarget(ctx, network, address)
	if err != nil {
		return nil, err
	}
	t := lc.Transport
	if t == nil {
		t = DefaultTransport
	}
	h := t.use()
	local, err := lc.address(ctx, h, a)
	if err != nil {
		return nil, err
	}
	own := lc.Clone()
	s := own.Config.resolve()
	s.RequireMultipath = s.RequireMultipath || a.require
	off := s.Mode == ModeTCP || s.Multipath == MultipathOff
	var nl net.Listener
	var wl *wireListener
	if s.Mode == ModeWire && !off {
		wl, err = h.listenWire(a.network, local, own.Backlog, s)
		nl = wl
	} else {
		nl, err = h.net.Listen(ctx, ListenSpec{Network: a.network, Local: local, KernelMPTCP: !off, Control: t.Control})
	}
	if err != nil {
		return nil, err
	}
	l := newListener(h, own, s, nl)
	if wl != nil {
		wl.start(l)
	}
	l.control = t.Control
	if ip := local.Addr(); ip.IsValid() && !ip.IsUnspecified() {
		s.bound = ip
	}
	if err := h.enlist(l); err != nil {
		nl.Close()
		return nil, err
	}
	l.background.Add(1)
	go l.acceptAll()
	return l, nil
}

// address resolves what to listen on; an invalid address means every one.
func (lc *ListenConfig) address(ctx context.Context, h *shared, a target) (netip.AddrPort, error) {
	if a.host == "" {
		return netip.AddrPortFrom(netip.Addr{}, a.port), nil
	}
	if ip, err := netip.ParseAddr(a.host); err == nil {
		if ip = ip.Unmap(); !a.family(ip) {
			return netip.AddrPort{}, &net.AddrError{Err: "no suitable address found", Addr: a.host}
		}
		return netip.AddrPortFrom(ip, a.port), nil
	}
	ips, err := a.resolve(ctx, h.net.LookupNetIP)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, ip := range ips { // as in package net: IPv4 first
		if ip.Is4() {
			return netip.AddrPortFrom(ip, a.port), nil
		}
	}
	return netip.AddrPortFrom(ips[0], a.port), nil
}

// enlist notes an open listener, for Transport.Close.
func (s *shared) enlist(l *Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.listeners[l] = struct{}{}
	return nil
}

func (s *shared) delist(l *Listener) {
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
	s.rest()
}
