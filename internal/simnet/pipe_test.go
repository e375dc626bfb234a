package simnet

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// feed keeps a pipe full of n pseudo-random bytes and returns what arrives.
func feed(s *Sim, p *Pipe, n int) (sent []byte, got *bytes.Buffer) {
	sent, got = make([]byte, n), &bytes.Buffer{}
	_, _ = s.Read(sent)
	left := sent
	more := func() {
		for len(left) > 0 {
			k := p.Write(left)
			if left = left[k:]; k == 0 {
				return
			}
		}
		p.CloseWrite()
	}
	p.OnReadable(func(b []byte) { got.Write(b) })
	p.OnWritable(more)
	more()
	return sent, got
}

func TestEventsRunInOrder(t *testing.T) {
	s := New(1)
	var got []int
	s.After(2*time.Second, func() { got = append(got, 3) })
	s.After(time.Second, func() { got = append(got, 1) })
	stopped := s.After(time.Second, func() { got = append(got, -1) })
	s.After(time.Second, func() { got = append(got, 2); s.At(0, func() { got = append(got, 20) }) })
	stopped.Stop()
	stopped.Stop()
	s.Run(90 * time.Second)
	require.Equal(t, []int{1, 2, 20, 3}, got)
	require.Equal(t, 90*time.Second, s.Now())
	require.False(t, s.Step())
}

// Formula: payload leaves at rate x 1448/1514, plus the delay and slow start at the beginning.
func TestLinkGivesItsRate(t *testing.T) {
	for _, mbit := range []int64{5, 50, 100} {
		s := New(1)
		rate := mbit * 1e6 / 8
		up := s.NewLink(LinkConfig{Rate: rate, Delay: 10 * time.Millisecond})
		down := s.NewLink(LinkConfig{Rate: rate, Delay: 10 * time.Millisecond})
		p := s.NewPipe(PipeConfig{}, []*Link{up}, []*Link{down})
		var end time.Duration
		p.OnClosed(func(err error) {
			require.Equal(t, io.EOF, err)
			end = s.Now()
		})
		n := int(rate) * 10
		sent, got := feed(s, p, n)
		s.Run(time.Minute)
		require.True(t, bytes.Equal(sent, got.Bytes()))
		ideal := float64(n) / (float64(rate) * 1448 / 1514)
		require.InEpsilon(t, ideal, end.Seconds(), 0.03, "%d Mbit/s", mbit)
		require.GreaterOrEqual(t, end.Seconds(), ideal, "never faster than the wire")
		require.EqualValues(t, n, p.Stats().Acked)
	}
}

func TestPipesShareABottleneck(t *testing.T) {
	s := New(1)
	up, down := s.NewLink(LinkConfig{Rate: 5e6, Delay: 5 * time.Millisecond}), s.NewLink(LinkConfig{Delay: 5 * time.Millisecond})
	a, b := s.NewPipe(PipeConfig{}, []*Link{up}, []*Link{down}), s.NewPipe(PipeConfig{}, []*Link{up}, []*Link{down})
	feed(s, a, 200<<20)
	feed(s, b, 200<<20)
	s.Run(20 * time.Second)
	sum := float64(a.Stats().Acked + b.Stats().Acked)
	require.InEpsilon(t, 5e6*20*1448/1514, sum, 0.03)
	require.Greater(t, float64(min(a.Stats().Acked, b.Stats().Acked)), sum*0.2)
}

func TestBlackholeSwallowsSilentlyAndCanBeLifted(t *testing.T) {
	s := New(1)
	up, down := s.NewLink(LinkConfig{Rate: 1e6, Delay: 10 * time.Millisecond}), s.NewLink(LinkConfig{Delay: 10 * time.Millisecond})
	p := s.NewPipe(PipeConfig{SendBuffer: 256 << 10}, []*Link{up}, []*Link{down})
	ended := false
	p.OnClosed(func(error) { ended = true })
	sent, got := feed(s, p, 3<<20)
	s.Run(time.Second)
	up.Blackhole(true)
	before := got.Len()
	s.Run(4 * time.Second)
	require.Equal(t, before, got.Len(), "nothing arrives")
	require.False(t, ended, "nobody is told")
	require.EqualValues(t, 256<<10, p.Stats().Written-p.Stats().Acked, "the writer filled its buffer")
	require.NotZero(t, up.Stats().Swallowed)
	up.Blackhole(false)
	s.Run(30 * time.Second)
	require.True(t, ended)
	require.True(t, bytes.Equal(sent, got.Bytes()))
}

