package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// roomy is a script whose Handler counts the calls of Room.
type roomy struct {
	*script
	calls int
}

func (r *roomy) Room(time.Duration) { r.calls++ }

func TestRoom(t *testing.T) {
	s := newScript(t)
	require.Zero(t, s.dial().c.Room(), "no room before the handshake is done")
	s = dialed(t, "mss=1460 win=5000")
	require.Equal(t, 5000, s.c.Room(), "the peer's window, smaller than ours for congestion")
	s.send(2000)
	require.Equal(t, 3000, s.c.Room())
	s.c.Limit(2500)
	require.Equal(t, 500, s.c.Room(), "a cap on what is in flight")
	s.c.Limit(0)
	s.send(10_000)
	require.Zero(t, s.c.Room(), "never negative")
	s.close()
	s.peer("A seq=1 ack=2001 win=60000")
	require.Zero(t, s.c.Room(), "nothing comes after the FIN")
}

func TestRoomIsOfferedWhenItIsWorthSomething(t *testing.T) {
	s := newScript(t)
	r := &roomy{script: s}
	syn := s.build("S seq=0 mss=1000 win=3000")
	s.c = Accept(0, s.cfg, r, &syn)
	s.drain()
	s.peer("A seq=1 ack=1 win=3000")
	s.send(3000)
	require.Zero(t, s.c.Room())
	require.Zero(t, r.calls)
	s.peer("A seq=1 ack=501 win=2500")
	require.Zero(t, r.calls, "the window has not moved")
	s.peer("A seq=1 ack=501 win=2700")
	require.Zero(t, r.calls, "200 bytes")
	s.peer("A seq=1 ack=1001 win=3000")
	require.Equal(t, 1, r.calls, "a segment")
	s.peer("A seq=1 ack=2001 win=3000")
	require.Equal(t, 1, r.calls, "it was told, and has not asked since")
	require.Equal(t, 2000, s.c.Room())
}

// Who takes all the room that there is hears when there is more, without having asked again.
func TestRoomIsOfferedToWhoFilledIt(t *testing.T) {
	s := newScript(t)
	r := &roomy{script: s}
	syn := s.build("S seq=0 mss=1000 win=3000")
	s.c = Accept(0, s.cfg, r, &syn)
	s.drain()
	s.peer("A seq=1 ack=1 win=3000")
	require.Equal(t, 3000, s.c.Room())
	s.send(3000)
	s.peer("A seq=1 ack=3001 win=3000")
	require.Equal(t, 1, r.calls)
	s.send(1000)
	s.peer("A seq=1 ack=4001 win=3000")
	require.Equal(t, 1, r.calls, "there was room all the time")
}

func TestASuperSegmentLeavesItsFINAndCWRAlone(t *testing.T) {
	s := dialed(t, "mss=1000")
	s.c.SetSuper(5000)
	s.c.Queue(s.now, payloadRef(1, 4000))
	s.close()
	out := s.want("A seq=1 len=4000", "what is repeated in each part must hold for each")
	require.Equal(t, 1000, out.SegSize)
	s.want("FA seq=4001 len=0", "hence a FIN of its own")

	s = ecnDialed(t)
	s.c.SetSuper(5000)
	s.send(4000)
	s.outs = nil
	s.after(10 * time.Millisecond)
	s.peer("AE seq=1 ack=4001")
	s.send(4000)
	out = s.want("AW seq=4001 len=1000", "CWR on one segment")
	require.Zero(t, out.SegSize)
	s.want("A seq=5001", "and on no other")
}

func TestASuperSegmentEndsWithAFullSegment(t *testing.T) {
	s := dialed(t, "mss=1000 win=60000")
	s.c.SetSuper(64_000)
	s.c.Queue(s.now, payloadRef(1, 9500))
	s.c.Queue(s.now, payloadRef(9501, 9500))
	s.drain()
	out := s.want("A seq=1", "as much as the congestion window takes")
	require.Zero(t, len(out.Payload)%1000, "no short segment in the middle of the stream")
}

func TestSmallWritesTravelTogether(t *testing.T) {
	s := dialed(t, "mss=1460")
	for i := range 300 {
		s.c.Queue(s.now, payloadRef(uint64(1+10*i), 10))
	}
	s.drain()
	s.want("A seq=1 len=1460", "more writes than a segment has pieces")
	s.want("A seq=1461 len=1460", "and so on")
	s.want("A seq=2921 len=80", "the rest")
}

// What is acknowledged while its segment is still being written out stays until Sent.
func TestPayloadStaysUntilSent(t *testing.T) {
	s := dialed(t, "mss=1460")
	before := pool.Outstanding()
	s.c.Queue(s.now, payloadRef(1, 1460))
	out := outSegment()
	require.True(t, s.c.Poll(s.now, &out))
	ack := s.build("A seq=1 ack=1461")
	s.c.HandleSegment(s.now, &ack, pool.Ref{})
	require.Equal(t, before+1, pool.Outstanding())
	require.Equal(t, stretch(1, 1460, true), out.Payload)
	s.c.Sent(s.now)
	require.Equal(t, before, pool.Outstanding())
}

