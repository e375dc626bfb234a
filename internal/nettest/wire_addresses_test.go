package nettest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/options"
)

// endpoint tells the kernel's path manager of an address.
func (s *stage) endpoint(id int, a netip.Addr, how string) {
	s.t.Helper()
	s.do(s.theirs, fmt.Sprintf("ip mptcp endpoint add %v id %d %s", a, id, how))
}

// has says whether an event's details contain all of these.
func (r report) has(parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(r.Detail, part) {
			return false
		}
	}
	return true
}

// tells waits for an event that has these details.
func (p *program) tells(name string, parts ...string) report {
	p.l.t.Helper()
	return p.event(5*time.Second, name, func(r report) bool { return r.has(parts...) })
}

// proves moves everything from one interface to another, so that this shows that it carries it.
func (s *stage) proves(ours *program, from, to string) {
	s.t.Helper()
	ours.say("backup " + from)
	s.await("MPPrioRx", 1)
	s.carrying(to)
}

// The kernel's listener announces an address in ADD_ADDR, and our dialer joins there: of the same family or the other.
func kernelAnnounces(first, second int) scenario {
	return scenario{fmt.Sprintf("IPv%d, and IPv%d is announced", first, second), func(t *testing.T, s *stage) {
		s.endpoint(5, serverAddr(second, 2), "signal")
		p := s.connect(kernelEnd, ourDialer("c1"), serverAddr(first, 1), trickle)
		s.await("MPJoinAckRx", 1)
		s.await("EchoAdd", 1)
		s.requireCounted(map[string]int{"AddAddrTx": 1, "EchoAdd": 1, "MPJoinSynRx": 1, "MPJoinAckRx": 1})
		s.subflows(p.client, 2)
		joined := s.subflow(p.client, "s2")
		require.Equal(t, at(serverAddr(second, 2)), joined.Remote.String())
		require.EqualValues(t, 5, joined.RemoteID)
		s.proves(p.client, "s1", "s2")
		p.stop()
	}}
}

// anyPort is o that dials announced addresses on other ports too.
func (o order) anyPort() order {
	o.Paths.AnyAnnouncedPort = true
	return o
}

// portFits lets an ADD_ADDR with the family's address and a port fit into the header: with IPv6 its 30 bytes find no room beside
// timestamps, which the kernel then neither asks for nor takes.
func (s *stage) portFits() {
	s.t.Helper()
	if s.family == 6 {
		s.sysctl("net.ipv4.tcp_timestamps", "0", "1")
	}
}

// On a port of its own the kernel opens a listener for joins alone. Ours goes there when its policy says so.
func kernelAnnouncesPort(dialed bool) scenario {
	return scenario{fmt.Sprintf("an announced port, which the policy lets us dial: %v", dialed), func(t *testing.T, s *stage) {
		s.portFits()
		announced := uint16(7001)
		if !dialed {
			announced = 7002 // the kernel does not give a port back at once
		}
		s.endpoint(5, s.server(2), fmt.Sprint("signal port ", announced))
		ours := ourDialer("c1")
		if dialed {
			ours = ours.anyPort()
		}
		p := s.connect(kernelEnd, ours, s.server(1), trickle)
		s.await("EchoAdd", 1)
		require.EqualValues(t, 1, p.client.state().Info.MPTCP.PortAdd)
		if dialed {
			s.await("MPJoinPortAckRx", 1)
			s.requireCounted(map[string]int{"AddAddrTx": 1, "MPJoinPortSynRx": 1, "MPJoinPortAckRx": 1})
			require.Equal(t, netip.AddrPortFrom(s.server(2), announced), s.subflow(p.client, "s2").Remote)
			s.proves(p.client, "s1", "s2")
			require.EqualValues(t, 1, p.client.state().Info.MPTCP.MPJoinPortSynAckRx)
		} else {
			s.carrying("c1")
			s.requireCounted(map[string]int{"AddAddrTx": 1, "MPJoinPortSynRx": 0, "MPJoinSynRx": 0})
		}
		p.stop()
	}}
}

