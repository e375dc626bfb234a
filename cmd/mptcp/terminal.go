package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// terminal is a screen on which lines can be drawn again.
type terminal struct {
	w     io.Writer
	width int
}

const defaultWidth = 80

// openTerminal returns nil when f is not a terminal.
func openTerminal(f *os.File) *terminal {
	width, ok := terminalWidth(f)
	if !ok {
		return nil
	}
	if width <= 0 {
		width = defaultWidth
	}
	return &terminal{w: f, width: width}
}

// screen keeps a few lines of progress below what a command prints. Without a terminal there is none.
type screen struct {
	mu    sync.Mutex
	out   io.Writer
	term  *terminal // nil: no progress
	shown int       // lines of progress on the screen
}

func newScreen(e *env) *screen { return &screen{out: e.stdout, term: e.term} }

// live says whether progress is seen at all.
func (s *screen) live() bool { return s.term != nil }

// printf prints above the progress.
func (s *screen) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	fmt.Fprintf(s.out, format, args...)
}

// progress shows the lines in the place of those shown before.
func (s *screen) progress(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.term == nil {
		return
	}
	var b strings.Builder
	s.up(&b)
	for _, l := range lines {
		b.WriteString("\r" + clip(l, s.term.width-1) + "\x1b[K\n")
	}
	b.WriteString("\x1b[J") // fewer lines than before leave none behind
	s.shown = len(lines)
	_, _ = io.WriteString(s.term.w, b.String())
}

// clear takes the progress off the screen.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}

func (s *screen) wipe() {
	if s.term == nil || s.shown == 0 {
		return
	}
	var b strings.Builder
	s.up(&b)
	b.WriteString("\r\x1b[J")
	s.shown = 0
	_, _ = io.WriteString(s.term.w, b.String())
}

func (s *screen) up(b *strings.Builder) {
	if s.shown > 0 {
		fmt.Fprintf(b, "\x1b[%dA", s.shown)
	}
}

// clip cuts a line that would wrap.
func clip(line string, width int) string {
	r := []rune(line)
	if len(r) > max(width, 1) {
		r = r[:max(width, 1)]
	}
	return string(r)
}
