package ipnet

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/simnet"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := pool.Outstanding(); n != 0 {
		fmt.Println(n, "chunks were not released")
		code = 1
	}
	os.Exit(code)
}

var ap = netip.MustParseAddrPort

// recorder is a stack and handler that keeps what it is told.
type recorder struct {
	got     []packet.Segment
	at      []time.Duration
	icmp    []packet.ICMPError
	flushes int
	changes int
	react   func(s *packet.Segment)
}

func (r *recorder) HandleSegment(now time.Duration, s *packet.Segment, _ pool.Ref) {
	k := *s
	k.Payload = append([]byte(nil), s.Payload...)
	r.got, r.at = append(r.got, k), append(r.at, now)
	if r.react != nil {
		r.react(s)
	}
}
func (r *recorder) HandleICMP(_ time.Duration, e *packet.ICMPError) { r.icmp = append(r.icmp, *e) }
func (r *recorder) Flush(time.Duration) any                         { r.flushes++; return nil }
func (r *recorder) Changed(time.Duration)                           { r.changes++ }
func (r *recorder) Writable(time.Duration)                          {}

// world is a client with two interfaces and a server with one.
type world struct {
	sim                          *simnet.Sim
	net                          *Net
	client, server               *Host
	wifi, cell, eth              *Port
	first                        *Path
	atClient, atServer, listened recorder
}

