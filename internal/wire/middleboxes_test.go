package wire

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

const (
	peer     = extapi.FallbackPeer
	third    = extapi.FallbackThirdAck
	vanished = extapi.FallbackStripped
)

func strips(m onpath.Match) func(*world) onpath.Element {
	return func(*world) onpath.Element { return onpath.Strip(m, onpath.MPTCP) }
}

var (
	hasJoin = onpath.Carries(onpath.OfSubtype(options.SubMPJoin))
	onward  = onpath.Going(onpath.Forward)
	noRST   = onpath.Flagged(0, packet.RST)
)

// lastOptions merges segments, with the options of the last: MP_CAPABLE of the first data gives way to a DSS, and where a mapping
// ends in between the bytes before that are without one.
func lastOptions(*world) onpath.Element {
	return &onpath.Coalesce{Bytes: 8000, Wait: 2 * time.Millisecond, KeepLast: true}
}

// What a middlebox takes off, or damages, in the options of Multipath TCP.
var optionBoxes = []passage{
	named("M1 SYN", plain(peer, peer), "strip=syn"),
	named("M2 SYN/ACK", plain(peer, third), "strip=synack"),
	named("M3 third ACK and the rest", plain(vanished, third), "strip=third"),
	made("M3 third ACK alone", plain(vanished, third), func(*world) onpath.Element {
		return onpath.Strip(onpath.And(onward, onpath.NoSYN, onpath.Nth(1)), onpath.MPTCP)
	}),
	made("M3 all but the third ACK", plain(vanished, vanished), strips(onpath.And(onward, onpath.NoSYN, onpath.From(2)))),
	named("M4 SYNs get lost", plain(extapi.FallbackBlackhole, peer), "drop-mptcp=syn"),
	named("M4 all but SYNs with the option gets lost", plain(vanished, third), "drop-mptcp=nosyn"),
	named("M5 joins' SYNs get lost", refused, "drop-join"),
	named("M5 joins' SYNs", refused, "strip=syn"),
	named("M5 joins' SYN/ACKs", refused, "strip=synack"),
	named("M5 joins' third ACK", refused, "strip=third"),
	named("M5 joins' HMAC", refused, "forward:garble=nosyn"),
	named("M5 joins' answer's HMAC", refused, "garble=synack"),
	named("M6 all but SYNs", plain(vanished, third), "strip=nosyn"),
	made("M7 all but the join", lost, strips(onpath.And(onpath.Not(hasJoin), noRST))),
	named("M8 from the server", plain(vanished, extapi.FallbackInfiniteMap), "back:strip=nosyn"),
	made("M8 to the client, of the join", lost, strips(onpath.And(onpath.Going(onpath.Back), onpath.Not(hasJoin), noRST))),
	made("M8 to the server, of the join", lost, strips(onpath.And(onward, onpath.Not(hasJoin), noRST))),
	named("M9 NOPs in SYNs", plain(peer, peer), "blank=syn"),
	named("M9 NOPs behind SYNs", plain(vanished, third), "blank=nosyn"),
	made("M9 end of options", plain(vanished, third), func(*world) onpath.Element {
		return onpath.EditOptions(onpath.NoSYN, onpath.MPTCP, onpath.End)
	}),
	named("M9 bad length in SYNs", plain(peer, peer), "bad-option=syn"),
	named("M9 bad length behind SYNs", plain(vanished, third), "bad-option=nosyn"),
	named("M9 twice", multipath, "twice=nosyn"),
	named("M9 bad length, of the join", refused, "bad-option=all"),
	made("M14 merged, options of the last, mappings for themselves", plain(vanished, third), lastOptions).configured(withChecksums),
	made("M14 merged, options of the last, of the join", lost, lastOptions).configured(withChecksums),
	named("M16 proxy that ends TCP", plain(vanished, third), "split-proxy"),
	named("M16 proxy that ends TCP, second path", refused, "split-proxy"),
	named("M25 SYN proxy", plain(peer, peer), "syn-proxy"),
	named("M25 SYN proxy, second path", refused, "syn-proxy"),
}

func TestMiddleboxesThatTakeOptions(t *testing.T) {
	for i, p := range optionBoxes {
		speakers := []string{"client", "server", "both"}
		if p.want.paths == 2 {
			speakers = speakers[2:]
		}
		for _, speaks := range speakers {
			t.Run(p.name+"/"+speaks, func(t *testing.T) { p.through(t, uint64(500+i), speaks) })
		}
	}
}