// watcher is an Extension that notes what it is shown.
type watcher struct {
	noExtension
	seen []Incoming
}

func (x *watcher) Handle(_ time.Duration, in *Incoming) bool {
	x.seen = append(x.seen, *in)
	return true
}

func TestExtensionIsToldWhereASegmentLies(t *testing.T) {
	x := &watcher{}
	s := dialed(t, "mss=1460 sackok", func(c *Config) { c.Extension = x })
	require.Equal(t, KindSYNACK, x.seen[0].Kind)
	require.EqualValues(t, 1, x.seen[0].Ack)
	for _, c := range []struct {
		seg  string
		want Incoming
	}{
		{"A seq=101 len=100 ack=1", Incoming{Kind: KindDATA, Off: 101, Len: 100, Ack: 1, OutOfOrder: true}},
		{"A seq=121 len=50 ack=1", Incoming{Kind: KindDATA, Off: 121, Len: 50, Ack: 1, OutOfOrder: true, Duplicate: true}},
		{"A seq=1 len=100 ack=1", Incoming{Kind: KindDATA, Off: 1, Len: 100, Ack: 1}},
		{"A seq=1 len=300 ack=1", Incoming{Kind: KindDATA, Off: 1, Len: 300, Ack: 1}},
		{"A seq=301 ack=1", Incoming{Kind: KindACK, Off: 301, Ack: 1}},
		{"FA seq=301 ack=1", Incoming{Kind: KindFIN, Off: 301, Ack: 1}},
		{"R seq=302", Incoming{Kind: KindRST, Off: 302}},
	} {
		x.seen = nil
		s.peer(c.seg)
		require.Len(t, x.seen, 1, c.seg)
		x.seen[0].Seg = nil
		require.Equal(t, c.want, x.seen[0], c.seg)
	}
	require.Len(t, x.seen, 1)
}

func TestExtensionSeesNoUnacceptableSegment(t *testing.T) {
	x := &watcher{}
	s := dialed(t, "mss=1460", func(c *Config) { c.Extension = x })
	x.seen = nil
	for _, seg := range []string{"A seq=900000 len=10 ack=1", "A seq=1 len=10 ack=500", "R seq=500", "S seq=1", "P seq=1 len=10", "A seq=-100 len=50 ack=1"} {
		s.peer(seg)
	}
	require.Empty(t, x.seen)
	require.Equal(t, Established, s.c.State())
}

// greedy appends more than it may.
type greedy struct{ noExtension }

func (greedy) Append(_ time.Duration, _ *Outgoing, dst []byte, budget int) []byte {
	return append(dst, make([]byte, budget+1)...)
}

func TestAnExtensionCannotOverflowTheHeader(t *testing.T) {
	s := dialed(t, "mss=1460", func(c *Config) { c.Extension = greedy{} })
	s.send(10)
	require.LessOrEqual(t, len(s.want("A seq=1 len=10", "without the options").Options), packet.MaxOptions)
}

// Corked, the end of what is queued waits for more as long as something is in flight.
func TestCork(t *testing.T) {
	s := dialed(t, "mss=1000 win=60000")
	queue := func(n int) {
		s.c.Queue(s.now, payloadRef(s.c.snd.end, n))
		s.drain()
	}
	s.c.Cork(true)
	queue(300)
	s.want("A seq=1 len=300", "nothing is in flight")
	require.False(t, s.c.Corked())
	queue(1700)
	s.want("A seq=301 len=1000", "it would not grow")
	s.quiet("more comes")
	require.True(t, s.c.Corked())
	queue(400)
	s.want("A seq=1301 len=1000", "more has come")
	s.quiet("the end of that")
	s.c.Cork(false)
	require.False(t, s.c.Corked())
	s.drain()
	s.want("A seq=2301 len=100", "no more comes")

	s.c.Cork(true)
	s.c.SetSuper(5000)
	queue(2400)
	s.quiet("it could grow")
	queue(3000)
	require.Equal(t, 1000, s.want("A seq=2401 len=5000", "it can't any more").SegSize)
	s.quiet("the end of that")
	s.peer("A seq=1 ack=7401 win=60000")
	s.want("A seq=7401 len=400", "nothing is in flight any more")
	queue(200)
	s.quiet("more comes")
	s.close()
	s.want("FA seq=7801 len=200", "no more comes")
}

// A tail loss probe takes along what waits: new data is the better probe.
func TestCorkAndLossProbe(t *testing.T) {
	s := dialed(t, "mss=1000 sackok win=60000")
	s.c.Cork(true)
	s.send(1200)
	s.want("A seq=1 len=1000", "full")
	s.quiet("more comes")
	s.after(time.Second)
	s.want("A seq=1001 len=200", "the probe")
}
