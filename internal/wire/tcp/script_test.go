package tcp

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// A script tells what a peer sends and what has to come back. Segments are written as
//
//	FLAGS key=value …
//
// with the flags S F R P A E W (CWR) U, and the keys seq, ack, len, win, mss, ws, ts=VAL,ECR, sack=A-B,C-D,
// tos and the word sackok. Sequence numbers are relative to the initial ones; those of the peer's timestamps
// are as they stand, those of ours relative to the clock of the script in ms. What a wanted segment does not
// mention is not looked at, but its flags, PSH aside, have to be these. Payload is a function of its offset,
// which is checked everywhere.
type script struct {
	t      *testing.T
	now    time.Duration
	cfg    Config
	c      *Conn
	outs   []packet.Segment
	events []string
	got    uint64 // offset of the next payload to be delivered
	keep   bool   // what is delivered stays unread
	queued uint64
}

const (
	ourISN  = 0xFFFF_FFF0 // wraps soon
	peerISN = 0x7FFF_FFFA // crosses the sign soon
	tsBase  = 0xFFFF_FF00
)

func byteAt(off uint64, ours bool) byte {
	if ours {
		off += 0x55
	}
	return byte(off*131 + off>>8*31)
}

func stretch(off uint64, n int, ours bool) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byteAt(off+uint64(i), ours)
	}
	return b
}

func newScript(t *testing.T, tune ...func(*Config)) *script {
	s := &script{t: t, got: 1, queued: 1}
	s.cfg = Config{
		Local: clientAddr, Remote: serverAddr, ISN: ourISN, TSOffset: tsBase, MTU: 1500, RecvBuffer: 64 << 10,
		NoTimestamps: true, NoDelay: true,
		Controller: congestion.Reno.NewGroup().New(0, congestion.Subflow{MSS: 1460}),
	}
	for _, f := range tune {
		f(&s.cfg)
	}
	t.Cleanup(func() {
		if s.c != nil {
			s.c.Abort(s.now)
			s.c.Sent(s.now)
		}
	})
	return s
}

func (s *script) Established(time.Duration) { s.note("established") }
func (s *script) FIN(time.Duration)         { s.note("fin") }
func (s *script) Room(time.Duration)        {}
func (s *script) Acked(_ time.Duration, off uint64) {
	s.note("acked %d", off)
}
func (s *script) Stuck(_ time.Duration, n int) { s.note("stuck %d", n) }
func (s *script) Closed(_ time.Duration, err error) {
	s.note("closed %v", err)
}

func (s *script) Data(now time.Duration, p pool.Ref) {
	require.Equal(s.t, stretch(s.got, len(p.B), false), p.B, "payload from offset %d on", s.got)
	s.got += uint64(len(p.B))
	n := len(p.B)
	p.Release()
	if !s.keep {
		s.c.Consumed(now, n)
	}
}

func (s *script) note(format string, args ...any) {
	s.events = append(s.events, fmt.Sprintf(format, args...))
}

// dial begins an active open; the SYN waits in outs.
func (s *script) dial() *script {
	s.c = Dial(s.now, s.cfg, s)
	s.drain()
	return s
}

// dialed is a connection that we have opened; the peer's SYN/ACK has these options and window.
func dialed(t *testing.T, synack string, tune ...func(*Config)) *script {
	s := newScript(t, tune...).dial()
	s.want("S seq=0", "we open")
	s.after(10 * time.Millisecond)
	if !strings.Contains(synack, "win=") {
		synack += " win=65535"
	}
	s.peer("SA seq=0 ack=1 " + synack)
	s.want("A seq=1 ack=1 len=0", "the third segment")
	require.Equal(t, Established, s.c.State())
	s.events = nil
	return s
}

// peer lets the peer send a segment.
func (s *script) peer(line string) {
	s.t.Helper()
	seg := s.build(line)
	s.c.HandleSegment(s.now, &seg, pool.Ref{})
	s.drain()
}

// send queues n bytes of ours.
func (s *script) send(n int) {
	s.c.Queue(s.now, pool.Copy(stretch(s.queued, n, true)))
	s.queued += uint64(n)
	s.drain()
}

func (s *script) close() { s.c.Close(s.now); s.drain() }

// after lets time pass, and what is due happen.
func (s *script) after(d time.Duration) {
	end := s.now + d
	for range 10000 {
		at, ok := s.c.Next()
		if !ok || at > end {
			s.now = end
			return
		}
		s.now = max(s.now, at)
		s.c.HandleTimeout(s.now)
		s.drain()
	}
	s.t.Fatal("a timer that never stops")
}

func (s *script) drain() {
	for range 1000 {
		out := packet.Segment{Options: make([]byte, 0, packet.MaxOptions)}
		if !s.c.Poll(s.now, &out) {
			s.c.Sent(s.now)
			return
		}
		out.Payload = out.AppendPayload(nil)
		clear(out.More[:])
		if out.SegSize == 0 {
			require.LessOrEqual(s.t, out.Len(), s.cfg.MTU)
		}
		s.outs = append(s.outs, out)
	}
	s.t.Fatal("Poll that never ends")
}

