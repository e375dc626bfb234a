package extapi

import (
	"context"
	"net"
	"net/netip"
)

// Control is what a multipath connection offers beyond net.Conn. *mptcp.Conn implements it.
type Control interface {
	// Info returns a snapshot of the connection.
	Info() ConnInfo
	// Subflows returns a snapshot of each subflow, ordered by id.
	Subflows() []SubflowInfo
	// SetPathPolicy replaces the policy. It takes effect at once; subflows follow asynchronously.
	SetPathPolicy(PathPolicy) error
	// OpenSubflow opens one between these addresses (zero: any) and waits until it is usable or refused.
	OpenSubflow(ctx context.Context, local, remote netip.AddrPort) (PathID, error)
	// CloseSubflow closes one asynchronously: its data moves elsewhere first.
	CloseSubflow(PathID) error
	// SetBackup asks the peer, by MP_PRIO, to use the subflow only when no regular one works, or again
	// like any other. It holds for those that take its place later, until SetPathPolicy.
	SetBackup(PathID, bool) error
}

// maxUnwrap bounds how far From looks, so that connections which wrap one another end the search.
const maxUnwrap = 32

// From finds the Control behind c, looking through tls.Conn and anything else whose NetConn method
// returns the connection beneath. It reports false for nil and for connections of other packages.
// A wrapper that has no NetConn method hides what is beneath it.
func From(c net.Conn) (Control, bool) {
	for range maxUnwrap {
		if c == nil {
			return nil, false
		}
		if ctl, ok := c.(Control); ok {
			return ctl, true
		}
		w, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil, false
		}
		c = w.NetConn()
	}
	return nil, false
}
