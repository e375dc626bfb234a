package nettest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// stage is a lab on which the scenarios of a table are played, one after the other: our TCP on one host, the kernel's
// Multipath TCP on the other. Each scenario finds the hosts as they were at the beginning, with counters at 0.
type stage struct {
	*lab
	ours, theirs string // hosts
	family       int    // of the addresses in this scenario
	captured     *capture
	sums         bool     // whether our end is to want checksums
	loses        bool     // a path may be silent for so long that our end opens it anew, and resets the old subflow
	undo         []func() // what the scenario has changed

	before struct { // when the scenario began
		mib    map[string]int // the kernel's counters
		resets int            // that the kernel of our host has sent
	}
}

// newStage makes a stage whose client has so many paths to the server, each of 20 Mbit/s and with both families. The server
// has two interfaces.
func newStage(t *testing.T, ours string, paths int) *stage {
	both := leg{mbit: 20, family: 46}
	s := &stage{ours: ours, theirs: "s", family: 4}
	if ours == "s" {
		s.theirs = "c"
	}
	var legs []leg
	for range paths {
		legs = append(legs, both)
	}
	s.lab, s.captured = wireLab(t, ours, legs, []leg{{family: 46}, {family: 46}})
	return s
}

// scenario is what happens on a stage.
type scenario struct {
	name string
	play func(t *testing.T, s *stage)
}

// The addresses of both hosts' interfaces.
func (s *stage) client(i int) netip.Addr { return clientAddr(s.family, i) }
func (s *stage) server(i int) netip.Addr { return serverAddr(s.family, i) }

// ip is what nft calls the family.
func (s *stage) ip() string { return map[int]string{4: "ip", 6: "ip6"}[s.family] }

// inFamily are the scenarios with this family.
func inFamily(family int, list []scenario) (l []scenario) {
	for _, sc := range list {
		l = append(l, scenario{fmt.Sprintf("%s, IPv%d", sc.name, family), func(t *testing.T, s *stage) {
			s.family = family
			sc.play(t, s)
		}})
	}
	return l
}

// inBothFamilies are the scenarios with IPv4, and then with IPv6.
func inBothFamilies(list []scenario) []scenario {
	return append(inFamily(4, list), inFamily(6, list)...)
}

// abreast plays the scenarios of each family on a stage of its own, both at once: their paths leave the CPUs mostly idle.
func abreast(t *testing.T, ours string, paths int, of func(family int) []scenario, tolerated ...string) {
	for _, family := range []int{4, 6} {
		t.Run(fmt.Sprintf("IPv%d", family), func(t *testing.T) {
			t.Parallel()
			newStage(t, ours, paths).scenes(t, inFamily(family, of(family)), tolerated...)
		})
	}
}

// scenes plays all scenarios. tolerated are what tshark may find in our packets there (see judge).
func (s *stage) scenes(t *testing.T, list []scenario, tolerated ...string) {
	for _, sc := range list {
		s.scene(t, sc.name, func(t *testing.T) { sc.play(t, s) })
	}
	s.captured.judge(tolerated...)
}

// reset is what tshark says of a RST.
const reset = "Connection reset (RST)"

// scene plays one scenario.
func (s *stage) scene(t *testing.T, name string, play func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		whole := s.t
		s.lab.t = t
		defer func() { s.lab.t = whole }()
		s.before.mib = s.mib(s.theirs)
		s.before.resets = s.snmp(s.ours, "Tcp", "OutRsts")
		defer s.clear()
		play(t)
		s.settle()
		require.Equal(t, s.before.resets, s.snmp(s.ours, "Tcp", "OutRsts"), "the kernel in %s sent RSTs", s.ours)
	})
}

// settle waits until every connection has ended, at both ends.
func (s *stage) settle() {
	s.t.Helper()
	s.eventually(5*time.Second, "the kernel's connections end", func() bool {
		return s.do(s.theirs, "ss -Htan state connected exclude time-wait") == ""
	})
	for _, p := range s.programs { // what comes after their end the kernel would answer with RSTs
		if p.mode == mptcp.ModeWire {
			s.ended(p)
		}
	}
}

// ended waits until a connection of ours has.
func (s *stage) ended(p *program) {
	s.t.Helper()
	s.eventually(5*time.Second, "our connection ends", func() bool { return p.seen("conn_closed") })
}

// clear ends the programs and takes back what the scenario has configured.
func (s *stage) clear() {
	s.mu.Lock()
	programs := s.programs
	s.programs = nil
	s.mu.Unlock()
	if s.t.Failed() {
		s.look(s.names)
	}
	for _, p := range programs {
		p.end()
	}
	if s.t.Failed() {
		s.do(s.theirs, "ss -HK state connected") // for the scenarios that follow
	}
	s.do(s.theirs, "ip mptcp endpoint flush")
	s.do(s.theirs, "ip mptcp limits set subflow 4 add_addr_accepted 4")
	for _, undo := range s.undo {
		undo()
	}
	s.undo, s.sums, s.loses, s.family = nil, false, false, 4
}

