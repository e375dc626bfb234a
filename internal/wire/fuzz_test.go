package wire

import (
	"bytes"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// FuzzHandle feeds a flow segments with arbitrary options and payload, in every state of a subflow's life:
// nothing panics, nothing is kept without bound, no segment that leaves breaks the header, and TCP's sequence
// numbers never skip or change a byte.
func FuzzHandle(f *testing.F) {
	dss := options.DSS{HasMap: true, DSN64: true, DSN: engine.Key(0x1112131415161718).IDSN() + 1, SSN: 1, DataLen: 3}
	for state := range byte(8) {
		f.Add(state, dss.Append(nil), []byte{0x10, 3, 0, 0, 1, 9})
		f.Add(state, options.Fastclose{ReceiverKey: 0x0102030405060708}.Append(nil), []byte{0x14, 0, 0, 0, 0, 0, 0x10, 0, 0})
		f.Add(state, options.MPFail{DSN: 1}.Append(nil), []byte{0x10, 200, 1, 0, 1, 0, 0x11, 0, 0})
		f.Add(state, options.MPCapable{Version: 1, Flags: options.FlagH, HasSender: true, SenderKey: 1}.Append(nil), []byte{0x12, 0, 0, 0, 1, 0})
		f.Add(state, []byte{30, 1, 30, 40, 0x20, 0xff}, []byte{0x10, 9, 0, 0, 1, 0})
	}
	f.Fuzz(func(t *testing.T, state byte, opts, moves []byte) {
		before := pool.Outstanding()
		z := newFuzzed(state)
		for n := 0; len(moves) >= 6 && n < 64; n++ {
			z.segment(t, opts, moves[:6])
			moves = moves[6:]
			if len(opts) > 0 {
				opts = append(opts[1:len(opts):len(opts)], opts[0]) // other options each time
			}
		}
		z.end()
		require.Equal(t, before, pool.Outstanding())
	})
}

// FuzzLent feeds two flows the same segments, one of them with its payload in the buffer of a Read, which is somebody else's a moment
// later: both programs read the same.
func FuzzLent(f *testing.F) {
	dsn := engine.Key(0x1112131415161718).IDSN() + 1
	mapped := options.DSS{HasMap: true, DSN64: true, DSN: dsn, SSN: 1, DataLen: 4000}.Append(nil)
	short := options.DSS{HasMap: true, DSN64: true, DSN: dsn, SSN: 1, DataLen: 900}.Append(nil)
	for state := range byte(8) {
		f.Add(state, mapped, []byte{0x10, 100, 0, 0, 1, 0, 0x10, 200, 0, 0, 1, 0, 0x10, 200, 0, 0, 1, 0})
		f.Add(state, short, []byte{0x10, 200, 0, 0, 1, 0, 0x10, 100, 0, 0, 1, 0})
		f.Add(state, mapped, []byte{0x10, 50, 100, 0, 1, 0, 0x10, 25, 0, 0, 1, 0, 0x10, 50, 0, 0, 1, 0, 0x11, 50, 0, 0, 1, 0}) // a hole, filled
		f.Add(state, mapped, []byte{0x10, 100, 0, 0, 1, 2, 0x10, 100, 246, 0, 1, 3})
		f.Add(state, []byte(nil), []byte{0x10, 100, 0, 0, 1, 0, 0x10, 100, 0, 0, 1, 0, 0x10, 100, 0, 200, 1, 4}) // no mapping: it waits, and is TCP's
	}
	f.Fuzz(func(t *testing.T, state byte, opts, moves []byte) {
		before := pool.Outstanding()
		z, y := newFuzzed(state), newFuzzed(state)
		y.lends = true
		for n := byte(1); len(moves) >= 6 && n < 64; n++ {
			z.mark, y.mark = n, n
			z.segment(nil, opts, moves[:6])
			y.segment(nil, opts, moves[:6])
			require.True(t, bytes.Equal(z.read, y.read))
			moves = moves[6:]
		}
		z.end()
		y.end()
		require.Equal(t, before, pool.Outstanding())
	})
}

// fuzzed is a flow in some state, with its engine.
type fuzzed struct {
	now  time.Duration
	f    *Flow
	eng  *engine.Conn
	done bool
	seq  uint32 // next of the peer's
	nxt  uint32 // next that the flow is expected to send
	sent map[uint32]byte

	lends bool   // payload arrives in the buffer of a Read
	mark  byte   // makes the payload of this segment its own
	read  []byte // by the program
}

// newFuzzed brings a flow into one of its states: SYN sent, SYN received, established, joining.
func newFuzzed(state byte) *fuzzed {
	z := &fuzzed{now: time.Second, sent: map[uint32]byte{}, seq: 1000}
	client := state&1 == 0
	keys := engine.Keys{Local: 0x0102030405060708, Remote: 0x1112131415161718}
	offer := engine.CapableOffer{Carrier: extapi.CarrierWire, Checksum: state&8 != 0}
	z.eng = engine.NewConn(z.now, engine.Config{Client: client, SendBuffer: 1 << 20, RecvBuffer: 1 << 20, NoPathTimeout: -1}, keys.Local)
	cfg := (&host{w: &world{rng: newRand(1)}, controls: controls{group: newGroup()}}).config(&flow{local: addrs[0], remote: addrs[1]})
	join := state&2 != 0
	syn := packet.Segment{Src: addrs[1], Dst: addrs[0], Seq: z.seq, Flags: packet.SYN, Window: 1000}
	switch {
	case join && client:
		z.eng.SetRemote(z.now, keys.Remote)
		z.f = DialJoin(z.now, cfg, keys, engine.NewJoinInitiator(keys, 5, 1, false))
	case join:
		z.eng.SetRemote(z.now, keys.Remote)
		syn.Options = options.MPJoin{Form: options.JoinSyn, Token: keys.Local.Token(), Nonce: 9}.Append(nil)
		var err error
		if z.f, err = AcceptJoin(z.now, cfg, keys, engine.NewJoinResponder(keys, 5, 1, false), &syn); err != nil {
			panic(err)
		}
	case client:
		z.f = Dial(z.now, cfg, engine.NewCapable(offer, keys.Local))
	default:
		syn.Options = options.MPCapable{Version: 1, Flags: options.FlagH}.Append(nil)
		c, _ := Open(&syn).Negotiate(offer)
		z.f = Accept(z.now, cfg, c.WithKey(keys.Local), &syn)
	}
	z.poll(nil)
	if state&4 != 0 {
		z.complete(client, join, keys)
	}
	return z
}

// complete finishes the handshake as a good peer does.
func (z *fuzzed) complete(client, join bool, k engine.Keys) {
	s := packet.Segment{Src: addrs[1], Dst: addrs[0], Seq: z.seq, Ack: z.nxt, Flags: packet.ACK, Window: 1000}
	peer := engine.Keys{Local: k.Remote, Remote: k.Local}
	flags := options.FlagH
	if z.f.hs.capable.Checksum {
		flags |= options.FlagA
	}
	switch {
	case client && join:
		r := engine.NewJoinResponder(peer, 7, 2, false)
		o, _ := r.HandleSyn(z.f.hs.initiator.Syn())
		s.Flags, s.Options = packet.SYN|packet.ACK, o.Append(nil)
	case client:
		s.Flags = packet.SYN | packet.ACK
		s.Options = options.MPCapable{Version: 1, Flags: flags, HasSender: true, SenderKey: uint64(k.Remote)}.Append(nil)
	case join:
		i := engine.NewJoinInitiator(peer, 9, 1, false)
		i.Syn()
		o, _ := i.HandleSynAck(z.f.hs.synack)
		s.Seq++
		s.Options = o.Append(nil)
	default:
		s.Seq++
		s.Options = options.MPCapable{
			Version: 1, Flags: flags, HasSender: true, SenderKey: uint64(k.Remote), HasReceiver: true, ReceiverKey: uint64(k.Local),
		}.Append(nil)
	}
	z.f.HandleSegment(z.now, &s, pool.Ref{})
	z.attach()
	_, _ = z.eng.Write(z.now, pattern(5000))
	z.seq++
	z.poll(nil)
}

func (z *fuzzed) attach() {
	if r, ok := z.f.Settled(); ok && !z.done {
		z.done = true
		if r.Err == nil {
			z.f.Attach(z.now, z.eng, engine.FlowParams{})
		}
	}
}

// segment plays one move: flags, payload, where it lies, time, what it acknowledges, and what the program does.
func (z *fuzzed) segment(t *testing.T, opts, m []byte) {
	s := packet.Segment{Src: addrs[1], Dst: addrs[0], Flags: packet.Flags(m[0]), Window: 500, Options: opts[:min(len(opts), packet.MaxOptions)]}
	s.Seq = z.seq + uint32(int8(m[2]))
	s.Ack = z.nxt - uint32(m[4])%4
	var p pool.Ref
	if n := int(m[1]) * 4; n > 0 {
		b := pattern(n)
		for i := range b {
			b[i] ^= z.mark
		}
		p = pool.Copy(b)
		s.Payload = p.B
		if m[2] == 0 {
			z.seq += uint32(n)
		}
	}
	z.now += time.Duration(m[3]) * 20 * time.Millisecond
	if z.lends {
		z.lent(&s, p)
	} else {
		z.f.HandleSegment(z.now, &s, p)
	}
	z.attach()
	switch m[5] % 8 {
	case 1:
		_, _ = z.eng.Write(z.now, pattern(3000))
	case 2:
		z.eng.CloseWrite(z.now)
	case 3:
		z.eng.Abort(z.now, engine.ResetUnspecified)
	case 4:
		z.f.HandleTimeout(z.now)
		z.eng.HandleTimeout(z.now)
	}
	var b [4096]byte
	for {
		n, _ := z.eng.Read(z.now, b[:])
		if n == 0 {
			break
		}
		z.read = append(z.read, b[:n]...)
	}
	z.poll(t)
}

// lent is a segment with the payload p in the buffer of a Read, not at its beginning: what came before was of no use.
func (z *fuzzed) lent(s *packet.Segment, p pool.Ref) {
	if p.Len() == 0 {
		z.f.HandleSegment(z.now, s, p)
		return
	}
	const gap = 10
	b := append(make([]byte, gap), p.B...)
	p.Release()
	var l pool.Loan
	l.Begin(b, z)
	s.Payload = b[gap:]
	z.f.HandleSegment(z.now, s, l.Ref(s.Payload))
	n := l.End()
	z.read = append(z.read, b[:n]...)
	clear(b)
}

// poll takes what the flow sends.
func (z *fuzzed) poll(t *testing.T) {
	var buf [packet.MaxOptions]byte
	out := packet.Segment{Options: buf[:0]}
	for n := 0; z.f.Poll(z.now, &out); n++ {
		if end := out.Seq + uint32(out.SeqLen()); out.Flags&packet.RST == 0 && int32(end-z.nxt) > 0 || z.nxt == 0 {
			z.nxt = end
		}
		if t != nil {
			require.Less(t, n, 2000)
			require.LessOrEqual(t, len(out.Options), packet.MaxOptions)
			for b := out.Options; len(b) > 0; {
				o, rest, err := options.Next(b)
				require.NoError(t, err)
				if o.Kind() == options.Kind {
					_, err = options.Decode(o)
					require.NoError(t, err)
				}
				b = rest
			}
			for i, x := range out.AppendPayload(nil) {
				old, ok := z.sent[out.Seq+uint32(i)]
				require.True(t, !ok || old == x, "other bytes under the same sequence number")
				z.sent[out.Seq+uint32(i)] = x
			}
		}
		out.Options = buf[:0]
	}
	z.f.Sent(z.now)
}

func (z *fuzzed) end() {
	z.eng.Abort(z.now, engine.ResetUnspecified)
	z.eng.Close(z.now)
	z.f.Abort(z.now, engine.ResetUnspecified)
	z.f.Sent(z.now)
}
