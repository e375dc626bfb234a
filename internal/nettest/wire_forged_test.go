package nettest

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// eachOption walks over a packet's Multipath TCP options, which are views into it.
func eachOption(p []byte, f func(sub options.Subtype, r options.Raw)) {
	if s, err := packet.Parse(p); err == nil {
		eachOptionOf(s, f)
	}
}

// eachOptionOf does the same with a segment's.
func eachOptionOf(s packet.Segment, f func(sub options.Subtype, r options.Raw)) {
	for b := s.Options; len(b) > 0; {
		r, rest, err := options.Next(b)
		if err != nil || len(r) == 0 {
			return
		}
		if sub, ok := r.Subtype(); ok && r.Kind() == options.Kind {
			f(sub, r)
		}
		b = rest
	}
}

// forger changes the first byte of what a message of a join proves, and notes the reasons of RSTs.
type forger struct {
	which  onpath.Match
	reason atomic.Int32 // of the first RST; -1: there was none
	back   atomic.Bool  // that RST came from the server
}

// Process implements onpath.Element.
func (f *forger) Process(now time.Duration, p []byte, d onpath.Dir, emit onpath.Emit) {
	forged := false
	eachOption(p, func(sub options.Subtype, r options.Raw) {
		switch {
		case sub == options.SubMPJoin && f.which(p, d):
			r[4] ^= 0xff // of the token in the SYN, and of the HMAC in what follows
			forged = true
		case sub == options.SubTCPRst && f.reason.Load() < 0:
			f.back.Store(d == onpath.Back)
			f.reason.Store(int32(r[3]))
		}
	})
	if forged {
		onpath.ChecksumRight.Process(now, p, d, emit)
		return
	}
	emit(p, d)
}

// joinForged is a join over the second path of which one message is not what it should be: the connection goes on over its first.
func joinForged(path *valve, name string, which onpath.Match, server bool, counter map[string]string) scenario {
	return scenario{name, func(t *testing.T, s *stage) {
		f := &forger{which: which}
		f.reason.Store(-1)
		path.set(f)
		s.undo = append(s.undo, func() { path.set(nil) })
		s.second()
		list, client := s.ends("c1", "c2")
		p := s.connect(list, client, s.server(1), trickle)
		s.eventually(5*time.Second, "a RST", func() bool { return f.reason.Load() >= 0 })
		require.Equal(t, server, f.back.Load(), "who refuses")
		if why := f.reason.Load(); why != 3 || s.counted()["MPJoinAckHMacFailure"] == 0 { // which is what older kernels say of a client's HMAC
			require.EqualValues(t, 1, why)
		}
		s.carrying("c1")
		require.Len(t, s.our(p).state().Subflows, 1)
		c, srv := p.stop()
		our, their := s.outcome(c, srv)
		require.Equal(t, extapi.FallbackNone, our.Info.Fallback)
		require.Equal(t, extapi.CarrierKernel, their.Info.Carrier)
		want := map[string]int{}
		if name := counter[s.ours]; name != "" {
			want[name] = 1
		}
		s.requireCounted(want, "MPRstRx", "MPRstTx")
	}}
}

// A token that nobody knows, and a wrong HMAC of either side: whoever notices resets that subflow, with an "MPTCP-specific error".
func TestNamespaceWireJoinForged(t *testing.T) {
	for _, ours := range []string{"c", "s"} {
		t.Run("ours is "+ours, func(t *testing.T) {
			s, paths := newEmulatedStage(t, ours)
			third := onpath.And(onpath.Going(onpath.Forward), onpath.NoSYN)
			s.scenes(t, inBothFamilies([]scenario{
				joinForged(paths[1], "unknown token", onpath.IsSYN, true, map[string]string{"c": "MPJoinNoTokenFound"}),
				joinForged(paths[1], "the server's HMAC", onpath.IsSYNACK, false, map[string]string{"s": "MPJoinSynAckHMacFailure"}),
				joinForged(paths[1], "the client's HMAC", third, true, map[string]string{"c": "MPJoinAckHMacFailure"}),
			}), reset)
			said := s.captured.tshark("-Y", s.captured.from()+" && tcp.flags.reset==1 && tcp.options.mptcp.rst_reason", "-T", "fields", "-e", "tcp.options.mptcp.rst_reason")
			require.Contains(t, []string{"0x01 0x01", "0x01 0x01 0x01 0x01"}, strings.Join(strings.Fields(said), " "), "the reasons of our RSTs, as tshark reads them")
		})
	}
}
