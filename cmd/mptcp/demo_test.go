package main

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// smallDemo is a demo with little to download over the usual links. Its stalls may be longer than the
// command allows: the tests of other packages run on the same cores. The gate runs the command itself.
func smallDemo(size int64, script []act) (*demo, *buffer) {
	out := new(buffer)
	return &demo{size: size, specs: demoLinks(), script: script, limit: 5 * time.Second, env: &env{stdout: out, stderr: io.Discard}}, out
}

func TestDemo(t *testing.T) {
	for _, cut := range []int{1, 2} {
		d, out := smallDemo(96<<20, accident(cut))
		d.compare = cut == 2
		require.NoError(t, d.run(t.Context()), out.String())
		require.Contains(t, out.String(), "Every byte is right")
		require.Contains(t, out.String(), "works again")
	}
}

func TestDemoFailsWhenBothLinksDie(t *testing.T) {
	for name, kill := range map[string]func(*link){"cut": (*link).cut, "closed": (*link).close} {
		t.Run(name, func(t *testing.T) {
			d, _ := smallDemo(32<<20, []act{{0.3, "both links die", func(links []*link) {
				for _, l := range links {
					kill(l)
				}
			}}})
			began := time.Now()
			err := d.run(t.Context())
			require.ErrorContains(t, err, "the multipath download failed after")
			require.Less(t, time.Since(began), 20*time.Second)
		})
	}
}

func TestOutcomeVerdict(t *testing.T) {
	good := outcome{bytes: 100, stall: maxStall, limit: maxStall, demands: true, paths: []pathTotal{{Name: "link 1", Received: 20}, {Name: "link 2", Received: 80}}}
	require.NoError(t, good.verdict())
	slow, lame, wrong := good, good, good
	slow.stall++
	require.ErrorContains(t, slow.verdict(), "waited")
	lame.paths = []pathTotal{{Name: "link 1", Received: 19}, {Name: "link 2", Received: 81}}
	require.ErrorContains(t, lame.verdict(), "link 1 carried only 19 %")
	wrong.wrong = io.ErrUnexpectedEOF
	require.ErrorIs(t, wrong.verdict(), io.ErrUnexpectedEOF)
}

// echoLink is a link to a server that sends everything back.
func echoLink(t *testing.T, spec linkSpec) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	l, err := openLink(spec)
	require.NoError(t, err)
	l.start(ln.Addr().String())
	t.Cleanup(func() {
		l.close()
		ln.Close()
	})
	return l
}

func TestLinkHasItsRateAndDelay(t *testing.T) {
	l := echoLink(t, linkSpec{rate: 8 << 20, delay: 20 * time.Millisecond})
	c, err := net.Dial("tcp", l.addr().String())
	require.NoError(t, err)
	defer c.Close()
	began := time.Now()
	_, err = c.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(began), 40*time.Millisecond, "two ways")

	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB: 125 ms at this rate
	began = time.Now()
	go func() {
		_, _ = c.Write(data)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.ReadAll(c)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, back))
	require.GreaterOrEqual(t, time.Since(began), 125*time.Millisecond+40*time.Millisecond-2*burst)
}

func TestCutLinkSwallowsAndClosesNothing(t *testing.T) {
	l := echoLink(t, linkSpec{rate: 8 << 20, delay: time.Millisecond})
	ask := func(c net.Conn) error {
		_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.Write([]byte("?")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	isTimeout := func(err error) bool {
		ne, ok := err.(net.Error)
		return ok && ne.Timeout()
	}
	before := dial()
	require.NoError(t, ask(before))
	l.cut()
	require.True(t, l.silent())
	require.True(t, isTimeout(ask(before)))
	during := dial()
	require.True(t, isTimeout(ask(during)))
	l.restore()
	require.True(t, isTimeout(ask(before)), "what was lost stays lost")
	require.NoError(t, ask(dial()))
}
