package nettest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/ipv4"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// strangers are the addresses that a flood comes from: those for benchmarks (RFC 2544), which no host has.
var strangers = netip.MustParsePrefix("198.18.0.0/15")

// salvo is how many SYNs a flooder sends with one system call.
const salvo = 64

// flooder sends SYNs from addresses of strangers, as many and for as long as its job says, or until it is told to stop. Half of
// them have MP_CAPABLE, or, if there is a token, all MP_JOIN, every tenth with that token and the others with one that is made up.
func (a *actor) flooder() error {
	pc, err := net.ListenPacket("ip4:tcp", "0.0.0.0")
	if err != nil {
		return err
	}
	defer pc.Close()
	raw, err := ipv4.NewRawConn(pc)
	if err != nil {
		return err
	}
	to := netip.MustParseAddrPort(a.Addr)
	batch := make([]ipv4.Message, salvo)
	for i := range batch {
		batch[i] = ipv4.Message{Buffers: [][]byte{nil}, Addr: &net.IPAddr{IP: to.Addr().AsSlice()}}
	}
	began := time.Now()
	tried, sent, flooding := int64(0), int64(0), false
	for time.Since(began) < a.Job.For && !a.isStopped() {
		if behind := int64(time.Since(began).Seconds()*float64(a.Job.Rate)) - tried; behind < salvo {
			time.Sleep(time.Millisecond)
			continue
		} else if behind > a.Job.Rate/10 {
			tried += behind - salvo // what a busy machine has missed is not made up for
		}
		for i := range batch {
			s := a.stranger(to, tried)
			if batch[i].Buffers[0], err = s.Append(batch[i].Buffers[0][:0], packet.FullChecksum); err != nil {
				return err
			}
			tried++
		}
		n, _ := raw.WriteBatch(batch, 0) // a flood may well find a queue full
		if sent += int64(n); !flooding && sent > a.Job.Rate/10 {
			flooding = true
			a.say(report{Kind: "flooding"})
		}
	}
	a.say(report{Kind: "flooded", Detail: fmt.Sprintf("%d in %v", sent, time.Since(began).Round(time.Millisecond))})
	return nil
}

// stranger is the nth SYN of a flood.
func (a *actor) stranger(to netip.AddrPort, n int64) packet.Segment {
	from := strangers.Addr().As4()
	from[1], from[2], from[3] = from[1]|byte(rand.IntN(2)), byte(rand.IntN(256)), byte(rand.IntN(256))
	s := packet.Segment{
		Src: netip.AddrPortFrom(netip.AddrFrom4(from), uint16(1024+rand.IntN(60000))), Dst: to,
		Seq: rand.Uint32(), Flags: packet.SYN, Window: 64000, Options: append(make([]byte, 0, packet.MaxOptions), 2, 4, 5, 180),
	}
	switch {
	case a.Token != 0:
		j := options.MPJoin{Form: options.JoinSyn, AddrID: uint8(n), Token: rand.Uint32(), Nonce: rand.Uint32()}
		if n%10 == 0 {
			j.Token = a.Token
		}
		s.Options = j.Append(s.Options)
	case n%2 == 0:
		s.Options = options.MPCapable{Version: 1, Flags: options.FlagH}.Append(s.Options)
	}
	return s
}

// isStopped says whether senders are to stop.
func (a *actor) isStopped() bool {
	select {
	case <-a.stopped:
		return true
	default:
		return false
	}
}

