package rawip

import (
	"sync/atomic"
	"time"
)

// Config says how a link is opened.
type Config struct {
	// Clock is the time since the epoch of the stack; required.
	Clock func() time.Duration
	// Super says which ways super-segments may take; the zero value allows all.
	Super SuperMode
}

// SuperMode restricts the fast way of sending: see the comment in fast_linux.go. On a host whose security
// hangs on every packet passing its filters, whatever the probes say, SuperLoopback is the mode: what goes
// straight to the device passes none. SuperAuto does without it where connections are tracked, and where IPsec
// or the like takes room in the packet.
type SuperMode uint8

const (
	SuperAuto     SuperMode = iota // through lo where the sysctls allow it, else on the egress device where it is safe
	SuperLoopback                  // through lo alone: every packet passes the host's filters
	SuperOff                       // never
)

// Counters counts what a link has seen, in segments if not said otherwise. It only grows.
type Counters struct {
	Received       uint64 // segments that were handed to a handler
	ReceivedBytes  uint64 // their payload
	Batches        uint64 // receive calls that brought something
	BadSegments    uint64 // did not parse: wrong checksum, impossible length
	NotOurs        uint64 // for a port or address that is not held
	ICMP           uint64 // ICMP errors handed to a handler
	ReceiveErrors  uint64 // receive calls that failed
	Sent           uint64 // through the raw socket
	SentSuper      uint64 // super-segments through the packet socket
	SentBytes      uint64 // payload, both ways
	Split          uint64 // super-segments that were split here, since their way had gone
	Full           uint64 // sends that found a socket's buffer full, and ended there (EAGAIN)
	NoBuffers      uint64 // lost to ENOBUFS or ENOMEM: a queue on this host was full
	NotPermitted   uint64 // lost to EPERM: a filter of this host refuses them
	Unreachable    uint64 // lost to ENETDOWN, ENETUNREACH, EHOSTUNREACH and the like
	TooLong        uint64 // lost to EMSGSIZE: longer than the interface's MTU
	SendErrors     uint64 // lost to any other error
	NotHeld        uint64 // refused: their source port is not held
	WeakShields    uint64 // shields opened without MD5 signatures: only the TTL guards them
	SuperProven    uint64 // flows whose first super-segment was acknowledged
	SuperAbandoned uint64 // flows that gave super-segments up
}

// counters is Counters as it is counted.
type counters struct {
	received, receivedBytes, batches, badSegments, notOurs, icmp, receiveErrors     atomic.Uint64
	sent, sentSuper, sentBytes, split, full                                         atomic.Uint64
	noBuffers, notPermitted, unreachable, tooLong, sendErrors, notHeld, weakShields atomic.Uint64
	superProven, superAbandoned                                                     atomic.Uint64
}

func (c *counters) snapshot() Counters {
	return Counters{
		Received: c.received.Load(), ReceivedBytes: c.receivedBytes.Load(), Batches: c.batches.Load(),
		BadSegments: c.badSegments.Load(), NotOurs: c.notOurs.Load(), ICMP: c.icmp.Load(), ReceiveErrors: c.receiveErrors.Load(),
		Sent: c.sent.Load(), SentSuper: c.sentSuper.Load(), SentBytes: c.sentBytes.Load(), Split: c.split.Load(),
		Full: c.full.Load(), NoBuffers: c.noBuffers.Load(), NotPermitted: c.notPermitted.Load(), Unreachable: c.unreachable.Load(),
		TooLong: c.tooLong.Load(), SendErrors: c.sendErrors.Load(), NotHeld: c.notHeld.Load(), WeakShields: c.weakShields.Load(),
		SuperProven: c.superProven.Load(), SuperAbandoned: c.superAbandoned.Load(),
	}
}
