package main

import (
	"fmt"
	"strings"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
)

// formatCounters writes what is not 0 of the counters, a line for each kind.
func formatCounters(c extapi.Counters) string {
	var text strings.Builder
	line := func(kind string, counters any) {
		var list []string
		mib.Named(counters, func(name string, n uint64) {
			if n > 0 {
				list = append(list, fmt.Sprintf("%s=%d", name, n))
			}
		})
		if len(list) > 0 {
			fmt.Fprintf(&text, "%s: %s\n", kind, strings.Join(list, " "))
		}
	}
	line("tcp", c.TCP)
	line("mptcp", c.MPTCP)
	line("link", c.Link)
	return text.String()
}