// SYNs from nobody, far more than the listener's backlog: it answers with cookies. A connection that is there goes on,
// and the kernel's clients, with Multipath TCP and without, still get in, with all their paths.
func TestNamespaceWireSYNFlood(t *testing.T) {
	needKernelMPTCP(t)
	l := crossing(t, []leg{{}, {}}, []leg{{}})
	for _, ns := range []string{"c", "s"} {
		l.do(ns, "ip mptcp limits set subflow 4 add_addr_accepted 4")
	}
	// A SYN that our socket's buffer has no room for comes again, and is to have its option then, where Linux can be told so.
	l.do("c", "sysctl -qew net.mptcp.syn_retrans_before_tcp_fallback=8")
	l.do("c", fmt.Sprintf("ip mptcp endpoint add %v dev c2 subflow", clientIP(2)))
	l.do("r", fmt.Sprintf("ip route add blackhole %v", strangers))
	l.feed("r", "nft -f -", fmt.Sprintf(`table inet flood {
		chain f { type filter hook prerouting priority -10; iifname rs1 ip daddr %v counter comment "answers"; }
	}`, strangers))
	plain := order{Stack: "net", Mode: mptcp.ModeTCP}
	addr := at(serverIP(1))
	server := l.serve("s", wireOrder)
	before := l.dial(kernelEnd.with(addr, job{Down: true, Up: true, Bytes: 4 * mib, Rate: mib}))
	joined := func() int { return l.mib("c")["MPJoinSynAckRx"] }
	l.eventually(2*time.Second, "the first connection's join", func() bool { return joined() == 1 })
	flood := l.start("r", order{Role: "flooder", Addr: addr, Job: job{Rate: 20_000, For: time.Minute}})
	flood.wait(5*time.Second, "flooding")

	exchange := job{Down: true, Up: true, Bytes: mib, Rate: 2 * mib}
	long := exchange
	long.Bytes *= 4 // so that a SYN of the join that finds our socket's buffer full comes again in time
	multi := l.dial(kernelEnd.with(addr, long))
	multi.wait(20*time.Second, "done")
	require.Equal(t, 2, joined(), "the second path is used")
	single := l.dial(plain.with(addr, exchange))
	single.wait(20*time.Second, "done")
	list, _, _ := flood.look()
	require.NotEqual(t, "flooded", list[len(list)-1].Kind, "all of that was during the flood")
	flood.say("stop")
	got := before.wait(10*time.Second, "done")
	require.EqualValues(t, 4*mib, got.Received.Bytes)
	require.Less(t, got.Received.Gap, 2*time.Second, "a second or so where the flooder and we share a busy CPU")
	flood.wait(10*time.Second, "flooded")

	answers := l.count("answers")
	t.Logf("%d answers to strangers; longest gap beside %v", answers, got.Received.Gap)
	require.Greater(t, answers, 10_000, "without cookies the backlog's alone")
	l.requireClean("c")
	l.requireNoResets("s")
	var carriers []extapi.Carrier
	reports, _, _ := server.look()
	for _, r := range reports {
		if r.Kind == "accepted" {
			require.Equal(t, r.Info.Carrier == extapi.CarrierTCP, r.Info.Fallback != extapi.FallbackNone)
			carriers = append(carriers, r.Info.Carrier)
		}
	}
	require.Equal(t, []extapi.Carrier{extapi.CarrierWire, extapi.CarrierWire, extapi.CarrierTCP}, carriers)
}

// flooded is what a server's counters say after a flood of 100,000 SYNs a second, or as many as the machine manages, for 3 s,
// and how many strangers got an answer: MP_CAPABLE or none, or MP_JOIN where joins are wanted. A connection that is there goes
// on, every byte of it, and memory stays where it is.
func flooded(t *testing.T, joins bool) (counted extapi.MPTCPCounters, answers int) {
	needKernelMPTCP(t)
	l := crossing(t, []leg{{}}, []leg{{}})
	l.do("r", fmt.Sprintf("ip route add blackhole %v", strangers))
	l.feed("r", "nft -f -", fmt.Sprintf(`table inet flood {
		chain f { type filter hook prerouting priority -10; iifname rs1 ip daddr %v counter comment "answers"; }
	}`, strangers))
	addr := at(serverIP(1))
	server := l.serve("s", wireOrder)
	client := l.dial(order{Stack: "net"}.with(addr, job{Down: true, Up: true, Bytes: 4 * mib, Rate: mib}))
	server.wait(5*time.Second, "accepted")
	o := order{Role: "flooder", Addr: addr, Job: job{Rate: 100_000, For: 3 * time.Second}}
	if joins {
		o.Token = server.state().Info.Token
		require.NotZero(t, o.Token)
	}
	before := server.ask("usage").Usage
	flood := l.start("r", o)
	flood.wait(5*time.Second, "flooding")
	time.Sleep(2 * time.Second)
	during := server.ask("usage").Usage
	counted = server.state().Counters.MPTCP
	sent := flood.wait(10*time.Second, "flooded").Detail
	got := client.wait(20*time.Second, "done")
	t.Logf("%s; heap %d to %d KiB, longest gap %v", sent, before.Heap/kib, during.Heap/kib, got.Received.Gap)
	require.EqualValues(t, 4*mib, got.Received.Bytes)
	require.Less(t, got.Received.Gap, 2*time.Second, "a second or so where the flooder and we share a busy CPU")
	require.Less(t, during.Heap, before.Heap+16*mib)
	l.requireNoResets("s")
	return counted, l.count("answers")
}

// More SYNs than can be answered: who is there already does not notice.
func TestNamespaceWireFastSYNFlood(t *testing.T) {
	counted, answers := flooded(t, false)
	t.Logf("%d with MP_CAPABLE, %d answers", counted.MPCapableSYNRX, answers)
	require.Greater(t, counted.MPCapableSYNRX, uint64(5_000))
	require.Greater(t, answers, 10_000, "without cookies the backlog's alone")
}

// Joins from nobody, with tokens that are made up and with that of a connection: the counters say what became of them.
func TestNamespaceWireJoinFlood(t *testing.T) {
	counted, answers := flooded(t, true)
	t.Logf("%d joins, %d with no token, %d rejected, %d answers", counted.MPJoinSynRx, counted.MPJoinNoTokenFound, counted.MPJoinRejected, answers)
	require.Greater(t, counted.MPJoinSynRx, uint64(10_000))
	require.Greater(t, counted.MPJoinNoTokenFound, counted.MPJoinSynRx/2)
	require.Positive(t, counted.MPJoinRejected, "the connection bounds those that know its token")
	require.Less(t, answers, 10_000, "RSTs are 1,000 a second at most")
}
