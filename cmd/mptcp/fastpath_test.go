package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What decides about the wire carrier's fast ways is read from the system's settings, and each "no" says why.
func TestFastPaths(t *testing.T) {
	proc := t.TempDir()
	require.Nil(t, fastPaths(proc), "not Linux")
	set := func(name, value string) {
		f := filepath.Join(proc, "sys/net", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(f), 0o755))
		require.NoError(t, os.WriteFile(f, []byte(value+"\n"), 0o644))
	}
	usable := func() (list []bool) {
		for _, p := range fastPaths(proc) {
			require.Equal(t, p.Usable, p.Reason == "", p.Name)
			list = append(list, p.Usable)
		}
		return list
	}
	set("ipv4/conf/lo/accept_local", "0")
	set("ipv4/conf/lo/forwarding", "1")
	require.Equal(t, []bool{false, false, true}, usable())
	set("ipv4/conf/lo/accept_local", "1")
	set("netfilter/nf_conntrack_count", "3")
	require.Equal(t, []bool{true, false, false}, usable())
	set("ipv6/conf/lo/force_forwarding", "1")
	set("netfilter/nf_conntrack_count", "0")
	require.Equal(t, []bool{true, true, true}, usable())
}