// withKernelListener are scenarios of addresses between the kernel's listener and our dialer.
var withKernelListener = []scenario{
	{"two addresses, and both removed at once", func(t *testing.T, s *stage) {
		s.endpoint(5, serverIP(2), "signal")
		s.endpoint(6, serverIP6(2), "signal")
		p := s.connect(kernelEnd, ourDialer("c1"), s.server(1), trickle)
		s.await("MPJoinAckRx", 2)
		s.await("EchoAdd", 2)
		s.requireCounted(map[string]int{"AddAddrTx": 2, "EchoAdd": 2, "MPJoinSynRx": 2, "MPJoinAckRx": 2})
		s.do("s", "ip mptcp endpoint flush")
		for _, id := range []string{"addr_id=5", "addr_id=6"} {
			p.client.tells("addr_removed", id, "by_peer=true")
		}
		s.subflows(p.client, 1)
		s.carrying("c1")
		p.stop()
		require.Equal(t, 2, s.counted()["RmAddrTx"])
	}},
	{"one of two addresses is removed while data flows there", func(t *testing.T, s *stage) {
		s.endpoint(5, s.server(2), "signal")
		p := s.connect(kernelEnd, ourDialer("c1"), s.server(1), trickle)
		s.await("MPJoinAckRx", 1)
		s.proves(p.client, "s1", "s2")
		s.do("s", "ip mptcp endpoint delete id 5")
		p.client.tells("addr_removed", "addr_id=5", "by_peer=true")
		s.subflows(p.client, 1)
		s.carrying("s1")
		p.stop()
		s.requireCounted(map[string]int{"RmAddrTx": 1})
	}},
	{"nobody listens at the announced address", func(t *testing.T, s *stage) {
		s.endpoint(5, s.server(2), "signal")
		bound := kernelEnd
		bound.Addr = at(s.server(1))
		s.box(fmt.Sprintf("%s daddr %v tcp flags & syn == syn counter comment \"joins\"", s.ip(), s.server(2)))
		p := s.connect(bound, ourDialer("c1"), s.server(1), trickle)
		s.eventually(5*time.Second, "a join is tried", func() bool { return s.count("joins") > 0 })
		s.await("EchoAdd", 1)
		s.carrying("c1")
		s.requireCounted(map[string]int{"EchoAdd": 1, "MPJoinAckRx": 0})
		require.Len(t, p.client.state().Subflows, 1)
		p.stop()
	}},
	{"no joins to the initial address", func(t *testing.T, s *stage) {
		s.sysctl("net.mptcp.allow_join_initial_addr_port", "0", "1")
		s.endpoint(5, s.server(2), "signal")
		p := s.connect(kernelEnd, ourDialer("c1", "c2"), s.server(1), trickle)
		s.await("MPJoinAckRx", 1)
		s.flowing(true, "c1", "c2")
		for _, f := range p.client.state().Subflows[1:] {
			require.Equal(t, s.server(2), f.Remote.Addr(), "%v", f)
		}
		p.stop()
	}},
	{"our dialer's address, announced and removed", func(t *testing.T, s *stage) {
		s.portFits() // a dialer always tells the port: that of its subflow is no listener's
		s.do("s", "ip mptcp limits set add_addr_accepted 0")
		p := s.connect(kernelEnd, ourDialer("c1"), s.server(1), trickle)
		p.client.say("add " + at(s.client(2)))
		s.await("EchoAddTx", 1)
		s.eventually(5*time.Second, "the echo", func() bool { return p.client.state().Info.MPTCP.EchoAdd == 1 })
		p.client.say("remove " + at(s.client(2)))
		s.await("RmAddr", 1)
		s.carrying("c1")
		s.requireCounted(map[string]int{"AddAddr": 1, "PortAdd": 1, "EchoAddTx": 1, "RmAddr": 1, "MPJoinSynTx": 0, "MPJoinSynRx": 0})
		p.stop()
	}},
}

