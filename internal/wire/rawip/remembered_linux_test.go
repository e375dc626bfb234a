package rawip

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/link"
)

func TestRemembered(t *testing.T) {
	var r remembered[int, int]
	asked := 0
	ask := func(k int, version uint64, now time.Duration) int {
		v, err := r.ask(k, version, now, func() (int, error) { asked++; return asked, nil })
		require.NoError(t, err)
		return v
	}
	require.Equal(t, 1, ask(7, 1, 0))
	require.Equal(t, 1, ask(7, 1, rememberedLife-1))
	require.Equal(t, 2, ask(7, 1, rememberedLife), "it is old")
	require.Equal(t, 3, ask(7, 2, rememberedLife), "the network has changed")
	require.Equal(t, 3, ask(7, 2, rememberedLife))

	_, err := r.ask(8, 2, 0, func() (int, error) { return 0, errors.ErrUnsupported })
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.Equal(t, 4, ask(8, 2, 0), "failures are not remembered")

	for k := range 2 * maxRemembered {
		ask(100+k, 2, rememberedLife)
		require.Equal(t, 3, ask(7, 2, rememberedLife), "what is used stays")
	}
	require.Equal(t, maxRemembered, r.recent.Len())
	require.Len(t, r.byKey, maxRemembered)
}

// The network changes while the kernel is being asked: the answer may be that of before.
func TestRememberedBeforeAChange(t *testing.T) {
	var r remembered[int, int]
	var version atomic.Uint64
	_, err := r.ask(1, version.Load(), 0, func() (int, error) { version.Add(1); return 1, nil })
	require.NoError(t, err)
	v, err := r.ask(1, version.Load(), 0, func() (int, error) { return 2, nil })
	require.NoError(t, err)
	require.Equal(t, 2, v)
}

// Routes are remembered, and every change of the network makes them be asked for again: the clock stands still.
func TestNamespaceRememberedRoutesAreFollowed(t *testing.T) {
	inNamespaces(t, func(w *world) {
		l, err := Open(Config{Clock: func() time.Duration { return time.Hour }}, newRecorder())
		require.NoError(w, err)
		defer l.Close()
		far := netip.MustParseAddr("192.0.2.1")
		for _, step := range []struct {
			script string
			remote netip.Addr
			want   link.Route
		}{
			{"ip route add 192.0.2.0/24 via 10.73.0.2", far, link.Route{Source: near4, Interface: "near", MTU: 1500}},
			{"ip route change 192.0.2.0/24 via 10.73.0.2 mtu 1350", far, link.Route{Source: near4, Interface: "near", MTU: 1350}},
			{"ip link set near mtu 1300", far, link.Route{Source: near4, Interface: "near", MTU: 1300}},
			{"ip addr add 192.0.2.1/32 dev lo", far, link.Route{Source: far, Interface: "lo", MTU: 65536, Local: true}},
			{"ip addr del 192.0.2.1/32 dev lo", far, link.Route{Source: near4, Interface: "near", MTU: 1300}},
			{"ip route add default dev lo table 77; ip rule add to 192.0.2.1 table 77", far, link.Route{Source: near4, Interface: "lo", MTU: 65536}},
			{"true", far6, link.Route{Source: near6, Interface: "near", MTU: 1300}},
			{"ip -6 route add default dev lo table 77; ip -6 rule add to fd73::2 table 77", far6, link.Route{Source: near6, Interface: "lo", MTU: 65536}},
		} {
			if before, err := l.Route(netip.Addr{}, step.remote, ""); err == nil {
				again, err := l.Route(netip.Addr{}, step.remote, "")
				require.NoError(w, err)
				require.Equal(w, before, again)
			}
			sh(w, step.script)
			var got link.Route
			require.Eventually(w, func() bool {
				got, err = l.Route(netip.Addr{}, step.remote, "")
				got.IfIndex = 0
				return got == step.want
			}, 5*time.Second, time.Millisecond, "%s: %+v, %v", step.script, &got, err)
		}
	})
}

// Who asks twice gets the same answer, without the kernel.
func TestNamespaceRoutesAreRemembered(t *testing.T) {
	inNamespaces(t, func(w *world) {
		l, err := Open(Config{Clock: func() time.Duration { return time.Hour }}, newRecorder())
		require.NoError(w, err)
		defer l.Close()
		first, err := l.Route(near4, far4, "near")
		require.NoError(w, err)
		require.NoError(w, l.routes.conn.Close(), "the kernel can't be asked any more")
		second, err := l.Route(near4, far4, "near")
		require.NoError(w, err)
		require.Equal(w, first, second)
		_, err = l.Route(near6, far6, "near")
		require.ErrorIs(w, err, link.ErrClosed)
	})
}

// BenchmarkRoute asks for the route to one remote again and again, and to ones that come for the first time.
func BenchmarkRoute(b *testing.B) {
	if err := Available(); err != nil {
		b.Skip(err)
	}
	began := time.Now()
	l, err := Open(Config{Clock: func() time.Duration { return time.Since(began) }}, &tallying{arrived: make(chan struct{}, 1)})
	require.NoError(b, err)
	defer l.Close()
	for name, different := range map[string]int{"known": 1, "new": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				n := i % different
				a := netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)})
				if _, err := l.Route(netip.Addr{}, a, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
