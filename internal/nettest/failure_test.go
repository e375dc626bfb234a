package nettest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// downloading is a download over two paths of 50 Mbit/s each, both in use when it returns.
func downloading(t *testing.T, j job, o order) (l *lab, client, server *program) {
	t.Helper()
	l = crossing(t, []leg{{mbit: 50}, {mbit: 50}}, []leg{{}})
	server = l.serve("s", order{})
	o.Addr, o.Job = at(serverIP(1)), j
	client = l.dial(o)
	secondPath(client)
	return l, client, server
}

func secondPath(client *program) {
	client.l.t.Helper()
	client.event(5*time.Second, "subflow_established", func(r report) bool { return r.Subflows[0].ID == 2 })
}

// active counts the subflows that carry data.
func active(flows []extapi.SubflowInfo) (n int) {
	for _, f := range flows {
		if f.State == extapi.StateActive {
			n++
		}
	}
	return n
}

// A path goes silent for good: no RST, no ICMP, no link event. Either one, the first subflow's too.
func TestNamespaceBlackhole(t *testing.T) {
	for _, dead := range []string{"rc1", "rc2"} {
		for name, j := range map[string]job{"download": {Down: true}, "upload": {Up: true}} {
			t.Run(dead+" "+name, func(t *testing.T) {
				j.For = 3 * time.Second
				l, client, server := downloading(t, j, order{})
				time.Sleep(700 * time.Millisecond)
				l.cut(dead)
				cut := time.Now()
				before := l.counters("r", dead)
				c, s := finish(t, 20*time.Second, client, server)
				got := c.Received
				if j.Up {
					got = s.Received
				}
				after := l.counters("r", dead)
				t.Logf("%.1f Mbit/s, longest gap %v, which ended after %v; %v after the cut, %d bytes out and %d in there",
					got.rate(), got.Gap, got.GapEnd, time.Since(cut), after.Tx.Bytes-before.Tx.Bytes, after.Rx.Bytes-before.Rx.Bytes)
				require.Less(t, got.Gap, time.Second)
				require.Greater(t, got.rate(), 25.0, "the other path goes on at 50 Mbit/s")
				require.Equal(t, at(serverIP(1)), c.Remote, "for life")
			})
		}
	}
}

// A path that comes back is used again.
func TestNamespaceBlackholeReturns(t *testing.T) {
	for _, dead := range []string{"c1", "c2"} {
		t.Run(dead, func(t *testing.T) {
			l, client, server := downloading(t, download(20*time.Second), order{})
			time.Sleep(500 * time.Millisecond)
			l.cut("r" + dead)
			time.Sleep(3 * time.Second)
			before := l.counters("c", dead).Rx.Bytes
			l.heal("r" + dead)
			// Half a megabyte is more than what sat in queues and retransmissions: new data goes this way.
			took := l.eventually(5*time.Second, "the path carries data again", func() bool {
				return l.counters("c", dead).Rx.Bytes > before+512*kib
			})
			server.say("stop")
			c, _ := finish(t, 20*time.Second, client, server)
			t.Logf("used again %v after it returned; longest gap %v", took, c.Received.Gap)
			require.Less(t, c.Received.Gap, time.Second)
			require.Less(t, took, 3*time.Second)
		})
	}
}

// Both paths die, and the connection waits for them: nothing is lost.
func TestNamespaceBothPathsDead(t *testing.T) {
	l, client, server := downloading(t, download(20*time.Second), order{})
	time.Sleep(300 * time.Millisecond)
	l.cut("rc1")
	l.cut("rc2")
	time.Sleep(2 * time.Second)
	before := l.counters("c", "c1").Rx.Bytes + l.counters("c", "c2").Rx.Bytes
	l.heal("rc2")
	l.heal("rc1")
	took := l.eventually(10*time.Second, "data flows again", func() bool {
		return l.counters("c", "c1").Rx.Bytes+l.counters("c", "c2").Rx.Bytes > before+mib
	})
	server.say("stop")
	c, _ := finish(t, 20*time.Second, client, server)
	t.Logf("data flows again %v after the paths returned; longest gap %v", took, c.Received.Gap)
	require.Less(t, c.Received.Gap, 6*time.Second)
}

