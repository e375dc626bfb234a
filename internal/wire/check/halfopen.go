package check

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// A SYN that is answered with a RST as soon as its SYN/ACK has come: the server's program never learns of it.

// common are the options of every SYN.
func common() []byte {
	b := options.MSS{Size: 1220}.Append(nil)
	b = options.SACKPermitted{}.Append(b)
	b = options.Timestamps{Value: uint32(random())}.Append(b)
	b = options.NOP{}.Append(b)
	return options.WindowScale{Shift: 7}.Append(b)
}

// strayJoin asks for a subflow of a connection that does not exist: who speaks MPTCP refuses it, and who doesn't
// takes it for a connection.
func strayJoin() []byte {
	return options.MPJoin{Form: options.JoinSyn, AddrID: 1, Token: uint32(random()), Nonce: uint32(random())}.Append(common())
}

// longOptions fill the header, with nothing but MP_CAPABLE that a box might not know.
func longOptions() []byte {
	b := options.MPCapable{Version: 1, Flags: options.FlagH}.Append(common())
	for len(b) < packet.MaxOptions {
		b = options.NOP{}.Append(b)
	}
	return b
}

func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.BigEndian.Uint64(b[:])
}

// synTimes are when a SYN leaves, and for how long the last one is waited for.
var synTimes = []time.Duration{time.Second, 2 * time.Second, 2 * time.Second}

// halfOpen sends a SYN with these options until it is answered, and returns what came of it.
func (r *run) halfOpen(ctx context.Context, opts []byte) *Seen {
	n := r.w.next(0, false, false)
	l := r.watched()
	route, err := l.Route(r.path.Local, r.path.Remote.Addr(), r.path.Interface)
	if err != nil {
		return nil
	}
	through := 0
	if r.path.Interface != "" {
		through = route.IfIndex
	}
	h := &syn{answers: make(chan packet.Flags, 1)}
	f := freshFlow(l, r.path, through, h)
	if f == nil {
		return nil
	}
	defer f.Close()
	out := packet.Segment{
		Src: f.Local(), Dst: f.Remote(), Seq: uint32(random()), Flags: packet.SYN, Window: 65535, IfIndex: through, Options: opts,
	}
	rst := packet.Segment{Src: f.Local(), Dst: f.Remote(), Seq: out.Seq + 1, Flags: packet.RST, IfIndex: through}
	for _, wait := range synTimes {
		_, _ = l.Send([]packet.Segment{out}) // it is lost like any other
		t := time.NewTimer(wait)
		select {
		case flags := <-h.answers:
			t.Stop()
			if !flags.Has(packet.RST) {
				_, _ = l.Send([]packet.Segment{rst})
			}
			return r.w.seen(n)
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
	return r.w.seen(n)
}

// freshFlow takes a port that nothing has used: to that of a connection just closed the server might not answer, since its
// SYN looks like a late one.
func freshFlow(l link.Link, p Path, through int, h link.Handler) link.Flow {
	const first, ports, tries = 32768, 28000, 16
	for range tries {
		local := netip.AddrPortFrom(p.Local, uint16(first+random()%ports))
		if f, err := l.Connect(local, p.Remote, through, h); err == nil {
			return f
		}
	}
	return nil
}

// watched is the link with the onlooker that the stack's has.
func (r *run) watched() link.Link {
	l, _ := link.Watched(r.clock, r.w.segment, func(link.Stack) (link.Link, error) { return r.link, nil })(nil)
	return l
}

// syn is a SYN's flow: it tells which flags the first answer has.
type syn struct{ answers chan packet.Flags }

// HandleSegment implements link.Handler.
func (h *syn) HandleSegment(_ time.Duration, s *packet.Segment, _ pool.Ref) {
	if !s.Flags.Has(packet.RST) && !s.Flags.Has(packet.SYN|packet.ACK) {
		return
	}
	select {
	case h.answers <- s.Flags:
	default:
	}
}

// HandleICMP implements link.Handler: that the SYN gets lost will be seen.
func (h *syn) HandleICMP(time.Duration, *packet.ICMPError) {}
