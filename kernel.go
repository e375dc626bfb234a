package mptcp

import (
	"context"
	"net"
	"time"
)

// offer opens a socket of the operating system's MPTCP, and a TCP socket in its place where the peer does not
// answer it. The kernel's would fall back to TCP by itself, on the same connection. But on Linux (seen with
// 6.18.44, with the standard library alone) a socket that has fallen back loses received bytes without an error
// once its receive window has been full, in about one transfer of 2 MiB in a thousand. So it is closed unused,
// which costs the first dial to such a peer one round trip; the peer is then remembered as one that discovery
// has asked is, and gets TCP at once.
func (x *dial) offer(ctx context.Context, r route) (net.Conn, error) {
	key := x.peer(r)
	if !x.s.RequireMultipath && x.h.kernels.lookup(key, time.Now()) == verdictNo {
		return x.socket(ctx, r, plainTCP)
	}
	nc, err := x.socket(ctx, r, kernelTCP)
	if err != nil || x.s.RequireMultipath || !hasFallenBack(nc) {
		return nc, err
	}
	x.h.kernels.record(key, false, time.Now())
	if r.local.Port() != 0 {
		reset(nc) // in TIME_WAIT it would keep the port that the next one is to have
	} else {
		nc.Close()
	}
	return x.socket(ctx, r, plainTCP)
}

// hasFallenBack says that nc is a socket of the kernel's MPTCP whose peer does not speak it.
func hasFallenBack(nc net.Conn) bool { return isMPTCPSocket(nc) && !isKernelMPTCP(nc) }

// peer is what the remote address of a route is remembered by.
func (x *dial) peer(r route) peerKey {
	x.h.addrs.start()
	_, nets := x.h.addrs.every()
	key := peerKey{remote: r.remote, through: r.leave, network: nets}
	if x.s.bound.IsValid() {
		key.through = x.s.bound.String()
	}
	return key
}
