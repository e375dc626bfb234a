package nettest

import (
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/options"
)

// boxed makes the elements of a middlebox, on the path with this number.
type boxed func(t *testing.T, path int) onpath.Element

// of are elements by their names in the catalog.
func of(specs ...string) boxed {
	return func(t *testing.T, path int) onpath.Element {
		var l []onpath.Element
		for _, spec := range specs {
			e, err := onpath.Named(spec, rand.NewChaCha8(sha256.Sum256([]byte(spec))))
			require.NoError(t, err)
			l = append(l, e)
		}
		return onpath.NewChain(l...)
	}
}

// put puts a middlebox on a path, and takes it away at the end of the scenario.
func (s *stage) put(v *valve, e onpath.Element) {
	v.set(e)
	s.undo = append(s.undo, func() { v.set(nil) })
}

// passes is a middlebox on both paths that leaves the connection multipath, and both paths in use.
func passes(paths *[2]*valve, name string, box boxed, configure ...func(s *stage)) scenario {
	return scenario{name, func(t *testing.T, s *stage) {
		for _, f := range configure {
			f(s)
		}
		for i, v := range paths {
			s.put(v, box(t, i+1))
		}
		p := s.meet(trickle)
		s.our(p).say("backup c1")
		s.carrying("c2")
		s.our(p).say("regular c1")
		s.our(p).say("backup c2")
		s.carrying("c1")
		c, srv := p.stop()
		require.Equal(t, extapi.FallbackNone, c.Info.Fallback)
		require.Equal(t, extapi.FallbackNone, srv.Info.Fallback)
		s.requireCounted(nil, s.mayCount(p)...)
	}}
}

// mayCount is what the kernel may count: where segments get lost, or where the emulator got no processor for so long that a path
// was stale to us and was joined anew, for all that the connection may be ending, or have ended, meanwhile.
func (s *stage) mayCount(p pair) (names []string) {
	s.t.Helper()
	s.ended(s.our(p))
	stale := s.our(p).state().Counters.MPTCP.SubflowStale
	if s.loses || stale > 0 {
		names = append(names, "MPRstRx")
	}
	if stale > 0 {
		s.t.Logf("%d paths were stale", stale)
		names = append(names, "MPJoinRejected", "MPJoinNoTokenFound")
	}
	return names
}

// turns is a middlebox on the only path that turns the connection into TCP; why is what our end says, as client and as server.
func turns(paths *[2]*valve, name string, client, server extapi.FallbackReason, box boxed) scenario {
	return scenario{name, func(t *testing.T, s *stage) {
		s.put(paths[0], box(t, 1))
		dialled, dialler := s.ends("c1")
		p := s.connect(dialled, dialler, s.server(1), short)
		c, srv := finish(t, 10*time.Second, p.client, p.server)
		ours, why := c, client
		if s.ours == "s" {
			ours, why = srv, server
		}
		require.Equal(t, why.String(), ours.Info.Fallback.String(), nonzero(s.counted()))
		require.Equal(t, extapi.CarrierTCP, ours.Info.Carrier)
	}}
}

// keepsOut is a middlebox on the second path that lets no join pass: the first carries on alone.
func keepsOut(paths *[2]*valve, name string, box boxed) scenario {
	return scenario{name, func(t *testing.T, s *stage) {
		joins := make(chan struct{}, 1)
		s.put(paths[1], onpath.NewChain(onpath.Where(onpath.Carries(onpath.OfSubtype(options.SubMPJoin)),
			onpath.Func(func(p []byte, d onpath.Dir, emit onpath.Emit) {
				select {
				case joins <- struct{}{}:
				default:
				}
				emit(p, d)
			})), box(t, 2)))
		if s.ours == "s" {
			s.endpoint(7, s.client(2), "dev c2 subflow")
		}
		server, client := s.ends("c1", "c2")
		p := s.connect(server, client, s.server(1), trickle)
		select {
		case <-joins:
		case <-time.After(5 * time.Second):
			require.Fail(t, "no join was tried")
		}
		s.carrying("c1")
		for _, f := range s.our(p).state().Subflows {
			require.True(t, over(f, "c1"), "%v", f)
		}
		c, srv := p.stop()
		require.Equal(t, extapi.FallbackNone, c.Info.Fallback)
		require.Equal(t, extapi.FallbackNone, srv.Info.Fallback)
	}}
}

