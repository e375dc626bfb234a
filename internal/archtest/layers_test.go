package archtest

import (
	"fmt"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// layers lists the packages from the bottom to the top. A package imports packages of lower layers
// only; within a layer nobody knows anybody, except below a common directory (internal/wire).
var layers = [][]string{
	{"internal/pool", "internal/seqnum", "internal/deque", "internal/timer", "internal/ranges", "internal/gate", "internal/pcapw"},
	{"extapi"}, // imports the standard library only: programs outside depend on it
	{"options", "congestion", "scheduler", "internal/mib"},
	{"engine"},
	{"internal/driver"},
	{"internal/stream", "internal/wire", "internal/netmon"},
	{"internal/onpath"}, // what happens to packets between two of them
	{"internal/netlab"},
	{"."},
	{"httpx"},
	{"cmd", "examples"},
}

// testOnly packages may import anything and are imported by tests (and by one another) only.
var testOnly = []string{"internal/archtest", "internal/leaks", "internal/simnet", "internal/testpeer", "internal/nettest"}

func under(dir, pkg string) bool {
	return dir == pkg || pkg != "." && strings.HasPrefix(dir, pkg+"/")
}

func isTestOnly(dir string) bool {
	return slices.ContainsFunc(testOnly, func(p string) bool { return under(dir, p) })
}

// layerOf returns the layer and the entry that covers dir; -1 when no entry does.
func layerOf(dir string) (int, string) {
	for i, l := range layers {
		for _, p := range l {
			if under(dir, p) {
				return i, p
			}
		}
	}
	return -1, ""
}

// checkLayers reports imports that point upwards or sideways, and packages without a layer.
func checkLayers(all []*source) (bad []string) {
	for _, s := range all {
		if nested(s) || s.isTest() || isTestOnly(s.dir()) {
			continue
		}
		from, entry := layerOf(s.dir())
		if from < 0 {
			bad = append(bad, fmt.Sprintf("%s: package %s has no layer: give it one in layers_test.go", s.path, s.dir()))
			continue
		}
		s.importSpecs(func(p string, pos token.Pos) {
			if v := judgeImport(s, from, entry, p); v != "" {
				bad = append(bad, s.at(pos)+": "+v)
			}
		})
	}
	return bad
}

func judgeImport(s *source, from int, entry, p string) string {
	if s.dir() == "extapi" && strings.Contains(strings.Split(p, "/")[0], ".") {
		return fmt.Sprintf("extapi imports %q; it takes the standard library only", p)
	}
	if p != module && !strings.HasPrefix(p, module+"/") {
		return ""
	}
	dir := strings.TrimPrefix(strings.TrimPrefix(p, module), "/")
	if dir == "" {
		dir = "."
	}
	if isTestOnly(dir) {
		return fmt.Sprintf("%s imports %s, which is for tests", s.dir(), dir)
	}
	to, target := layerOf(dir)
	if to < from || entry == target {
		return ""
	}
	return fmt.Sprintf("%s imports %s, which is not below it", s.dir(), dir)
}

// checkTestLibraries keeps the tests to one assertion style: require, and no mocks or suites.
func checkTestLibraries(all []*source) (bad []string) {
	for _, s := range all {
		s.importSpecs(func(p string, pos token.Pos) {
			if strings.HasPrefix(p, "github.com/stretchr/testify/") && p != "github.com/stretchr/testify/require" {
				bad = append(bad, fmt.Sprintf("%s: imports %s; use require", s.at(pos), p))
			}
		})
	}
	return bad
}

func TestImportsPointDownwards(t *testing.T) { none(t, checkLayers(tree(t))) }

func TestRequireIsTheOnlyAssertionStyle(t *testing.T) { none(t, checkTestLibraries(tree(t))) }

func TestCanaryLayers(t *testing.T) {
	imp := func(dir, p string) []string {
		return checkLayers(snippet(t, dir+"/x.go", fmt.Sprintf("package x\n\nimport _ %q\n", p)))
	}
	for _, c := range [][2]string{
		{"engine", "/internal/driver"}, {"engine", "/internal/stream"}, {"engine", ""}, {"options", "/engine"},
		{"scheduler", "/congestion"}, {"internal/driver", "/internal/stream"}, {"internal/stream", ""},
		{"internal/stream", "/internal/netmon"}, {"internal/pool", "/extapi"}, {"extapi", "/internal/pool"},
		{".", "/httpx"}, {"httpx", "/cmd/mptcp"}, {"engine", "/internal/simnet"}, {".", "/internal/testpeer"},
		{"internal/newcomer", "/options"},
	} {
		require.Len(t, imp(c[0], module+c[1]), 1, "%s -> %s", c[0], c[1])
	}
	for _, c := range [][2]string{
		{"engine", "/options"}, {"engine", "/internal/pool"}, {"internal/stream", "/internal/driver"},
		{"internal/wire", "/internal/wire/tcp"}, {".", "/internal/netmon"}, {"httpx", ""},
		{"internal/simnet", "/internal/stream"}, {"cmd/mptcp", "/httpx"}, {"cmd/mptcp", "/cmd/mptcp/relay"},
	} {
		require.Empty(t, imp(c[0], module+c[1]), "%s -> %s", c[0], c[1])
	}
	require.Len(t, imp("extapi", "golang.org/x/sync/errgroup"), 1)
}

func TestCanaryTestLibraries(t *testing.T) {
	src := "package x\n\nimport _ \"github.com/stretchr/testify/assert\"\n"
	require.Len(t, checkTestLibraries(snippet(t, "engine/x_test.go", src)), 1)
}
