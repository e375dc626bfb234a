package driver

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/engine"
)

// reading is one flow that is read through readBuffers, as the reader role does it.
type reading struct {
	eng *engine.Conn
	w   wire
	f   *flow
	got []byte
}

func newReading() *reading {
	r := &reading{eng: engine.NewConn(0, testEngine(), ourKey)}
	r.f = &flow{f: &r.w}
	r.eng.SetRemote(0, theirKey)
	r.w.bind(r.eng, r.eng.AddFlow(0, &r.w, engine.FlowParams{Initial: true}))
	r.f.id = r.w.id
	r.eng.HandleEstablished(0, r.w.id)
	return r
}

func (r *reading) end() { r.eng.CloseRead(0); r.eng.Abort(0, engine.ResetUnspecified) }

// read is one read of at most limit bytes of what is there, for an application with a buffer of size.
func (r *reading) read(there []byte, limit, size int) (n int, err error) {
	app := make([]byte, size)
	m, err := r.eng.Read(0, app)
	if r.got = append(r.got, app[:m]...); err != nil || m > 0 {
		return 0, err
	}
	b := &r.f.buf
	b.left = r.w.PayloadLeft()
	b.app = app[:min(size, direct(r.eng, r.f))]
	total := 0
	there = there[:min(len(there), limit)]
	for _, p := range b.Buffers() {
		total += len(p)
		n += copy(p, there[n:])
	}
	if total != b.total {
		return 0, fmt.Errorf("total says %d of buffers for %d", b.total, total)
	}
	if n == 0 {
		b.Drop()
		return 0, nil
	}
	direct, err := b.feed(time.Second, r.eng, r.f, n)
	r.got = append(r.got, app[:direct]...)
	b.app = nil
	return n, err
}

// all reads everything, limit bytes at a time.
func (r *reading) all(t require.TestingT, b []byte, limit, size int) {
	for len(b) > 0 || r.eng.Readable() {
		n, err := r.read(b, limit, size)
		require.NoError(t, err)
		b = b[n:]
	}
}

// naive is what the same bytes bring when they are fed as they are.
func naive(t require.TestingT, b []byte) []byte {
	r := newReading()
	defer r.end()
	require.NoError(t, r.w.Feed(0, b))
	r.all(t, nil, 0, 1<<20)
	return r.got
}

// peers are streams that the guess meets: it holds, or something comes before the header, or another
// header does.
func peers() map[string]func(*stream) {
	const n = 9_000
	return map[string]func(*stream){
		"plain":                             func(s *stream) { s.record(pattern(n, 1)); s.record(pattern(n, 2)); s.record(pattern(n, 3)) },
		"acknowledgement before the header": func(s *stream) { s.record(pattern(n, 1)); s.ack(); s.record(pattern(n, 2)) },
		"window before the header":          func(s *stream) { s.record(pattern(n, 1)); s.window(); s.record(pattern(n, 2)) },
		"both before the header":            func(s *stream) { s.record(pattern(n, 1)); s.ack(); s.window(); s.record(pattern(n, 2)) },
		"header without an acknowledgement": func(s *stream) { s.record(pattern(n, 1)); s.mapping(pattern(n, 2), false); s.record(pattern(n, 3)) },
		"small records behind a large one": func(s *stream) {
			s.record(pattern(n, 1))
			for i := range 20 {
				s.record(pattern(30+i, i))
			}
		},
		"out of order": func(s *stream) {
			s.record(pattern(n, 1))
			s.at += 500 // a hole
			s.record(pattern(n, 2))
			s.at -= n + 500
			s.record(pattern(500, 3))
			s.at += n
			s.record(pattern(n, 4))
		},
	}
}

// However the socket cuts the stream, and whatever the application's buffer, what arrives is what came.
func TestReadBuffersAtEveryCut(t *testing.T) {
	for name, build := range peers() {
		t.Run(name, func(t *testing.T) {
			var s stream
			build(&s)
			want := naive(t, s.Bytes())
			require.NotEmpty(t, want)
			const head = 26
			const first = head + 9_000
			for _, size := range []int{100, 8_999, 9_000, 9_000 + moreDirect - 1, 9_000 + moreDirect, 20_000, 1 << 16} {
				// The header alone, then one short read after the other around the next header.
				for cut := first - 2; cut < first+2*head+12; cut++ {
					r := newReading()
					n, err := r.read(s.Bytes(), head, size)
					require.NoError(t, err)
					require.Equal(t, head, n)
					b := s.Bytes()[n:]
					n, err = r.read(b, cut-head, size)
					require.NoError(t, err)
					r.all(t, b[n:], 1<<20, size)
					require.Equal(t, want, r.got, "buffer of %d, cut at %d", size, cut)
					r.end()
				}
			}
		})
	}
}

