package archtest

import (
	"fmt"
	"go/ast"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
	vagueType  = regexp.MustCompile(`(?i)(manager|helper|utils?)$`)
	silentLint = regexp.MustCompile(`^//\s*nolint\b[^/]*$`)
)

// listenConfigReceiver is the one receiver of two letters: ListenConfig follows net.ListenConfig, its
// receiver included.
const listenConfigReceiver = "lc"

// checkStyle reports unfinished work in comments, vague type names, receivers of more than one letter,
// skips without a reason and lint directives without one.
func checkStyle(all []*source) (bad []string) {
	for _, s := range all {
		for _, g := range s.file.Comments {
			for _, c := range g.List {
				if w := unfinished.FindString(c.Text); w != "" {
					bad = append(bad, fmt.Sprintf("%s: %s in a comment: finish it or open an issue", s.at(c.Pos()), w))
				}
				if silentLint.MatchString(c.Text) {
					bad = append(bad, s.at(c.Pos())+": nolint without a reason")
				}
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				if vagueType.MatchString(n.Name.Name) {
					bad = append(bad, fmt.Sprintf("%s: type %s: name what it does", s.at(n.Pos()), n.Name.Name))
				}
			case *ast.FuncDecl:
				if r := receiver(n); len(r) > 1 && (r != listenConfigReceiver || owner(n) != "ListenConfig.") {
					bad = append(bad, fmt.Sprintf("%s: receiver %s of %s: one letter", s.at(n.Pos()), r, n.Name.Name))
				}
			case *ast.CallExpr:
				if isSilentSkip(n) {
					bad = append(bad, s.at(n.Pos())+": a skip says why")
				}
			}
			return true
		})
	}
	return bad
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 || len(f.Recv.List[0].Names) == 0 {
		return ""
	}
	return f.Recv.List[0].Names[0].Name
}

func isSilentSkip(c *ast.CallExpr) bool {
	sel, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	if id, ok := sel.X.(*ast.Ident); !ok || (id.Name != "t" && id.Name != "b" && id.Name != "f" && id.Name != "tb") {
		return false
	}
	return sel.Sel.Name == "SkipNow" || sel.Sel.Name == "Skip" && len(c.Args) == 0
}

func TestStyle(t *testing.T) { none(t, checkStyle(tree(t))) }

func TestCanaryStyle(t *testing.T) {
	for _, src := range []string{
		"package x\n\n// TO" + "DO: later\n",
		"package x\n\n/* FIX" + "ME */\n",
		"package x\n\ntype ConnManager struct{}\n",
		"package x\n\ntype netUtil struct{}\n",
		"package x\n\ntype c int\n\nfunc (conn c) F() {}\n",
		"package x\n\ntype c int\n\nfunc (lc c) F() {}\n",
		"package x\n\nfunc TestX(t *testing.T) { t.Skip" + "() }\n",
		"package x\n\nfunc TestX(t *testing.T) { t.SkipNow() }\n",
		"package x\n\nvar y = 1 //nolint:all\n",
	} {
		require.Len(t, checkStyle(snippet(t, "x/x_test.go", src)), 1, src)
	}
	fine := "package x\n\n// F is done.\nfunc (c c) F(t *testing.T) { t.Skip(\"needs root\") }\n"
	require.Empty(t, checkStyle(snippet(t, "x/x_test.go", fine)))
	require.Empty(t, checkStyle(snippet(t, "listen.go", "package mptcp\n\ntype ListenConfig struct{}\n\nfunc (lc *ListenConfig) F() {}\n")))
}
