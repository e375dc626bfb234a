package tcp

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/internal/pool"
)

// model is what two programs may expect of a connection between them: two streams of bytes, each with an
// end.
type model struct {
	w      *world
	sent   [2][]byte
	read   [2]int // bytes that the model has seen arrive
	closed [2]bool
}

func (m *model) check(t require.TestingT) {
	for i, e := range m.w.ends {
		if e.c == nil {
			continue
		}
		from := m.sent[1-i]
		require.LessOrEqual(t, len(e.got), len(from))
		require.True(t, bytes.Equal(from[m.read[i]:len(e.got)], e.got[m.read[i]:]), "in order, once, unchanged")
		m.read[i] = len(e.got)
		if e.fin {
			require.True(t, m.closed[1-i])
			require.Equal(t, len(from), len(e.got), "the end comes after everything")
		}
		require.NoError(t, e.err)
		require.LessOrEqual(t, e.held, e.c.rcv.limit*9/8+1<<e.c.rcv.scale, "no more than the window lets in")
	}
}

// Whatever two programs do, and whatever the network does to their segments, the streams arrive.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.Uint64().Draw(t, "seed"))
		m := &model{w: w}
		for i, e := range w.ends {
			drawConfig(t, &e.cfg)
			drawLink(t, w.links[i])
		}
		w.dial()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			m.act(t)
			m.check(t)
		}
		for i, e := range w.ends { // everybody finishes
			if e.c == nil {
				continue
			}
			m.hold(e, false)
			e.c.Limit(0)
			m.closeEnd(i)
			w.flush(i)
		}
		ok := w.run(2*time.Hour, func() bool {
			for i, e := range w.ends {
				if e.c != nil && !m.closed[i] {
					m.closeEnd(i)
					w.flush(i)
				}
			}
			return w.ends[0].closed && w.ends[1].closed
		})
		m.check(t)
		require.True(t, ok, "client %v, server %v", w.ends[0].c.State(), w.ends[1].c.State())
		for i, e := range w.ends {
			require.True(t, e.fin)
			require.True(t, bytes.Equal(m.sent[1-i], e.got))
		}
		w.finish()
	})
}

func drawConfig(t *rapid.T, c *Config) {
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	c.NoTimestamps, c.NoSACK, c.NoScale = flag("no timestamps"), flag("no SACK"), flag("no scale")
	c.NoDelay, c.ECN, c.Pacing = flag("no delay"), flag("ECN"), flag("pacing")
	c.MTU = rapid.SampledFrom([]int{576, 1500, 9000}).Draw(t, "MTU")
	c.RecvBuffer = rapid.SampledFrom([]int{3000, 20_000, 300_000}).Draw(t, "buffer")
	c.ISN = rapid.Uint32().Draw(t, "ISN")
	c.Retries, c.SYNRetries = 1000, 1000 // nobody gives up
}

func drawLink(t *rapid.T, l *link) {
	l.delay = time.Duration(rapid.IntRange(0, 100).Draw(t, "delay")) * time.Millisecond
	l.jitter = time.Duration(rapid.IntRange(0, 30).Draw(t, "jitter")) * time.Millisecond
	l.loss = float64(rapid.IntRange(0, 25).Draw(t, "loss %")) / 100
	l.dup = float64(rapid.IntRange(0, 10).Draw(t, "duplicates %")) / 100
	if rapid.Bool().Draw(t, "slow") {
		l.rate, l.queue = 200_000, 30_000
	}
}

func (m *model) closeEnd(i int) {
	e := m.w.ends[i]
	if e.established && !m.closed[i] {
		m.closed[i] = true
		e.closeWhenSent = true
		e.fill(m.w.now)
	}
}

func (m *model) hold(e *end, on bool) {
	e.hold = on
	if !on {
		e.c.Consumed(m.w.now, e.held)
		e.held = 0
	}
}

// act is one step of one of the programs, or time.
func (m *model) act(t *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(t, "who")
	e := m.w.ends[i]
	if e.c == nil {
		i, e = 0, m.w.ends[0]
	}
	now := m.w.now
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0, 1, 2:
		if m.closed[i] {
			return
		}
		b := pattern(rapid.IntRange(1, 20_000).Draw(t, "bytes"), byte(len(m.sent[i])))
		m.sent[i] = append(m.sent[i], b...)
		e.send = append(e.send, b...)
		e.fill(now)
	case 3:
		if rapid.IntRange(0, 9).Draw(t, "close") == 0 {
			m.closeEnd(i)
		}
	case 4:
		m.hold(e, rapid.Bool().Draw(t, "hold"))
	case 5:
		e.c.KeepAlive(now)
		e.c.AckNow(now)
	case 6:
		e.c.SetSuper(rapid.SampledFrom([]int{0, 5000, 64000}).Draw(t, "super"))
	case 7:
		e.c.Limit(int64(rapid.SampledFrom([]int{0, 1000, 10_000}).Draw(t, "limit")))
	default:
		m.w.run(time.Duration(rapid.IntRange(1, 2000).Draw(t, "ms"))*time.Millisecond, func() bool { return false })
		return
	}
	m.w.flush(i)
}

// The steady path allocates nothing, in either direction.
func TestSteadyPathAllocatesNothing(t *testing.T) {
	for _, super := range []int{0, 64000} {
		p := newPair(t, super)
		chunk := pool.Copy(make([]byte, 64<<10))
		for range 100 {
			p.turn(chunk)
		}
		n := testing.AllocsPerRun(100, func() { p.turn(chunk) })
		if !raceEnabled {
			require.Less(t, n, 1.0, "super %d", super) // hundreds of segments and acknowledgments
		}
		chunk.Release()
		p.end()
	}
}

// A 64-KiB super-segment that arrives whole, as the kernel hands it over, counts as its parts.
func TestMergedSegmentsAreAcknowledged(t *testing.T) {
	s := dialed(t, "mss=1460 ws=7", func(c *Config) { c.RecvBuffer = 1 << 20 })
	for i := range 40 {
		s.after(10 * time.Millisecond)
		seg := s.build("A ack=1 len=60000 seq=" + itoa(1+60000*i))
		s.c.HandleSegment(s.now, &seg, pool.Ref{})
		s.drain()
		require.Len(t, s.outs, 1+maxSteps)
		s.outs = s.outs[maxSteps:]
		s.want("A ack="+itoa(1+60000*(i+1)), "far more than two full segments")
	}
}
