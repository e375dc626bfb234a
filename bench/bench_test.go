//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary be its own children, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == childFlag {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestFigures(t *testing.T) {
	require.Equal(t, 2.0, median([]float64{3, 1, 2}))
	require.Equal(t, 2.5, median([]float64{4, 1, 2, 3}))
	require.Equal(t, "12346", figure(12345.6))
	require.Equal(t, "12.3", figure(12.345))
	require.Equal(t, "0.012", figure(0.0123))
	var d []time.Duration
	for i := 100; i > 0; i-- {
		d = append(d, time.Duration(i)*time.Microsecond)
	}
	require.Equal(t, values{"p50": 50, "p99": 99}, quantiles(d))
}

func TestRatiosReferToTheBaseline(t *testing.T) {
	r := newReport("go run .", new(options))
	k := findWork("bulk")
	g := r.open(k, "reno", k.legs(contenders))
	for round := range 3 {
		for i, l := range k.legs(contenders) {
			v := values{"goodput": float64(10 * (round + 1)), "cpu": 1}
			if l.name != "tcp" {
				v["goodput"] /= 2
			}
			g.add(i, v, [2]connState{{CC: "reno"}, {CC: "bbr"}}, nil)
		}
	}
	for _, c := range g[0].Cells {
		want := 0.5
		if c.Contender == "tcp" {
			want = 1
		}
		require.Equal(t, want, c.Ratio, c.Contender)
		require.Len(t, c.Values, 3)
		require.Contains(t, c.remark(), "reno / bbr")
	}
	g.add(0, nil, [2]connState{}, errors.New("broken"))
	require.Contains(t, g[0].Cells[0].remark(), "1 of 4 rounds failed: broken")
	for _, write := range []func(io.Writer){r.writeText, r.writeMarkdown} {
		var b bytes.Buffer
		write(&b)
		require.Contains(t, b.String(), "0.50")
	}
	var svg bytes.Buffer
	r.writeSVG(&svg)
	for dec := xml.NewDecoder(&svg); ; {
		_, err := dec.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
	}
}

func TestVerificationNoticesWrongBytes(t *testing.T) {
	const n = 3*period + 17
	carry := func(spoil func(b []byte, off int)) (received, error) {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		c, d := net.Pipe()
		defer c.Close()
		defer d.Close()
		go func() { _ = sendPattern(a, n) }()
		go func() {
			buf := make([]byte, 10000)
			for off := 0; ; {
				k, err := b.Read(buf)
				if err != nil {
					return
				}
				spoil(buf[:k], off)
				if _, err := c.Write(buf[:k]); err != nil {
					return
				}
				off += k
			}
		}()
		return takePattern(d, n)
	}
	_, err := carry(func([]byte, int) {})
	require.NoError(t, err)
	r, err := carry(func(_ []byte, off int) {
		if off > n/2 && off < n/2+10000 {
			time.Sleep(50 * time.Millisecond)
		}
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, r.gap, 50*time.Millisecond)
	_, err = carry(func(b []byte, off int) {
		if off > n/2 {
			b[0] ^= 1
		}
	})
	require.ErrorIs(t, err, errCorrupt)
}

func TestFlagsAndNames(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"stray"}} {
		_, err := parseFlags(args)
		require.Error(t, err)
	}
	o, err := parseFlags([]string{"-quick"})
	require.NoError(t, err)
	require.Equal(t, 3, o.rounds)
	for _, k := range works {
		require.NotEmpty(t, k.metrics, k.name)
		require.NotNil(t, k.client, k.name)
		require.True(t, k.links != nil || k.fill != nil, k.name)
	}
	_, err = runAll(t.Context(), &options{works: "bulk,none", contenders: "all"}, "")
	require.ErrorContains(t, err, `"none"`)
	_, err = runAll(t.Context(), &options{works: "bulk", contenders: "nobody"}, "")
	require.ErrorContains(t, err, `"nobody"`)
}

// needRoot skips where namespaces can't be made.
func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
}

// namespaces are those of this process that are left.
func namespaces(t *testing.T) []string {
	found, err := filepath.Glob(fmt.Sprintf("/run/netns/%s-%d-*", labPrefix, os.Getpid()))
	require.NoError(t, err)
	return found
}

func TestNamespaceBenchmarkRuns(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	o, err := parseFlags([]string{"-quick", "-rounds", "1", "-cc", "reno", "-work", "pingpong1,connrate,http32", "-json", dir + "/o.json", "-svg", dir + "/o.svg", "-md", dir + "/o.md"})
	require.NoError(t, err)
	rep, err := runAll(t.Context(), o, "go run . -quick")
	require.NoError(t, err)
	require.NoError(t, rep.save(o))
	for _, table := range rep.Tables {
		for _, c := range table.Cells {
			require.Empty(t, c.Failures, c.Contender)
			require.Len(t, c.Values, 1, c.Contender)
			require.Positive(t, c.Median)
			if c.Contender == "tcp" {
				require.Equal(t, "reno", c.Client.CC)
			}
		}
	}
	b, err := os.ReadFile(dir + "/o.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, new(report)))
	twice, err := load([]string{dir + "/o.json", dir + "/o.json"})
	require.NoError(t, err)
	require.Len(t, twice.Tables, 2*len(rep.Tables))
	require.Equal(t, rep.Tables[0].Cells, twice.Tables[len(rep.Tables)].Cells)
	require.Empty(t, namespaces(t))
}

// The wire carrier's works run in pairs, over interfaces of their own.
func TestNamespaceWireWorks(t *testing.T) {
	needRoot(t)
	o, err := parseFlags([]string{"-quick", "-rounds", "1", "-work", "wirebulk,wirebulk256,wiremtu,wiresum,wireping,wireidle"})
	require.NoError(t, err)
	rep, err := runAll(t.Context(), o, "go run .")
	require.NoError(t, err)
	for _, table := range rep.Tables {
		for _, c := range table.Cells {
			require.Empty(t, c.Failures, "%s: %s", table.Work, c.Contender)
			require.Len(t, c.Values, 1, c.Contender)
			if strings.HasPrefix(c.Contender, "wire") {
				require.Equal(t, "cubic", c.Client.CC, "%s: %s", table.Work, c.Contender)
			}
		}
	}
	require.Empty(t, namespaces(t))
}

func TestNamespaceInterruptLeavesNothing(t *testing.T) {
	needRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	o, err := parseFlags([]string{"-quick", "-rounds", "1", "-work", "agg50+50", "-contenders", "mptcp"})
	require.NoError(t, err)
	_, err = runAll(ctx, o, "go run .")
	require.ErrorIs(t, err, errInterrupted)
	require.Empty(t, namespaces(t))
}

func TestNamespaceKernelJoinsOnLoopback(t *testing.T) {
	needRoot(t)
	if !hasMPTCP() {
		t.Log("this kernel has no MPTCP: nothing to compare with")
		return
	}
	o, err := parseFlags([]string{"-quick", "-rounds", "1", "-cc", "reno", "-work", "pingpong1x2", "-contenders", "mptcp"})
	require.NoError(t, err)
	rep, err := runAll(t.Context(), o, "go run .")
	require.NoError(t, err)
	require.Equal(t, 2, rep.Tables[0].Cells[0].Client.Subflows)
}
