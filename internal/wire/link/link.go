// Package link is the line between a userspace TCP and what carries its segments: raw sockets
// (internal/wire/rawip), or a simulated network.
//
// A [Link] owns the local ports that are in use, finds the flow that an arriving segment belongs to, and
// sends batches. The stack above it ([Stack], [Handler]) is called on the goroutine that receives: segment
// by segment, and then once for the batch, so that what the segments have caused leaves together.
//
// Addresses on this line never carry an IPv6 zone and are never IPv4-mapped; the interface index stands
// beside them.
package link

import (
	"errors"
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

var (
	// ErrInUse: the four-tuple has a flow already, or the port belongs to somebody else.
	ErrInUse = errors.New("link: address in use")
	// ErrNotHeld: a segment is to be sent from a port that this link does not hold. It may be the kernel's,
	// whose connections are not ours to disturb.
	ErrNotHeld = errors.New("link: the local port is not held")
	// ErrNoPort: no local port is left for a new flow.
	ErrNoPort = errors.New("link: no local port left")
	// ErrClosed: the link is closed.
	ErrClosed = errors.New("link: closed")
)

// FullError says that a queue of this host is full: the segment at the index At, and those behind it, have not left
// and are not lost. Stack.Writable follows.
type FullError struct{ At int }

func (e *FullError) Error() string { return "link: a queue of this host is full" }

// Handler takes what arrives for one flow or for one listening port. The calls come one at a time from the
// link's receiver, in the order of arrival; they must not block.
type Handler interface {
	// HandleSegment takes a segment that arrived at now. It has parsed, and its checksum is right; all
	// else is for the handler to judge. s and the bytes that it shows are valid during the call. Who keeps
	// the bytes calls buf.Retain and, in time, buf.Release.
	HandleSegment(now time.Duration, s *packet.Segment, buf pool.Ref)

	// HandleICMP takes an ICMP error that quotes a segment of this flow (of this port, for a handler that
	// listens). Anybody can send one: see packet.ICMPError.
	HandleICMP(now time.Duration, e *packet.ICMPError)
}

// Stack is what a link is opened for.
type Stack interface {
	// A Stack is the handler of segments that reach a port of this link, and neither a flow nor a listener
	// wants: what a TCP answers with a RST.
	Handler

	// Flush follows the HandleSegment and HandleICMP calls of one batch. It returns the one connection that they had
	// consequences for; nil: there were several, or none. What a stack answers without keeping state does not count.
	Flush(now time.Duration) (only any)

	// Changed says that addresses, routes or MTUs have changed: what Route has said may no longer hold. It
	// comes from a goroutine of its own.
	Changed(now time.Duration)

	// Writable says that there is room where a Send has failed with a *FullError. It comes from a goroutine of its
	// own.
	Writable(now time.Duration)
}

// LinkLocal says whether an address means nothing without its interface.
func LinkLocal(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// Zoned is an address of this line as programs see it: with the interface as its zone, where it is link-local.
func Zoned(a netip.AddrPort, iface string) netip.AddrPort {
	if !LinkLocal(a.Addr()) {
		return a
	}
	return netip.AddrPortFrom(a.Addr().WithZone(iface), a.Port())
}

// Link carries the segments of one stack. Its methods may be called from any goroutine, handlers included.
// now is a time since an epoch that link and stack have agreed on when the link was opened.
type Link interface {
	// Connect makes a flow for a connection that is about to be opened. With port 0 in local it chooses a
	// port, which flows to other remotes share; with another it fails with ErrInUse where the port belongs
	// to another program, or where the four-tuple is taken. local's address must be one of this host's.
	// Segments of the flow leave through the interface with index ifIndex; 0: the one of the route.
	Connect(local, remote netip.AddrPort, ifIndex int, h Handler) (Flow, error)

	// Listen takes a local port. With an unspecified address it is the port at all addresses of the family,
	// with port 0 one that is free. A link-local one has a zone, alone on this line: the interface's name, or its index in
	// digits. h gets the segments to it that belong to no flow.
	Listen(local netip.AddrPort, h Handler) (Port, error)

	// Send sends segments, in order, and returns how many have left and the error of the first that has
	// not. A segment that cannot leave is lost, like one that the network drops, and those behind it are
	// sent all the same; only a *FullError ends the batch. Neither the segments nor their payload are kept. A segment with SegSize takes for
	// granted that its flow's Super allows it.
	Send(batch []packet.Segment) (n int, err error)

	// Route is the way to remote now: from local, unless that is the zero Addr, and through iface, unless
	// that is "": the interface's name, or its index in digits. It fails where there is none.
	Route(local, remote netip.Addr, iface string) (Route, error)

	// Close ends everything: no handler is called after it has returned. It waits for handlers that are
	// running, so that none of them may call it.
	Close() error
}

// Port is a local port that is listened on.
type Port interface {
	// Local is the address that was asked for, with its port.
	Local() netip.AddrPort
	// Accept makes a flow for a connection whose SYN has come from remote to local. From now on its
	// segments go to h. ErrInUse: there is one.
	Accept(local, remote netip.AddrPort, ifIndex int, h Handler) (Flow, error)
	// Close stops listening. Flows that were accepted live on.
	Close() error
}

// Inlet is where segments come in. A goroutine of the link's receives there, or else, as its guest, who waits for what a
// connection brings. A guest calls Take, Receive as often as it likes, and Leave.
type Inlet interface {
	// Take gives the caller the right to receive, if all traffic has been that of the given connection (what Stack.Flush
	// returns) for a while, and nobody else receives at the moment.
	Take(conn any) bool
	// Receive hands one batch of segments to their handlers, and lets Stack.Flush follow. With wait it waits for one. b, if
	// there is any, is lent to their payload meanwhile: the buffer of a Read of the connection's. n is how much of it has been
	// taken (pool.Loan); what lies behind may have changed. stays is false when the caller has to Leave.
	Receive(b []byte, wait bool) (n int, stays bool)
	// SetReadDeadline, with a time in the past, ends the wait of Receive, or the next one. With the zero time it does nothing.
	SetReadDeadline(time.Time) error
	// Leave ends the right to receive. The link takes some time, in which it may be taken again, before it receives by
	// itself; with wanted it does so at once.
	Leave(wanted bool)
}

// Flow is a four-tuple that the link knows. Close it when no segment is expected any more, after TIME-WAIT, or when a RST has
// ended it: to what arrives then the Stack answers, for a second at least, and after that, when the port has gone with its last
// flow, the host.
type Flow interface {
	Local() netip.AddrPort
	Remote() netip.AddrPort

	// Inlet is where the flow's segments come in; nil: nobody but the link receives there.
	Inlet() Inlet

	// Super is how many bytes of payload a segment with SegSize may have now: a super-segment, which the
	// kernel or the device splits. 0: none; segments must fit the MTU one by one. Whether
	// super-segments get through is found out by sending one: Super allows it, then nothing until Acked or
	// Lost tell how it went. SYN, RST, FIN, probes and retransmissions never go in super-segments.
	Super() int
	// Acked says that the peer has acknowledged everything before seq.
	Acked(seq uint32)
	// Lost says that the segment that begins with seq counts as lost: by the retransmission timer, or
	// without it.
	Lost(seq uint32, timeout bool)

	// Listener is whom the segments go to when the flow is closed: who listens at its local address; nil: nobody does.
	Listener() Handler

	// Inherit makes a flow of this one's four-tuple for a new connection, as Connect does, and closes this one.
	Inherit(ifIndex int, h Handler) (Flow, error)

	// Close forgets the flow, unless another one has inherited from it. A handler's call that is under way on another goroutine
	// may still finish.
	Close()
}

// Route is a way to a remote address.
type Route struct {
	Source    netip.Addr // the local address that the system chooses, or that was asked for
	IfIndex   int
	Interface string
	MTU       int  // bytes of IP packet
	Local     bool // the remote address is this host's own
}