func newWorld(seed uint64, elements ...onpath.Element) *world {
	w := &world{sim: simnet.New(seed)}
	w.net = New(w.sim)
	w.client, w.server = w.net.Host("client"), w.net.Host("server")
	w.wifi = w.client.Attach("wifi", 0, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1"))
	w.cell = w.client.Attach("cell", 1400, netip.MustParseAddr("10.0.1.1"))
	w.eth = w.server.Attach("eth", 0, netip.MustParseAddr("10.0.9.9"), netip.MustParseAddr("fd00::9"))
	w.first = w.net.Join(w.wifi, w.eth, elements...)
	w.net.Join(w.cell, w.eth, onpath.NewLink(onpath.LinkConfig{Delay: 50 * time.Millisecond}, nil))
	w.client.Open(&w.atClient)
	w.server.Open(&w.atServer)
	return w
}

// answering makes the listener answer each segment with a pure acknowledgment.
func (w *world) answering(t *testing.T) {
	_, err := w.server.Listen(ap("0.0.0.0:80"), &w.listened)
	require.NoError(t, err)
	w.listened.react = func(s *packet.Segment) {
		_, err := w.server.Send([]packet.Segment{{Src: s.Dst, Dst: s.Src, Ack: 7, Flags: packet.ACK}})
		require.NoError(t, err)
	}
}

// The time of arrival is size/rate + delay, each way, to the nanosecond; what arrives is what was sent.
func TestPacketsTakeTheirTime(t *testing.T) {
	w := newWorld(1, onpath.NewLink(onpath.LinkConfig{Rate: 1e6, Delay: 20 * time.Millisecond}, nil))
	w.answering(t)
	var answer recorder
	f, err := w.client.Connect(ap("10.0.0.1:0"), ap("10.0.9.9:80"), 0, &answer)
	require.NoError(t, err)
	require.EqualValues(t, 32768, f.Local().Port())
	n, err := w.client.Send([]packet.Segment{{Src: f.Local(), Dst: f.Remote(), Seq: 1, Flags: packet.SYN, Payload: make([]byte, 960)}})
	require.Equal(t, 1, n)
	require.NoError(t, err)
	w.sim.Run(time.Second)
	require.Equal(t, []time.Duration{21 * time.Millisecond}, w.listened.at)
	require.Len(t, w.listened.got[0].Payload, 960)
	require.Equal(t, 1, w.listened.got[0].IfIndex)
	require.Equal(t, []time.Duration{41*time.Millisecond + 40*time.Microsecond}, answer.at)
	require.EqualValues(t, 7, answer.got[0].Ack)
	require.Equal(t, []int{1, 1}, []int{w.atClient.flushes, w.atServer.flushes})
	require.Empty(t, w.atClient.got, "the flow had it")
}

// What arrives at one instant is one batch.
func TestBatchesEndWithAFlush(t *testing.T) {
	w := newWorld(1, onpath.NewLink(onpath.LinkConfig{Delay: time.Millisecond}, nil))
	_, err := w.server.Listen(ap("10.0.9.9:80"), &w.listened)
	require.NoError(t, err)
	f, err := w.client.Connect(ap("10.0.0.1:5000"), ap("10.0.9.9:80"), 0, &w.atClient)
	require.NoError(t, err)
	s := packet.Segment{Src: f.Local(), Dst: f.Remote(), Flags: packet.ACK}
	_, _ = w.client.Send([]packet.Segment{s, s, s})
	w.sim.Run(time.Second)
	require.Len(t, w.listened.got, 3)
	require.Equal(t, 1, w.atServer.flushes)
}

func TestWhoGetsASegment(t *testing.T) {
	w := newWorld(1)
	wide, err := w.server.Listen(ap("[::]:80"), &w.listened)
	require.NoError(t, err)
	_, err = w.server.Listen(ap("[::]:80"), &w.listened)
	require.ErrorIs(t, err, link.ErrInUse)
	_, err = w.server.Listen(ap("10.7.7.7:80"), &w.listened)
	require.ErrorIs(t, err, link.ErrNotHeld)
	var bound, accepted, mine recorder
	_, err = w.server.Listen(ap("[fd00::9]:80"), &bound)
	require.NoError(t, err)
	flow, err := wide.Accept(ap("[fd00::9]:80"), ap("[fd00::1]:1000"), 0, &accepted)
	require.NoError(t, err)
	_, err = wide.Accept(ap("[fd00::9]:80"), ap("[fd00::1]:1000"), 0, &accepted)
	require.ErrorIs(t, err, link.ErrInUse)
	for _, p := range []string{"1000", "1001"} {
		_, err = w.client.Connect(ap("[fd00::1]:"+p), ap("[fd00::9]:80"), 0, &mine)
		require.NoError(t, err)
	}
	send := func(from, to string) {
		_, err := w.client.Send([]packet.Segment{{Src: ap(from), Dst: ap(to), Flags: packet.ACK, Ack: 99}})
		require.NoError(t, err)
		w.sim.Run(w.sim.Now() + time.Second)
	}
	send("[fd00::1]:1000", "[fd00::9]:80")
	require.Len(t, accepted.got, 1, "its flow")
	send("[fd00::1]:1001", "[fd00::9]:80")
	require.Len(t, bound.got, 1, "the listener that is bound to the address")
	require.Same(t, &bound, flow.Listener(), "likewise for what the flow hands on")
	flow.Close()
	flow.Close()
	send("[fd00::1]:1000", "[fd00::9]:80")
	require.Len(t, bound.got, 2)
	require.NoError(t, wide.Close())
	require.NoError(t, wide.Close())

	dialled, err := w.client.Connect(ap("10.0.0.1:2000"), ap("10.0.9.9:80"), 0, &mine)
	require.NoError(t, err)
	require.Nil(t, dialled.Listener())
	send("10.0.0.1:2000", "10.0.9.9:80")
	require.Len(t, w.atServer.got, 1, "the port is held, the address is nobody's: the stack")
	send("10.0.0.1:2000", "10.0.9.9:81")
	require.EqualValues(t, 1, w.server.Stats().Refused, "a port of nobody's: the host")
	last := w.atClient.got[len(w.atClient.got)-1]
	require.Equal(t, packet.RST, last.Flags)
	require.EqualValues(t, 99, last.Seq)
}

func TestSendingRules(t *testing.T) {
	w := newWorld(1)
	f, err := w.client.Connect(ap("10.0.1.1:0"), ap("10.0.9.9:80"), 2, &w.atClient)
	require.NoError(t, err)
	_, err = w.client.Connect(ap("10.9.9.9:0"), ap("10.0.9.9:80"), 0, &w.atClient)
	require.ErrorIs(t, err, link.ErrNotHeld)
	s := packet.Segment{Src: f.Local(), Dst: f.Remote(), Flags: packet.ACK}
	long, foreign, astray := s, s, s
	long.Payload = make([]byte, 1400)
	foreign.Src = ap("10.0.1.1:9")
	astray.Dst = ap("10.5.5.5:80")
	n, err := w.client.Send([]packet.Segment{long, s, foreign, astray, s})
	require.ErrorContains(t, err, "whose MTU is 1400", "the first one's error")
	require.Equal(t, 3, n, "the others are sent all the same; the only path takes any address")
	_, err = w.client.Send([]packet.Segment{foreign})
	require.ErrorIs(t, err, link.ErrNotHeld)
	require.Zero(t, f.Super())

	r, err := w.client.Route(netip.Addr{}, netip.MustParseAddr("10.0.9.9"), "")
	require.NoError(t, err)
	require.Equal(t, link.Route{Source: netip.MustParseAddr("10.0.0.1"), IfIndex: 1, Interface: "wifi", MTU: 1500}, r)
	r, err = w.client.Route(netip.Addr{}, netip.MustParseAddr("10.0.9.9"), "cell")
	require.NoError(t, err)
	require.Equal(t, 1400, r.MTU)
	_, err = w.client.Route(netip.Addr{}, netip.MustParseAddr("fd00::9"), "cell")
	require.Error(t, err)
	w.cell.SetAddrs(netip.MustParseAddr("fd00::2"))
	w.sim.Run(w.sim.Now())
	require.Equal(t, 1, w.atClient.changes)
	_, err = w.client.Route(netip.Addr{}, netip.MustParseAddr("fd00::9"), "cell")
	require.NoError(t, err)

	require.NoError(t, w.client.Close())
	_, err = w.client.Send([]packet.Segment{s})
	require.ErrorIs(t, err, link.ErrClosed)
	_, err = w.client.Listen(ap("10.0.0.1:80"), &w.atClient)
	require.ErrorIs(t, err, link.ErrClosed)
}

// Through a translator the server sees its address, and answers find the way back.
func TestPathWithANAT(t *testing.T) {
	public := netip.MustParseAddr("192.0.2.1")
	w := newWorld(1, &onpath.NAT{Public: public})
	w.first.Owns(public)
	w.answering(t)
	f, err := w.client.Connect(ap("10.0.0.1:5000"), ap("10.0.9.9:80"), 0, &w.atClient)
	require.NoError(t, err)
	_, err = w.client.Send([]packet.Segment{{Src: f.Local(), Dst: f.Remote(), Flags: packet.SYN}})
	require.NoError(t, err)
	w.sim.Run(time.Second)
	require.Equal(t, public, w.listened.got[0].Src.Addr())
	require.Equal(t, f.Local(), w.atClient.got[0].Dst)
}

func TestICMPReachesItsFlow(t *testing.T) {
	w := newWorld(1, onpath.MTU{Bytes: 1000, Tell: true})
	var mine recorder
	f, err := w.client.Connect(ap("10.0.0.1:5000"), ap("10.0.9.9:80"), 0, &mine)
	require.NoError(t, err)
	_, err = w.client.Send([]packet.Segment{{Src: f.Local(), Dst: f.Remote(), Seq: 55, Flags: packet.ACK, Payload: make([]byte, 1200)}})
	require.NoError(t, err)
	w.sim.Run(time.Second)
	require.Len(t, mine.icmp, 1)
	require.Equal(t, 1000, mine.icmp[0].MTU)
	require.EqualValues(t, 55, mine.icmp[0].Seq)
}

// The same seed gives the same packets at the same times; another seed others.
func TestRunsAreReproducible(t *testing.T) {
	run := func(seed uint64) [32]byte {
		w := newWorld(seed)
		trace := sha256.New()
		w.net.Tap(func(now time.Duration, host string, sent bool, p []byte) {
			fmt.Fprintln(trace, now, host, sent, p)
		})
		w.net.Join(w.client.Attach("lossy", 0, netip.MustParseAddr("10.0.5.1")), w.eth,
			onpath.Loss(0.1, w.sim), &onpath.Reorder{Probability: 0.1, By: time.Millisecond, Random: w.sim},
			onpath.NewLink(onpath.LinkConfig{Rate: 1e6, Delay: time.Millisecond, Jitter: 5 * time.Millisecond}, w.sim),
			onpath.Duplicate(onpath.Sometimes(0.1, w.sim), 1), onpath.Corrupt(onpath.Sometimes(0.1, w.sim), w.sim))
		_, err := w.server.Listen(ap("10.0.9.9:80"), &w.listened)
		require.NoError(t, err)
		f, err := w.client.Connect(ap("10.0.5.1:0"), ap("10.0.9.9:80"), 0, &w.atClient)
		require.NoError(t, err)
		for i := range 500 {
			w.sim.At(time.Duration(i)*time.Millisecond, func() {
				_, _ = w.client.Send([]packet.Segment{{Src: f.Local(), Dst: f.Remote(), Seq: uint32(i), Flags: packet.ACK, Payload: make([]byte, 500)}})
			})
		}
		w.sim.Run(10 * time.Second)
		require.InDelta(t, 500*0.9*1.1*0.9, len(w.listened.got), 60, "lost, duplicated, refused for their checksum")
		return [32]byte(trace.Sum(nil))
	}
	require.Equal(t, run(1), run(1))
	require.NotEqual(t, run(1), run(2))
}
