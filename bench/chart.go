//go:build linux

package main

import (
	"fmt"
	"html"
	"io"
	"strings"
	"time"
)

// Geometry of the chart in pixels.
const (
	chartWidth = 800
	labelWidth = 150
	barWidth   = 420
	barHeight  = 18
	titleRoom  = 40
)

// writeSVG draws one group of bars per table, each scaled to its own largest median, with a whisker
// for the range of the rounds.
func (r *report) writeSVG(w io.Writer) {
	var body strings.Builder
	y := 60
	for _, t := range r.Tables {
		y = t.draw(&body, y)
	}
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", chartWidth, y+20)
	fmt.Fprintf(w, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	fmt.Fprintf(w, `<text x="10" y="20" font-size="14">%s</text>`+"\n", html.EscapeString(title(r.Command)))
	fmt.Fprintf(w, `<text x="10" y="38" fill="#555">%s, %s</text>`+"\n", html.EscapeString(r.Machine), r.Time.Format(time.DateOnly))
	fmt.Fprint(w, body.String(), "</svg>\n")
}

// title is the command, or what stands for several.
func title(command string) string {
	if first, more, several := strings.Cut(command, "\n"); several {
		return fmt.Sprintf("%s (and %d more)", first, 1+strings.Count(more, "\n"))
	}
	return command
}

// draw puts the table at y and returns where the next one begins.
func (t *table) draw(w io.Writer, y int) int {
	var top float64
	for _, c := range t.Cells {
		top = max(top, c.Max)
	}
	if top == 0 {
		top = 1
	}
	fmt.Fprintf(w, `<text x="10" y="%d" font-weight="bold">%s</text>`+"\n", y+16,
		html.EscapeString(fmt.Sprintf("%s, %s: %s, %s (%s)", t.Work, t.CC, t.Metric, t.Unit, t.better())))
	y += titleRoom - 16
	for _, c := range t.Cells {
		mid := y + barHeight/2
		fmt.Fprintf(w, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labelWidth-6, mid+4, html.EscapeString(c.Contender))
		scale := func(x float64) int { return labelWidth + int(x/top*barWidth) }
		if len(c.Values) > 0 {
			fmt.Fprintf(w, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n",
				labelWidth, y+2, scale(c.Median)-labelWidth, barHeight-4, colour(c.Contender))
			fmt.Fprintf(w, `<path d="M%d %dH%d" stroke="#333"/>`+"\n", scale(c.Min), mid, scale(c.Max))
		}
		m, _, ratio, _ := c.row()
		if ratio != "" {
			m += " (" + ratio + "×)"
		}
		fmt.Fprintf(w, `<text x="%d" y="%d">%s</text>`+"\n", labelWidth+barWidth+8, mid+4, html.EscapeString(m))
		y += barHeight
	}
	return y + 14
}

func colour(name string) string {
	if strings.HasPrefix(name, "wire") || strings.HasSuffix(name, ">wire") {
		name = "ours"
	}
	switch name {
	case "ours":
		return "#1b7f5c"
	case "tcp", aloneName:
		return "#8a8a8a"
	case "mptcp":
		return "#4878b0"
	case "yamux":
		return "#c98a2b"
	case "smux":
		return "#b0584a"
	}
	return "#8562a8"
}
