package engine

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/seqnum"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// tape is the byte string that a fuzz input is, read as operations; an empty one gives zeros.
type tape struct{ b []byte }

func (t *tape) byte() byte {
	if len(t.b) == 0 {
		return 0
	}
	v := t.b[0]
	t.b = t.b[1:]
	return v
}

// near is a number that is mostly around base, sometimes anywhere.
func (t *tape) near(base uint64) uint64 {
	v := t.byte()
	switch {
	case v < 0xc0:
		return base + uint64(v%16) - 4
	case v < 0xf0:
		return base + uint64(int64(int8(t.byte())))<<10
	default:
		return base + uint64(t.byte())<<(t.byte()%64)
	}
}

// FuzzConn plays a peer and an application that do anything in any order against one connection: it
// never panics or spins, holds no more memory than allowed, sends nothing beyond the peer's window, and
// numbers each subflow without a gap (the last two are checked by scriptFlow and check).
func FuzzConn(f *testing.F) {
	f.Add(true, []byte{0, 9, 1, 0, 5, 2, 4, 8, 0, 30, 200})
	f.Add(false, []byte{5, 0, 0, 3, 0, 0, 9, 255, 12, 3, 17, 0, 8, 8, 1, 1, 2, 7, 6})
	f.Add(true, []byte{14, 0, 40, 16, 0, 200, 200, 10, 10, 3, 2, 2, 0, 0, 13, 1})
	f.Add(false, []byte{18, 1, 2, 3, 4, 19, 15, 15, 15, 6, 1, 7, 0})
	f.Fuzz(func(t *testing.T, client bool, b []byte) {
		if len(b) > 4096 {
			return
		}
		in := &tape{b: b}
		setup := in.byte()
		s := newScript(t, client, func(c *Config) {
			c.SendBuffer, c.RecvBuffer = 32<<10, 64<<10
			c.Checksum = setup&1 != 0
			if setup&2 != 0 {
				c.NoPathTimeout = -1
			}
			c.IdlePathTimeout = time.Duration(setup>>2&1) * time.Second
		})
		s.first()
		s.c.SetLocalAddrs(0, twoAddrs)
		for len(in.b) > 0 {
			fuzzStep(s, in)
			s.check()
		}
		s.wait(3 * time.Minute)
	})
}

// check asserts what always holds.
func (s *script) check() {
	s.drain()
	c := s.c
	require.True(s.t, seqnum.LessEq(c.snd.una, c.snd.nxt) && seqnum.LessEq(c.snd.nxt, c.snd.end), "una, nxt, end")
	if !c.fall.infinite {
		require.True(s.t, seqnum.LessEq(c.snd.nxt, c.peer.edge), "sent beyond the peer's window")
	}
	require.LessOrEqual(s.t, s.mem.held, int64(4<<20))
	require.LessOrEqual(s.t, len(c.flows), maxFlows)
	require.LessOrEqual(s.t, len(s.events), maxEvents+1)
	s.events = nil
	lost := 0
	for i := range c.sent.n {
		if c.sent.at(i).lost {
			lost++
		}
	}
	require.Equal(s.t, lost, c.sent.lost)
	for _, x := range c.flows {
		n := int64(0)
		for i := range c.sent.n {
			if g := c.sent.at(i); g.carriers&x.slot != 0 {
				n += int64(g.n)
			}
		}
		require.Equal(s.t, n, x.tx.outstanding, "outstanding bytes of a subflow")
	}
}

// fuzzStep carries out one operation.
func fuzzStep(s *script, in *tape) {
	c, f := s.c, s.flows[int(in.byte())%len(s.flows)]
	switch op := in.byte() % 24; op {
	case 0, 1, 2:
		_, _ = c.Write(s.now, make([]byte, int(in.byte())<<(in.byte()%6)))
	case 3, 4:
		_, _ = s.read()
	case 5, 6, 7:
		says(fuzzDSS(s, f, in))(f)
	case 8, 9, 10:
		n := int(in.byte()) << (in.byte() % 8)
		if n > 0 {
			c.HandleBytes(s.now, f.id, pool.Copy(make([]byte, n)))
			f.peer += uint32(n)
		}
	case 11:
		c.HandleWindow(s.now, f.id, in.near(c.snd.una), int64(in.byte())<<(in.byte()%16))
	case 12:
		s.wait(time.Duration(in.byte()) * 10 * time.Millisecond)
	case 13:
		f.room = int(in.byte()) << (in.byte() % 12)
		c.HandleRoom(s.now, f.id)
	case 14:
		c.HandleProgress(s.now, f.id)
	case 15:
		fuzzEnd(s, f, in)
	case 16:
		fuzzOption(s, f, in)
	case 17:
		if n := c.DirectRoom(f.id); n > 0 {
			n = 1 + int(in.byte())%min(n, 4096)
			f.peer += uint32(n)
			c.HandleDirect(s.now, f.id, n)
		}
	case 18:
		fuzzJoin(s, in)
	case 19:
		_ = c.SetBackup(s.now, f.id, in.byte()&1 == 0)
	case 20:
		_ = c.CloseFlow(s.now, f.id)
	case 21:
		c.SetLocalAddrs(s.now, twoAddrs[in.byte()%2:][:in.byte()%2])
	case 22:
		c.HandleStuck(s.now, f.id)
	case 23:
		fuzzClose(s, in)
	}
}

