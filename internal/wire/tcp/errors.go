package tcp

import "errors"

// Why a connection ended, for Handler.Closed. nil stands for an orderly end: both FINs acknowledged.
var (
	// ErrRefused: a RST answered our SYN, or an ICMP error said that nobody is there.
	ErrRefused = errors.New("tcp: connection refused")
	// ErrReset: the peer sent a RST.
	ErrReset = errors.New("tcp: connection reset by peer")
	// ErrTimeout: no answer within the limits of SYNRetries, Retries, UserTimeout or KeepAlive.
	ErrTimeout = errors.New("tcp: timed out")
	// ErrUnreachable: an ICMP error said during the handshake that the peer can't be reached.
	ErrUnreachable = errors.New("tcp: destination unreachable")
	// ErrDiscarded: "new data is received after CLOSE is called", when nobody could take it any more, and
	// was answered with "a RST to show that data was lost" (RFC 9293 section 3.6.1).
	ErrDiscarded = errors.New("tcp: data arrived after close")
)
