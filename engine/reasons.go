package engine

import "errors"

// Errors of the calls that steer subflows.
var (
	// ErrNoSubflow says that the connection has no such subflow or address, or none any more.
	ErrNoSubflow = errors.New("mptcp: no such subflow; Subflows lists those that exist")
	// ErrLastSubflow says that the subflow is the only one that works: it ends with the connection.
	ErrLastSubflow     = errors.New("mptcp: the last working subflow stays open until the connection is closed")
	errUndelivered     = errors.New("mptcp: closed before the peer acknowledged everything")
	errNoFIN           = errors.New("mptcp: the peer did not close the subflow in time")
	errJoinUnconfirmed = errors.New("mptcp: the peer did not confirm the join")
	errUnconfirmed     = errors.New("mptcp: the client did not confirm the handshake")
	// ErrAddrGone is why subflows end whose local address has left this host.
	ErrAddrGone = errors.New("mptcp: the local address is gone")
)
