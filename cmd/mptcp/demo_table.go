package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// table is the end of the demo.
func (d *demo) table(multi, plain outcome) {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "\tbytes\tshare\ttime\trate\tlongest stall\t\n")
	var sum int64
	for _, p := range multi.paths {
		sum += p.Received
	}
	for _, p := range multi.paths {
		fmt.Fprintf(tw, "%s\t%s\t%d %%\t\t%s\t\t\n", p.Name, formatSize(p.Received), percent(p.Received, sum), formatRate(p.Received, multi.took))
	}
	row := func(name string, o outcome) {
		fmt.Fprintf(tw, "%s\t%s\t\t%s\t%s\t%s\t\n", name, formatSize(o.bytes), formatTime(o.took), formatRate(o.bytes, o.took), formatTime(o.stall))
	}
	row("both links, multipath", multi)
	if plain.bytes > 0 {
		row("link 1, plain TCP", plain)
	}
	_ = tw.Flush()
	d.screen.printf("\n%s", b.String())
	if multi.wrong == nil && plain.wrong == nil {
		d.screen.printf("\nEvery byte is right (SHA-256).\n")
	}
}