// Addresses that the kernel's listener announces to our dialer, and takes back; and those of our dialer.
func TestNamespaceWireKernelAnnounces(t *testing.T) {
	abreast(t, "c", 2, func(family int) []scenario {
		return append([]scenario{
			kernelAnnounces(family, family), kernelAnnounces(family, map[int]int{4: 6, 6: 4}[family]),
			kernelAnnouncesPort(true), kernelAnnouncesPort(false),
		}, withKernelListener...)
	}, reset)
}

// sysctl sets what clear takes back.
func (s *stage) sysctl(name, value, before string) {
	s.t.Helper()
	s.do(s.theirs, "sysctl -qw "+name+"="+value)
	s.undo = append(s.undo, func() { s.do(s.theirs, "sysctl -qw "+name+"="+before) })
}

// subflows waits until our end has so many.
func (s *stage) subflows(ours *program, n int) (flows []extapi.SubflowInfo) {
	s.t.Helper()
	s.eventually(5*time.Second, fmt.Sprint(n, " subflows"), func() bool {
		flows = ours.state().Subflows
		return len(flows) == n
	})
	return flows
}

// subflow waits until our end has just one over this interface.
func (s *stage) subflow(ours *program, iface string) (f extapi.SubflowInfo) {
	s.t.Helper()
	s.eventually(5*time.Second, "one subflow over "+iface, func() bool {
		flows := slices.DeleteFunc(ours.state().Subflows, func(f extapi.SubflowInfo) bool { return !over(f, iface) })
		if len(flows) == 1 {
			f = flows[0]
		}
		return len(flows) == 1
	})
	return f
}

// Our listener announces an address, and the kernel's dialer joins there.
func weAnnounce(first, second int) scenario {
	return scenario{fmt.Sprintf("IPv%d, and IPv%d is announced", first, second), func(t *testing.T, s *stage) {
		p := s.connect(ourListener(netip.AddrPortFrom(serverAddr(second, 2), 0)), kernelEnd, serverAddr(first, 1), trickle)
		s.await("MPJoinSynAckRx", 1)
		s.requireCounted(map[string]int{"AddAddr": 1, "EchoAddTx": 1, "MPJoinSynTx": 1, "MPJoinSynAckRx": 1})
		s.subflows(p.server, 2)
		require.Equal(t, at(serverAddr(second, 2)), s.subflow(p.server, "s2").Local.String())
		s.proves(p.server, "s1", "s2")
		p.stop()
	}}
}

// another is the server's other address, to be announced with the port that is in use.
func (s *stage) another() netip.AddrPort { return netip.AddrPortFrom(s.server(2), 0) }

