package rawip

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// lender is a guest that lends buffers, and what it has got that way.
type lender struct {
	visited
	takes func(s *packet.Segment) bool // says what comes next in order
	taken []byte                       // in this batch
	more  bool                         // waits behind it
	came  []uint32                     // sequence numbers of all that came
	parts int                          // segments whose payload came in lent memory
	long  int                          // others that could have
}

// stretch is n bytes that are right for the segment seq.
func stretch(seq uint32, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seq*131 + uint32(i)*7 + uint32(i)>>8)
	}
	return b
}

func newLender(t *testing.T, local string) *lender {
	v := &lender{visited: *newVisitedAt(t, local), takes: func(*packet.Segment) bool { return true }}
	v.in.do = func(s *packet.Segment, buf pool.Ref) {
		v.came = append(v.came, s.Seq)
		if !bytes.Equal(stretch(s.Seq, len(s.Payload)), s.Payload) {
			t.Errorf("segment %d has other bytes", s.Seq)
		}
		switch l := buf.Loan(); {
		case l == nil && len(s.Payload) >= minLent:
			v.long++
		case l != nil:
			v.parts++
			v.more = l.More()
			if l.To() != mine {
				t.Errorf("lent by %v", l.To())
			}
			if v.takes(s) {
				v.taken = append(v.taken, s.Payload...)
				l.Take(s.Payload)
			}
		}
	}
	v.send(nil, 0)
	require.Eventually(v, func() bool { return v.k.Take(mine) }, 5*time.Second, time.Millisecond)
	t.Cleanup(func() { v.k.Leave(false) })
	v.came, v.seq = nil, 0
	return v
}

// send sends the next segment, with so many bytes of payload.
func (v *lender) send(options []byte, n int) {
	v.Helper()
	v.seq++
	send(v, v.link, packet.Segment{
		Src: v.flow.Local(), Dst: v.flow.Remote(), Seq: v.seq, Flags: packet.ACK, Options: options, Payload: stretch(v.seq, n),
	})
}

// receive lends b to a batch.
func (v *lender) receive(b []byte) {
	v.Helper()
	v.taken, v.more = nil, false
	n, stays := v.k.Receive(b, false)
	require.True(v, stays)
	require.Equal(v, len(v.taken), n)
	require.True(v, bytes.Equal(v.taken, b[:n]), "what was taken lies at the front")
}

// Whatever comes, where long segments are expected or not: each segment comes once, in order and with its own bytes, and what
// is taken lies at the front of the buffer.
func TestGuestLendsItsBuffer(t *testing.T) {
	for _, local := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(local, func(t *testing.T) {
			v := newLender(t, local)
			r := rand.New(rand.NewPCG(1, uint64(len(local))))
			sizes := []int{0, 1, 64, 1456, minLent - 1, minLent, 20000, 40000, 64000, 65000}
			rooms := []int{1, 4 << 10, 20000, 64 << 10, 256 << 10}
			options := [][]byte{nil, {1, 1, 1, 1}, bytes.Repeat([]byte{1}, 20), bytes.Repeat([]byte{1}, 40)}
			v.takes = func(s *packet.Segment) bool { return s.Seq%7 != 0 }
			pattern, opts := []int{64000}, options[2]
			for round := range 3000 {
				if round%10 == 0 { // the sender's habits change
					pattern = []int{sizes[r.IntN(len(sizes))], sizes[r.IntN(len(sizes))]}
					opts = options[r.IntN(len(options))]
				}
				for range r.IntN(4) {
					n := pattern[int(v.seq)%len(pattern)]
					if r.IntN(20) == 0 {
						n = sizes[r.IntN(len(sizes))]
					}
					v.send(opts, n)
				}
				b := make([]byte, rooms[r.IntN(len(rooms))])
				for range 1 + r.IntN(3) {
					v.receive(b)
				}
			}
			for b := make([]byte, 64<<10); len(v.came) < int(v.seq); {
				before := len(v.came)
				v.receive(b)
				require.Greater(v, len(v.came), before, "some are lost")
			}
			for i, seq := range v.came {
				require.EqualValues(v, i+1, seq)
			}
			require.Greater(v, v.parts, 500)
			require.Greater(v, v.long, 100, "it was not guessed wrong once")
			require.Zero(v, v.link.Counters().BadSegments)
		})
	}
}

// Long segments that come as they have come before need not be copied, be they all as long, or a long one and a rest by turns; and the
// guest hears whether there is more.
func TestLentBufferFits(t *testing.T) {
	for _, c := range []struct {
		lengths []int
		room    int
		batch   int // segments that have room
	}{
		{[]int{65000, 65000}, 64 << 10, 1},
		{[]int{64080, 1456}, 64 << 10, 2},
		{[]int{1456, 64080}, 64 << 10, 2},
		{[]int{64080, 1456}, 256 << 10, 8},
		{[]int{32 << 10, 32 << 10}, 64 << 10, 2},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			v := newLender(t, "127.0.0.1:0")
			b := make([]byte, c.room)
			for _, n := range c.lengths { // nothing is known yet
				v.send(nil, n)
				v.receive(b)
				require.Zero(v, v.parts)
			}
			for range 3 * c.batch {
				v.send(nil, c.lengths[int(v.seq)%2])
			}
			for i := range 3 {
				v.receive(b)
				require.Equal(v, (i+1)*c.batch, v.parts)
				require.Equal(v, i < 2, v.more)
			}
		})
	}
}

// A Read that has no room for what comes, and one for whom nothing that comes is of use, lend nothing, the latter for a while.
func TestNothingIsLentInVain(t *testing.T) {
	v := newLender(t, "127.0.0.1:0")
	one := func(room int) (lent bool) {
		v.send(nil, 60000)
		before := v.parts
		v.receive(make([]byte, room))
		return v.parts > before
	}
	require.False(v, one(64<<10))
	require.False(v, one(64<<10), "one long segment is no habit")
	require.True(v, one(64<<10))
	require.False(v, one(59999))
	v.takes = func(*packet.Segment) bool { return false }
	lent := 0
	for range 200 {
		if one(64 << 10) {
			lent++
		}
	}
	require.Less(v, lent, 12)
	v.takes = func(*packet.Segment) bool { return true }
	lent = 0
	for range maxAstray + 10 {
		if one(64 << 10) {
			lent++
		}
	}
	require.GreaterOrEqual(v, lent, 10)
	require.True(v, one(64<<10), "it is trusted again")
}
