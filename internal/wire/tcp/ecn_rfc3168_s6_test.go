package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

func withECN(c *Config) { c.ECN = true }

func ecnDialed(t *testing.T) *script {
	s := newScript(t, withECN).dial()
	s.want("SEW seq=0 tos=0", "section 6.1.1: an ECN-setup SYN, itself without ECT")
	s.after(10 * time.Millisecond)
	s.peer("SAE seq=0 ack=1 mss=1000 sackok win=65535")
	s.want("A seq=1 ack=1 tos=0", "a pure ACK without ECT")
	require.True(t, s.c.Stats().Stack.ECN)
	return s
}

func (s *script) wantTOS(flags string, tos string, because string) {
	s.t.Helper()
	s.want(flags+" tos="+tos, because)
}

func TestECNIsAgreedOn(t *testing.T) {
	for _, c := range []struct {
		answer string
		on     bool
	}{{"SAE", true}, {"SA", false}, {"SAEW", false}} {
		s := newScript(t, withECN).dial()
		s.peer(c.answer + " seq=0 ack=1 mss=1000 win=65535")
		require.Equal(t, c.on, s.c.Stats().Stack.ECN, c.answer)
		s = newScript(t, func(k *Config) { k.ECNAnswer = true }).dial()
		s.want("S", "it was not asked for")
		s.peer(c.answer + " seq=0 ack=1 mss=1000 win=65535")
		require.False(t, s.c.Stats().Stack.ECN, c.answer)
	}
	for _, c := range []struct {
		ask, answer string
		want        bool
	}{{"SEW", "SAE", true}, {"S", "SA", true}, {"SEW", "SA", false}, {"SE", "SA", true}} {
		for _, want := range []func(k *Config){func(k *Config) { k.ECN = c.want }, func(k *Config) { k.ECNAnswer = c.want }} {
			s := newScript(t, want)
			syn := s.build(c.ask + " seq=0 mss=1000")
			s.c = Accept(0, s.cfg, s, &syn)
			s.drain()
			s.want(c.answer+" seq=0", c.ask)
		}
	}
}

func TestASYNThatIsRepeatedAsksForNothing(t *testing.T) {
	s := newScript(t, withECN).dial()
	s.want("SEW", "first")
	s.after(time.Second)
	s.want("S", "a box may drop SYNs with these bits (section 6.1.1.1)")
}

func TestAMarkComesBackUntilCWR(t *testing.T) {
	s := ecnDialed(t)
	s.peer("A seq=1 len=1000 ack=1 tos=3")
	s.want("AE ack=1001", "section 6.1.3: ECE")
	s.peer("A seq=1001 len=1000 ack=1 tos=2")
	s.want("AE ack=2001", "until the peer has heard of it")
	s.send(10)
	s.want("AE seq=1 len=10", "data carries it, too")
	s.peer("AW seq=2001 len=1000 ack=11 tos=2")
	s.after(delayedAck)
	s.want("A ack=3001", "CWR: it has")
	s.peer("AW seq=3001 len=1000 ack=11 tos=3")
	s.after(delayedAck)
	s.want("AE ack=4001", "a new mark on the very segment")
}

func TestAnEchoHalvesTheWindowAndIsConfirmed(t *testing.T) {
	s := ecnDialed(t)
	s.send(4000)
	for range 4 {
		s.wantTOS("A", "2", "section 6.1.2: ECT(0) on data")
	}
	before := s.c.Stats().Perf.CurCwnd
	s.after(10 * time.Millisecond)
	s.peer("AE seq=1 ack=1001")
	require.Less(t, s.c.Stats().Perf.CurCwnd, before, "as if a segment had been lost")
	after := s.c.Stats().Perf.CurCwnd
	s.peer("AE seq=1 ack=2001")
	require.GreaterOrEqual(t, s.c.Stats().Perf.CurCwnd, after, "once per window")
	s.peer("A seq=1 ack=4001")
	s.send(500)
	s.wantTOS("AW", "2", "CWR on the first new data")
	s.send(500)
	s.wantTOS("A", "2", "and only there")
}

func TestRetransmissionsCarryNoECT(t *testing.T) {
	s := ecnDialed(t)
	s.send(3000)
	s.outs = nil
	s.after(3 * time.Second)
	require.NotEmpty(t, s.outs)
	for _, o := range s.outs {
		require.Zero(t, o.TOS&packet.ECNMask, "section 6.1.5")
	}
}
