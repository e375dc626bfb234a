package onpath

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// Entry is an element that can be asked for by name.
type Entry struct {
	Name string
	Arg  string // what stands behind "=", "" for nothing
	Help string
	make func(arg string, r io.Reader) (Element, error)
}

// segments are the values of a WHICH argument.
var segments = map[string]Match{
	"syn": IsSYN, "synack": IsSYNACK, "nosyn": NoSYN, "data": IsData, "ack": IsPureAck, "all": Any,
	"forward": Going(Forward), "back": Going(Back),
	"third": And(Going(Forward), NoSYN), // the first that is no SYN, and what follows it
}

const which = "syn, synack, nosyn, data, ack, third, forward, back or all"

// Catalog lists the elements with names, for command lines.
var Catalog = []Entry{
	{"strip", "WHICH", "remove MPTCP options from segments: " + which, edited(Remove)},
	{"blank", "WHICH", "overwrite MPTCP options with NOPs", edited(Blank)},
	{"bad-option", "WHICH", "give MPTCP options a length beyond the header", edited(BadLength)},
	{"garble", "WHICH", "invert a bit at the end of MPTCP options", edited(Garble)},
	{"twice", "WHICH", "repeat MPTCP options within the header", edited(Twice)},
	{"strip-kind", "N", "remove the TCP option of this kind from all segments", number(func(n int) Element {
		return Strip(Any, OfKind(uint8(n)))
	})},
	{"drop-mptcp", "WHICH", "lose segments with MPTCP options", matched(func(m Match) Element { return Drop(And(m, Carries(MPTCP))) })},
	{"reject-mptcp", "WHICH", "answer segments with MPTCP options with a RST", matched(func(m Match) Element {
		return Answer(And(m, Carries(MPTCP)))
	})},
	{"drop-join", "", "lose SYNs with MP_JOIN", plain(func() Element { return Drop(And(HasSYN, Carries(OfSubtype(options.SubMPJoin)))) })},
	{"strip-add-addr", "", "remove ADD_ADDR", plain(func() Element { return Strip(Any, OfSubtype(options.SubAddAddr)) })},
	{"nat", "ADDR", "translate the near end's address to this one", makeNAT},
	{"renumber", "", "add 2^31 to sequence numbers", plain(func() Element { return Renumber{Forward: 1 << 31, Back: 1 << 31}.Element() })},
	{"split", "BYTES", "cut segments, with the options on every piece", number(func(n int) Element { return Split(n, AllPieces) })},
	{"split-first", "BYTES", "cut segments, with MPTCP options on the first piece", number(func(n int) Element { return Split(n, FirstPiece) })},
	{"split-last", "BYTES", "cut segments, with MPTCP options on the last piece", number(func(n int) Element { return Split(n, LastPiece) })},
	{"coalesce", "BYTES", "merge segments that come within 2 ms", number(func(n int) Element { return &Coalesce{Bytes: n, Wait: 2e6} })},
	{"flip", "N", "invert a byte of the Nth data segment, with a right checksum", number(func(n int) Element { return Flip(And(IsData, Nth(n))) })},
	{"alg", "OLD/NEW", "replace text in the payload and shift what follows", makeALG},
	{"no-holes", "", "lose what lies beyond a hole in the sequence numbers", plain(func() Element { return &NoHoles{} })},
	{"normalize", "", "repeat what was sent first, whatever a retransmission says", plain(func() Element { return &Normalizer{} })},
	{"early-ack", "", "acknowledge data on the receiver's behalf", plain(func() Element { return &EarlyAck{} })},
	{"split-proxy", "", "what a proxy that terminates TCP looks like", plain(func() Element { return SplitProxy(12345678, 536) })},
	{"syn-proxy", "", "answer SYNs without options before the server sees them", plain(func() Element { return &SYNProxy{Secret: 1} })},
	{"syn-data", "BYTES", "leave so much data in SYNs", number(SYNData)},
	{"thin-acks", "N", "pass one of N pure acknowledgments going back", number(func(n int) Element { return ThinAcks(Back, n) })},
	{"unseen-acks", "", "lose acknowledgments of what did not pass here", plain(func() Element { return &UnseenAcks{} })},
	{"window", "BYTES", "shrink the window that the far end announces", number(func(n int) Element { return ShrinkWindow(Back, n) })},
	{"mtu", "BYTES", "answer longer packets with ICMP", number(func(n int) Element { return MTU{n, true} })},
	{"mtu-blackhole", "BYTES", "lose longer packets", number(func(n int) Element { return MTU{n, false} })},
	{"bleach-ecn", "", "clear the ECN field", plain(BleachECN)},
	{"mark-ecn", "P", "mark ECN-capable packets with this probability", chance(func(m Match) Element { return MarkECN(m) })},
	{"bad-checksum", "P", "damage TCP checksums with this probability", chance(func(m Match) Element { return Where(m, ChecksumWrong) })},
	{"reset", "N", "forge a RST behind the Nth data segment", number(func(n int) Element { return Reset(And(IsData, Nth(n)), false, 0) })},
	{"finish", "N", "forge a FIN behind the Nth data segment", number(func(n int) Element { return Finish(And(IsData, Nth(n)), false) })},
	{"urgent", "N", "make the Nth data segment urgent", number(func(n int) Element { return Urgent(And(IsData, Nth(n))) })},
	{"no-syn-ecn", "", "take ECN off SYNs", plain(func() Element { return Flags(HasSYN, packet.ECE|packet.CWR, 0) })},
}

