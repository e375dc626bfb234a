package archtest

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Limits on size: what fits in a head. Test files obey the same ones.
const (
	maxFileLines    = 800
	maxFuncLines    = 80
	maxStructFields = 25

	maxAllowed  = 5   // entries of allowed
	maxOversize = 1.5 // times the limit that an entry may reach
)

// allowed names what may exceed a limit, as "path" for a file and "path:name" for a function or
// struct, with the reason.
var allowed = map[string]string{}

// oversize is something larger than its limit.
type oversize struct {
	key       string
	what      string
	have, max int
}

func (o oversize) String() string {
	return fmt.Sprintf("%s: %s has %d, the limit is %d", o.key, o.what, o.have, o.max)
}

// measure returns everything above a limit.
func measure(all []*source) (out []oversize) {
	add := func(key, what string, have, max int) {
		if have > max {
			out = append(out, oversize{key, what, have, max})
		}
	}
	for _, s := range all {
		add(s.path, "lines of file", s.lines, maxFileLines)
		name := ""
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				name = n.Name.Name
				add(s.path+":"+name, "lines of function", s.line(n.End())-s.line(n.Pos())+1, maxFuncLines)
			case *ast.FuncLit:
				add(s.path+":"+name+" (literal)", "lines of function", s.line(n.End())-s.line(n.Pos())+1, maxFuncLines)
			case *ast.TypeSpec:
				name = n.Name.Name
			case *ast.StructType:
				add(s.path+":"+name, "fields of struct", fields(n), maxStructFields)
			}
			return true
		})
	}
	return out
}

func fields(st *ast.StructType) (n int) {
	for _, f := range st.Fields.List {
		n += max(1, len(f.Names))
	}
	return n
}

// checkSize reports what is too large, and entries of the allow-list that are too many, too generous,
// without a reason or without use.
func checkSize(all []*source, allow map[string]string) (bad []string) {
	used := make(map[string]bool)
	for _, o := range measure(all) {
		if allow[o.key] == "" {
			bad = append(bad, o.String())
			continue
		}
		used[o.key] = true
		if float64(o.have) > maxOversize*float64(o.max) {
			bad = append(bad, o.String()+", and not even an allowed entry exceeds it by half")
		}
	}
	for key, why := range allow {
		if strings.TrimSpace(why) == "" {
			bad = append(bad, key+": allowed without a reason")
		} else if !used[key] {
			bad = append(bad, key+": allowed without need: remove the entry")
		}
	}
	if len(allow) > maxAllowed {
		bad = append(bad, fmt.Sprintf("%d entries in the allow-list, %d are the most", len(allow), maxAllowed))
	}
	return bad
}

func TestSizeLimits(t *testing.T) { none(t, checkSize(tree(t), allowed)) }

func TestCanarySize(t *testing.T) {
	lines := func(n int) string { return strings.Repeat("\n", n) }
	long := func(n int) []*source { return snippet(t, "x/x.go", "package x\n\nfunc f() {"+lines(n-1)+"}\n") }
	wide := func(n int) []*source {
		return snippet(t, "x/x.go", "package x\n\ntype s struct {\n"+strings.Repeat("\ta, b int\n", n/2)+strings.Repeat("\tint\n", n%2)+"}\n")
	}
	require.Len(t, checkSize(snippet(t, "x/x.go", "package x\n"+lines(maxFileLines)), nil), 1)
	require.Empty(t, checkSize(snippet(t, "x/x.go", "package x\n"+lines(maxFileLines-1)), nil))
	require.Len(t, checkSize(long(maxFuncLines+1), nil), 1)
	require.Empty(t, checkSize(long(maxFuncLines), nil))
	require.Len(t, checkSize(wide(maxStructFields+1), nil), 1)
	require.Empty(t, checkSize(wide(maxStructFields), nil))
	lit := "package x\n\nvar f = func() {" + lines(maxFuncLines) + "}\n"
	require.Len(t, checkSize(snippet(t, "x/x.go", lit), nil), 1)

	why := map[string]string{"x/x.go:f": "one state machine, one table"}
	require.Empty(t, checkSize(long(maxFuncLines+1), why))
	require.Len(t, checkSize(long(maxFuncLines*3/2+1), why), 1, "too generous")
	require.Len(t, checkSize(long(maxFuncLines), why), 1, "no longer needed")
	require.NotEmpty(t, checkSize(long(maxFuncLines+1), map[string]string{"x/x.go:f": " "}), "no reason")
	six := make(map[string]string)
	var all []*source
	for i := range maxAllowed + 1 {
		name := fmt.Sprintf("x/x%d.go", i)
		six[name+":f"] = "reason"
		all = append(all, snippet(t, name, "package x\n\nfunc f() {"+lines(maxFuncLines)+"}\n")...)
	}
	require.Len(t, checkSize(all, six), 1, "too many entries")
}
