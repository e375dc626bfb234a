package nettest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
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

// flooder sends SYNs from addresses of strangers, half of them with MP_CAPABLE, as many and for as long as its job says.
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
	first := strangers.Addr().As4()
	began := time.Now()
	var begun sync.Once
	for sent := int64(0); time.Since(began) < a.Job.For; {
		for ; float64(sent) < time.Since(began).Seconds()*float64(a.Job.Rate); sent++ {
			from := first
			from[1], from[2], from[3] = first[1]|byte(rand.IntN(2)), byte(rand.IntN(256)), byte(rand.IntN(256))
			s := packet.Segment{
				Src: netip.AddrPortFrom(netip.AddrFrom4(from), uint16(1024+rand.IntN(60000))), Dst: to,
				Seq: rand.Uint32(), Flags: packet.SYN, Window: 64000, Options: []byte{2, 4, 5, 180},
			}
			if sent%2 == 0 {
				s.Options = options.MPCapable{Version: 1, Flags: options.FlagH}.Append(s.Options)
			}
			b, err := s.Append(nil, packet.FullChecksum)
			if err != nil {
				return err
			}
			h, err := ipv4.ParseHeader(b)
			if err != nil {
				return err
			}
			_ = raw.WriteTo(h, b[h.Len:], nil) // a flood may well find a queue full
		}
		if sent > a.Job.Rate/10 {
			begun.Do(func() { a.say(report{Kind: "flooding"}) })
		}
		time.Sleep(time.Millisecond)
	}
	a.say(report{Kind: "flooded"})
	return nil
}

// SYNs from nobody, far more than the listener's backlog: it answers with cookies. A connection that is there goes on,
// and the kernel's clients, with Multipath TCP and without, still get in, with all their paths.
func TestNamespaceWireSYNFlood(t *testing.T) {
	needKernelMPTCP(t)
	l := crossing(t, []leg{{}, {}}, []leg{{}})
	for _, ns := range []string{"c", "s"} {
		l.do(ns, "ip mptcp limits set subflow 4 add_addr_accepted 4")
	}
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
	flood := l.start("c", order{Role: "flooder", Addr: addr, Job: job{Rate: 20_000, For: 3 * time.Second}})
	flood.wait(5*time.Second, "flooding")

	exchange := job{Down: true, Up: true, Bytes: mib, Rate: 2 * mib}
	multi := l.dial(kernelEnd.with(addr, exchange))
	multi.wait(10*time.Second, "done")
	require.Equal(t, 2, joined(), "the second path is used")
	single := l.dial(plain.with(addr, exchange))
	single.wait(10*time.Second, "done")
	list, _, _ := flood.look()
	require.NotEqual(t, "flooded", list[len(list)-1].Kind, "all of that was during the flood")
	got := before.wait(10*time.Second, "done")
	require.EqualValues(t, 4*mib, got.Received.Bytes)
	require.Less(t, got.Received.Gap, time.Second)
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
