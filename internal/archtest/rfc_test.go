package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// statement is a normative sentence of an RFC: where it stands and its key words, in their order.
type statement struct {
	section, words string
	begins         string // its first words; of a row the place in the file
}

var (
	keyWords  = regexp.MustCompile(`^(?:MUST|MUST NOT|REQUIRED|SHALL|SHALL NOT|SHOULD|SHOULD NOT|RECOMMENDED|MAY|OPTIONAL)(?:, (?:MUST|MUST NOT|REQUIRED|SHALL|SHALL NOT|SHOULD|SHOULD NOT|RECOMMENDED|MAY|OPTIONAL))*$`)
	deviation = regexp.MustCompile(`\((D\d+)\)`)
)

// parseStatements reads a list of sentences: section, key words and first words, separated by tabs.
func parseStatements(text string) (l []statement) {
	for _, line := range strings.Split(text, "\n") {
		if f := strings.Split(line, "\t"); len(f) == 3 {
			l = append(l, statement{f[0], f[1], f[2]})
		}
	}
	return l
}

// cells are the cells of a row of a Markdown table.
func cells(row string) []string {
	c := strings.Split(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(row), "|"), "|"), "|")
	for i := range c {
		c[i] = strings.TrimSpace(c[i])
	}
	return c
}

// parseRows reads the rows that stand for normative sentences, and says what is wrong with them: one has a deviation that is
// listed, or code and tests.
func parseRows(file, text string) (rows []statement, bad []string) {
	for i, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		c, at := cells(line), fmt.Sprintf("%s:%d", file, i+1)
		if len(c) < 2 || !keyWords.MatchString(c[1]) {
			continue
		}
		rows = append(rows, statement{c[0], c[1], at})
		if len(c) != 5 {
			bad = append(bad, at+": a row has a section, key words, the sentence, code and tests")
			continue
		}
		excused := false
		for _, m := range deviation.FindAllStringSubmatch(line, -1) {
			excused = true
			if !strings.Contains(text, "\n| "+m[1]+" |") {
				bad = append(bad, at+": no deviation is called "+m[1])
			}
		}
		if !excused && (c[3] == "" || !testName.MatchString(c[4])) {
			bad = append(bad, at+": neither code and tests nor a deviation")
		}
	}
	return rows, bad
}

// compare says where the rows are not the sentences.
func compare(want, rows []statement) (bad []string) {
	per := make(map[string]int)
	for _, s := range want {
		per[s.section]++
	}
	for _, r := range rows {
		per[r.section]--
	}
	for section, n := range per {
		if n != 0 {
			bad = append(bad, fmt.Sprintf("section %s: %d sentences without a row", section, n))
		}
	}
	for i := range min(len(want), len(rows)) {
		if want[i].section != rows[i].section || want[i].words != rows[i].words {
			return append(bad, fmt.Sprintf("%s: the row says %s %s, the sentence %s %s: %s...",
				rows[i].begins, rows[i].section, rows[i].words, want[i].section, want[i].words, want[i].begins))
		}
	}
	return bad
}

// Every normative sentence of RFC 8684 has a row, in the RFC's order.
func TestEveryStatementOfRFC8684HasARow(t *testing.T) {
	list, err := os.ReadFile("testdata/rfc8684-normative.txt")
	require.NoError(t, err)
	want := parseStatements(string(list))
	require.Len(t, want, 151)
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "rfc8684.md"))
	require.NoError(t, err)
	rows, bad := parseRows("docs/rfc8684.md", string(text))
	none(t, append(bad, compare(want, rows)...))
}

func TestCanaryStatements(t *testing.T) {
	want := parseStatements("# a comment\n3.1\tMUST\tA host\n3.1\tMAY, SHOULD NOT\tIt may\n3.2\tMUST NOT\tNone\n")
	require.Len(t, want, 3)
	const head = "| § | word | the RFC | code | tests |\n|---|---|---|---|---|\n"
	good := []string{
		"| 3.1 | MUST | \"x\" | `Conn` | TestDSS |", "| 3.1 | | prose | `Conn` | |", "| 3.1 | MAY, SHOULD NOT | \"y\" (D1) | not done | |",
		"| 3.2 | MUST NOT | \"z\" | `Conn` | FuzzDSS |", "| D1 | the RFC | here | why |",
	}
	check := func(rows ...string) []string {
		got, bad := parseRows("docs/x.md", head+strings.Join(rows, "\n"))
		return append(bad, compare(want, got)...)
	}
	require.Empty(t, check(good...))
	for name, wrong := range map[string][]string{
		"a row is missing":       {good[0], good[2], good[4]},
		"a row too many":         append([]string{good[0]}, good...),
		"another order":          {good[2], good[0], good[3], good[4]},
		"another word":           {strings.Replace(good[0], "MUST", "SHOULD", 1), good[2], good[3], good[4]},
		"no test":                {strings.Replace(good[0], "TestDSS", "", 1), good[2], good[3], good[4]},
		"no code":                {strings.Replace(good[0], "`Conn`", "", 1), good[2], good[3], good[4]},
		"no such deviation":      good[:4],
		"a cell is missing":      {"| 3.1 | MUST | `Conn` | TestDSS |", good[2], good[3], good[4]},
		"a sentence has no row":  nil,
		"a row in wrong section": {strings.Replace(good[0], "3.1", "3.3", 1), good[2], good[3], good[4]},
	} {
		require.NotEmpty(t, check(wrong...), name)
	}
}