// Named makes an element from "name" or "name=argument". A prefix "forward:" or "back:" limits it to one
// direction.
func Named(spec string, r io.Reader) (Element, error) {
	dir, rest, limited := strings.Cut(spec, ":")
	if limited && (dir == Forward.String() || dir == Back.String()) {
		e, err := Named(rest, r)
		if err != nil {
			return nil, err
		}
		return Only(map[string]Dir{"forward": Forward, "back": Back}[dir], e), nil
	}
	name, arg, has := strings.Cut(spec, "=")
	for _, e := range Catalog {
		if e.Name != name {
			continue
		}
		if has != (e.Arg != "") {
			return nil, fmt.Errorf("element %q is written %s", spec, e.Usage())
		}
		made, err := e.make(arg, r)
		if err != nil {
			return nil, fmt.Errorf("element %q: %w; it is written %s", spec, err, e.Usage())
		}
		return made, nil
	}
	return nil, fmt.Errorf("no element is called %q", name)
}

// Usage is how the element is written: "split=BYTES".
func (e Entry) Usage() string {
	if e.Arg == "" {
		return e.Name
	}
	return e.Name + "=" + e.Arg
}

func plain(f func() Element) func(string, io.Reader) (Element, error) {
	return func(string, io.Reader) (Element, error) { return f(), nil }
}

func number(f func(int) Element) func(string, io.Reader) (Element, error) {
	return func(arg string, _ io.Reader) (Element, error) {
		n, err := strconv.ParseUint(arg, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%q is no number", arg)
		}
		return f(int(n)), nil
	}
}

func chance(f func(Match) Element) func(string, io.Reader) (Element, error) {
	return func(arg string, r io.Reader) (Element, error) {
		p, err := strconv.ParseFloat(arg, 64)
		if err != nil || p < 0 || p > 1 || p != p {
			return nil, fmt.Errorf("%q is no probability between 0 and 1", arg)
		}
		return f(Sometimes(p, r)), nil
	}
}

func matched(f func(Match) Element) func(string, io.Reader) (Element, error) {
	return func(arg string, _ io.Reader) (Element, error) {
		m, ok := segments[arg]
		if !ok {
			return nil, fmt.Errorf("%q is none of %s", arg, which)
		}
		return f(m), nil
	}
}

func edited(how Edit) func(string, io.Reader) (Element, error) {
	return matched(func(m Match) Element { return EditOptions(m, MPTCP, how) })
}

func makeNAT(arg string, _ io.Reader) (Element, error) {
	a, err := netip.ParseAddr(arg)
	if err != nil {
		return nil, fmt.Errorf("%q is no address", arg)
	}
	return &NAT{Public: a.WithZone("").Unmap()}, nil
}

func makeALG(arg string, _ io.Reader) (Element, error) {
	old, with, ok := strings.Cut(arg, "/")
	if !ok || old == "" {
		return nil, fmt.Errorf("%q has no text to replace", arg)
	}
	return &ALG{Old: []byte(old), New: []byte(with)}, nil
}
