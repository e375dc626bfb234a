package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
)

// formatCounters writes what is not 0 of the counters, one in a line.
func formatCounters(c extapi.Counters) string {
	var text strings.Builder
	tw := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, kind := range []struct {
		name     string
		counters any
	}{{"tcp", c.TCP}, {"mptcp", c.MPTCP}, {"link", c.Link}} {
		mib.Named(kind.counters, func(name string, n uint64) {
			if n > 0 {
				fmt.Fprintf(tw, "  %s\t%s\t%d\n", kind.name, name, n)
			}
		})
	}
	_ = tw.Flush()
	return text.String()
}
