package mptcp_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// TestSnippetsCompile finds every Go snippet of the documentation in the examples, which the compiler has read.
func TestSnippetsCompile(t *testing.T) {
	source := ""
	for _, f := range []string{"example_test.go", "example_guide_test.go"} {
		source += "\n" + readLines(t, f)
	}
	for _, f := range []string{"README.md", "docs/guide.md"} {
		if _, err := os.Stat(f); os.IsNotExist(err) {
			continue
		}
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		blocks := goBlock.FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, blocks, f)
		for _, b := range blocks {
			if !strings.Contains(source, unindent(b[1])) {
				t.Errorf("%s: no example has this snippet:\n%s", f, b[1])
			}
		}
	}
}

func readLines(t *testing.T, file string) string {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return unindent(string(b))
}

// unindent makes snippets comparable: neither indentation nor the alignment of comments counts.
func unindent(s string) string {
	var lines []string
	for _, l := range strings.Split(s, "\n") {
		if l = strings.Join(strings.Fields(l), " "); l != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
}