// withKernelDialer are scenarios of addresses between our listener and the kernel's dialer.
var withKernelDialer = []scenario{
	{"an address with a port, which the router leads to ours", func(t *testing.T, s *stage) {
		s.portFits()
		table := s.ip() + " lead"
		s.feed("r", "nft -f -", "table "+table+" { chain lead { type nat hook prerouting priority -100; tcp dport 7003 dnat to :7000; }\n}\n")
		s.undo = append(s.undo, func() { s.do("r", "nft delete table "+table) })
		p := s.connect(ourListener(netip.AddrPortFrom(s.server(2), 7003)), kernelEnd, s.server(1), trickle)
		s.await("MPJoinSynAckRx", 1)
		s.requireCounted(map[string]int{"AddAddr": 1, "PortAdd": 1, "EchoAddTx": 1, "MPJoinSynTx": 1, "MPJoinSynAckRx": 1})
		require.Equal(t, at(s.server(2)), s.subflow(p.server, "s2").Local.String())
		s.proves(p.server, "s1", "s2")
		p.stop()
	}},
	{"two addresses, one echo after the other, and both removed", func(t *testing.T, s *stage) {
		one, two := at(s.server(2)), at(s.server(2).Next())
		alias := fmt.Sprintf("%v/%d dev s2", s.server(2).Next(), prefixLen(s.server(2)))
		flag := ""
		if s.family == 6 {
			flag = " nodad"
		}
		s.do("s", "ip addr add "+alias+flag)
		s.undo = append(s.undo, func() { s.do("s", "ip addr del "+alias) })
		p := s.connect(ourListener(), kernelEnd, s.server(1), trickle)
		p.server.say("add " + one)
		p.server.say("add " + two)
		s.await("MPJoinSynAckRx", 2)
		s.subflows(p.server, 3)
		// The kernel takes no second ADD_ADDR before it has dealt with the first: it may come again.
		s.requireCounted(map[string]int{"EchoAddTx": 2, "MPJoinSynTx": 2, "MPJoinSynAckRx": 2})
		p.server.say("remove " + one)
		s.await("RmAddr", 1) // while it deals with one it takes no second, which nobody repeats
		s.subflows(p.server, 2)
		p.server.say("remove " + two)
		s.await("RmAddr", 2)
		s.subflows(p.server, 1)
		s.carrying("s1")
		p.stop()
	}},
	{"nobody listens at the announced address", func(t *testing.T, s *stage) {
		bound := ourListener(s.another())
		bound.Addr = at(s.server(1))
		s.box(fmt.Sprintf("%s daddr %v tcp flags & syn == syn counter reject with tcp reset comment \"joins\"", s.ip(), s.server(2)))
		p := s.connect(bound, kernelEnd, s.server(1), trickle)
		s.eventually(5*time.Second, "a join is tried", func() bool { return s.count("joins") > 0 })
		s.carrying("c1")
		s.requireCounted(map[string]int{"AddAddr": 1, "EchoAddTx": 1, "MPJoinSynTx": 1, "MPJoinSynAckRx": 0})
		require.Len(t, p.server.state().Subflows, 1)
		p.stop()
	}},
	{"the kernel's address, announced and removed", func(t *testing.T, s *stage) {
		s.endpoint(7, s.client(2), "signal")
		p := s.connect(ourListener(), kernelEnd, s.server(1), trickle)
		s.await("EchoAdd", 1)
		s.eventually(5*time.Second, "it is announced", func() bool { return p.server.state().Info.MPTCP.AddAddr == 1 })
		s.do("c", "ip mptcp endpoint delete id 7")
		p.server.tells("addr_removed", "addr_id=7", "by_peer=true")
		s.carrying("c1")
		s.requireCounted(map[string]int{"AddAddrTx": 1, "EchoAdd": 1, "RmAddrTx": 1, "MPJoinSynRx": 0, "MPJoinSynTx": 0})
		require.Len(t, p.server.state().Subflows, 1) // the client joins, if anybody
		p.stop()
	}},
	{"a dialer that takes no addresses", func(t *testing.T, s *stage) {
		s.do("c", "ip mptcp limits set add_addr_accepted 0")
		p := s.connect(ourListener(s.another()), kernelEnd, s.server(1), trickle)
		s.await("EchoAddTx", 1)
		s.carrying("c1")
		s.requireCounted(map[string]int{"MPJoinSynTx": 0})
		p.stop()
	}},
	{"an address added, and removed while data flows there", func(t *testing.T, s *stage) {
		p := s.connect(ourListener(), kernelEnd, s.server(1), trickle)
		p.server.say("add " + at(s.server(2)))
		s.await("MPJoinSynAckRx", 1)
		s.proves(p.server, "s1", "s2")
		p.server.say("remove " + at(s.server(2)))
		s.await("RmAddr", 1)
		s.subflows(p.server, 1)
		s.carrying("s1")
		s.requireCounted(map[string]int{"RmAddr": 1})
		p.stop()
	}},
	{"the echo gets lost", func(t *testing.T, s *stage) {
		s.box("iifname rc1 tcp option mptcp subtype 3 counter drop comment \"echoes\"")
		p := s.connect(ourListener(s.another()), kernelEnd, s.server(1), trickle)
		s.await("MPJoinSynAckRx", 1)
		s.await("AddAddr", 2)
		s.carrying("c1")
		s.requireCounted(map[string]int{"MPJoinSynTx": 1})
		p.stop()
	}},
	{"the kernel removes an address while data flows there", func(t *testing.T, s *stage) {
		s.endpoint(7, s.client(2), "dev c2 subflow")
		p := s.connect(ourListener(), kernelEnd, s.server(1), trickle)
		s.await("MPJoinSynAckRx", 1)
		s.proves(p.server, "c1", "c2")
		s.do("c", "ip mptcp endpoint delete id 7")
		p.server.tells("addr_removed", "addr_id=7", "by_peer=true")
		s.subflows(p.server, 1)
		s.carrying("c1")
		s.requireCounted(map[string]int{"RmAddrTx": 1}, "MPRstTx") // what still comes there finds no subflow
		p.stop()
	}},
}