func fuzzDSS(s *script, f *scriptFlow, in *tape) options.DSS {
	c, v := s.c, in.byte()
	d := options.DSS{HasAck: v&1 != 0, Ack64: v&2 != 0, HasMap: v&4 != 0, DSN64: v&8 != 0, HasChecksum: c.checksum != (v&0xe0 == 0xe0)}
	d.DataFIN = d.HasMap && v&16 != 0
	d.DataAck, d.DSN = in.near(c.snd.una), in.near(c.rcv.q.rcvNxt())
	if v&0x40 != 0 {
		d.DataAck, d.DSN = c.snd.nxt, c.rcv.q.rcvNxt()
	}
	d.SSN, d.DataLen = f.peer+uint32(in.byte()%3), uint16(in.byte())
	if d.HasChecksum && v&0x80 != 0 {
		d.Checksum = dssChecksum(d.DSN, d.SSN, d.DataLen, make([]byte, d.DataLen))
	}
	return d
}

func fuzzOption(s *script, f *scriptFlow, in *tape) {
	switch in.byte() % 8 {
	case 0:
		option(options.MPPrio{Backup: in.byte()&1 == 0})(f)
	case 1, 2:
		adds(in.byte(), []string{"10.0.9.9", "127.0.0.1", "2001:db8::1", "10.0.1.2"}[in.byte()%4])(f)
	case 3:
		removes(in.byte()%4, in.byte())(f)
	case 4:
		option(options.MPFail{DSN: in.near(s.c.snd.una)})(f)
	case 5:
		option(options.TCPRst{Reason: in.byte(), Transient: in.byte()&1 == 0})(f)
	case 6:
		option(options.Fastclose{ReceiverKey: uint64(s.c.keys.Local) + uint64(in.byte()%2)})(f)
	case 7:
		s.c.HandlePlain(s.now, f.id)
	}
}

func fuzzEnd(s *script, f *scriptFlow, in *tape) {
	switch v := in.byte() % 4; {
	case v == 0:
		tcpFIN(f)
	case v == 1 && f.ended:
		f.ends(nil)
	default:
		f.ends(errTest)
	}
}

func fuzzJoin(s *script, in *tape) {
	if len(s.joins) > 0 && in.byte()&1 == 0 {
		j := s.joins[0]
		s.joins = s.joins[1:]
		if in.byte()&1 == 0 {
			s.c.JoinFailed(s.now, j.Attempt, errTest, in.byte()&1 == 0)
			return
		}
		s.add(FlowParams{
			Attempt: j.Attempt, Local: j.Path.Local, Remote: j.Path.Remote, LocalID: j.LocalID, RemoteID: j.RemoteID,
			Interface: j.Path.Interface, Joining: in.byte()&1 == 0,
		})
		return
	}
	if _, p, err := s.asks("10.0.2.1:5000"); err == nil {
		if in.byte()&3 == 0 {
			s.c.JoinRefused(s.now)
			return
		}
		p.Carrier = extapi.CarrierWire
		s.add(p)
	}
}

func fuzzClose(s *script, in *tape) {
	switch in.byte() % 16 {
	case 0, 1:
		s.c.CloseWrite(s.now)
	case 2:
		s.c.CloseRead(s.now)
	case 3:
		s.c.Close(s.now)
	case 4:
		s.c.Abort(s.now, ResetUnspecified)
	default:
		s.c.HandleEstablished(s.now, s.flows[len(s.flows)-1].id)
	}
}
