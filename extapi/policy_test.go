package extapi

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func candidate() Candidate {
	return Candidate{
		Local:     netip.MustParseAddrPort("192.168.1.7:0"),
		Remote:    netip.MustParseAddrPort("[2001:db8::1%eth0]:443"),
		Interface: "wlan0", Kind: KindWiFi, Cost: 5,
	}
}

func TestPathMatchMatches(t *testing.T) {
	five, four := 5, 4
	for name, tc := range map[string]struct {
		m    PathMatch
		want bool
	}{
		"zero matches all":                    {PathMatch{}, true},
		"interface exact":                     {PathMatch{Interface: "wlan0"}, true},
		"interface pattern":                   {PathMatch{Interface: "wl*"}, true},
		"interface class":                     {PathMatch{Interface: "wlan[1-9]"}, false},
		"a pattern matches the whole name":    {PathMatch{Interface: "wlan"}, false},
		"malformed pattern":                   {PathMatch{Interface: "[wlan"}, false},
		"kind":                                {PathMatch{Kind: KindWiFi}, true},
		"other kind":                          {PathMatch{Kind: KindCellular}, false},
		"local":                               {PathMatch{Local: netip.MustParsePrefix("192.168.0.0/16")}, true},
		"local, written as mapped":            {PathMatch{Local: netip.MustParsePrefix("::ffff:192.168.0.0/112")}, true},
		"other local":                         {PathMatch{Local: netip.MustParsePrefix("10.0.0.0/8")}, false},
		"other family":                        {PathMatch{Local: netip.MustParsePrefix("::/0")}, false},
		"remote with zone":                    {PathMatch{Remote: netip.MustParsePrefix("2001:db8::/32")}, true},
		"invalid prefix that is not zero":     {PathMatch{Local: netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 99)}, false},
		"cost at most":                        {PathMatch{MaxCost: &five}, true},
		"cost above":                          {PathMatch{MaxCost: &four}, false},
		"every field must agree, one doesn't": {PathMatch{Interface: "wlan0", Kind: KindEthernet}, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.want, tc.m.Matches(candidate()))
		})
	}
	c := candidate()
	c.Local = netip.MustParseAddrPort("[::ffff:10.1.2.3]:0")
	require.True(t, PathMatch{Local: netip.MustParsePrefix("10.0.0.0/8")}.Matches(c), "a mapped address is IPv4")
	require.False(t, PathMatch{Local: netip.MustParsePrefix("0.0.0.0/0")}.Matches(Candidate{}), "no address is in no prefix")
	require.True(t, PathMatch{Kind: KindUnknown}.Matches(Candidate{}), "a candidate without a kind is of unknown kind")
}

func TestPathPolicyEvaluatesInOrder(t *testing.T) {
	p := PathPolicy{
		Rules: []PathRule{
			{PathMatch{Interface: "eth*"}, RolePrefer, 0},
			{PathMatch{Kind: KindWiFi}, RoleAvoid, 7},
			{PathMatch{Interface: "wlan0"}, RoleNever, 0},
		},
		Default: RoleBackup,
		Decide: func(c Candidate) (Role, bool) {
			switch c.Interface {
			case "tun0":
				return RoleNever, true
			case "boom":
				panic("out of luck")
			}
			return RolePrefer, false
		},
	}
	for _, tc := range []struct {
		iface string
		kind  LinkKind
		role  Role
		cost  int
	}{
		{"eth1", KindWiFi, RolePrefer, 3}, // first rule; it says nothing of cost
		{"wlan0", KindWiFi, RoleAvoid, 7}, // second before third
		{"wlan0", KindUnknown, RoleNever, 3},
		{"tun0", KindTunnel, RoleNever, 3}, // Decide
		{"usb0", KindUnknown, RoleBackup, 3},
	} {
		role, cost := p.Evaluate(Candidate{Interface: tc.iface, Kind: tc.kind, Cost: 3})
		require.Equal(t, tc.role, role, tc.iface)
		require.Equal(t, tc.cost, cost, tc.iface)
	}
	role, _, err := p.TryEvaluate(Candidate{Interface: "boom"})
	require.Equal(t, RoleBackup, role)
	require.EqualError(t, err, "extapi: PathPolicy.Decide panicked: out of luck")
	role, cost := PathPolicy{}.Evaluate(candidate())
	require.Equal(t, RoleDefault, role)
	require.Equal(t, 5, cost)
}

func TestShorthands(t *testing.T) {
	role := func(p PathPolicy, iface string) Role {
		r, _ := p.Evaluate(Candidate{Interface: iface})
		return r
	}
	only := Only("eth*", "wlan0")
	require.Equal(t, RoleDefault, role(only, "eth3"))
	require.Equal(t, RoleDefault, role(only, "wlan0"))
	require.Equal(t, RoleNever, role(only, "wlan1"))
	require.Equal(t, RoleNever, role(Only(), "eth0"))
	require.Equal(t, RoleNever, role(Only(""), "eth0"), "an empty name allows nothing")
	require.Equal(t, RolePrefer, role(Prefer("eth0"), "eth0"))
	require.Equal(t, RoleAvoid, role(Avoid("eth0"), "eth0"))
	require.Equal(t, RoleBackup, role(Backup("wwan*"), "wwan0"))
	for _, p := range []PathPolicy{Prefer("x"), Avoid("x"), Backup("x")} {
		require.Equal(t, RoleDefault, role(p, "eth0"))
	}
	combined := Only("eth0")
	combined.Rules = append(combined.Rules, Backup("wwan0").Rules...)
	require.Equal(t, RoleDefault, role(combined, "eth0"))
	require.Equal(t, RoleBackup, role(combined, "wwan0"))
	require.Equal(t, RoleNever, role(combined, "wlan0"))
}

// The first rule that matches decides, whatever comes after it.
func TestPathPolicyFirstMatchWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kinds := rapid.SampledFrom([]LinkKind{KindAny, KindEthernet, KindWiFi, KindTunnel})
		var p PathPolicy
		for i := range rapid.IntRange(0, 6).Draw(t, "rules") {
			p.Rules = append(p.Rules, PathRule{
				PathMatch{Kind: kinds.Draw(t, fmt.Sprint("kind", i))}, Role(rapid.IntRange(0, 4).Draw(t, "role")), i + 1})
		}
		c := Candidate{Kind: KindWiFi, Cost: 99}
		role, cost := p.Evaluate(c)
		for _, r := range p.Rules {
			if r.Kind == KindAny || r.Kind == KindWiFi {
				require.Equal(t, r.Role, role)
				require.Equal(t, r.Cost, cost)
				return
			}
		}
		require.Equal(t, RoleDefault, role)
		require.Equal(t, 99, cost)
	})
}

func FuzzPathMatch(f *testing.F) {
	f.Add("wlan*", "wlan0", []byte{10, 0, 0, 1}, 8)
	f.Add("[", "x", make([]byte, 16), 128)
	f.Fuzz(func(t *testing.T, pattern, name string, addr []byte, bits int) {
		a, _ := netip.AddrFromSlice(addr)
		m := PathMatch{Interface: pattern, Local: netip.PrefixFrom(a, bits)}
		c := Candidate{Interface: name, Local: netip.AddrPortFrom(a, 0)}
		if m.Matches(c) && a.IsValid() && !m.Local.IsValid() {
			t.Fatalf("%v matched through an invalid prefix", c)
		}
	})
}