// Addresses that our listener announces to the kernel's dialer, and takes back; and those of the dialer.
func TestNamespaceWireWeAnnounce(t *testing.T) {
	abreast(t, "s", 2, func(family int) []scenario {
		list := append([]scenario{weAnnounce(family, family)}, withKernelDialer...)
		if family == 6 {
			return append(list, weAnnounce(6, 4))
		}
		return append(list, scenario{"IPv6 to a dialer with an IPv4 socket", func(t *testing.T, s *stage) {
			p := s.connect(ourListener(netip.AddrPortFrom(serverIP6(2), 0)), kernelEnd, serverIP(1), trickle)
			s.await("EchoAddTx", 1)
			s.carrying("c1")
			s.requireCounted(map[string]int{"MPJoinSynTx": 0})
			p.stop()
		}})
	})
}

// Limits and policies that keep joins out, and addresses of our dialer that go.
func TestNamespaceWireJoinsRefused(t *testing.T) {
	newStage(t, "c", 2).scenes(t, inBothFamilies([]scenario{
		{"the kernel takes no joins", func(t *testing.T, s *stage) {
			s.do("s", "ip mptcp limits set subflow 0")
			p := s.connect(kernelEnd, ourDialer("c1", "c2"), s.server(1), trickle)
			s.await("MPJoinRejected", 1)
			p.client.tells("subflow_closed", "administratively prohibited")
			s.carrying("c1")
			require.Len(t, p.client.state().Subflows, 1)
			p.stop()
		}},
		{"our address goes while data flows there", func(t *testing.T, s *stage) {
			p := s.connect(kernelEnd, ourDialer("c1", "c2"), s.server(1), trickle)
			s.await("MPJoinAckRx", 1)
			s.proves(p.client, "c1", "c2")
			p.client.say("remove " + netip.AddrPortFrom(s.client(2), 0).String())
			s.subflows(p.client, 1)
			s.carrying("c1")
			s.requireCounted(map[string]int{"RmAddr": 0}) // a path that was never announced ends with a FIN
			p.stop()
		}},
		{"an interface loses its address and gets it back", func(t *testing.T, s *stage) {
			p := s.connect(kernelEnd, ourDialer("c1", "c2"), s.server(1), trickle)
			s.await("MPJoinAckRx", 1)
			c2 := netip.PrefixFrom(s.client(2), prefixLen(s.client(2)))
			s.do("c", fmt.Sprintf("ip addr del %v dev c2", c2))
			s.await("RmAddr", 1)
			s.subflows(p.client, 1)
			ours := p.client.state().Info.MPTCP
			require.Equal(t, []uint64{1, 1}, []uint64{ours.RmAddrTx, ours.RmSubflow})
			flag := ""
			if s.family == 6 {
				flag = " nodad"
			}
			s.do("c", fmt.Sprintf("ip addr add %v dev c2%s", c2, flag))
			s.do("c", fmt.Sprintf("ip -%d route replace default via %v dev c2 metric 200", s.family, gateway(s.client(2))))
			s.do("c", fmt.Sprintf("ip -%d route replace default via %v dev c2 table 102", s.family, gateway(s.client(2))))
			s.await("MPJoinAckRx", 2)
			s.proves(p.client, "c1", "c2")
			p.stop()
		}},
		{"a path goes silent and comes back", func(t *testing.T, s *stage) {
			p := s.connect(kernelEnd, ourDialer("c1", "c2"), s.server(1), trickle)
			s.await("MPJoinAckRx", 1)
			p.client.say("backup c2")
			s.await("MPPrioRx", 1)
			s.carrying("c1")
			s.cut("rc1")
			s.undo = append(s.undo, s.healAll)
			s.carrying("c2")
			s.healAll()
			s.carrying("c1")
			c, srv := p.stop()
			require.Less(t, max(c.Received.Gap, srv.Received.Gap), 3*time.Second)
		}},
	}), reset)
}

