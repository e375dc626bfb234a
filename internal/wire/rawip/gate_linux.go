package rawip

import (
	"cmp"
	"maps"
	"slices"
)

// blockLen is how many ports a block has. A client's ports are taken from one block as long as there are some, so that the
// filter, which lets the whole block through, changes once for all of them. What is let through for ports of the block
// that are not ours is little, since programs draw theirs from all over the range.
const blockLen = 32

// blockOf is the block that a port lies in.
func blockOf(port uint16) span {
	first := port &^ (blockLen - 1)
	return span{first, first + blockLen - 1}
}

// gate is what the filter of one family lets through. The lock of ports guards it.
type gate struct {
	uses map[span]int  // how many of the ports that are held each span is let through for
	full map[span]bool // the blocks whose other ports others have
	wide bool          // the filter lets through what is no longer here
}

// enter lets a span through for one port more; wider: the filter has to change.
func (g *gate) enter(s span) (wider bool) {
	if g.uses == nil {
		g.uses = map[span]int{}
	}
	g.uses[s]++
	return g.uses[s] == 1
}

// leave takes enter back.
func (g *gate) leave(s span) {
	delete(g.full, s)
	if g.uses[s]--; g.uses[s] == 0 {
		delete(g.uses, s)
		g.wide = true
	}
}

// room is a block to take the next port from: the one of which most are held, so that others become empty. The zero span:
// there is none.
func (g *gate) room() (best span) {
	most := 0
	for s, n := range g.uses {
		if s.first != s.last && n > most && n < blockLen && !g.full[s] {
			best, most = s, n
		}
	}
	return best
}

// exhaust notes that others have the rest of a block.
func (g *gate) exhaust(s span) {
	if g.full == nil {
		g.full = map[span]bool{}
	}
	g.full[s] = true
}

// list is what is let through, for the filter.
func (g *gate) list() []span {
	g.wide = false
	return slices.SortedFunc(maps.Keys(g.uses), func(a, b span) int { return cmp.Compare(a.first, b.first) })
}
