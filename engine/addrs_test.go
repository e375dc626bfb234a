package engine

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func aps(list ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range list {
		out = append(out, ap(s))
	}
	return out
}

func ips(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func newBook(local, remote string) *addrBook {
	b := &addrBook{}
	b.init(Config{Loopback: ap(remote).Addr().IsLoopback()})
	b.first(ap(local), ap(remote))
	return b
}

func addAddr(id uint8, addr string, port uint16) options.AddAddr {
	return options.AddAddr{AddrID: id, Addr: netip.MustParseAddr(addr), HasPort: port != 0, Port: port}
}

func TestLocalIDsAreStable(t *testing.T) {
	b := newBook("10.0.0.1:5000", "10.0.9.9:80")
	id := func(a string) extapi.AddrID {
		got, ok := b.localID(ap(a))
		require.True(t, ok)
		return got
	}
	require.EqualValues(t, 0, id("10.0.0.1:0"), "the first subflow's address has id 0, whatever the port")
	require.EqualValues(t, 0, id("[::ffff:10.0.0.1]:7"))
	second := id("10.0.1.1:0")
	require.NotZero(t, second)
	require.Equal(t, second, id("10.0.1.1:4711"))
	require.NotEqual(t, second, id("10.0.2.1:0"))
}

func TestLocalIDsReusedOnlyAfterRemoveAddr(t *testing.T) {
	b := newBook("10.0.0.1:5000", "10.0.9.9:80")
	hosts := ips("10.0.0.1", "10.0.1.1")
	b.setHosts(hosts)
	id, _ := b.localID(ap("10.0.1.1:0"))

	b.setHosts(hosts[:1])
	b.setHosts(hosts)
	_, leaving := b.pollRemove()
	require.False(t, leaving, "back before REMOVE_ADDR was sent")
	again, _ := b.localID(ap("10.0.1.1:0"))
	require.Equal(t, id, again)

	b.setHosts(hosts[:1])
	for i := range 80 {
		if other, ok := b.localID(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), 0)); ok {
			require.NotEqual(t, id, other, "REMOVE_ADDR not sent yet")
		}
	}
	_, ok := b.localID(ap("10.2.2.2:0"))
	require.False(t, ok, "bounded")
	o, leaving := b.pollRemove()
	require.True(t, leaving)
	require.Equal(t, []uint8{uint8(id)}, o.IDs[:o.N])
	_, ok = b.localID(ap("10.2.2.2:0"))
	require.True(t, ok)
}

func TestFirstAddressKeepsIDZero(t *testing.T) {
	b := newBook("10.0.0.1:5000", "10.0.9.9:80")
	b.setHosts(ips("10.0.0.1"))
	b.setHosts(nil)
	o, ok := b.pollRemove()
	require.True(t, ok)
	require.Equal(t, []uint8{0}, o.IDs[:o.N])
	b.setHosts(ips("10.0.0.1"))
	b.setHosts(nil)
	_, ok = b.pollRemove()
	require.False(t, ok, "the peer has not seen it since")
	id, _ := b.localID(ap("10.0.0.1:0"))
	require.Zero(t, id)
}

func TestUnlistedAddressNeverVanishes(t *testing.T) {
	b := newBook("127.0.0.1:5000", "127.0.0.1:80")
	b.setHosts(ips("10.0.0.1"))
	b.setHosts(nil)
	_, ok := b.pollRemove()
	require.False(t, ok)
}

func TestAnnounceRetransmitsUntilEcho(t *testing.T) {
	b := newBook("10.0.0.1:80", "10.0.9.9:5000")
	b.announce(0, aps("10.0.1.1:80", "10.0.2.1:8080"), true)
	first, ok := b.pollAnnounce(0, 0, b.firstLocal.Port())
	require.True(t, ok)
	require.False(t, first.HasPort, "the connection's own port goes without saying")
	second, ok := b.pollAnnounce(0, 0, b.firstLocal.Port())
	require.True(t, ok)
	require.True(t, second.HasPort)
	require.EqualValues(t, 8080, second.Port)
	require.NotEqual(t, first.AddrID, second.AddrID)
	_, ok = b.pollAnnounce(0, 0, b.firstLocal.Port())
	require.False(t, ok)

	b.handleEcho(options.AddAddr{Echo: true, AddrID: second.AddrID, Addr: netip.MustParseAddr("10.3.3.3")})
	b.handleEcho(options.AddAddr{Echo: true, AddrID: first.AddrID, Addr: first.Addr})
	var at []time.Duration
	for {
		next, ok := b.wake()
		if !ok {
			break
		}
		again, ok := b.pollAnnounce(next, 0, b.firstLocal.Port())
		require.True(t, ok)
		require.Equal(t, second, again, "an echo of another address does not count")
		at = append(at, next)
	}
	require.Equal(t, []time.Duration{announceMinWait, 3 * announceMinWait}, at, "three in all, then it gives up")
}