// A path flaps ten times a second for five seconds.
func TestNamespaceFlapping(t *testing.T) {
	l, client, server := downloading(t, job{Down: true, Up: true, For: 20 * time.Second}, order{})
	flaps := 0
	for began := time.Now(); time.Since(began) < 5*time.Second; flaps++ {
		l.cut("rc2")
		time.Sleep(40 * time.Millisecond)
		l.heal("rc2")
		time.Sleep(40 * time.Millisecond)
	}
	for _, p := range []*program{client, server} {
		p.say("stop")
	}
	c, s := finish(t, 20*time.Second, client, server)
	joins := 0
	all, _, _ := client.look()
	for _, r := range all {
		if r.Event == "subflow_established" {
			joins++
		}
	}
	t.Logf("%d flaps, %d subflows; down %.1f Mbit/s, gap %v; up %.1f Mbit/s, gap %v",
		flaps, joins, c.Received.rate(), c.Received.Gap, s.Received.rate(), s.Received.Gap)
	require.Greater(t, flaps, 10) // as many as nft manages on a busy machine
	require.Less(t, joins, 40, "no storm of joins")
	require.Less(t, max(c.Received.Gap, s.Received.Gap), 2*time.Second)
	require.Greater(t, c.Received.rate(), 20.0)
	require.Greater(t, s.Received.rate(), 20.0)
}

// A middlebox lets no join through: it answers the second path's SYNs with a reset. The connection goes on
// over one path, and does not try all the time.
func TestNamespaceJoinsReset(t *testing.T) {
	l := crossing(t, []leg{{mbit: 50}, {mbit: 50}}, []leg{{}})
	l.feed("r", "nft -f -", `table inet lab {
		chain box {
			type filter hook forward priority 1; policy accept;
			iifname rc2 tcp flags & (syn | ack) == syn counter comment "joins"
			iifname rc2 tcp dport 1-65535 reject with tcp reset
		}
	}`)
	server := l.serve("s", order{})
	client := l.dial(order{Addr: at(serverIP(1)), Job: download(5 * time.Second)})
	c, _ := finish(t, 20*time.Second, client, server)
	joins := l.count("joins")
	t.Logf("%d SYNs in 5 s, %.1f Mbit/s, longest gap %v", joins, c.Received.rate(), c.Received.Gap)
	require.Positive(t, joins, "it was tried")
	require.LessOrEqual(t, joins, 6, "with back-off")
	require.Greater(t, c.Received.rate(), 35.0)
	require.Len(t, c.Subflows, 1)
}

// A middlebox resets a path that was in use, and every further try.
func TestNamespacePathReset(t *testing.T) {
	l, client, server := downloading(t, download(4*time.Second), order{})
	time.Sleep(500 * time.Millisecond)
	l.feed("r", "nft -f -", `table inet lab {
		chain box {
			type filter hook forward priority 1; policy accept;
			iifname rc2 tcp flags & (syn | ack) == syn counter comment "joins"
			iifname rc2 tcp dport 1-65535 reject with tcp reset
			oifname rc2 tcp sport 1-65535 reject with tcp reset
		}
	}`)
	c, _ := finish(t, 20*time.Second, client, server)
	joins := l.count("joins")
	t.Logf("%d SYNs in 3.5 s, %.1f Mbit/s, longest gap %v", joins, c.Received.rate(), c.Received.Gap)
	require.LessOrEqual(t, joins, 12, "a probe each half second")
	require.Less(t, c.Received.Gap, time.Second)
	require.Greater(t, c.Received.rate(), 35.0)
}

// A server's address answers, but a path stops in one direction only.
func TestNamespaceOneWayBlackhole(t *testing.T) {
	for _, hook := range []string{"iifname", "oifname"} {
		t.Run(hook, func(t *testing.T) {
			l, client, server := downloading(t, download(3*time.Second), order{})
			time.Sleep(500 * time.Millisecond)
			l.feed("r", "nft -f -", "add rule inet lab pass "+hook+" rc2 drop\n")
			c, _ := finish(t, 20*time.Second, client, server)
			t.Logf("%.1f Mbit/s, longest gap %v", c.Received.rate(), c.Received.Gap)
			require.Less(t, c.Received.Gap, time.Second)
		})
	}
}

// Several connections lose the path together.
func TestNamespaceBlackholeManyConnections(t *testing.T) {
	l := crossing(t, []leg{{mbit: 50}, {mbit: 50}}, []leg{{}})
	l.serve("s", order{})
	clients := make([]*program, 4)
	for i := range clients {
		// The server is named as a peer: a question that gets lost behind the others' data would be no answer in time.
		clients[i] = l.dial(order{Addr: at(serverIP(1)), Peers: []string{serverIP(1).String()}, Job: job{Down: true, Bytes: 4 * mib}})
	}
	time.Sleep(700 * time.Millisecond)
	l.cut("rc1")
	var worst time.Duration
	for _, p := range clients {
		c := p.wait(20*time.Second, "done")
		require.EqualValues(t, 4*mib, c.Received.Bytes)
		worst = max(worst, c.Received.Gap)
	}
	t.Logf("longest gap of any: %v", worst)
	require.Less(t, worst, 3*time.Second)
}
