package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/mptcp-go/mptcp/internal/wire/check"
)

// judge makes verdicts of the facts, and returns how many paths have a failure.
func (r *checkReport) judge() (failed int) {
	for i, x := range r.Paths {
		elsewhere := false
		for j, y := range r.Paths {
			elsewhere = elsewhere || i != j && y.facts.Multipath() && y.Remote.Addr() == x.Remote.Addr()
		}
		x.Findings = x.facts.Verdict(elsewhere)
		x.Verdict = verdictOf(x.Findings)
		for _, f := range x.Findings {
			if f.Status == check.Failed {
				failed++
				break
			}
		}
	}
	return failed
}

// verdictOf says in a few words what a path is good for.
func verdictOf(list []check.Finding) string {
	failed, all := map[string]bool{}, 0
	for _, f := range list {
		if f.Status == check.Failed {
			failed[f.Check] = true
			all++
		}
	}
	switch {
	case failed[check.CheckTCP]:
		return "no connection"
	case failed[check.CheckSYN], failed[check.CheckSYNACK]:
		return "plain TCP only"
	case failed[check.CheckData], failed[check.CheckFromPeer]:
		return "connections begin as MPTCP and fall back to plain TCP"
	case all > 0:
		return "MPTCP works, not all of it"
	}
	return "MPTCP works"
}

const checkWidth = 110

// print writes the report for people.
func (r *checkReport) print(w io.Writer) {
	for i, x := range r.Paths {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s\n", x.name(), x.Verdict)
		for _, f := range x.Findings {
			line := f.Check
			if f.Says != "" {
				line += ": " + f.Says
			}
			wrap(w, fmt.Sprintf("  %-9s ", f.Status), line)
			if f.Do != "" {
				wrap(w, strings.Repeat(" ", 12)+"> ", f.Do)
			}
		}
	}
}

// wrap writes text behind head, in lines of checkWidth.
func wrap(w io.Writer, head, text string) {
	line := head
	begun := false
	for _, word := range strings.Fields(text) {
		if begun && len(line)+1+len(word) > checkWidth {
			fmt.Fprintln(w, line)
			line, begun = strings.Repeat(" ", len(head)), false
		}
		if begun {
			line += " "
		}
		line += word
		begun = true
	}
	fmt.Fprintln(w, line)
}
