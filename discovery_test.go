package mptcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

func TestWhomDiscoveryMayAsk(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:8080": true, "[::1]:8080": true, "10.1.2.3:80": true, "172.16.0.1:443": true, "192.168.1.1:65535": true,
		"169.254.1.1:5000": true, "[fe80::1]:5000": true, "[fd00::1]:1024": true, "100.64.0.1:8443": true, "100.127.255.255:8443": true,

		"127.0.0.1:22": false, "127.0.0.1:25": false, "127.0.0.1:1023": false, "127.0.0.1:3306": false,
		"127.0.0.1:9100": false, "127.0.0.1:9109": false, "127.0.0.1:9110": true, "127.0.0.1:9099": true,

		"8.8.8.8:8080": false, "172.32.0.1:8080": false, "100.128.0.1:8080": false, "[2001:db8::1]:443": false,
		"[::ffff:10.0.0.1]:8080": true,
	} {
		require.Equal(t, want, mayAsk(DiscoverPrivate, netip.MustParseAddrPort(addr)), addr)
		require.True(t, mayAsk(DiscoverAll, netip.MustParseAddrPort(addr)))
		require.False(t, mayAsk(DiscoverNone, netip.MustParseAddrPort(addr)))
	}
}

func TestNamedPeers(t *testing.T) {
	remote := netip.MustParseAddrPort("192.0.2.1:8080")
	for peer, want := range map[string]bool{
		"example.com:8080": true, "example.com": true, "EXAMPLE.com.": true, "192.0.2.1": true, "192.0.2.1:8080": true,
		"[::ffff:192.0.2.1]:8080": true, "example.com:http-alt": true,
		"example.com:80": false, "192.0.2.1:80": false, "192.0.2.2": false, "example.org": false, "": false, "[::1]": false, "::1": false,
	} {
		require.Equal(t, want, namedPeer([]string{peer}, "example.com", remote), "%q", peer)
	}
	require.True(t, namedPeer([]string{"a", "[::1]"}, "::1", netip.MustParseAddrPort("[::1]:80")))
	require.True(t, namedPeer([]string{"::1"}, "localhost", netip.MustParseAddrPort("[::1]:80")))
}

func key(port int) peerKey {
	return peerKey{remote: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(port))}
}

func TestVerdictsExpire(t *testing.T) {
	v, now := newVerdicts(), time.Now()
	require.Equal(t, verdictUnknown, v.lookup(key(1), now))
	v.record(key(1), true, now)
	v.record(key(2), false, now)
	require.Equal(t, verdictYes, v.lookup(key(1), now.Add(24*time.Hour-1)))
	require.Equal(t, verdictNo, v.lookup(key(2), now.Add(54*time.Minute-1)), "at least 1 h less the jitter")
	require.Equal(t, verdictUnknown, v.lookup(key(1), now.Add(24*time.Hour)))
	require.Equal(t, verdictUnknown, v.lookup(key(2), now.Add(66*time.Minute)), "at most 1 h and the jitter")
	v.record(key(1), true, now)
	v.record(key(1), false, now)
	require.Equal(t, verdictNo, v.lookup(key(1), now), "the newest verdict holds")
}

func TestVerdictsAreBounded(t *testing.T) {
	v, now := newVerdicts(), time.Now()
	for i := range maxVerdicts {
		v.record(key(i), true, now)
	}
	v.lookup(key(0), now)
	v.record(key(maxVerdicts), true, now)
	require.Len(t, v.byPeer, maxVerdicts)
	require.Equal(t, maxVerdicts, v.recent.Len())
	require.Equal(t, verdictYes, v.lookup(key(0), now), "recently used")
	require.Equal(t, verdictUnknown, v.lookup(key(1), now), "least recently used")
}

func TestVerdictsAreFlushedWithTheNetwork(t *testing.T) {
	v, now := newVerdicts(), time.Now()
	v.record(key(1), false, now)
	p, mine := v.begin(key(2))
	require.True(t, mine)
	v.flush()
	require.Equal(t, verdictUnknown, v.lookup(key(1), now))
	v.finish(p, verdictNo, now)
	require.Equal(t, verdictUnknown, v.lookup(key(2), now), "asked in another network")
	require.Equal(t, verdictNo, p.answer, "who waited hears it all the same")
}

func TestOneProbePerPeer(t *testing.T) {
	v, now := newVerdicts(), time.Now()
	p, mine := v.begin(key(1))
	require.True(t, mine)
	q, mine := v.begin(key(1))
	require.False(t, mine)
	require.Same(t, p, q)
	_, mine = v.begin(key(2))
	require.True(t, mine)
	v.finish(p, verdictUnknown, now)
	<-q.done
	_, mine = v.begin(key(1))
	require.True(t, mine, "no verdict: the next dial asks")
}

func TestFingerprintKnowsNetworksNotAddresses(t *testing.T) {
	at := func(s ...string) (l []extapi.Candidate) {
		for _, a := range s {
			l = append(l, extapi.Candidate{Local: netip.AddrPortFrom(netip.MustParseAddr(a), 0), Interface: "eth0"})
		}
		return l
	}
	home := fingerprint(at("192.168.1.5", "2001:db8::1"))
	require.Equal(t, home, fingerprint(at("2001:db8::1", "192.168.1.5")), "order")
	require.Equal(t, home, fingerprint(at("192.168.1.5", "2001:db8::1", "2001:db8::99")), "temporary addresses")
	require.NotEqual(t, home, fingerprint(at("192.168.2.5", "2001:db8::1")))
	require.NotEqual(t, home, fingerprint(at("192.168.1.5")))
}

func TestAnnouncement(t *testing.T) {
	ap, ip := netip.MustParseAddrPort, netip.MustParseAddr
	locals := []extapi.Candidate{
		{Local: ap("192.0.2.1:0"), Interface: "eth0", Kind: extapi.KindEthernet},
		{Local: ap("198.51.100.1:0"), Interface: "eth1", Kind: extapi.KindEthernet},
	}
	require.Equal(t, []netip.AddrPort{ap("198.51.100.1:80")}, announcement(nil, netip.Addr{}, locals, ip("192.0.2.1"), 80))
	require.Empty(t, announcement(nil, ip("192.0.2.1"), locals, ip("192.0.2.1"), 80), "bound to one address")
	require.Empty(t, announcement(nil, netip.Addr{}, locals, ip("127.0.0.1"), 80), "loopback")
	named := []netip.AddrPort{ap("203.0.113.7:0"), ap("127.0.0.1:81"), ap("192.0.2.1:80")}
	require.Equal(t, []netip.AddrPort{ap("203.0.113.7:80")}, announcement(named, ip("192.0.2.1"), locals, ip("192.0.2.1"), 80))
	require.Equal(t, []netip.AddrPort{ap("127.0.0.1:81")}, announcement(named, netip.Addr{}, locals, ip("127.0.0.1"), 80))
	require.Empty(t, announcement([]netip.AddrPort{}, netip.Addr{}, locals, ip("192.0.2.1"), 80), "an empty list announces nothing")
}
