package nettest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// leg is one link between the router r and the client c or the server s.
type leg struct {
	mbit   int  // rate limit in each direction; 0: none
	family int  // 4, 6 or 46 for both; 0: 4
	down   bool // made, but neither up nor addressed: see raise
}

// Names and addresses on leg number i, counted from 1. The client's interface is called c1, the router's other
// end of it rc1; the server's s1 and rs1.
func clientIP(i int) netip.Addr  { return netip.AddrFrom4([4]byte{10, 71, byte(i), 2}) }
func serverIP(i int) netip.Addr  { return netip.AddrFrom4([4]byte{10, 72, byte(i), 2}) }
func clientIP6(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fd71:0:0:%d::2", i)) }
func serverIP6(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fd72:0:0:%d::2", i)) }

// gateway is the router's address on a leg.
func gateway(a netip.Addr) netip.Addr { return a.Prev() }

// port is where servers listen.
const port = 7000

func at(a netip.Addr) string { return netip.AddrPortFrom(a, port).String() }

// crossing is a client and a server with legs to one router.
func crossing(t *testing.T, client, server []leg) *lab {
	t.Helper()
	l := newLab(t, "c", "r", "s")
	l.do("r", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
	for i, g := range client {
		l.wire("c", i+1, g)
	}
	for i, g := range server {
		l.wire("s", i+1, g)
	}
	// What is in the set of dead interfaces swallows every packet without a word.
	l.feed("r", "nft -f -", `table inet lab {
		set dead { type ifname; }
		chain pass {
			type filter hook forward priority 0; policy accept;
			iifname @dead drop
			oifname @dead drop
		}
	}`)
	return l
}

// wire makes leg i of a host.
func (l *lab) wire(host string, i int, g leg) {
	l.t.Helper()
	near, far := fmt.Sprintf("%s%d", host, i), fmt.Sprintf("r%s%d", host, i)
	l.do(host, fmt.Sprintf("ip link add name %s type veth peer name %s netns %sr", near, far, l.prefix))
	for _, a := range legAddrs(host, i, g) {
		l.do("r", fmt.Sprintf("ip addr add %v/%d dev %s nodad", gateway(a), prefixLen(a), far))
	}
	l.do("r", fmt.Sprintf("ip link set %s up", far))
	if g.mbit > 0 {
		bucket := fmt.Sprintf("root tbf rate %dmbit burst 15k latency 50ms", g.mbit)
		l.do(host, fmt.Sprintf("tc qdisc add dev %s %s", near, bucket))
		l.do("r", fmt.Sprintf("tc qdisc add dev %s %s", far, bucket))
	}
	if !g.down {
		l.raise(host, i, g)
	}
}

func legAddrs(host string, i int, g leg) (list []netip.Addr) {
	v4, v6 := clientIP(i), clientIP6(i)
	if host == "s" {
		v4, v6 = serverIP(i), serverIP6(i)
	}
	if g.family != 6 {
		list = append(list, v4)
	}
	if g.family == 6 || g.family == 46 {
		list = append(list, v6)
	}
	return list
}

func prefixLen(a netip.Addr) int {
	if a.Is4() {
		return 24
	}
	return 64
}

// raise takes the host's end of a leg up, with its addresses and a default route; what comes from its address
// leaves through it.
func (l *lab) raise(host string, i int, g leg) {
	l.t.Helper()
	iface, table := fmt.Sprintf("%s%d", host, i), 100+i
	l.do(host, fmt.Sprintf("ip link set %s up", iface))
	for _, a := range legAddrs(host, i, g) {
		v, flag := "-4", ""
		if a.Is6() {
			v, flag = "-6", " nodad"
		}
		l.do(host, fmt.Sprintf("ip addr add %v/%d dev %s%s", a, prefixLen(a), iface, flag))
		l.do(host, fmt.Sprintf("ip %s route add default via %v dev %s metric %d", v, gateway(a), iface, 100*i))
		l.do(host, fmt.Sprintf("ip %s route add default via %v dev %s table %d", v, gateway(a), iface, table))
		l.do(host, fmt.Sprintf("ip %s rule add from %v table %d", v, a, table))
	}
}

// cut makes a leg dead in both directions, without RST, ICMP or link event; name is the router's interface.
func (l *lab) cut(name string) {
	l.t.Helper()
	l.do("r", fmt.Sprintf("nft add element inet lab dead { %q }", name))
}

// heal takes cut back.
func (l *lab) heal(name string) {
	l.t.Helper()
	l.do("r", fmt.Sprintf("nft delete element inet lab dead { %q }", name))
}

// count returns the packets that the nft rule with this comment has seen.
func (l *lab) count(comment string) int {
	l.t.Helper()
	var rules struct {
		Nftables []struct {
			Rule *struct {
				Comment string
				Expr    []struct{ Counter *struct{ Packets int } }
			}
		}
	}
	out := l.do("r", "nft -j list ruleset")
	require.NoError(l.t, json.Unmarshal([]byte(out), &rules), "%s", out)
	for _, n := range rules.Nftables {
		if n.Rule == nil || n.Rule.Comment != comment {
			continue
		}
		for _, e := range n.Rule.Expr {
			if e.Counter != nil {
				return e.Counter.Packets
			}
		}
	}
	require.Fail(l.t, "no counter", "%s: %s", comment, out)
	return 0
}
