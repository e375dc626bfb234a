package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// segmentPrinter writes segments as lines. It knows the paths by the order in which they appear, and the first
// sequence numbers of each, so that it can count from them as Wireshark does.
type segmentPrinter struct {
	paths map[fourTuple]*tracedPath
}

// fourTuple is a path as this side names it.
type fourTuple struct{ local, remote netip.AddrPort }

type tracedPath struct {
	number int
	first  [2]sequence // of what was received, of what was sent
}

// sequence is where the numbers of one direction begin.
type sequence struct {
	known bool
	isn   uint32
}

func newSegmentPrinter() *segmentPrinter {
	return &segmentPrinter{paths: make(map[fourTuple]*tracedPath)}
}

// path finds the path of a segment; news is true for the first one on it.
func (p *segmentPrinter) path(s *packet.Segment, sent bool) (path *tracedPath, news bool) {
	k := fourTuple{s.Dst, s.Src}
	if sent {
		k = fourTuple{s.Src, s.Dst}
	}
	path = p.paths[k]
	if path == nil {
		path = &tracedPath{number: len(p.paths) + 1}
		p.paths[k] = path
		news = true
	}
	return path, news
}

func direction(sent bool) int {
	if sent {
		return 1
	}
	return 0
}

// lines are a segment's; before the first of a path stands one that says which path it is.
func (p *segmentPrinter) lines(b []byte, sent bool) []string {
	s, err := packet.Parse(b)
	if err != nil {
		return []string{fmt.Sprintf("a packet of %d bytes that is no TCP segment: %v", len(b), err)}
	}
	path, news := p.path(&s, sent)
	own, other := &path.first[direction(sent)], &path.first[direction(!sent)]
	if s.Flags.Has(packet.SYN) {
		*own = sequence{true, s.Seq}
	} else if !own.known {
		*own = sequence{true, s.Seq - 1} // it began before we looked
	}
	if s.Flags.Has(packet.ACK) && !other.known {
		*other = sequence{true, s.Ack - 1}
	}
	var out []string
	if news {
		local, remote := s.Dst, s.Src
		if sent {
			local, remote = s.Src, s.Dst
		}
		out = append(out, fmt.Sprintf("path %d is %v > %v", path.number, local, remote))
	}
	return append(out, fmt.Sprintf("%d %c %s", path.number, "<>"[direction(sent)], segmentText(&s, own.isn, other.isn)))
}

// segmentText is a segment with numbers that count from the first of each direction.
func segmentText(s *packet.Segment, own, other uint32) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-11s seq %d", strings.ReplaceAll(s.Flags.String(), "|", ","), s.Seq-own)
	if n := s.PayloadLen(); n > 0 {
		fmt.Fprintf(&b, "..%d (%d)", s.Seq-own+uint32(n), n)
	}
	if s.Flags.Has(packet.ACK) {
		fmt.Fprintf(&b, " ack %d", s.Ack-other)
	}
	fmt.Fprintf(&b, " win %d", s.Window)
	for rest := s.Options; len(rest) > 0; {
		raw, more, err := options.Next(rest)
		if err != nil {
			fmt.Fprintf(&b, ", malformed options %x", rest)
			break
		}
		if len(raw) == 0 {
			break
		}
		rest = more
		if text := optionText(raw, other); text != "" {
			b.WriteString(", " + text)
		}
	}
	return b.String()
}

// optionText is an option's; padding has none.
func optionText(raw options.Raw, other uint32) string {
	o, err := options.Decode(raw)
	if err != nil {
		return fmt.Sprintf("malformed option %x", raw.Bytes())
	}
	switch o := o.(type) {
	case options.NOP, options.EOL:
		return ""
	case options.SACK:
		for i := range o.Blocks {
			o.Blocks[i].Left -= other
			o.Blocks[i].Right -= other
		}
		return o.String()
	}
	return fmt.Sprint(o)
}
