package nettest

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// forgetful is a stateful box that forgets what it knows when it is told to.
type forgetful struct {
	nats   []*onpath.NAT
	forget atomic.Bool
}

// Process implements onpath.Element.
func (f *forgetful) Process(now time.Duration, p []byte, d onpath.Dir, emit onpath.Emit) {
	if f.forget.Swap(false) {
		for _, n := range f.nats {
			n.Rebind()
		}
	}
	onpath.NewChain(f.nats[0], f.nats[1]).Process(now, p, d, emit)
}

// forgets is an address translation in front of the second path that forgets it: what is sent there is dropped, or answered with
// RSTs, and comes over the first path. A dialer of ours joins again.
func forgets(paths *[2]*valve, name string, resets bool) scenario {
	return scenario{name, func(t *testing.T, s *stage) {
		box := &forgetful{nats: translations(2, onpath.NAT{Idle: time.Hour, Reset: resets})}
		s.put(paths[1], box)
		p := s.meet(trickle)
		s.our(p).say("backup c1")
		s.carrying("c2")
		forget := func() { box.forget.Store(true) }
		if s.ours == "c" {
			s.closes(p, "c2", forget)
			s.carrying("c2")
		} else {
			forget()
			s.carrying("c1")
		}
		c, srv := p.stop()
		s.do(s.theirs, "ss -HK state connected") // the kernel's old subflow, to which nothing comes
		require.Equal(t, extapi.FallbackNone, c.Info.Fallback)
		require.Equal(t, extapi.FallbackNone, srv.Info.Fallback)
	}}
}

// repeats is a box on the second path that puts four ACKs with nothing but an option behind every fifth of the peer's: for a TCP
// that takes them for duplicates each time is a loss.
func repeats(paths *[2]*valve) scenario {
	return scenario{"M28 duplicate ACKs with options", func(t *testing.T, s *stage) {
		s.sysctl("net.ipv4.tcp_sack", "0", "1") // with SACK it is not the number of ACKs that tells
		p := s.meet(trickle)
		s.our(p).say("backup c1")
		s.carrying("c2")
		forged := onpath.OfSubtype(options.SubMPPrio)
		var chain []onpath.Element
		for range 4 {
			n := 0
			fifth := func([]byte, onpath.Dir) bool { n++; return n%5 == 0 }
			peers := onpath.And(onpath.Going(s.direction().Reverse()), onpath.IsPureAck, onpath.Not(onpath.Carries(forged)), fifth)
			chain = append(chain, onpath.ForgeOption(peers, false, options.MPPrio{}.Append(nil)))
		}
		before := s.our(p).state().Counters
		s.put(paths[1], onpath.NewChain(chain...))
		after := before
		s.eventually(8*time.Second, "the forged ones come", func() bool {
			after = s.our(p).state().Counters
			return after.MPTCP.MPPrioRx-before.MPTCP.MPPrioRx > 40
		})
		require.Zero(t, after.TCP.FastRetran-before.TCP.FastRetran)
		p.stop()
	}}
}

// direction is that of our segments.
func (s *stage) direction() onpath.Dir {
	if s.ours == "s" {
		return onpath.Back
	}
	return onpath.Forward
}

// announced is an ADD_ADDR that a box spoils so many times: as long as the right one does not come nobody joins or echoes.
func announced(paths *[2]*valve, name string, how func(onpath.Match) onpath.Element, times int32) scenario {
	return scenario{name, func(t *testing.T, s *stage) {
		var seen atomic.Int32
		early := func([]byte, onpath.Dir) bool { return seen.Add(1) <= times }
		s.put(paths[0], how(onpath.And(onpath.Going(onpath.Back), onpath.Carries(onpath.OfSubtype(options.SubAddAddr)), early)))
		joined, echoed := "MPJoinSynAckRx", "EchoAddTx"
		server, client := ourListener(netip.AddrPortFrom(s.server(2), 0)), kernelEnd
		if s.ours == "c" {
			joined, echoed = "MPJoinAckRx", "EchoAdd"
			s.sysctl("net.mptcp.add_addr_timeout", "1", "120")
			s.endpoint(5, s.server(2), "signal")
			server, client = kernelEnd, ourDialer("c1")
		}
		p := s.connect(server, client, s.server(1), trickle)
		s.eventually(8*time.Second, "it is announced again", func() bool { return seen.Load() >= 2 })
		want := 0
		if times == 1 {
			want = 1
			s.await(joined, 1)
			s.await(echoed, 1)
		}
		s.flowing(true, "c1")
		s.requireCounted(map[string]int{joined: want, echoed: want})
		p.stop()
	}}
}

// fastOpen is a dialer of the kernel's that has its first data in the SYN (RFC 7413), unasked. Our listener does not take it, the
// dialer sends it again without a mapping, and the connection goes on as TCP: as between two Linux.
func fastOpen(paths *[2]*valve) scenario {
	return scenario{"M24 data in the SYN", func(t *testing.T, s *stage) {
		var withData atomic.Int32
		s.put(paths[0], onpath.Where(onpath.And(onpath.IsSYN, func(p []byte, _ onpath.Dir) bool {
			seg, err := packet.Parse(p)
			return err == nil && len(seg.Payload) > 0
		}), onpath.Func(func(p []byte, d onpath.Dir, emit onpath.Emit) {
			withData.Add(1)
			emit(p, d)
		})))
		const dataWithoutCookie = 0x4
		s.sysctl("net.ipv4.tcp_fastopen", fmt.Sprint(1|dataWithoutCookie), "1")
		server, client := s.ends("c1")
		client.FastOpen = true
		p := s.connect(server, client, s.server(1), short)
		_, srv := finish(t, 10*time.Second, p.client, p.server)
		require.Positive(t, withData.Load())
		require.Equal(t, extapi.FallbackThirdAck.String(), srv.Info.Fallback.String())
	}}
}
