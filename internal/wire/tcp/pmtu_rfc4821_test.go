package tcp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

func (s *script) icmp(trouble packet.Trouble, mtu, seq int) {
	e := packet.ICMPError{From: serverAddr.Addr(), Trouble: trouble, MTU: mtu, Src: s.cfg.Local, Dst: s.cfg.Remote, Seq: ourISN + uint32(seq)}
	s.c.HandleICMP(s.now, &e)
	s.drain()
}

// A router that claims to take next to nothing lies: what every path carries stays.
func TestAbsurdMTUIsNotBelieved(t *testing.T) {
	for _, mtu := range []int{1, 68, 100} {
		s := dialed(t, "mss=1460")
		s.send(1460)
		s.icmp(packet.TroubleTooBig, mtu, 1)
		require.Equal(t, s.c.mtu.least, s.c.mtu.current)
		require.GreaterOrEqual(t, s.c.FullPayload(), 500)
	}
}

// RFC 1191: the packet was too big, its bytes go again in smaller ones.
func TestPacketTooBig(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.send(4000)
	s.wantData(1, 4001, "1460 in each")
	s.icmp(packet.TroubleTooBig, 1300, 1)
	s.want("A seq=2741 len=1260", "at once: what follows makes the peer tell what it lacks")
	s.after(10 * time.Millisecond)
	s.peer("A seq=1 ack=1 sack=2741-4001")
	s.after(50 * time.Millisecond)
	s.want("A seq=1 len=1260", "the bytes of the first two segments, in smaller ones")
	require.Equal(t, 1260, s.c.Stats().Perf.CurMSS)
	s.after(10 * time.Second)
	for _, o := range s.outs {
		require.LessOrEqual(t, o.Len(), 1300)
	}
}

func TestPacketTooBigFromAnOldRouter(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.send(1460)
	s.icmp(packet.TroubleTooBig, 0, 1)
	require.Equal(t, 1492-40, s.c.Stats().Perf.CurMSS, "RFC 1191 section 5: the next plateau")
}

// RFC 5927: what may be forged.
func TestForgedPacketTooBig(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.icmp(packet.TroubleTooBig, 600, 1)
	require.Equal(t, 1460, s.c.Stats().Perf.CurMSS, "section 4.1: nothing with this number is in flight")
	s.send(2920)
	s.icmp(packet.TroubleTooBig, 600, 2921)
	s.icmp(packet.TroubleTooBig, 600, 0)
	require.Equal(t, 1460, s.c.Stats().Perf.CurMSS, "nor with these")
	s.peer("A seq=1 ack=1461")
	s.icmp(packet.TroubleTooBig, 600, 1461)
	require.Equal(t, 1460, s.c.Stats().Perf.CurMSS, "section 7.2: larger packets have arrived")
	for s.c.Stats().Timeouts == 0 {
		s.after(10 * time.Millisecond)
	}
	require.Equal(t, 560, s.c.Stats().Perf.CurMSS, "a timeout confirms it")

	s = dialed(t, "mss=1460 sackok")
	s.send(1460)
	s.icmp(packet.TroubleTooBig, 68, 1)
	require.Equal(t, 552-40, s.c.Stats().Perf.CurMSS, "no path is that small")
	s.icmp(packet.TroubleTooBig, 9000, 1)
	require.Equal(t, 552-40, s.c.Stats().Perf.CurMSS, "too big does not mean larger")
}

// What this host's own link says counts also where larger packets have arrived before.
func TestLinkMTU(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.send(1460)
	s.peer("A seq=1 ack=1461")
	s.send(2920)
	s.outs = nil
	s.c.LinkMTU(s.now, 9000, nil)
	require.Equal(t, 1460, s.c.Stats().Perf.CurMSS)
	s.c.LinkMTU(s.now, 1300, nil)
	s.drain()
	require.Equal(t, 1260, s.c.Stats().Perf.CurMSS)
	s.want("A seq=3121 len=1260", "at once")
	s.c.LinkMTU(s.now, 68, nil)
	require.Equal(t, 552-40, s.c.Stats().Perf.CurMSS, "no link is that small")
}

