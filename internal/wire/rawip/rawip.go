package rawip

import (
	"sync/atomic"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
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

// counters is extapi.LinkCounters as it is counted.
type counters struct {
	received, receivedBytes, batches, guestBatches, badSegments, notOurs, icmp, receiveErrors atomic.Uint64
	sent, sentSuper, sentBytes, split, full                                                   atomic.Uint64
	noBuffers, notPermitted, unreachable, tooLong, sendErrors, notHeld, weakShields           atomic.Uint64
	superProven, superAbandoned                                                               atomic.Uint64
}

func (c *counters) snapshot() extapi.LinkCounters {
	return extapi.LinkCounters{
		Received: c.received.Load(), ReceivedBytes: c.receivedBytes.Load(), Batches: c.batches.Load(), GuestBatches: c.guestBatches.Load(),
		BadSegments: c.badSegments.Load(), NotOurs: c.notOurs.Load(), ICMP: c.icmp.Load(), ReceiveErrors: c.receiveErrors.Load(),
		Sent: c.sent.Load(), SentSuper: c.sentSuper.Load(), SentBytes: c.sentBytes.Load(), Split: c.split.Load(),
		Full: c.full.Load(), NoBuffers: c.noBuffers.Load(), NotPermitted: c.notPermitted.Load(), Unreachable: c.unreachable.Load(),
		TooLong: c.tooLong.Load(), SendErrors: c.sendErrors.Load(), NotHeld: c.notHeld.Load(), WeakShields: c.weakShields.Load(),
		SuperProven: c.superProven.Load(), SuperAbandoned: c.superAbandoned.Load(),
	}
}