func TestRTOBacksOff(t *testing.T) {
	s := New(1)
	up, down := s.NewLink(LinkConfig{Delay: 10 * time.Millisecond}), s.NewLink(LinkConfig{Delay: 10 * time.Millisecond})
	p := s.NewPipe(PipeConfig{}, []*Link{up}, []*Link{down})
	p.Write(make([]byte, 1000))
	s.Run(time.Second)
	up.Blackhole(true)
	before := up.Stats().Packets
	p.Write(make([]byte, 1000))
	s.Run(26 * time.Second)
	require.EqualValues(t, 7, up.Stats().Packets-before, "sent at 0, then after 0.2, 0.4, 0.8, 1.6, 3.2, 6.4 s; the next comes at 25.4")
}

func TestNotsentLowatCapsTheUnsentBytes(t *testing.T) {
	s := New(1)
	up, down := s.NewLink(LinkConfig{Rate: 1e6, Delay: 20 * time.Millisecond}), s.NewLink(LinkConfig{})
	p := s.NewPipe(PipeConfig{Lowat: 16 << 10}, []*Link{up}, []*Link{down})
	feed(s, p, 8<<20)
	for range 100 {
		s.Run(s.Now() + 37*time.Millisecond)
		require.LessOrEqual(t, p.Stats().Unsent, int64(16<<10))
	}
	require.InEpsilon(t, 3.7e6*1448/1514, float64(p.Stats().Acked), 0.06, "and the link stays full")
}

func TestPausedReaderStopsTheWriter(t *testing.T) {
	s := New(1)
	up, down := s.NewLink(LinkConfig{Delay: time.Millisecond}), s.NewLink(LinkConfig{Delay: time.Millisecond})
	p := s.NewPipe(PipeConfig{RecvBuffer: 64 << 10}, []*Link{up}, []*Link{down})
	p.Pause()
	sent, got := feed(s, p, 1<<20)
	s.Run(10 * time.Second)
	require.Zero(t, got.Len())
	require.EqualValues(t, 64<<10, p.Stats().Acked)
	down.Blackhole(true)
	p.Resume()
	s.Run(11 * time.Second)
	down.Blackhole(false)
	s.Run(time.Minute)
	require.True(t, bytes.Equal(sent, got.Bytes()), "a lost window update is asked for")
}

func TestCutResetsBothEnds(t *testing.T) {
	s := New(1)
	up, down := s.NewLink(LinkConfig{Delay: time.Millisecond}), s.NewLink(LinkConfig{Delay: time.Millisecond})
	a, b := s.Connect(PipeConfig{}, []*Link{up}, []*Link{down})
	var errs []error
	a.OnClosed(func(err error) { errs = append(errs, err) })
	b.OnClosed(func(err error) { errs = append(errs, err) })
	down.Cut()
	require.Equal(t, []error{ErrReset, ErrReset}, errs)
	require.Zero(t, a.Write([]byte("x")))
	require.Empty(t, up.users)
}

func TestAbortTravels(t *testing.T) {
	s := New(1)
	up, down := s.NewLink(LinkConfig{Delay: 5 * time.Millisecond}), s.NewLink(LinkConfig{Delay: 5 * time.Millisecond})
	a, b := s.Connect(PipeConfig{}, []*Link{up}, []*Link{down})
	var at time.Duration
	b.OnClosed(func(err error) { require.Equal(t, ErrReset, err); at = s.Now() })
	up.Blackhole(true)
	a.Abort()
	s.Run(time.Second)
	require.Zero(t, at, "the reset was swallowed")
	up.Blackhole(false)
	b.Write([]byte("anybody there?"))
	s.Run(2 * time.Second)
	require.Equal(t, time.Second+10*time.Millisecond, at)
}