// breaks is a middlebox that ends the second subflow in the middle: what it carried comes over the first. Until that is seen no
// further join passes, lest the second path carries on at once.
func breaks(paths *[2]*valve, name string, box boxed, configure ...func(s *stage)) scenario {
	return scenario{name, func(t *testing.T, s *stage) {
		for _, f := range configure {
			f(s)
		}
		p := s.meet(trickle)
		s.our(p).say("backup c1")
		s.carrying("c2")
		s.closes(p, "c2", func() { s.put(paths[1], onpath.NewChain(box(t, 2), of("drop-join")(t, 2))) })
		s.carrying("c1")
		paths[1].set(nil)
		c, srv := p.stop()
		require.Equal(t, extapi.FallbackNone, c.Info.Fallback)
		require.Equal(t, extapi.FallbackNone, srv.Info.Fallback)
	}}
}

// bears is something that comes in the middle on the second path, and that does no harm there.
func bears(paths *[2]*valve, name string, box boxed) scenario {
	return scenario{name, func(t *testing.T, s *stage) {
		p := s.meet(trickle)
		s.our(p).say("backup c1")
		s.carrying("c2")
		s.keeps(p, func() {
			s.put(paths[1], box(t, 2))
			s.carrying("c2")
		})
		p.stop()
	}}
}

// goesOn is something that comes in the middle on the second path, which may be of no use from then on: data flows.
func goesOn(paths *[2]*valve, name string, box boxed) scenario {
	return scenario{name, func(t *testing.T, s *stage) {
		p := s.meet(trickle)
		s.our(p).say("backup c1")
		s.carrying("c2")
		s.put(paths[1], box(t, 2))
		for range 3 {
			s.flowing(true, "c1", "c2")
			s.flowing(false, "c1", "c2")
		}
		c, srv := p.stop()
		require.Equal(t, extapi.FallbackNone, c.Info.Fallback)
		require.Equal(t, extapi.FallbackNone, srv.Info.Fallback)
	}}
}

func checksums(s *stage) { s.sums = true }

func loses(s *stage) { s.loses = true }

// ecn has the kernel ask for it, and agree to it.
func ecn(s *stage) { s.sysctl("net.ipv4.tcp_ecn", "1", "2") }

// probing has the kernel look for the MTU of a path that drops in silence.
func probing(s *stage) { s.sysctl("net.ipv4.tcp_mtu_probing", "1", "0") }

// translated is an address translation: the server sees the client elsewhere.
func translated(_ *testing.T, path int) onpath.Element {
	l := translations(path, onpath.NAT{})
	return onpath.NewChain(l[0], l[1])
}

// translations are such a translation for each family.
func translations(path int, how onpath.NAT) (l []*onpath.NAT) {
	for _, family := range []int{4, 6} {
		a := clientAddr(family, path).AsSlice()
		a[len(a)-1] = 77
		n := how
		n.Public, _ = netip.AddrFromSlice(a)
		l = append(l, &n)
	}
	return l
}

// aSegment is a data segment in the middle, in either direction.
func aSegment() onpath.Match { return onpath.And(onpath.IsData, onpath.Nth(5)) }

func forges(o options.Option) boxed {
	return func(*testing.T, int) onpath.Element { return onpath.ForgeOption(aSegment(), false, o.Append(nil)) }
}

