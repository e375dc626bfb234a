package tcp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// tagger is an Extension that tags every segment with an experimental option and cuts payload at multiples
// of block.
type tagger struct {
	t       *testing.T
	block   uint64
	tag     int // length of the option
	sent    map[Kind]int
	got     map[Kind]int
	refuse  func(*Incoming) bool
	window  int64
	offsets map[uint64]bool // where data segments began
	attempt []int
}

func newTagger(t *testing.T) *tagger {
	return &tagger{t: t, block: 5000, tag: 16, sent: map[Kind]int{}, got: map[Kind]int{}, window: -1, offsets: map[uint64]bool{}}
}

func (x *tagger) Append(_ time.Duration, o *Outgoing, dst []byte, budget int) []byte {
	x.sent[o.Kind]++
	if o.Kind == KindSYN {
		x.attempt = append(x.attempt, o.Attempt)
	}
	if o.Len > 0 {
		require.LessOrEqual(x.t, (o.Off-1)%x.block+uint64(o.Len), x.block, "a segment across a boundary")
		require.GreaterOrEqual(x.t, budget, x.tag, "less than was reserved")
	}
	if budget < x.tag {
		return dst
	}
	dst = append(dst, 253, byte(x.tag))
	for range x.tag - 2 {
		dst = append(dst, byte(o.Kind))
	}
	return dst
}

func (x *tagger) Limit(off uint64, n int) int {
	return min(n, int(x.block-(off-1)%x.block))
}

func (x *tagger) Reserve(uint64) int { return x.tag }

func (x *tagger) Handle(_ time.Duration, in *Incoming) bool {
	x.got[in.Kind]++
	tagged := false
	for b := in.Seg.Options; len(b) > 0; {
		o, rest, err := options.Next(b)
		require.NoError(x.t, err)
		tagged = tagged || o.Kind() == 253 && len(o) == x.tag && (len(o) < 3 || Kind(o[2]) != 0)
		b = rest
	}
	require.True(x.t, tagged, "a %v without the option", in.Kind)
	return x.refuse == nil || !x.refuse(in)
}

func (x *tagger) Asked(time.Duration) {}

func (x *tagger) Window(time.Duration, uint8, int64) int64 { return x.window }

func TestExtensionTagsEverySegment(t *testing.T) {
	for _, super := range []int{0, 32000} {
		w := newWorld(t, 7)
		w.links[0].loss, w.links[1].loss = 0.03, 0.03
		a, b := newTagger(t), newTagger(t)
		b.block = 70_000
		w.ends[0].cfg.Extension, w.ends[1].cfg.Extension = a, b
		w.tap = func(_ int, s *packet.Segment) {
			require.LessOrEqual(t, s.Len(), 1500)
			if super > 0 {
				for _, e := range w.ends {
					if e.c != nil {
						e.c.SetSuper(super)
					}
				}
			}
		}
		w.exchange(300_000, 300_000, time.Minute)
		for _, x := range []*tagger{a, b} {
			require.Positive(t, x.got[KindDATA])
			require.Positive(t, x.got[KindACK])
		}
		require.Equal(t, 1, b.got[KindSYN])
		require.Equal(t, 1, a.got[KindSYNACK])
		if super > 0 {
			require.Positive(t, w.ends[0].c.Stats().Supers)
			require.Positive(t, w.ends[1].c.Stats().Supers)
		}
	}
}

func TestExtensionRefusesASegmentAsIfItHadBeenLost(t *testing.T) {
	w := newWorld(t, 3)
	x := newTagger(t)
	n := 0
	x.refuse = func(in *Incoming) bool {
		n++
		return in.Kind == KindDATA && n%5 == 0
	}
	w.ends[0].cfg.Extension, w.ends[1].cfg.Extension = newTagger(t), x
	w.exchange(200_000, 1000, time.Minute)
	require.Positive(t, w.ends[0].c.Stats().SegsRetrans)
}

// asked counts.
type asked struct {
	noExtension
	n      int
	window int64
}

func (x *asked) Asked(time.Duration)                      { x.n++ }
func (x *asked) Window(time.Duration, uint8, int64) int64 { return x.window }

// A keep-alive shows that the peer has nothing more to send; the probe of a closed window does not.
func TestExtensionIsAsked(t *testing.T) {
	x := &asked{window: 5000}
	s := dialed(t, "mss=1460", func(c *Config) { c.Extension = x })
	s.peer("A seq=1 len=1000 ack=1")
	s.peer("A seq=1000 ack=1")
	require.Equal(t, 1, x.n)
	s.peer("A seq=500 ack=1")
	s.peer("A seq=1001 ack=1")
	s.peer("A seq=1000 len=1 ack=1")
	s.peer("R seq=1000")
	require.Equal(t, 1, x.n, "these ask for nothing")
	x.window = 0
	for at := 1001; at < 65001; at += 1000 { // what the window of the SYN took
		s.peer(fmt.Sprintf("A seq=%d len=1000 ack=1", at))
	}
	s.peer("A seq=65001 len=535 ack=1")
	s.peer("A seq=65535 ack=1")
	require.Equal(t, 1, x.n, "the window is closed")
	x.window = 5000
	s.c.AckNow(s.now)
	s.outs = nil
	s.drain()
	s.want("A seq=1 ack=65536 win=5000", "it opens")
	s.peer("A seq=65535 ack=1")
	require.Equal(t, 1, x.n, "the peer has not heard of it")
	s.peer("A seq=65536 len=1000 ack=1")
	s.peer("A seq=66535 ack=1")
	require.Equal(t, 2, x.n, "it has")
}