// want takes the oldest segment that we have sent and not looked at, and compares.
func (s *script) want(line, because string) packet.Segment {
	s.t.Helper()
	require.NotEmpty(s.t, s.outs, "wanted %q: %s", line, because)
	out := s.outs[0]
	s.outs = s.outs[1:]
	have := s.describe(&out)
	f := strings.Fields(line)
	require.Equal(s.t, f[0], strings.ReplaceAll(flagLetters(out.Flags), "P", ""), "flags of %q, wanted %q: %s", have, line, because)
	for _, kv := range f[1:] {
		require.Contains(s.t, strings.Fields(have), kv, "wanted %q: %s", line, because)
	}
	if n := len(out.Payload); n > 0 {
		require.Equal(s.t, stretch(uint64(out.Seq-ourISN), n, true), out.Payload, "other bytes under the same numbers")
	}
	return out
}

// wantData takes segments of payload that together are [from, to).
func (s *script) wantData(from, to uint64, because string) {
	s.t.Helper()
	for from < to {
		out := s.want(fmt.Sprintf("A seq=%d", from), because)
		require.NotEmpty(s.t, out.Payload)
		from += uint64(len(out.Payload))
	}
	require.Equal(s.t, to, from, because)
}

// quiet says that we have sent nothing.
func (s *script) quiet(because string) {
	s.t.Helper()
	for i := range s.outs {
		require.Fail(s.t, "sent "+s.describe(&s.outs[i]), because)
	}
}

// happened compares what the Handler was told since the last time.
func (s *script) happened(want ...string) {
	s.t.Helper()
	require.Equal(s.t, want, s.events)
	s.events = nil
}

var letters = []struct {
	f packet.Flags
	r rune
}{{packet.SYN, 'S'}, {packet.FIN, 'F'}, {packet.RST, 'R'}, {packet.PSH, 'P'}, {packet.ACK, 'A'}, {packet.ECE, 'E'}, {packet.CWR, 'W'}, {packet.URG, 'U'}}

func flagLetters(f packet.Flags) string {
	out := ""
	for _, l := range letters {
		if f.Has(l.f) {
			out += string(l.r)
		}
	}
	return out
}

// build makes a segment of the peer's.
func (s *script) build(line string) packet.Segment {
	f := strings.Fields(line)
	seg := packet.Segment{Src: s.cfg.Remote, Dst: s.cfg.Local, Seq: peerISN, Window: 65535}
	for _, l := range letters {
		if strings.ContainsRune(f[0], l.r) {
			seg.Flags |= l.f
		}
	}
	num := func(v string) uint32 {
		n, err := strconv.ParseInt(v, 10, 64)
		require.NoError(s.t, err)
		return uint32(n)
	}
	var opts []byte
	off, n := uint64(0), 0
	for _, kv := range f[1:] {
		k, v, _ := strings.Cut(kv, "=")
		switch k {
		case "seq":
			off = uint64(num(v))
			seg.Seq = peerISN + num(v)
		case "ack":
			seg.Ack = ourISN + num(v)
		case "len":
			n = int(num(v))
		case "win":
			seg.Window = uint16(num(v))
		case "tos":
			seg.TOS = uint8(num(v))
		case "mss":
			opts = options.MSS{Size: uint16(num(v))}.Append(opts)
		case "ws":
			opts = options.WindowScale{Shift: uint8(num(v))}.Append(append(opts, options.KindNOP))
		case "sackok":
			opts = options.SACKPermitted{}.Append(append(opts, options.KindNOP, options.KindNOP))
		case "ts":
			val, ecr, _ := strings.Cut(v, ",")
			opts = appendTimestamps(opts, num(val), tsBase+num(ecr))
		case "sack":
			var o options.SACK
			for _, b := range strings.Split(v, ",") {
				at := strings.LastIndex(b, "-") // a number may be negative
				l, r := b[:at], b[at+1:]
				o.Blocks[o.N] = options.SACKBlock{Left: ourISN + num(l), Right: ourISN + num(r)}
				o.N++
			}
			opts = o.Append(append(opts, options.KindNOP, options.KindNOP))
		default:
			s.t.Fatalf("what is %q?", kv)
		}
	}
	seg.Options = opts
	if n > 0 {
		seg.Payload = stretch(off, n, false)
	}
	return seg
}

// describe writes a segment of ours in the script's words.
func (s *script) describe(o *packet.Segment) string {
	d := fmt.Sprintf("%s seq=%d ack=%d len=%d win=%d tos=%d", flagLetters(o.Flags), int32(o.Seq-ourISN), int32(o.Ack-peerISN), len(o.Payload), o.Window, o.TOS)
	if !o.Flags.Has(packet.ACK) {
		d = fmt.Sprintf("%s seq=%d len=%d win=%d tos=%d", flagLetters(o.Flags), int32(o.Seq-ourISN), len(o.Payload), o.Window, o.TOS)
	}
	for b := o.Options; len(b) > 0; {
		r, rest, err := options.Next(b)
		require.NoError(s.t, err)
		b = rest
		switch r.Kind() {
		case options.KindMSS:
			d += fmt.Sprintf(" mss=%d", binary.BigEndian.Uint16(r[2:]))
		case options.KindWindowScale:
			d += fmt.Sprintf(" ws=%d", r[2])
		case options.KindSACKPermitted:
			d += " sackok"
		case options.KindTimestamps:
			t, err := options.ParseTimestamps(r)
			require.NoError(s.t, err)
			d += fmt.Sprintf(" ts=%d,%d", t.Value-tsBase, t.Echo)
		case options.KindSACK:
			k, err := options.ParseSACK(r)
			require.NoError(s.t, err)
			var blocks []string
			for _, x := range k.Blocks[:k.N] {
				blocks = append(blocks, fmt.Sprintf("%d-%d", x.Left-peerISN, x.Right-peerISN))
			}
			d += " sack=" + strings.Join(blocks, ",")
		}
	}
	return d
}
