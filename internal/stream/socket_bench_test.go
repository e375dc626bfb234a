package stream

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// tcpPair is plain TCP over loopback, to compare with.
func tcpPair(t testing.TB) (net.Conn, net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	ch := make(chan net.Conn, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			close(ch)
			return
		}
		ch <- c
	}()
	d := net.Dialer{}
	d.SetMultipathTCP(false)
	a, err := d.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	b, ok := <-ch
	require.True(t, ok)
	return a, b
}

// contenders are the connections that the benchmarks compare.
func contenders(b *testing.B, f func(b *testing.B, x, y io.ReadWriteCloser)) {
	b.Run("tcp", func(b *testing.B) {
		x, y := tcpPair(b)
		f(b, x, y)
		x.Close()
		y.Close()
	})
	for _, flows := range []int{1, 2} {
		b.Run(map[int]string{1: "mptcp-1", 2: "mptcp-2"}[flows], func(b *testing.B) {
			w := tcpWorld(b)
			x, y := w.connect(b, false)
			for range flows - 1 {
				w.join(b, x, y)
			}
			f(b, x, y)
			b.StopTimer()
			finish(b, x, y)
		})
	}
}

func BenchmarkSocketPingPong(b *testing.B) {
	contenders(b, func(b *testing.B, x, y io.ReadWriteCloser) {
		b.ReportAllocs()
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, 64)
			for {
				n, err := y.Read(buf)
				if err != nil {
					return
				}
				if _, err := y.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
		buf := make([]byte, 1)
		for b.Loop() {
			_, err := x.Write(buf)
			require.NoError(b, err)
			_, err = x.Read(buf)
			require.NoError(b, err)
		}
		closeWrite(b, x)
		<-done
	})
}

func closeWrite(b *testing.B, c io.Closer) {
	require.NoError(b, c.(interface{ CloseWrite() error }).CloseWrite())
}

func BenchmarkSocketBulk(b *testing.B) {
	contenders(b, func(b *testing.B, x, y io.ReadWriteCloser) {
		const size = 64 << 10
		b.SetBytes(size)
		b.ReportAllocs()
		done := make(chan int)
		go func() {
			buf := make([]byte, size)
			total := 0
			for {
				n, err := y.Read(buf)
				if total += n; err != nil {
					done <- total
					return
				}
			}
		}()
		buf := make([]byte, size)
		sent := 0
		for b.Loop() {
			n, err := x.Write(buf)
			require.NoError(b, err)
			sent += n
		}
		closeWrite(b, x)
		require.Equal(b, sent, <-done)
	})
}