// A guess that holds costs no copy: several records come with one read.
func TestRightGuessCopiesNothing(t *testing.T) {
	var s stream
	for i := range 3 {
		s.record(pattern(9_000, i))
	}
	r := newReading()
	defer r.end()
	_, err := r.read(s.Bytes(), 26, 1<<16)
	require.NoError(t, err)
	n, err := r.read(s.Bytes()[26:], 1<<20, 9_000+9_000)
	require.NoError(t, err)
	require.Equal(t, 9_000+26+9_000, n, "two records at once")
	require.Equal(t, 18_000, r.w.direct)
	require.Zero(t, r.w.copied+r.w.chunks)
	require.Equal(t, s.Bytes()[26:9_026], r.got[:9_000])
}

// After a wrong guess the payload moves to where it belongs, within the application's buffer.
func TestWrongGuessMoves(t *testing.T) {
	var s stream
	s.record(pattern(9_000, 1))
	s.ack()
	s.record(pattern(9_000, 2))
	r := newReading()
	defer r.end()
	r.all(t, s.Bytes()[:26], 1<<20, 1<<16)
	n, err := r.read(s.Bytes()[26:], 1<<20, 20_000)
	require.NoError(t, err)
	require.Equal(t, s.Len()-26, n)
	require.Equal(t, 18_000, r.w.direct)
	require.Zero(t, r.w.copied+r.w.chunks)
	require.Equal(t, append(pattern(9_000, 1), pattern(9_000, 2)...), r.got)
}

// Once a record was like this, one read takes those that follow whole, their headers included.
func TestReadsBeginBeforeHeaders(t *testing.T) {
	var s stream
	for i := range 5 {
		s.record(pattern(9_000, i))
	}
	r := newReading()
	defer r.end()
	n, err := r.read(s.Bytes(), 26+9_000, 1<<16)
	require.NoError(t, err)
	m, err := r.read(s.Bytes()[n:], 1<<20, 27_000)
	require.NoError(t, err)
	require.Equal(t, 3*(26+9_000), m)
	require.Zero(t, r.w.copied+r.w.chunks)
	require.Len(t, r.got, 36_000)
}

// Where the application waits for less than there is, or for nothing in order, chunks take the payload.
func TestPayloadOutOfOrderGoesToChunks(t *testing.T) {
	var s stream
	s.at = 1_000
	s.record(pattern(40_000, 1))
	r := newReading()
	defer r.end()
	_, err := r.read(s.Bytes(), 26, 1<<16)
	require.NoError(t, err)
	n, err := r.read(s.Bytes()[26:], 1<<20, 1<<16)
	require.NoError(t, err)
	require.Equal(t, 40_000, n)
	require.Equal(t, 40_000, r.w.chunks)
	require.Zero(t, r.w.direct)
	require.Empty(t, r.got)
}

func TestReadBuffersOfAnyStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s stream
		for i := range rapid.IntRange(1, 12).Draw(t, "records") {
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				s.ack()
			case 1:
				s.window()
			case 2:
				s.mapping(pattern(rapid.IntRange(1, 200).Draw(t, "small"), i), false)
			default:
				s.record(pattern(rapid.IntRange(1, 20_000).Draw(t, "len"), i))
			}
		}
		want := naive(t, s.Bytes())
		r := newReading()
		defer r.end()
		for b := s.Bytes(); len(b) > 0 || r.eng.Readable(); {
			limit := rapid.SampledFrom([]int{1, 26, 27, 100, 4096, 9_000, 30_000, 1 << 20}).Draw(t, "limit")
			n, err := r.read(b, limit, rapid.IntRange(1, 64<<10).Draw(t, "size"))
			require.NoError(t, err)
			b = b[n:]
		}
		require.Equal(t, len(want), len(r.got))
		require.Equal(t, string(want), string(r.got))
	})
}