func TestAnnounceWaitFollowsRTT(t *testing.T) {
	b := newBook("10.0.0.1:80", "10.0.9.9:5000")
	b.announce(0, aps("10.0.1.1:80"), true)
	b.pollAnnounce(0, time.Second, b.firstLocal.Port())
	next, _ := b.wake()
	require.Equal(t, 3*time.Second, next)
}

func TestAnnounceOnlyInTheArrivalScope(t *testing.T) {
	all := aps("127.0.0.1:80", "169.254.0.1:80", "10.0.1.1:80", "100.64.0.1:80", "203.0.113.1:80", "224.0.0.1:80", "0.0.0.0:80", "10.0.2.1:0")
	for _, c := range []struct {
		rule, local, remote string
		scoped              bool
		want                []string
	}{
		{"private", "10.0.0.1:80", "10.0.9.9:5000", true, []string{"10.0.1.1", "100.64.0.1"}},
		{"global", "198.51.100.1:80", "192.0.2.1:5000", true, []string{"203.0.113.1"}},
		{"behind a NAT", "10.0.0.1:80", "192.0.2.1:5000", true, []string{"203.0.113.1"}},
		{"loopback", "127.0.0.2:80", "127.0.0.1:5000", true, []string{"127.0.0.1"}},
		{"listed by the program", "10.0.0.1:80", "10.0.9.9:5000", false, []string{"169.254.0.1", "10.0.1.1", "100.64.0.1", "203.0.113.1"}},
		{"not the connection's own address", "10.0.1.1:80", "10.0.9.9:5000", true, []string{"100.64.0.1"}},
	} {
		b := newBook(c.local, c.remote)
		b.announce(0, all, c.scoped)
		var got []string
		for o, ok := b.pollAnnounce(0, 0, b.firstLocal.Port()); ok; o, ok = b.pollAnnounce(0, 0, b.firstLocal.Port()) {
			got = append(got, o.Addr.String())
		}
		require.Equal(t, c.want, got, c.rule)
	}
}

func TestAnnounceWithdraws(t *testing.T) {
	b := newBook("10.0.0.1:80", "10.0.9.9:5000")
	b.announce(0, aps("10.0.1.1:80", "10.0.2.1:80"), true)
	o, _ := b.pollAnnounce(0, 0, b.firstLocal.Port())
	b.announce(0, nil, true)
	r, ok := b.pollRemove()
	require.True(t, ok)
	require.Equal(t, []uint8{o.AddrID}, r.IDs[:r.N], "what the peer never heard of needs no REMOVE_ADDR")
	_, ok = b.wake()
	require.False(t, ok)
}