// encounters are the rows of docs/middleboxes.md that a kernel can be the peer in.
func encounters(v *[2]*valve, ours string) []scenario {
	const peer, third, stripped = extapi.FallbackPeer, extapi.FallbackThirdAck, extapi.FallbackStripped
	endOfOptions := func(*testing.T, int) onpath.Element {
		return onpath.EditOptions(onpath.NoSYN, onpath.MPTCP, onpath.End)
	}
	var list []scenario
	early := passes(v, "M15 acknowledged early", of("early-ack"))
	if ours == "s" { // Linux takes an ACK without a DATA_ACK, which is the proxy's, for the end of Multipath TCP
		early = turns(v, "M15 acknowledged early", stripped, stripped, of("early-ack"))
	} else { // Linux as a client goes on with options that nobody answers
		list = append(list, turns(v, "M4 all but SYNs with the option gets lost", stripped, third, of("drop-mptcp=nosyn")))
	}
	if ours == "s" { // our dialer sends no data in SYNs, and Linux counts duplicate ACKs whatever they carry
		list = append(list, fastOpen(v))
	}
	return append(list,
		early,
		turns(v, "M3 stripped towards the server", stripped, third, of("strip=third")),
		turns(v, "M8 stripped towards the client", stripped, stripped, of("back:strip=nosyn")),
		turns(v, "M9 NOPs in SYNs", peer, peer, of("blank=syn")),
		turns(v, "M9 bad length in SYNs", peer, peer, of("bad-option=syn")),
		turns(v, "M9 bad length behind SYNs", stripped, third, of("bad-option=nosyn")),
		turns(v, "M9 end of options behind SYNs", stripped, third, endOfOptions),
		turns(v, "M16 proxy that ends TCP", stripped, third, of("split-proxy")),
		turns(v, "M25 SYN proxy", peer, peer, of("syn-proxy")),

		keepsOut(v, "M5 SYNs of joins get lost", of("drop-join")),
		keepsOut(v, "M5 HMAC of the third message", of("forward:garble=nosyn")),
		keepsOut(v, "M5 HMAC of the second message", of("garble=synack")),
		keepsOut(v, "M25 SYN proxy, second path", of("syn-proxy")),

		passes(v, "M9 options twice", of("twice=nosyn")),
		passes(v, "M10 address translation", translated),
		passes(v, "M12 sequence numbers", of("renumber")),
		passes(v, "M13 pieces", of("split=500")),
		passes(v, "M19 no holes", lossy(&onpath.NoHoles{}, &onpath.NoHoles{}), loses),
		passes(v, "M20 normalizer", lossy(&onpath.Normalizer{}, &onpath.Normalizer{}), loses),
		passes(v, "M21 few ACKs", of("thin-acks=4", "unseen-acks")),
		passes(v, "M22 small window", of("window=16384")),
		passes(v, "M23 no window scale", of("strip-kind=3")),
		passes(v, "M23 no SACK", of("strip-kind=4")),
		passes(v, "M23 no timestamps", of("strip-kind=8")),
		passes(v, "M26 bad checksums", of("bad-checksum=0.01")),
		passes(v, "M26 checksums made anew", of("renumber"), checksums),
		passes(v, "M27 twice and out of order", disordered),
		passes(v, "M32 MTU", of("mtu=1300")),
		passes(v, "M32 MTU in silence", of("mtu-blackhole=1300"), probing),
		passes(v, "M33 ECN bleached", of("bleach-ecn"), ecn),
		passes(v, "M33 ECN marked", of("mark-ecn=0.05"), ecn),
		passes(v, "M35 urgent data", of("urgent=10")),

		bears(v, "M30 forged REMOVE_ADDR", forges(options.RemoveAddr{N: 1, IDs: [37]uint8{77}})),
		bears(v, "M31 forged MP_FASTCLOSE", forges(options.Fastclose{ReceiverKey: 7})),
		bears(v, "M31 RST with a wrong number", func(*testing.T, int) onpath.Element { return onpath.Reset(aSegment(), false, 5) }),
		goesOn(v, "M35 forged FIN", of("finish=5")),
		goesOn(v, "M14 merged", of("coalesce=8000")),
		goesOn(v, "M14 merged, options of the last", func(*testing.T, int) onpath.Element {
			return &onpath.Coalesce{Bytes: 8000, Wait: 2 * time.Millisecond, KeepLast: true}
		}),
		forgets(v, "M11 forgotten in silence", false),
		forgets(v, "M11 forgotten, answered with RSTs", true),
		repeats(v),
		announced(v, "M29 ADD_ADDR gets lost once", onpath.Drop, 1),
		announced(v, "M29 HMAC of ADD_ADDR", func(m onpath.Match) onpath.Element {
			return onpath.EditOptions(m, onpath.OfSubtype(options.SubAddAddr), onpath.Garble)
		}, 100),
		breaks(v, "M18 gateway that edits", edits, checksums),
		breaks(v, "M31 forged RST", of("reset=5")),
	)
}

// lossy is a box behind a link that loses little.
func lossy(boxes ...onpath.Element) boxed {
	return func(_ *testing.T, path int) onpath.Element {
		return onpath.NewChain(boxes[path-1], onpath.Loss(0.002, rand.NewChaCha8([32]byte{byte(path)})))
	}
}

func disordered(_ *testing.T, path int) onpath.Element {
	r := rand.NewChaCha8([32]byte{byte(path)})
	return onpath.NewChain(onpath.Duplicate(onpath.Sometimes(0.05, r), 1), &onpath.Reorder{Probability: 0.05, By: 2 * time.Millisecond, Random: r})
}

// edits replaces two bytes, which a segment in fifty or so has, by one.
func edits(*testing.T, int) onpath.Element { return &onpath.ALG{Old: []byte("MP"), New: []byte("-")} }

// What middleboxes do between us and the kernel, in both roles: the connection goes on in one of the ways that
// docs/middleboxes.md states, and every byte is right.
func TestNamespaceWireMiddleboxes(t *testing.T) {
	for _, ours := range []string{"c", "s"} {
		t.Run("ours is "+ours, func(t *testing.T) {
			t.Parallel() // a stage each
			s, paths := newEmulatedStage(t, ours)
			s.scenes(t, inBothFamilies(encounters(&paths, ours)), reset, infinite)
		})
	}
}