func loses(p float64) func(*world) onpath.Element {
	return func(w *world) onpath.Element { return onpath.Loss(p, w.dice()) }
}

func withECN(h *host)           { h.params.ECN = true }
func withSuperSegments(h *host) { h.super = 65435 }
func withChecksums(h *host)     { h.offer.Checksum = true }

// What a middlebox does to TCP leaves the connection multipath, and the path in use.
var tcpBoxes = []passage{
	named("M10 address translation", used, "nat=192.0.2.77"),
	named("M12 sequence numbers", used, "renumber"),
	made("M12 sequence numbers but not SACK", used, func(*world) onpath.Element {
		return onpath.Renumber{Forward: 1 << 31, Back: 0xdeadbeef, LeaveSACK: true}.Element()
	}, func(*world) onpath.Element { // each is repaired by a timeout, and a path that lost that as well would count as dead
		return onpath.Drop(onpath.And(onpath.IsData, onpath.Nth(60, 200, 201, 210)))
	}),
	named("M13 pieces", used, "split=500"),
	named("M13 pieces, options on the first", used, "split-first=500"),
	// Of a mapping that is shorter than what is merged nothing tells where the next begins: the subflow is closed, and made anew.
	named("M14 merged", renewed, "coalesce=8000").configured(withSuperSegments),
	made("M14 merged, options of the last", used, lastOptions).configured(withSuperSegments),
	named("M15 acknowledged early", used, "early-ack"),
	made("M19 no holes", used, func(*world) onpath.Element { return &onpath.NoHoles{} }, loses(0.001)),
	made("M20 normalizer", used, func(*world) onpath.Element { return &onpath.Normalizer{} }, loses(0.01)),
	named("M21 few ACKs", used, "thin-acks=4"),
	named("M21 ACKs of unseen data", used, "unseen-acks"),
	made("M21 late ACKs", used, func(*world) onpath.Element {
		return onpath.Where(onpath.IsPureAck, onpath.NewLink(onpath.LinkConfig{Delay: 30 * time.Millisecond}, nil))
	}),
	named("M22 small window", used, "window=8192"),
	named("M23 no window scale", used, "strip-kind=3"),
	named("M23 no SACK", used, "strip-kind=4"),
	named("M23 no timestamps", used, "strip-kind=8"),
	named("M26 bad checksums", used, "bad-checksum=0.01"),
	made("M26 no checksum", used, func(*world) onpath.Element {
		return onpath.Where(onpath.And(onpath.IsData, onpath.Nth(20, 40, 41, 90)), onpath.ChecksumZero)
	}),
	named("M26 checksums made anew", used, "renumber").configured(withChecksums),
	// So much of it, beside a queue that overflows, may look for a moment like a path that is dead: a new subflow finds that it is not.
	made("M27 twice, late, out of order", renewed, func(w *world) onpath.Element {
		return onpath.Duplicate(onpath.Sometimes(0.05, w.dice()), 2)
	}, func(w *world) onpath.Element {
		return &onpath.Reorder{Probability: 0.05, By: 5 * time.Millisecond, Random: w.dice()}
	}),
	made("M27 one overtaken by 300", used, func(w *world) onpath.Element {
		return &onpath.Swap{Which: onpath.And(onpath.IsData, onpath.Nth(50, 400)), After: 300, Wait: 300 * time.Millisecond}
	}),
	made("M27 one direction late", used, func(w *world) onpath.Element {
		return onpath.Only(onpath.Back, onpath.NewLink(onpath.LinkConfig{Delay: 50 * time.Millisecond}, nil))
	}),
	named("M32 MTU", used, "mtu=1300"),
	named("M32 MTU in silence", used, "mtu-blackhole=1300"),
	named("M33 ECN bleached", used, "bleach-ecn").configured(withECN),
	named("M33 ECN marked", used, "mark-ecn=0.02").configured(withECN),
	named("M33 no ECN in SYNs", used, "no-syn-ecn").configured(withECN),
	made("M33 another DSCP", used, func(*world) onpath.Element { return onpath.TrafficClass(onpath.Any, 3, 46<<2) }).configured(withECN),
	named("M35 urgent data", used, "urgent=30"),
}