func TestAnnouncedAddressRules(t *testing.T) {
	for _, c := range []struct {
		rule, local, remote string
		add                 options.AddAddr
		want                announcement
	}{
		{"same scope", "10.0.0.1:5000", "10.0.9.9:80", addAddr(1, "10.0.9.8", 0), announceNew},
		{"wider scope", "10.0.0.1:5000", "10.0.9.9:80", addAddr(1, "203.0.113.1", 0), announceNew},
		{"narrower scope", "10.0.0.1:5000", "203.0.113.1:80", addAddr(1, "10.0.9.9", 0), announceUnusable},
		{"link-local is narrower", "10.0.0.1:5000", "10.0.9.9:80", addAddr(1, "169.254.1.1", 0), announceUnusable},
		{"loopback where there is none", "10.0.0.1:5000", "10.0.9.9:80", addAddr(1, "127.0.0.1", 0), announceUnusable},
		{"loopback through a translator", "fd00::1", "", addAddr(1, "64:ff9b::127.0.0.1", 0), announceUnusable},
		{"loopback on loopback", "127.0.0.1:5000", "127.0.0.1:80", addAddr(1, "127.0.0.2", 0), announceNew},
		{"multicast", "10.0.0.1:5000", "10.0.9.9:80", addAddr(1, "224.0.0.1", 0), announceUnusable},
		{"unspecified", "10.0.0.1:5000", "10.0.9.9:80", addAddr(1, "0.0.0.0", 0), announceUnusable},
		{"broadcast", "10.0.0.1:5000", "10.0.9.9:80", addAddr(1, "255.255.255.255", 0), announceUnusable},
		{"another port", "10.0.0.1:5000", "10.0.9.9:80", addAddr(1, "10.0.9.8", 22), announceUnusable},
		{"own port said aloud", "10.0.0.1:5000", "10.0.9.9:80", addAddr(1, "10.0.9.8", 80), announceNew},
		{"our address, the peer elsewhere", "10.0.0.1:5000", "10.0.9.9:80", addAddr(1, "10.0.3.3", 0), announceUnusable},
		{"our first address", "10.0.0.1:5000", "10.0.9.9:80", addAddr(1, "10.0.0.1", 0), announceUnusable},
		{"our address, the peer on this host", "10.0.0.1:5000", "10.0.0.1:80", addAddr(1, "10.0.3.3", 0), announceNew},
		{"our listener", "10.0.0.1:5000", "10.0.0.1:80", addAddr(1, "10.0.4.4", 0), announceUnusable},
		{"the initial address again", "10.0.0.1:5000", "10.0.9.9:80", addAddr(3, "10.0.9.9", 0), announceRefreshed},
		{"id 0 for another address", "10.0.0.1:5000", "10.0.9.9:80", addAddr(0, "10.0.9.8", 0), announceIgnored},
	} {
		if c.remote == "" {
			c.local, c.remote = "[fd00::1]:5000", "[fd00::9]:80"
		}
		b := newBook(c.local, c.remote)
		b.setHosts(ips("10.0.0.1", "10.0.3.3", "10.0.4.4"))
		b.setListening(aps("10.0.4.4:80"))
		require.Equal(t, c.want, b.handleAdd(0, c.add, ap(c.remote).Port()), c.rule)
	}
}

func TestAnnouncedPortWithAnyAnnouncedPort(t *testing.T) {
	b := newBook("127.0.0.1:5000", "127.0.0.1:80")
	b.setAnyPort(true)
	require.Equal(t, announceNew, b.handleAdd(0, addAddr(1, "127.0.0.1", 8001), 80))
	require.Equal(t, announceNew, b.handleAdd(0, addAddr(2, "127.0.0.1", 8002), 80))
	require.Equal(t, announceUnusable, b.handleAdd(0, addAddr(3, "127.0.0.1", 5000), 80), "the socket we talk from")
	require.Len(t, b.targets(nil), 3)
}

func TestLinkLocalAnnouncementStaysOnTheLink(t *testing.T) {
	b := newBook("[fe80::1%eth0]:5000", "[fe80::9%eth0]:80")
	require.Equal(t, announceNew, b.handleAdd(0, addAddr(1, "fe80::8", 0), 80))
	require.Equal(t, "fe80::8%eth0", b.targets(nil)[1].addr.Addr().String())
}

func TestAddressIDNamesOneAddress(t *testing.T) {
	b := newBook("10.0.0.1:5000", "10.0.9.9:80")
	b.setAnyPort(true)
	require.Equal(t, announceNew, b.handleAdd(0, addAddr(1, "10.0.9.8", 0), 80))
	require.Equal(t, announceIgnored, b.handleAdd(0, addAddr(1, "10.0.9.7", 0), 80), "must be removed first")
	require.False(t, announceIgnored.echoed())
	require.Equal(t, announceRefreshed, b.handleAdd(0, addAddr(1, "10.0.9.8", 81), 80), "a new port is a new target")
	require.Equal(t, ap("10.0.9.8:81"), b.targets(nil)[1].addr)
	require.Equal(t, announceRedundant, b.handleAdd(0, addAddr(2, "10.0.9.8", 81), 80))
	require.True(t, b.handleRemove(1))
	require.False(t, b.handleRemove(1), "unknown ids are ignored")
	require.Equal(t, announceNew, b.handleAdd(0, addAddr(1, "10.0.9.7", 0), 80))
}

