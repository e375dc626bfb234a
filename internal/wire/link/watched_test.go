package link

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// below is a link that keeps what it gets.
type below struct {
	Link
	stack    Stack
	handlers []Handler
	sent     []uint32
	listener Handler
	fail     uint32 // the sequence number of a segment that cannot leave
}

var errStuck = errors.New("stuck")

func (b *below) Send(batch []packet.Segment) (n int, err error) {
	for i := range batch {
		if batch[i].Seq == b.fail {
			err = errStuck
			continue
		}
		b.sent = append(b.sent, batch[i].Seq)
		n++
	}
	return n, err
}

func (b *below) Connect(_, _ netip.AddrPort, _ int, h Handler) (Flow, error) {
	b.handlers = append(b.handlers, h)
	return &belowFlow{b: b}, nil
}

type belowFlow struct {
	Flow
	b *below
}

func (f *belowFlow) Listener() Handler { return f.b.listener }

func (f *belowFlow) Inherit(_ int, h Handler) (Flow, error) {
	return f.b.Connect(netip.AddrPort{}, netip.AddrPort{}, 0, h)
}

func (b *below) Listen(_ netip.AddrPort, h Handler) (Port, error) {
	b.handlers, b.listener = append(b.handlers, h), h
	return &belowPort{b: b}, nil
}

type belowPort struct {
	Port
	b *below
}

func (p *belowPort) Accept(_, _ netip.AddrPort, _ int, h Handler) (Flow, error) {
	return p.b.Connect(netip.AddrPort{}, netip.AddrPort{}, 0, h)
}

// above is a stack, and a handler, that counts what reaches it.
type above struct {
	Stack
	got []uint32
}

func (a *above) HandleSegment(_ time.Duration, s *packet.Segment, _ pool.Ref) {
	a.got = append(a.got, s.Seq)
}

// An onlooker sees every segment of flows, ports and strays, in both directions, and takes away what it likes.
func TestWatched(t *testing.T) {
	type sight struct {
		now  time.Duration
		sent bool
		seq  uint32
	}
	var seen []sight
	see := func(now time.Duration, sent bool, s *packet.Segment) bool {
		seen = append(seen, sight{now, sent, s.Seq})
		return s.Seq%10 != 0
	}
	b, stack, flow, port, accepted, heir := &below{fail: 4}, new(above), new(above), new(above), new(above), new(above)
	l, err := Watched(func() time.Duration { return 7 }, see, func(s Stack) (Link, error) {
		b.stack = s
		return b, nil
	})(stack)
	require.NoError(t, err)

	n, err := l.Send([]packet.Segment{{Seq: 1}, {Seq: 2}, {Seq: 10}, {Seq: 3}, {Seq: 4}, {Seq: 20}})
	require.Equal(t, 5, n, "what was taken away counts as sent")
	require.ErrorIs(t, err, errStuck)
	require.Equal(t, []uint32{1, 2, 3}, b.sent)
	require.Equal(t, []sight{{7, true, 1}, {7, true, 2}, {7, true, 10}, {7, true, 3}, {7, true, 4}, {7, true, 20}}, seen)

	_, err = l.Connect(netip.AddrPort{}, netip.AddrPort{}, 0, flow)
	require.NoError(t, err)
	p, err := l.Listen(netip.AddrPort{}, port)
	require.NoError(t, err)
	f, err := p.Accept(netip.AddrPort{}, netip.AddrPort{}, 0, accepted)
	require.NoError(t, err)
	f, err = f.Inherit(0, heir)
	require.NoError(t, err)
	_, err = f.Inherit(0, heir)
	require.NoError(t, err)
	require.Same(t, port, f.Listener(), "who hands on to it has seen the segment")
	b.listener = nil
	require.Nil(t, f.Listener())
	seen = nil
	for i, h := range append(b.handlers, Handler(b.stack)) {
		h.HandleSegment(9, &packet.Segment{Seq: uint32(30 + i)}, pool.Ref{})
	}
	require.Equal(t, []sight{{9, false, 30}, {9, false, 31}, {9, false, 32}, {9, false, 33}, {9, false, 34}, {9, false, 35}}, seen)
	require.Empty(t, flow.got, "30 was taken away")
	require.Equal(t, [][]uint32{{31}, {32}, {33, 34}, {35}}, [][]uint32{port.got, accepted.got, heir.got, stack.got})

	_, err = Watched(nil, see, func(Stack) (Link, error) { return nil, errStuck })(stack)
	require.ErrorIs(t, err, errStuck)
}