// What the link has refused leaves again in smaller segments, although the window is full. What was small enough has left.
func TestLinkRefuses(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.send(1460)
	s.peer("A seq=1 ack=1461")
	s.send(2920 + 100)
	refused := s.outs[len(s.outs)-3:]
	s.outs = nil
	s.c.LinkMTU(s.now, 1300, refused)
	s.drain()
	for _, want := range []string{"A seq=1461 len=1260", "A seq=2721 len=1260", "A seq=3981 len=400"} {
		s.want(want, "lost at once")
	}
	s.want("A seq=4381 len=100", "what makes the peer tell of more that is lost")
	s.quiet("all of it")
}

// Linux gives lo an MTU of 65536. The Total Length of RFC 791 section 3.1 has room for a byte less, and so has our MSS option.
func TestMTUThatNoPacketHasRoomFor(t *testing.T) {
	s := newScript(t, func(cfg *Config) {
		cfg.MTU = 65536
		cfg.Controller = congestion.Reno.NewGroup().New(0, congestion.Subflow{MSS: 65496})
	}).dial()
	s.want("S seq=0 mss=65495", "RFC 6691 section 2: the MTU less 40")
	s.peer("SA seq=0 ack=1 mss=65496 win=65535")
	s.want("A seq=1 ack=1 len=0", "the third segment")
	s.send(65535)
	s.want("A seq=1 len=65495", "40 bytes of headers in front")
	s.peer("A seq=1 ack=65496")
	s.want("A seq=65496 len=40", "the rest")
}

func TestForgedUnreachable(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.send(100)
	for _, x := range []packet.Trouble{packet.TroublePort, packet.TroubleProhibited, packet.TroubleTransient} {
		s.icmp(x, 0, 1)
	}
	require.Equal(t, Established, s.c.State(), "section 5.2: an established connection is never ended")
	require.EqualValues(t, 3, s.c.Stats().SoftErrors)
}

func TestUnreachableDuringTheHandshake(t *testing.T) {
	for _, c := range []struct {
		x    packet.Trouble
		want string
	}{{packet.TroublePort, "closed tcp: connection refused"}, {packet.TroubleProhibited, "closed tcp: destination unreachable"}} {
		s := newScript(t).dial()
		s.icmp(c.x, 0, 5)
		s.happened()
		s.icmp(c.x, 0, 0)
		s.happened(c.want)
	}
	s := newScript(t).dial()
	s.icmp(packet.TroubleTransient, 0, 0)
	s.happened()
	s.after(5 * time.Minute)
	s.happened("closed tcp: destination unreachable")
}

// blackhole drops what is larger than size, and says nothing. It stands behind the device, which cuts super-segments.
func blackhole(size *int) func(*packet.Segment) bool {
	return func(s *packet.Segment) bool {
		n := s.Len()
		if s.SegSize > 0 {
			n = s.HeaderLen() + s.SegSize
		}
		return n <= *size
	}
}

// RFC 4821: no ICMP message comes, and the transfer goes on all the same; when the path is as before, the
// segments grow again.
func TestBlackholeIsFoundAndLeft(t *testing.T) {
	for size, found := range map[int]int{1400: 1400, 1281: 1280, 600: 552} {
		w := newWorld(t, 1)
		a, b := w.ends[0], w.ends[1]
		limit := 1500
		w.links[0].corrupt = blackhole(&limit)
		a.send = pattern(3_000_000, 3)
		want := a.send
		w.links[0].rate = 1e6
		w.links[0].queue = 50_000
		w.dial()
		require.True(t, w.run(10*time.Second, func() bool { return len(b.got) > 200_000 }))
		require.Equal(t, 1448, a.c.Stats().Perf.CurMSS)
		limit = size
		require.True(t, w.run(time.Minute, func() bool { return len(b.got) > 2_600_000 }), "MTU %d: %d bytes", size, len(b.got))
		require.Equal(t, found, a.c.Stats().Perf.CurMSS+52, "the largest common size that passes")
		limit = 1500
		require.True(t, w.run(time.Minute, func() bool { return len(b.got) == len(want) }))
		w.run(11*time.Minute, func() bool { return false })
		a.send = append(a.send, pattern(3_000_000, 4)...)
		want = append(want, a.send...)
		a.fill(w.now)
		w.flush(0)
		require.True(t, w.run(time.Minute, func() bool { return len(b.got) == len(want) }))
		require.Equal(t, 1448, a.c.Stats().Perf.CurMSS, "RFC 8899: PMTU_RAISE_TIMER")
		require.Equal(t, want, b.got)
		w.finish()
	}
}

