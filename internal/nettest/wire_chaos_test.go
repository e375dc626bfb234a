package nettest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// turmoil is what happens to the paths of a running connection: at any time one of them works.
type turmoil struct {
	*lab
	r         *rand.Rand
	legs      []leg            // the client's
	addresses bool             // they come and go, too: the kernel's client does not open again what it has lost
	server    func(there bool) // changes whether the server has its second address

	down  map[int]func()    // takes back what has happened to a leg
	began map[int]time.Time // when that was
	found map[int]time.Time // by then a leg that is well again is in use again at the latest
	there bool
}

// hurt takes a leg out of use.
func (x *turmoil) hurt(i int) {
	x.began[i] = time.Now()
	if x.addresses && x.r.IntN(2) == 0 {
		a := clientIP(i)
		x.do("c", fmt.Sprintf("ip link set c%d down", i))
		x.do("c", fmt.Sprintf("ip addr flush dev c%d", i))
		x.do("c", fmt.Sprintf("ip rule del from %v table %d", a, 100+i))
		x.down[i] = func() { x.raise("c", i, x.legs[i-1]) }
		return
	}
	name := fmt.Sprintf("rc%d", i)
	x.cut(name)
	x.down[i] = func() { x.heal(name) }
}

// mend takes it back.
func (x *turmoil) mend(i int) {
	if undo := x.down[i]; undo != nil {
		undo()
		delete(x.down, i)
		// A subflow whose peer was silent tries again after at most as long as it has waited: TCP doubles its timeout.
		x.found[i] = time.Now().Add(2*time.Since(x.began[i]) + 2*time.Second)
	}
}

// rage lets things happen for so long, and leaves everything in order.
func (x *turmoil) rage(d time.Duration) (events int) {
	anchor := 1 // works
	for began := time.Now(); time.Since(began) < d; events++ {
		time.Sleep(time.Duration(50+x.r.IntN(350)) * time.Millisecond)
		i := 1 + x.r.IntN(len(x.legs))
		switch {
		case i == anchor:
			for k := range x.legs {
				if k+1 != anchor && x.down[k+1] == nil && time.Now().After(x.found[k+1]) {
					anchor = k + 1
					break
				}
			}
		case x.down[i] != nil:
			x.mend(i)
		case time.Now().After(x.found[i]) || x.r.IntN(4) == 0:
			x.hurt(i)
		case x.server != nil:
			x.there = !x.there
			x.server(x.there)
		}
	}
	for i := range x.legs {
		x.mend(i + 1)
	}
	return events
}

// Links of a running connection are cut and restored, addresses go and come back, while data flows both ways: every byte
// arrives, as long as one path works at a time. MPTCP_CHAOS_REAL=60s is the full proof.
func TestNamespaceWireChaos(t *testing.T) {
	needKernelMPTCP(t)
	d := 8 * time.Second
	if s := os.Getenv("MPTCP_CHAOS_REAL"); s != "" {
		var err error
		d, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	for _, tc := range matchups {
		t.Run(tc.name, func(t *testing.T) {
			g := leg{mbit: 20}
			x := &turmoil{
				r: rand.New(rand.NewPCG(1, 2)), legs: []leg{g, g, g}, addresses: tc.client.Stack == "",
				down: map[int]func(){}, began: map[int]time.Time{}, found: map[int]time.Time{},
			}
			x.lab = crossing(t, x.legs, []leg{{}, {}})
			for _, ns := range []string{"c", "s"} {
				x.do(ns, "ip mptcp limits set subflow 8 add_addr_accepted 8")
			}
			switch {
			case tc.client.Stack != "":
				x.do("c", fmt.Sprintf("ip mptcp endpoint add %v dev c2 subflow", clientIP(2)))
				x.do("c", fmt.Sprintf("ip mptcp endpoint add %v dev c3 subflow", clientIP(3)))
			case tc.server.Stack != "":
				x.server = func(there bool) {
					if there {
						x.do("s", fmt.Sprintf("ip mptcp endpoint add %v dev s2 signal", serverIP(2)))
					} else {
						x.do("s", "ip mptcp endpoint flush")
					}
				}
			}
			server := x.serve("s", tc.server)
			// One path alone can take it.
			client := x.dial(tc.client.with(at(serverIP(1)), job{Down: true, Up: true, For: time.Hour, Rate: 1_200_000}))
			ours := client
			if tc.client.Stack != "" {
				ours = server
			}
			x.eventually(8*time.Second, "a subflow on every path", func() bool { return len(ours.state().Subflows) >= 3 })
			events := x.rage(d)
			c, s := pair{client, server}.stop()
			t.Logf("%d events; %d and %d MiB, longest gaps %v and %v", events, c.Received.Bytes/mib, s.Received.Bytes/mib, c.Received.Gap, s.Received.Gap)
			require.Less(t, max(c.Received.Gap, s.Received.Gap), 8*time.Second)
			require.Zero(t, c.Counters.Link.SentSuper+s.Counters.Link.SentSuper, "super-segments on slow paths: see superRate in package stack")
			for _, ns := range []string{"c", "s"} {
				x.requireClean(ns, "MPRstRx", "MPRstTx", "MPJoinNoTokenFound", "MPJoinRejected")
			}
		})
	}
}