func TestMiddleboxesThatDoNoHarm(t *testing.T) {
	for i, p := range tcpBoxes {
		t.Run(p.name, func(t *testing.T) { p.through(t, uint64(600+i), "both") })
		t.Run(p.name+", the only path", func(t *testing.T) {
			p.want = multipath
			p.through(t, uint64(700+i), "both")
		})
	}
}

// forged is an option that somebody else puts behind the nth data segment of either direction.
func forged(n int, o options.Option) func(*world) onpath.Element {
	return func(*world) onpath.Element {
		return onpath.ForgeOption(onpath.And(onpath.IsData, onpath.Nth(n)), false, o.Append(nil))
	}
}

// What somebody on the way makes up, and boxes that break a path in the middle: at worst that subflow dies and the other
// carries on.
var pathBoxes = []passage{
	made("M10 another port in the middle", lost, func(w *world) onpath.Element {
		n := &onpath.NAT{Public: addr("192.0.2.77")}
		w.routes[1].nat = n.Public
		w.after(300*time.Millisecond, n.Rebind)
		return n
	}),
	made("M13 pieces, options on the last", used, func(*world) onpath.Element { return onpath.Split(500, onpath.LastPiece) }),
	made("M15 proxy that dies", used, func(w *world) onpath.Element {
		e := &onpath.EarlyAck{}
		w.after(300*time.Millisecond, e.Die)
		return e
	}),
	named("M17 payload", lost, "flip=20").configured(withChecksums),
	made("M18 payload becomes longer", lost, gateway("longer than it was")).configured(withChecksums),
	made("M18 payload becomes shorter", lost, gateway("s")).configured(withChecksums),
	made("M30 REMOVE_ADDR of the living path", used, forged(30, options.RemoveAddr{N: 1, IDs: [37]uint8{1}})),
	made("M30 REMOVE_ADDR of nothing", used, forged(30, options.RemoveAddr{N: 1, IDs: [37]uint8{77}})),
	named("M31 RST", lost, "reset=30"),
	made("M31 RST with a wrong number", used, func(*world) onpath.Element {
		return onpath.Reset(onpath.And(onpath.IsData, onpath.Nth(30)), false, 5)
	}),
	made("M31 MP_FASTCLOSE with a wrong key", used, forged(30, options.Fastclose{ReceiverKey: 7})),
	made("M31 MP_FAIL", lost, forged(30, options.MPFail{DSN: 7})),
	made("M31 DATA_ACK of what was never sent", lost, forged(30, options.DSS{HasAck: true, Ack64: true, DataAck: 7})),
	made("M31 mapping outside of the window", used, forged(30, options.DSS{HasMap: true, DSN64: true, DSN: 7, SSN: 1 << 30, DataLen: 9})),
	made("M35 FIN", survives, func(*world) onpath.Element { return onpath.Finish(onpath.And(onpath.IsData, onpath.Nth(30)), false) }),
}

// gateway replaces a piece of pattern, once, by something of another length.
func gateway(with string) func(*world) onpath.Element {
	return func(*world) onpath.Element {
		return &onpath.ALG{Old: pattern(1 << 20)[600<<10:][:24], New: []byte(with)}
	}
}

func TestMiddleboxesThatBreakAPath(t *testing.T) {
	for i, p := range pathBoxes {
		t.Run(p.name, func(t *testing.T) { p.through(t, uint64(800+i), "both") })
	}
}

// M11: after a silence nothing passes any more on either path, with or without a RST. What is then written arrives over new
// subflows, which the client opens.
func TestMappingsExpire(t *testing.T) {
	for _, reset := range []bool{false, true} {
		w, a, b := two(t, 900)
		for r, public := range map[*route]string{a: "192.0.2.1", b: "192.0.2.2"} {
			r.nat = addr(public)
			r.through(&onpath.NAT{Public: r.nat, Idle: time.Minute, Reset: reset})
		}
		want := pattern(200 << 10)
		w.client.out = want[:100<<10]
		w.dial()
		w.run(5*time.Minute, nil)
		require.Equal(t, 100<<10, w.server.in.Len())
		w.client.out, w.client.fin, w.server.fin = want[100<<10:], true, true
		w.settle()
		require.True(t, w.run(w.now+10*time.Second, func() bool { return w.server.eof && w.client.eof }))
		w.arrived(want, w.server)
		require.Less(t, w.now, 5*time.Minute+3*time.Second)
	}
}