func TestDialTakesOneAndAHalfRoundTrips(t *testing.T) {
	s := New(1)
	up, down := []*Link{s.NewLink(LinkConfig{Delay: 10 * time.Millisecond})}, []*Link{s.NewLink(LinkConfig{Delay: 10 * time.Millisecond})}
	var client, server time.Duration
	s.Dial(PipeConfig{}, up, down, func() func(*Socket) {
		return func(*Socket) { server = s.Now() }
	}, func(c *Socket, err error) {
		require.NoError(t, err)
		require.Equal(t, 20*time.Millisecond, c.Stats().SRTT)
		client = s.Now()
	})
	s.Run(time.Second)
	require.Equal(t, 20*time.Millisecond, client)
	require.Equal(t, 30*time.Millisecond, server)

	var refused error
	s.Dial(PipeConfig{}, up, down, func() func(*Socket) { return nil }, func(_ *Socket, err error) { refused = err })
	s.Run(2 * time.Second)
	require.Equal(t, ErrRefused, refused)

	up[0].Blackhole(true)
	s.Dial(PipeConfig{}, up, down, func() func(*Socket) { return func(*Socket) {} }, func(*Socket, error) { client = s.Now() })
	s.Run(4 * time.Second)
	up[0].Blackhole(false)
	s.Run(time.Minute)
	require.Equal(t, 5*time.Second+20*time.Millisecond, client, "the SYN was sent again after 1 and 3 seconds")
}

// The same seed gives the same run to the last event, another seed another one.
func TestDeterminismBySeed(t *testing.T) {
	run := func(seed uint64) (sum []time.Duration) {
		s := New(seed)
		up, down := s.NewLink(LinkConfig{Rate: 2e6, Delay: 8 * time.Millisecond, Loss: 0.02}), s.NewLink(LinkConfig{Delay: 8 * time.Millisecond, Loss: 0.02})
		p := s.NewPipe(PipeConfig{}, []*Link{up}, []*Link{down})
		sent, got := feed(s, p, 1<<20)
		p.OnClosed(func(error) { sum = append(sum, s.Now(), time.Duration(up.Stats().Packets)) })
		s.Run(5 * time.Minute)
		require.True(t, bytes.Equal(sent, got.Bytes()))
		return sum
	}
	require.Equal(t, run(7), run(7))
	require.NotEqual(t, run(7), run(8))
}

// Whatever a network that heals in the end does, the bytes arrive once and in order.
func TestPipeDelivers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(rapid.Uint64().Draw(t, "seed"))
		cfg := LinkConfig{
			Rate:  rapid.Int64Range(1e5, 1e7).Draw(t, "rate"),
			Delay: time.Duration(rapid.IntRange(0, 100).Draw(t, "ms")) * time.Millisecond,
			Queue: rapid.Int64Range(2000, 1e5).Draw(t, "queue"),
			Loss:  rapid.Float64Range(0, 0.2).Draw(t, "loss"),
		}
		up, down := s.NewLink(cfg), s.NewLink(cfg)
		p := s.NewPipe(PipeConfig{SendBuffer: rapid.Int64Range(500, 1e5).Draw(t, "buffer")}, []*Link{up}, []*Link{down})
		ended := error(nil)
		p.OnClosed(func(err error) { ended = err })
		sent, got := feed(s, p, rapid.IntRange(0, 50_000).Draw(t, "bytes"))
		up.Churn(300*time.Millisecond, 700*time.Millisecond)
		s.Run(20 * time.Second)
		up.Churn(0, 0)
		up.SetConfig(LinkConfig{Rate: cfg.Rate})
		down.SetConfig(LinkConfig{})
		s.Run(10 * time.Minute)
		if ended != io.EOF || !bytes.Equal(sent, got.Bytes()) {
			t.Fatalf("%v: %d of %d bytes, %+v", ended, got.Len(), len(sent), p.Stats())
		}
	})
}
