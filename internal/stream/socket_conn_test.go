package stream

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/driver"
)

// worlds are the two paths through the driver.
var worlds = []struct {
	name string
	make func(testing.TB) *world
}{{"tcp", tcpWorld}, {"pipe", pipeWorld}}

func eachWorld(t *testing.T, f func(t *testing.T, w *world)) {
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) { f(t, w.make(t)) })
	}
}

func TestHelloAndGoodbye(t *testing.T) {
	for _, early := range []bool{false, true} {
		eachWorld(t, func(t *testing.T, w *world) {
			a, b := w.connect(t, early)
			n, err := a.Write([]byte("hello"))
			require.NoError(t, err)
			require.Equal(t, 5, n)
			buf := make([]byte, 100)
			n, err = b.Read(buf)
			require.NoError(t, err)
			require.Equal(t, "hello", string(buf[:n]))
			_, err = b.Write([]byte("goodbye"))
			require.NoError(t, err)
			n, err = a.Read(buf)
			require.NoError(t, err)
			require.Equal(t, "goodbye", string(buf[:n]))
			require.NoError(t, a.CloseWrite())
			_, err = b.Read(buf)
			require.Equal(t, io.EOF, err)
			_, err = b.Write([]byte("half"))
			require.NoError(t, err)
			n, err = a.Read(buf)
			require.NoError(t, err)
			require.Equal(t, "half", string(buf[:n]))
			finish(t, a, b)
		})
	}
}

// sendAll writes n pseudo-random bytes in pieces of many sizes and returns their hash.
func sendAll(c *driver.Conn, seed uint64, n int) ([]byte, error) {
	src := rand.NewChaCha8([32]byte{byte(seed)})
	sizes := rand.New(rand.NewPCG(seed, 1))
	h := sha256.New()
	buf := make([]byte, 2<<20)
	for n > 0 {
		b := buf[:min(n, 1+sizes.IntN([]int{100, 70000, 2 << 20}[sizes.IntN(3)]))]
		_, _ = src.Read(b)
		h.Write(b)
		if _, err := c.Write(b); err != nil {
			return nil, err
		}
		n -= len(b)
	}
	return h.Sum(nil), c.CloseWrite()
}

// receiveAll reads to the end, in pieces of many sizes.
func receiveAll(c *driver.Conn, seed uint64) (sum []byte, n int, err error) {
	sizes := rand.New(rand.NewPCG(seed, 2))
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		m, err := c.Read(buf[:1+sizes.IntN([]int{50, 5000, 1 << 20}[sizes.IntN(3)])])
		h.Write(buf[:m])
		if n += m; err == io.EOF {
			return h.Sum(nil), n, nil
		}
		if err != nil {
			return nil, n, err
		}
	}
}

func TestBothDirectionsAtOnce(t *testing.T) {
	const size = 64 << 20
	for _, flows := range []int{1, 2, 3} {
		eachWorld(t, func(t *testing.T, w *world) {
			a, b := w.connect(t, false)
			for range flows - 1 {
				w.join(t, a, b)
			}
			exchangeBoth(t, a, b, size)
			finish(t, a, b)
		})
	}
}

// exchangeBoth moves size bytes each way at once and compares hashes.
func exchangeBoth(t *testing.T, a, b *driver.Conn, size int) {
	type result struct {
		sum []byte
		err error
	}
	sent := make(chan result, 2)
	got := make(chan result, 2)
	for i, c := range []*driver.Conn{a, b} {
		go func() {
			sum, err := sendAll(c, uint64(i), size)
			sent <- result{sum, err}
		}()
		go func() {
			sum, _, err := receiveAll(c, uint64(i))
			got <- result{sum, err}
		}()
	}
	sums := map[string]int{}
	for range 2 {
		for _, ch := range []chan result{sent, got} {
			select {
			case r := <-ch:
				require.NoError(t, r.err)
				sums[string(r.sum)]++
			case <-time.After(60 * time.Second):
				require.Fail(t, "stuck", "%+v\n%+v\n%+v\n%+v", a.Info(), a.Subflows(), b.Info(), b.Subflows())
			}
		}
	}
	require.Len(t, sums, 2)
	for _, n := range sums {
		require.Equal(t, 2, n, "what one side sent the other received")
	}
}
