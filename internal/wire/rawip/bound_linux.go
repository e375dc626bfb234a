package rawip

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/internal/wire/link"
)

// bound are the raw sockets that send IPv6 packets through one interface each. To name the interface beside
// the packet, which is enough for IPv4, is a mere wish to Linux as soon as the source address is named too:
// another route with a better metric wins. Only a socket bound to the interface is taken at its word.
//
// Their protocol is IPPROTO_RAW, so that nothing is ever received on them.
type bound struct {
	mu     sync.Mutex
	closed bool
	socks  map[int]*rawSocket
}

// maxBound is more interfaces than a host has paths; interfaces that come and go do not fill the table.
const maxBound = 64

// to returns the socket for an interface.
func (b *bound) to(ifIndex int) (*rawSocket, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.socks[ifIndex]; s != nil {
		return s, nil
	}
	if b.closed {
		return nil, link.ErrClosed
	}
	if len(b.socks) >= maxBound {
		b.clear()
	}
	s, err := openSocket(true, unix.IPPROTO_RAW, []option{
		{unix.SOL_IPV6, unix.IPV6_HDRINCL, 1},
		{unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_INTERFACE},
		{unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, ifIndex},
	})
	if err != nil {
		return nil, fmt.Errorf("rawip: interface %d: %w", ifIndex, err)
	}
	if b.socks == nil {
		b.socks = map[int]*rawSocket{}
	}
	b.socks[ifIndex] = s
	return s, nil
}

// clear closes all sockets. A batch that is being gathered for one of them is lost.
func (b *bound) clear() {
	for _, s := range b.socks {
		s.close()
	}
	clear(b.socks)
}

func (b *bound) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.clear()
}