// counted is what the kernel has counted in this scenario.
func (s *stage) counted() map[string]int {
	found := s.mib(s.theirs)
	for name := range found {
		if name != "MPCurrEstab" {
			found[name] -= s.before.mib[name]
		}
	}
	return found
}

// requireCounted checks some of the kernel's counters, and that it has no mishap to complain about but those and some more.
func (s *stage) requireCounted(want map[string]int, but ...string) {
	s.t.Helper()
	got := s.counted()
	for name, n := range want {
		require.Equal(s.t, n, got[name], "the kernel's %s; all: %s", name, nonzero(got))
	}
	for _, name := range mishaps {
		if _, expected := want[name]; !expected && !contains(but, name) {
			require.Zero(s.t, got[name], "the kernel's %s; all: %s", name, nonzero(got))
		}
	}
}

// steady is a job in which both ends send until they are told to stop: more than one path of a stage can take, and less
// than two, in each direction.
var steady = job{Down: true, Up: true, For: time.Minute, Rate: 4_000_000}

// trickle is steady, but so little that one path takes it easily.
var trickle = job{Down: true, Up: true, For: time.Minute, Rate: 500_000}

// ourDialer dials the kernel's listener over these interfaces.
func ourDialer(ifaces ...string) order {
	return order{Mode: mptcp.ModeWire, Paths: policyOf(extapi.Only(ifaces...))}
}

// ourListener announces these addresses and no others.
func ourListener(announced ...netip.AddrPort) order {
	return order{Mode: mptcp.ModeWire, Announce: append([]netip.AddrPort{}, announced...)}
}

// kernelEnd is a program on the kernel's Multipath TCP.
var kernelEnd = order{Stack: "net"}

// matchup is who talks to whom.
type matchup struct {
	name           string
	server, client order
}

// matchups are our TCP in either role with the kernel's, and with itself.
var matchups = []matchup{
	{"our dialer, kernel listener", kernelEnd, wireOrder},
	{"our listener, kernel dialer", wireOrder, kernelEnd},
	{"our listener, our dialer", wireOrder, wireOrder},
}

// pair is the two ends of a connection.
type pair struct{ client, server *program }

// connect starts a server, and a client that dials it with a job.
func (s *stage) connect(server, client order, addr netip.Addr, j job) pair {
	s.t.Helper()
	p := pair{server: s.serve("s", server)}
	p.client = s.dial(client.with(at(addr), j))
	p.server.wait(5*time.Second, "accepted")
	return p
}

// stop ends a steady job.
func (p pair) stop() (c, s report) {
	t := p.client.l.t
	t.Helper()
	p.client.say("stop")
	p.server.say("stop")
	return finish(t, 20*time.Second, p.client, p.server)
}

// await waits until the kernel has counted so much in this scenario.
func (s *stage) await(name string, n int) {
	s.t.Helper()
	got := 0
	for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(10 * time.Millisecond) {
		if got = s.counted()[name]; got >= n {
			return
		}
	}
	require.Fail(s.t, "the kernel never counted "+name, "%d of %d; all: %s", got, n, nonzero(s.counted()))
}

// carrying waits until each of these interfaces has carried something, in both directions, from now on.
func (s *stage) carrying(ifaces ...string) {
	s.t.Helper()
	for _, iface := range ifaces {
		host := iface[:1]
		before := s.counters(host, iface)
		s.eventually(8*time.Second, iface+" carries data", func() bool {
			now := s.counters(host, iface)
			return min(now.Rx.Bytes-before.Rx.Bytes, now.Tx.Bytes-before.Tx.Bytes) > 64*kib
		})
	}
}

// flowing waits until the client has received, or sent, some more on these interfaces together.
func (s *stage) flowing(down bool, ifaces ...string) {
	s.t.Helper()
	sum := func() (n uint64) {
		for _, iface := range ifaces {
			if c := s.counters("c", iface); down {
				n += c.Rx.Bytes
			} else {
				n += c.Tx.Bytes
			}
		}
		return n
	}
	before := sum()
	s.eventually(8*time.Second, "data flows", func() bool { return sum() > before+128*kib })
}

// box puts rules on the router's way.
func (s *stage) box(rules ...string) {
	s.t.Helper()
	s.feed("r", "nft -f -", "table inet box { chain box { type filter hook forward priority 1; policy accept; "+strings.Join(rules, "; ")+"; }\n}\n")
	s.undo = append(s.undo, s.unbox)
}

// unbox takes them away.
func (s *stage) unbox() { s.feed("r", "nft -f -", "add table inet box; delete table inet box") }

// healAll takes every cut back.
func (s *stage) healAll() { s.feed("r", "nft -f -", "flush set inet lab dead\n") }