// A dead path looks like a black hole: when it comes back, so does the size.
func TestADeadPathIsNoBlackholeForLong(t *testing.T) {
	w := newWorld(t, 1)
	a, b := w.ends[0], w.ends[1]
	dead := false
	w.links[0].corrupt = func(*packet.Segment) bool { return !dead }
	w.links[0].rate, w.links[0].queue = 1e6, 50_000
	a.send = pattern(6_000_000, 3)
	w.dial()
	require.True(t, w.run(10*time.Second, func() bool { return len(b.got) > 200_000 }))
	dead = true
	w.run(8*time.Second, func() bool { return false })
	require.Less(t, a.c.Stats().Perf.CurMSS, 1448)
	dead = false
	require.True(t, w.run(time.Minute, func() bool { return len(b.got) == 6_000_000 }))
	require.Equal(t, 1448, a.c.Stats().Perf.CurMSS)
	w.finish()
}

// Where no full segment has ever arrived, the first timeout is reason enough to try smaller ones; a path that has carried
// some is given a second one.
func TestTheFirstFlightVanishes(t *testing.T) {
	for arrived, want := range map[uint32][2]int{1: {1240, 512}, 1461: {1460, 1240}} {
		s := dialed(t, "mss=1460 sackok")
		s.send(4380)
		s.wantData(1, 4381, "1460 in each")
		if arrived > 1 {
			s.peer(fmt.Sprintf("A seq=1 ack=%d", arrived))
		}
		for n := range want {
			for s.c.Stats().Timeouts == uint64(n) {
				s.after(10 * time.Millisecond)
			}
			require.Equal(t, want[n], s.c.Stats().Perf.CurMSS)
		}
	}
}

// reserving keeps room for options in every segment.
type reserving struct {
	noExtension
	n int
}

func (x reserving) Reserve(uint64) int { return x.n }

// One segment is full when the options leave no room for more.
func TestTheFirstSegmentVanishesFullOfOptions(t *testing.T) {
	s := dialed(t, "mss=1460 sackok", func(c *Config) { c.NoDelay, c.Extension = true, reserving{n: 20} })
	s.send(1440)
	s.wantData(1, 1441, "with 20 bytes of options")
	for s.c.Stats().Timeouts == 0 {
		s.after(10 * time.Millisecond)
	}
	require.Equal(t, 1240, s.c.Stats().Perf.CurMSS)
}

// A packet need not be full to be too large: "excessive loss of data sent with a specific packet size"
// (RFC 8899 section 4.3) may be of any size, and RFC 4821 section 7.7 takes every "full-stop timeout" for a black hole. Less than
// MIN_PLPMTU (here 552) is never tried.
func TestShortPacketsVanishToo(t *testing.T) {
	for n, want := range map[int][]int{
		1400: {1400, 1240, 512, 512}, // more than the base
		900:  {900, 512, 512, 512},
		500:  {500, 500, 500, 500}, // no size that is tried is below
	} {
		s := dialed(t, "mss=1460 sackok", func(c *Config) { c.NoDelay = true })
		s.send(n)
		var sizes []int
		for range want {
			s.outs = nil
			for before := s.c.Stats().Timeouts; s.c.Stats().Timeouts == before; {
				s.after(10 * time.Millisecond)
			}
			require.NotEmpty(t, s.outs)
			sizes = append(sizes, len(s.outs[len(s.outs)-1].Payload))
		}
		require.Equal(t, want, sizes, "%d bytes", n)
	}
}

// What vanishes on a path that takes less than the base arrives in small pieces, in good time, and a path that takes more again is
// used as far as it goes.
func TestBlackholeBelowTheBase(t *testing.T) {
	for _, bytes := range []int{700, 1000, 1300, 5000} {
		w := newWorld(t, 1)
		a, b := w.ends[0], w.ends[1]
		limit := 600
		w.links[0].corrupt = blackhole(&limit)
		a.send = pattern(bytes, 3)
		want := a.send
		w.dial()
		require.True(t, w.run(5*time.Second, func() bool { return len(b.got) == bytes }), "%d of %d", len(b.got), bytes)
		require.Equal(t, want, b.got)
		limit = 1500
		w.run(11*time.Minute, func() bool { return false })
		a.send = append(a.send, pattern(1_000_000, 4)...)
		a.fill(w.now)
		w.flush(0)
		require.True(t, w.run(time.Minute, func() bool { return len(b.got) == bytes+1_000_000 }))
		require.Equal(t, 1448, a.c.Stats().Perf.CurMSS)
		w.finish()
	}
}
