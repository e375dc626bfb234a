package onpath

import (
	"github.com/mptcp-go/mptcp/options"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Edit is what a box does to an option.
type Edit uint8

const (
	Remove    Edit = iota // the header becomes shorter
	Blank                 // NOPs stand in its place
	End                   // an end of options stands in its place, and what followed stays behind it
	BadLength             // its length byte points beyond the header
	Garble                // a bit of its last byte is inverted: a HMAC that is wrong, a number that is another
	Twice                 // it is there again behind itself, where there is room
)

// EditOptions changes the options that match, in segments that match.
func EditOptions(m Match, which Option, how Edit) Element {
	return Func(func(p []byte, d Dir, emit Emit) {
		if m(p, d) {
			p = editOptions(p, which, how)
		}
		emit(p, d)
	})
}

// Strip removes options.
func Strip(m Match, which Option) Element { return EditOptions(m, which, Remove) }

func editOptions(p []byte, which Option, how Edit) []byte {
	switch how {
	case Remove, Twice:
		return resized(p, which, how == Twice)
	}
	v, ok := locate(p)
	if !ok {
		return p
	}
	v.begin()
	eachOption(v.tcp.Options(), func(r options.Raw) bool {
		if !which(r) {
			return true
		}
		switch {
		case how == Blank:
			for i := range r {
				r[i] = options.KindNOP
			}
		case how == End:
			r[0] = options.KindEOL
			return false
		case how == BadLength && len(r) > 1:
			r[1] = 0xFF
			return false
		case how == Garble && len(r) > 2:
			r[len(r)-1] ^= 1
		}
		return true
	})
	v.end()
	return p
}

// resized builds the packet anew with other options; p where nothing matches.
func resized(p []byte, which Option, twice bool) []byte {
	s, err := packet.Parse(p)
	if err != nil {
		return p
	}
	var area [packet.MaxOptions]byte
	kept, changed := area[:0], false
	eachOption(s.Options, func(r options.Raw) bool {
		hit := which(r)
		changed = changed || hit
		if !hit || twice {
			kept = append(kept, r...)
		}
		if hit && twice && len(kept)+len(r) <= len(area) {
			kept = append(kept, r...)
		}
		return len(kept) < len(area)
	})
	if !changed {
		return p
	}
	s.Options = kept
	if q := render(&s); q != nil {
		return q
	}
	return p
}
