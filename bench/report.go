//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// report is everything that a run found out.
type report struct {
	Command string
	Machine string
	Time    time.Time
	Quick   bool `json:",omitempty"`
	Tables  []*table
}

// table is one metric of one work under one congestion control.
type table struct {
	Work, About  string
	CC           string // asked for; the cells say what the sockets had
	Metric, Unit string
	HigherBetter bool
	Baseline     string
	Cells        []*cell
}

// cell is one contender in a table.
type cell struct {
	Contender        string
	Values           []float64 // by round
	Median, Min, Max float64
	Ratio            float64 `json:",omitempty"` // of the median to the baseline's
	Failures         []string
	Notes            []string
	Client, Server   connState
}

func newReport(command string, o *options) *report {
	return &report{Command: command, Machine: machine(), Time: time.Now().UTC().Truncate(time.Second), Quick: o.quick}
}

// group is the tables of one work, one per metric.
type group []*table

func (r *report) open(k *work, cc string, legs []leg) (g group) {
	for _, m := range k.metrics {
		t := &table{
			Work: k.name, About: k.about, CC: cc, Metric: m.name, Unit: m.unit,
			HigherBetter: m.higher, Baseline: k.baseline(),
		}
		for _, l := range legs {
			t.Cells = append(t.Cells, &cell{Contender: l.name})
		}
		g = append(g, t)
	}
	r.Tables = append(r.Tables, g...)
	return g
}

// add enters the outcome of one turn of the leg i.
func (g group) add(i int, v values, states [2]connState, err error) {
	for _, t := range g {
		c := t.Cells[i]
		if err != nil {
			c.Failures = append(c.Failures, err.Error())
			continue
		}
		x, ok := v[t.Metric]
		if !ok {
			continue
		}
		c.Values = append(c.Values, x)
		c.Client, c.Server = states[0], states[1]
		if v["never_"+t.Metric] > 0 {
			c.Notes = append(c.Notes, fmt.Sprintf("not %s within %s %s", t.Metric, figure(x), t.Unit))
		}
		c.Median, c.Min, c.Max = median(c.Values), slices.Min(c.Values), slices.Max(c.Values)
		t.compare()
	}
}

// compare sets the ratios to the baseline as it stands.
func (t *table) compare() {
	for _, b := range t.Cells {
		if b.Contender != t.Baseline || len(b.Values) == 0 || b.Median == 0 {
			continue
		}
		for _, c := range t.Cells {
			if len(c.Values) > 0 {
				c.Ratio = c.Median / b.Median
			}
		}
	}
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// figure prints three significant digits.
func figure(x float64) string {
	switch a := math.Abs(x); {
	case a == 0:
		return "0"
	case a >= 100:
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	case a >= 1:
		return fmt.Sprintf("%.2f", x)
	case a >= 0.001:
		return fmt.Sprintf("%.3f", x)
	}
	return fmt.Sprintf("%.1e", x)
}

// row is a cell in words.
func (c *cell) row() (median, span, ratio, remark string) {
	if len(c.Values) == 0 {
		if len(c.Failures) == 0 {
			return "-", "", "", ""
		}
		return "failed", "", "", c.remark()
	}
	if c.Ratio > 0 {
		ratio = fmt.Sprintf("%.2f", c.Ratio)
	}
	return figure(c.Median), figure(c.Min) + " – " + figure(c.Max), ratio, c.remark()
}

// remark names the congestion control of both sides, the subflows, and what went wrong.
func (c *cell) remark() string {
	var parts []string
	switch {
	case c.Client.CC == "" && c.Server.CC == "":
	case c.Client.CC == c.Server.CC || c.Server.CC == "":
		parts = append(parts, c.Client.CC)
	default:
		parts = append(parts, c.Client.CC+" / "+c.Server.CC)
	}
	if n := max(c.Client.Subflows, c.Server.Subflows); n > 0 {
		parts = append(parts, fmt.Sprintf("%d subflows", n))
	}
	if n := len(c.Failures); n > 0 {
		first, _, _ := strings.Cut(c.Failures[0], "\n")
		parts = append(parts, fmt.Sprintf("%d of %d rounds failed: %s", n, n+len(c.Values), first))
	}
	return strings.Join(append(parts, c.Notes...), "; ")
}

func (t *table) better() string {
	if t.HigherBetter {
		return "higher is better"
	}
	return "lower is better"
}

func (r *report) writeText(w io.Writer) {
	fmt.Fprintf(w, "%s\n%s, %s\n", r.Command, r.Machine, r.Time.Format(time.DateTime+" MST"))
	if r.Quick {
		fmt.Fprintln(w, "-quick: a check of the harness, not a measurement")
	}
	for _, t := range r.Tables {
		fmt.Fprintf(w, "\n%s, %s: %s\n", t.Work, t.CC, t.About)
		fmt.Fprintf(w, "  %-14s %10s  %-22s %6s  n  %s\n", t.Metric, t.Unit, "range", "ratio", "congestion control (client / server)")
		for _, c := range t.Cells {
			m, span, ratio, remark := c.row()
			fmt.Fprintf(w, "  %-14s %10s  %-22s %6s  %d  %s\n", c.Contender, m, span, ratio, len(c.Values), remark)
		}
	}
	fmt.Fprintf(w, "\nratio: median to the median of the baseline (kernel TCP; in agg, TCP alone on each link, added up; in fail, kernel MPTCP)\n")
}

func (r *report) writeMarkdown(w io.Writer) {
	fmt.Fprintf(w, "# Benchmarks\n\nMade in `bench/` on %s (%s) by\n\n    %s\n\n", r.Time.Format(time.DateOnly), r.Machine, r.Command)
	if r.Quick {
		fmt.Fprint(w, "With `-quick`: a check of the harness, not a measurement.\n\n")
	}
	fmt.Fprint(w, "Every contender runs in processes of its own, in turn with the others; the figures are medians over the rounds, with the range. "+
		"The ratio is that of the medians to the baseline's: kernel TCP; for `agg`, TCP alone on each link, added up; for `fail`, kernel MPTCP. "+
		"`p99` is the 99th percentile of the single operations of a round. A GB is 10^9 bytes; CPU is that of both sides.\n")
	last := ""
	for _, t := range r.Tables {
		if head := t.Work + ", " + t.CC; head != last {
			fmt.Fprintf(w, "\n## %s\n\n%s.\n", head, t.About)
			last = head
		}
		fmt.Fprintf(w, "\n| %s, %s (%s) | median | range | ratio | rounds | congestion control, remarks |\n|---|--:|---|--:|--:|---|\n", t.Metric, t.Unit, t.better())
		for _, c := range t.Cells {
			m, span, ratio, remark := c.row()
			fmt.Fprintf(w, "| %s | %s | %s | %s | %d | %s |\n", c.Contender, m, span, ratio, len(c.Values), strings.ReplaceAll(remark, "|", "/"))
		}
	}
}