func TestCFlagForbidsTheInitialAddress(t *testing.T) {
	b := newBook("10.0.0.1:5000", "10.0.9.9:80")
	b.setJoinInitial(false)
	require.Empty(t, b.targets(nil))
	require.Equal(t, announceUnusable, b.handleAdd(0, addAddr(1, "10.0.9.9", 0), 80))
	require.Equal(t, announceNew, b.handleAdd(0, addAddr(1, "10.0.9.8", 0), 80))
	require.Len(t, b.targets(nil), 1)
}

func TestRemoveOfIDZero(t *testing.T) {
	b := newBook("10.0.0.1:5000", "10.0.9.9:80")
	_, ok := b.remote(0)
	require.True(t, ok)
	require.True(t, b.handleRemove(0))
	require.Empty(t, b.targets(nil))
	require.Equal(t, announceNew, b.handleAdd(0, addAddr(1, "10.0.9.9", 0), 80), "announced again")
	require.Len(t, b.targets(nil), 1)
}

func TestAnnouncementsAreBounded(t *testing.T) {
	b := newBook("10.0.0.1:5000", "10.0.9.9:80")
	counts := map[announcement]int{}
	for i := range 200 {
		a := netip.AddrFrom4([4]byte{10, 5, 0, byte(i)})
		counts[b.handleAdd(0, options.AddAddr{AddrID: uint8(i + 1), Addr: a}, 80)]++
	}
	require.Equal(t, map[announcement]int{announceNew: maxAnnounced, announceIgnored: 200 - maxAnnounced}, counts)
	require.Equal(t, announceIgnored, b.handleAdd(0, addAddr(1, "10.5.0.0", 0), 80), "the flood used up this minute")
	require.Equal(t, announceRefreshed, b.handleAdd(time.Minute, addAddr(1, "10.5.0.0", 0), 80))
	for i := range 100 {
		b.observe(extapi.AddrID(i), ap("10.6.0.1:9"))
	}
	require.Len(t, b.observed, maxObserved)
	got, ok := b.remote(99)
	require.True(t, ok)
	require.Equal(t, ap("10.6.0.1:9"), got)
}

// Whatever happens, an id names one address at a time as the peer sees it.
func TestLocalIDsUnique(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBook("10.0.0.1:80", "10.0.9.9:5000")
		peer := map[extapi.AddrID]netip.Addr{0: ap("10.0.0.1:80").Addr()} // as the peer has learnt it
		pool := ips("10.0.0.1", "10.0.1.1", "10.0.2.1", "10.0.3.1", "10.0.4.1")
		learn := func(id extapi.AddrID, a netip.Addr) {
			if old, ok := peer[id]; ok && old != a {
				t.Fatalf("id %d is %v and %v", id, old, a)
			}
			peer[id] = a
		}
		now := time.Duration(0)
		t.Repeat(map[string]func(*rapid.T){
			"hosts": func(t *rapid.T) {
				b.setHosts(slices.DeleteFunc(slices.Clone(pool), func(netip.Addr) bool { return rapid.Bool().Draw(t, "gone") }))
			},
			"join": func(t *rapid.T) {
				a := rapid.SampledFrom(pool).Draw(t, "addr")
				if id, ok := b.localID(netip.AddrPortFrom(a, 0)); ok {
					learn(id, a)
				}
			},
			"announce": func(t *rapid.T) {
				var list []netip.AddrPort
				for _, a := range pool {
					if rapid.Bool().Draw(t, "in") {
						list = append(list, netip.AddrPortFrom(a, 80))
					}
				}
				b.announce(now, list, true)
			},
			"poll": func(*rapid.T) {
				now += time.Second
				if o, ok := b.pollAnnounce(now, 0, b.firstLocal.Port()); ok {
					learn(extapi.AddrID(o.AddrID), o.Addr)
				}
			},
			"remove": func(*rapid.T) {
				o, _ := b.pollRemove()
				for _, id := range o.IDs[:o.N] {
					delete(peer, extapi.AddrID(id))
				}
			},
		})
	})
}
