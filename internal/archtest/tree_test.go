package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/mptcp-go/mptcp"

// source is one parsed Go file.
type source struct {
	path  string // slash-separated, relative to the repository's root
	text  string
	fset  *token.FileSet
	file  *ast.File
	lines int
}

func (s *source) dir() string          { return path.Dir(s.path) }
func (s *source) isTest() bool         { return strings.HasSuffix(s.path, "_test.go") }
func (s *source) line(p token.Pos) int { return s.fset.Position(p).Line }

// at renders a place for a violation.
func (s *source) at(p token.Pos) string { return s.path + ":" + strconv.Itoa(s.line(p)) }

// imports maps the name that the file uses for an import to its path. Blank and dot imports keep
// their "_" and "." followed by the path, so that several of them fit.
func (s *source) imports() map[string]string {
	m := make(map[string]string)
	for _, i := range s.file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		if name == "_" || name == "." {
			name += p
		}
		m[name] = p
	}
	return m
}

// importSpecs calls f for every import with its path.
func (s *source) importSpecs(f func(p string, pos token.Pos)) {
	for _, i := range s.file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		f(p, i.Pos())
	}
}

func parseSource(name, text string) (*source, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	lines := strings.Count(text, "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		lines++
	}
	return &source{path: name, text: text, fset: fset, file: f, lines: lines}, nil
}

// snippet parses a source that a canary made up.
func snippet(t *testing.T, name, text string) []*source {
	t.Helper()
	s, err := parseSource(name, text)
	require.NoError(t, err)
	return []*source{s}
}

// root finds the directory of the main module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module "+module+"\n") {
			return dir
		}
		up := filepath.Dir(dir)
		require.NotEqual(t, up, dir, "no go.mod of %s above the working directory", module)
		dir = up
	}
}

// tree parses every Go file below the repository's root, nested modules included.
func tree(t *testing.T) []*source {
	t.Helper()
	var all []*source
	base := root(t)
	err := filepath.WalkDir(base, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); p != base && (n == "testdata" || n == "vendor" || strings.HasPrefix(n, ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(base, p)
		if err != nil {
			return err
		}
		s, err := parseSource(filepath.ToSlash(rel), string(b))
		if err != nil {
			return err
		}
		all = append(all, s)
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(all), 10, "the walk found next to nothing: it looks in the wrong place")
	return all
}

// nested says whether the file belongs to a module of its own, to which the layers do not apply.
func nested(s *source) bool {
	switch first, _, _ := strings.Cut(s.path, "/"); first {
	case "bench", "interop", "contrib":
		return true
	}
	return false
}

// none fails with every violation on its own line.
func none(t *testing.T, violations []string) {
	t.Helper()
	require.Empty(t, violations, "\n"+strings.Join(violations, "\n"))
}
