package rawip

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// icmpBatch is how many ICMP messages come at once: they are rare.
const icmpBatch = 4

// openICMP opens a raw socket that gets the errors among the ICMP messages.
func openICMP(v6 bool) (*rawSocket, error) {
	if !v6 {
		const unreachable, timeExceeded, parameterProblem = 3, 11, 12
		const filter = 1 // ICMP_FILTER: the types whose bit is set are kept away
		wanted := int32(1<<unreachable | 1<<timeExceeded | 1<<parameterProblem)
		return openSocket(false, unix.IPPROTO_ICMP, []option{{unix.SOL_RAW, filter, int(^wanted)}})
	}
	s, err := openSocket(true, unix.IPPROTO_ICMPV6, []option{{unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1}})
	if err != nil {
		return nil, err
	}
	// As for ICMP, except that the errors are all the types below 128 (RFC 4443 section 2.1).
	var filter unix.ICMPv6Filter
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	const firstTypes = 1<<1 | 1<<2 | 1<<3 | 1<<4
	filter.Data[0] = ^uint32(firstTypes)
	err = s.conn.Control(func(fd uintptr) {
		err = unix.SetsockoptICMPv6Filter(int(fd), unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &filter)
	})
	if err != nil {
		s.close()
		return nil, fmt.Errorf("rawip: ICMPv6 filter: %w", err)
	}
	return s, nil
}

// icmpErrors hands the errors of a batch to the handlers of the flows that they quote. When a port is
// listened on and has no such flow, its listener gets them: it may have answered without keeping state.
func (l *Link) icmpErrors(r *reader, n int, now time.Duration) {
	for i := range n {
		buf := r.packet(i)
		var err error
		ifIndex := 0
		if r.sock.v6 {
			_, ifIndex, _, _ = r.beside(i)
			r.icmp, err = packet.ParseICMPv6(r.from(i), buf.B)
		} else {
			r.icmp, err = packet.ParseICMP(buf.B)
		}
		buf.Release()
		if err != nil {
			if !errors.Is(err, packet.ErrProtocol) { // about something else than TCP
				l.counters.badSegments.Add(1)
			}
			continue
		}
		if _, h, _ := l.ports.lookup(r.icmp.Src, r.icmp.Dst, ifIndex); h != nil {
			l.counters.icmp.Add(1)
			h.HandleICMP(now, &r.icmp)
		}
	}
}
