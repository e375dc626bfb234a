package archtest

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// coverageTables map sections of an RFC to code and tests.
var coverageTables = []string{"docs/rfc8684.md", "docs/rfc6897.md", "docs/interop.md"}

// symbols is everything that a table may name: "Sym", "Type.Member", "pkg.Sym", "pkg.Type.Member",
// "dir.Sym" and "dir.Type.Member".
type symbols map[string]bool

func (y symbols) add(s *source, name string) {
	y[name] = true
	y[strings.TrimSuffix(s.file.Name.Name, "_test")+"."+name] = true
	y[s.dir()+"."+name] = true
	y[s.path+":"+name] = true
}

// index collects the package-level declarations, methods, fields and interface methods of all sources.
func index(all []*source) symbols {
	y := make(symbols)
	for _, s := range all {
		y[strings.TrimSuffix(s.file.Name.Name, "_test")] = true
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				y.add(s, owner(d)+d.Name.Name)
				if d.Recv != nil {
					y.add(s, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					y.addSpec(s, spec)
				}
			}
		}
	}
	return y
}

func (y symbols) addSpec(s *source, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			y.add(s, n.Name)
		}
	case *ast.TypeSpec:
		y.add(s, spec.Name.Name)
		var members *ast.FieldList
		switch t := spec.Type.(type) {
		case *ast.StructType:
			members = t.Fields
		case *ast.InterfaceType:
			members = t.Methods
		default:
			return
		}
		for _, f := range members.List {
			for _, n := range f.Names {
				y.add(s, spec.Name.Name+"."+n.Name)
			}
		}
	}
}

// owner is "Type." for a method and "" for a function.
func owner(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return ""
	}
	t := f.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "."
		default:
			return ""
		}
	}
}

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark|Example)[A-Z_]\w*`)
	rfcWord  = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`) // MP_JOIN, DATA_ACK: words of the protocol
	goName   = regexp.MustCompile(`^[\pL_][\pL\pN_]*$`)
)

// checkTable reports the names in the rows of a Markdown table that nothing in the source bears.
func checkTable(file, text string, y symbols, exists func(path string) bool) (bad []string) {
	for i, l := range strings.Split(text, "\n") {
		if !strings.HasPrefix(strings.TrimSpace(l), "|") {
			continue
		}
		for _, name := range rowNames(l) {
			if !resolves(name, y, exists) {
				bad = append(bad, fmt.Sprintf("%s:%d: nothing is called %s", file, i+1, name))
			}
		}
	}
	return bad
}

// rowNames are the code spans of a row, and test names wherever they stand.
func rowNames(row string) (names []string) {
	for _, m := range codeSpan.FindAllStringSubmatch(row, -1) {
		names = append(names, m[1])
	}
	return append(names, testName.FindAllString(codeSpan.ReplaceAllString(row, ""), -1)...)
}

func resolves(name string, y symbols, exists func(string) bool) bool {
	n := strings.TrimSuffix(strings.TrimSuffix(name, "{}"), "()")
	n = strings.NewReplacer("(*", "", ")", "", "&", "").Replace(n)
	if rfcWord.MatchString(n) || y[n] {
		return true
	}
	if test, _, ok := strings.Cut(n, "/"); ok && testName.MatchString(n) && goName.MatchString(test) {
		return y[test]
	}
	if strings.Contains(n, "/") || strings.HasSuffix(n, ".go") {
		return !strings.Contains(n, ":") && exists(n)
	}
	return false
}

func TestCoverageTablesNameWhatExists(t *testing.T) {
	base := root(t)
	exists := func(p string) bool {
		_, err := os.Stat(filepath.Join(base, filepath.FromSlash(p)))
		return err == nil
	}
	y := index(tree(t))
	for _, f := range coverageTables {
		text, err := os.ReadFile(filepath.Join(base, f))
		if os.IsNotExist(err) {
			require.False(t, exists("README.md"), "README.md exists, %s does not", f)
			continue
		}
		require.NoError(t, err)
		require.Contains(t, string(text), "|", "%s has no table", f)
		none(t, checkTable(f, string(text), y, exists))
	}
}

func TestCanaryCoverageTables(t *testing.T) {
	src := `package engine

type Conn struct{ token, peer uint32 }
type Flow interface{ Room() int }

func (c *Conn) HandleDSS() {}
func NewConn() *Conn { return nil }
func TestDSS() {}

const Limit = 1
`
	y := index(snippet(t, "engine/conn.go", src))
	exists := func(p string) bool { return p == "engine/conn.go" || p == "engine" }
	check := func(cell string) []string { return checkTable("docs/x.md", "| 3.1 | "+cell+" |\n", y, exists) }
	for _, good := range []string{
		"`Conn`", "`engine.Conn`", "`Conn.HandleDSS`", "`engine.Conn.HandleDSS`", "`(*Conn).HandleDSS`", "`HandleDSS()`",
		"`Conn.token`", "`Flow.Room`", "`NewConn`", "`engine/conn.go`", "`engine/conn.go:Conn.HandleDSS`", "`engine`",
		"`TestDSS`", "TestDSS", "`TestDSS/wrap_around`", "`Limit`", "`MP_JOIN`", "plain words", "`Conn{}`", "`engine.Limit`",
	} {
		require.Empty(t, check(good), good)
	}
	for _, wrong := range []string{
		"`Con`", "`engine.Con`", "`Conn.HandleAck`", "`options.Conn`", "`engine/none.go`", "`engine/conn.go:Conn.None`",
		"`TestNone`", "TestNone", "`TestNone/case`", "FuzzNone", "`Flow.None`",
	} {
		require.Len(t, check(wrong), 1, wrong)
	}
	require.Empty(t, checkTable("docs/x.md", "prose names `Nothing`\n", y, exists), "tables only")
}