// Our listener's policy has a limit too, and four subflows beyond it are taken for those that are to take others' places.
func TestNamespaceWireListenerRefusesJoins(t *testing.T) {
	s := newStage(t, "s", 6)
	s.scenes(t, inBothFamilies([]scenario{{"more joins than our policy takes", func(t *testing.T, s *stage) {
		s.box(`tcp flags & rst == rst tcp option mptcp subtype 8 counter comment "refusals"`)
		s.do("c", "ip mptcp limits set subflow 8")
		for i := 2; i <= 6; i++ {
			s.endpoint(i, s.client(i), fmt.Sprintf("dev c%d subflow", i))
		}
		server := ourListener()
		server.Paths.MaxSubflows = 1
		p := s.connect(server, kernelEnd, s.server(1), trickle)
		s.eventually(5*time.Second, "a refusal", func() bool { return s.count("refusals") > 0 })
		s.subflows(p.server, 5)
		s.flowing(true, interfaces(6)...)
		s.flowing(false, interfaces(6)...)
		require.Len(t, p.server.state().Subflows, 5)
		s.requireCounted(map[string]int{"MPJoinSynTx": 5, "MPJoinSynAckRx": 4})
		require.Equal(t, 1, s.count("refusals"))
		p.stop()
	}}}), reset)
	const reason = "tcp.options.mptcp.rst_reason"
	require.Equal(t, "0x03\n0x03", strings.TrimSpace(s.captured.tshark("-Y", s.captured.from()+" && tcp.flags.reset==1 && "+reason, "-T", "fields", "-e", reason)))
}

// Our echo of the kernel's address gets lost: the kernel may announce it again, and we join once.
func TestNamespaceWireEchoLost(t *testing.T) {
	s, paths := newEmulatedStage(t, "c")
	s.scenes(t, inBothFamilies([]scenario{{"our echo gets lost", func(t *testing.T, s *stage) {
		var lost atomic.Int32
		echo := onpath.OfSubtype(options.SubAddAddr)
		s.put(paths[0], onpath.Strip(onpath.And(onpath.Going(onpath.Forward), onpath.Carries(echo), func([]byte, onpath.Dir) bool { lost.Add(1); return true }), echo))
		s.endpoint(5, s.server(2), "signal")
		s.sysctl("net.mptcp.add_addr_timeout", "1", "120")
		p := s.connect(kernelEnd, ourDialer("c1"), s.server(1), trickle)
		s.await("MPJoinAckRx", 1)
		s.eventually(5*time.Second, "the kernel announces again", func() bool { return s.counted()["AddAddrTx"] >= 2 && lost.Load() >= 2 })
		s.flowing(true, "c1")
		s.requireCounted(map[string]int{"EchoAdd": 0, "MPJoinSynRx": 1, "MPJoinAckRx": 1})
		s.subflows(p.client, 2)
		p.stop()
	}}}))
}
