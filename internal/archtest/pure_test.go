package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// purePackages are sans-IO: same inputs, same outputs, in a simulator as on sockets.
var purePackages = []string{
	"engine", "options", "scheduler", "congestion", "extapi",
	"internal/seqnum", "internal/deque", "internal/ranges", "internal/wire", "internal/wire/tcp", "internal/wire/packet", "internal/wire/link",
	"internal/onpath", "internal/mib",
}

// impure says why a sans-IO package must not import p, or "".
func impure(p string) string {
	switch {
	case p == "net/netip":
		return ""
	case p == "net" || strings.HasPrefix(p, "net/"),
		p == "os" || strings.HasPrefix(p, "os/"),
		p == "syscall", p == "io/ioutil",
		strings.HasPrefix(p, "golang.org/x/net"), strings.HasPrefix(p, "golang.org/x/sys"),
		strings.HasPrefix(p, "github.com/mdlayher/"):
		return "does I/O"
	case p == "sync":
		return "locks"
	case p == "math/rand", p == "math/rand/v2", p == "crypto/rand":
		return "draws randomness that nobody injected"
	case p == "unsafe", p == "C":
		return "leaves the language"
	}
	return ""
}

// checkPure reports forbidden direct imports of the sans-IO packages. The file of extapi that declares
// From may import net: From needs net.Conn, and that is the one exemption.
func checkPure(all []*source) (bad []string) {
	for _, s := range all {
		if s.isTest() || !slices.Contains(purePackages, s.dir()) {
			continue
		}
		s.importSpecs(func(p string, pos token.Pos) {
			if p == "net" && s.dir() == "extapi" && declares(s, "From") {
				return
			}
			if why := impure(p); why != "" {
				bad = append(bad, fmt.Sprintf("%s: %s imports %q, which %s", s.at(pos), s.dir(), p, why))
			}
		})
	}
	return bad
}

// declares says whether the file has a package-level function of this name.
func declares(s *source, name string) bool {
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == name {
			return true
		}
	}
	return false
}

// clockCalls are the functions of package time that read or wait for the clock.
var clockCalls = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}

// clockOwners are the packages outside internal/driver that may read the clock, with the reason.
var clockOwners = map[string]string{
	"internal/timer":        "is that of the driver's timers which keeps nothing in memory",
	"internal/driver":       "owns clock and timers of every connection",
	"internal/simnet":       "tests only: package time, so that synctest drives it",
	"internal/simnet/ipnet": "tests only: package time, so that synctest drives it",
	"internal/netlab":       "carries real packets in real time",
	"internal/netmon":       "debounces address changes and polls where there is no netlink",
	".":                     "races of dialling (RFC 8305, discovery) and deadlines before a connection exists",
	"httpx":                 "request times in the debug page",
	"cmd":                   "programs",
	"examples":              "programs",
	"internal/wire/rawip":   "stamps the arrival of packets",
	"internal/wire/check":   "waits for what servers and networks do",
	"internal/wire/stack":   "handshakes and TIME-WAIT, while no connection of the driver's has them",
	"internal/testpeer":     "tests against real sockets",
	"internal/nettest":      "tests against real sockets",
}

// mayReadClock looks dir up, and cmd/... and examples/... under their first element.
func mayReadClock(dir string) bool {
	first, _, _ := strings.Cut(dir, "/")
	if _, ok := clockOwners[first]; ok {
		return true
	}
	_, ok := clockOwners[dir]
	return ok
}

// checkClock reports uses (calls or function values) of the clock outside its owners.
func checkClock(all []*source) (bad []string) {
	for _, s := range all {
		if s.isTest() || nested(s) || mayReadClock(s.dir()) {
			continue
		}
		for name, p := range s.imports() {
			if p != "time" {
				continue
			}
			if strings.HasPrefix(name, ".") {
				bad = append(bad, s.path+": dot-imports time, which hides the clock")
			}
			ast.Inspect(s.file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if id, ok := sel.X.(*ast.Ident); ok && id.Name == name && slices.Contains(clockCalls, sel.Sel.Name) {
					bad = append(bad, fmt.Sprintf("%s: time.%s outside internal/driver", s.at(sel.Pos()), sel.Sel.Name))
				}
				return true
			})
		}
	}
	return bad
}

func TestProtocolCodeIsSansIO(t *testing.T) { none(t, checkPure(tree(t))) }

func TestOnlyTheDriverReadsTheClock(t *testing.T) { none(t, checkClock(tree(t))) }

func TestCanarySansIO(t *testing.T) {
	for _, p := range []string{"net", "net/http", "os", "os/exec", "syscall", "sync", "crypto/rand", "golang.org/x/sys/unix"} {
		src := fmt.Sprintf("package engine\n\nimport x %q\n\nvar _ = x.Y\n", p)
		require.Len(t, checkPure(snippet(t, "engine/x.go", src)), 1, p)
		require.Len(t, checkPure(snippet(t, "options/x.go", src)), 1, p)
		require.Empty(t, checkPure(snippet(t, "engine/x_test.go", src)), "tests may")
		require.Empty(t, checkPure(snippet(t, "internal/driver/x.go", src)), "the driver may")
	}
	require.Empty(t, checkPure(snippet(t, "engine/x.go", "package engine\n\nimport _ \"net/netip\"\n")))
	require.Empty(t, checkPure(snippet(t, "extapi/from.go", "package extapi\n\nimport \"net\"\n\nfunc From(net.Conn) {}\n")))
	require.Len(t, checkPure(snippet(t, "extapi/from.go", "package extapi\n\nimport (\n\t\"net\"\n\t\"os\"\n)\n\nfunc From(net.Conn, os.File) {}\n")), 1)
	require.Len(t, checkPure(snippet(t, "extapi/other.go", "package extapi\n\nimport \"net\"\n\nvar _ net.Conn\n")), 1)
}

func TestCanaryClock(t *testing.T) {
	for _, f := range clockCalls {
		src := "package engine\n\nimport \"time\"\n\nvar x = time." + f + "\n"
		require.Len(t, checkClock(snippet(t, "engine/x.go", src)), 1, f)
		require.Len(t, checkClock(snippet(t, "internal/stream/x.go", src)), 1, f)
		require.Empty(t, checkClock(snippet(t, "internal/driver/x.go", src)), f)
		require.Empty(t, checkClock(snippet(t, "cmd/mptcp/x.go", src)), f)
	}
	require.Len(t, checkClock(snippet(t, "engine/x.go", "package engine\n\nimport clock \"time\"\n\nvar x = clock.Now()\n")), 1)
	require.Len(t, checkClock(snippet(t, "engine/x.go", "package engine\n\nimport . \"time\"\n\nvar x = Now()\n")), 1)
	require.Empty(t, checkClock(snippet(t, "engine/x.go", "package engine\n\nimport \"time\"\n\nvar x = time.Second\n")))
}
