package main

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

func TestParseRules(t *testing.T) {
	rules, err := parseRules("wlan*=backup, eth0=prefer,kind:cellular=avoid:7,from:10.0.0.0/8=default,to:2001:db8::1=never,*=never")
	require.NoError(t, err)
	require.Equal(t, []extapi.PathRule{
		{PathMatch: extapi.PathMatch{Interface: "wlan*"}, Role: extapi.RoleBackup},
		{PathMatch: extapi.PathMatch{Interface: "eth0"}, Role: extapi.RolePrefer},
		{PathMatch: extapi.PathMatch{Kind: extapi.KindCellular}, Role: extapi.RoleAvoid, Cost: 7},
		{PathMatch: extapi.PathMatch{Local: netip.MustParsePrefix("10.0.0.0/8")}, Role: extapi.RoleDefault},
		{PathMatch: extapi.PathMatch{Remote: netip.MustParsePrefix("2001:db8::1/128")}, Role: extapi.RoleNever},
		{PathMatch: extapi.PathMatch{Interface: "*"}, Role: extapi.RoleNever},
	}, rules)
	p := extapi.PathPolicy{Rules: rules}
	role, _ := p.Evaluate(extapi.Candidate{Interface: "wlan7"})
	require.Equal(t, extapi.RoleBackup, role)
	role, _ = p.Evaluate(extapi.Candidate{Interface: "tun0"})
	require.Equal(t, extapi.RoleNever, role)
}

func TestParseRulesErrors(t *testing.T) {
	for _, text := range []string{
		"", "eth0", "=backup", "eth0=", "eth0=maybe", "eth0=prefer:0", "eth0=prefer:x", "eth0=prefer,", "[=never",
		"kind:pigeon=never", "from:here=never", "to:10.0.0.0/99=never", "near:eth0=never",
	} {
		_, err := parseRules(text)
		require.Error(t, err, text)
	}
}

func TestPathsFlagAdds(t *testing.T) {
	var p pathsFlag
	require.NoError(t, p.Set("a=never"))
	require.NoError(t, p.Set("b=backup"))
	require.Len(t, p.rules, 2)
}

func FuzzParseRules(f *testing.F) {
	for _, s := range []string{"wlan*=backup,eth0=prefer:3,*=never", "kind:wifi=avoid", "from:10.0.0.0/8=never", "to:::1=default", "[a=never", "=", ","} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := parseRules(text)
		if err != nil {
			return
		}
		require.NotEmpty(t, rules)
		p := extapi.PathPolicy{Rules: rules}
		_, _, err = p.TryEvaluate(extapi.Candidate{Interface: "eth0"})
		require.NoError(t, err)
	})
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "64K": 64 << 10, "64kb": 64 << 10, "1.5 GiB": 3 << 29, "256MiB": 256 << 20, "2T": 2 << 40, "7B": 7,
	} {
		got, err := parseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "x", "-1", "1X", "MiB", "1KK", "NaN", "1e30", "Inf"} {
		_, err := parseSize(text)
		require.Error(t, err, text)
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 256 << 20: "256 MiB", 3 << 29: "1.5 GiB", 1000<<20 + 1: "1000 MiB"} {
		require.Equal(t, want, formatSize(n))
	}
}
