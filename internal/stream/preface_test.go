package stream

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPrefaceEveryCut(t *testing.T) {
	want := Preface{Version: 1, Nonce: 0x0123456789abcdef}
	wire := append(want.Append(nil), "rest"...)
	require.Len(t, wire, PrefaceLen+4)
	for cut := range PrefaceLen {
		var s Sniffer
		v, n := s.Feed(wire[:cut])
		require.Equal(t, NeedMore, v)
		require.Equal(t, cut, n)
		require.Equal(t, cut > 0, s.Begun())
		v, n = s.Feed(wire[cut:])
		require.Equal(t, IsPreface, v)
		require.Equal(t, PrefaceLen-cut, n)
		require.Equal(t, want, s.Preface())
		v, n = s.Feed(wire)
		require.Equal(t, IsPreface, v)
		require.Zero(t, n, "what follows is not the sniffer's")
	}
}

// What other protocols begin with is told apart at the first byte, and handed back whole.
func TestPrefaceIsNobodyElses(t *testing.T) {
	for _, first := range []string{
		"GET / HTTP/1.1\r\n", "mptcp", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "SSH-2.0-OpenSSH\r\n", "PROXY TCP4",
		"\x16\x03\x01\x02\x00", "\x80\x2e\x01\x03\x01", "\r\n\r\n\x00\r\nQUIT\n", "\x05\x01\x00", "\x04\x01", "\x00\x00\x00\x08\x04\xd2\x16\x2f",
		"\x10\x10\x00\x04MQTT", "AMQP\x00", "*1\r\n$4\r\nPING\r\n", "\x03\x00\x00\x13", "\x13BitTorrent", "EHLO x\r\n", "{}", "\xef\xbb\xbf",
	} {
		var s Sniffer
		v, n := s.Feed([]byte(first))
		require.Equal(t, NotPreface, v, "%q", first)
		require.Zero(t, n)
		require.False(t, s.Begun())
	}
}

func TestPartialPrefaceIsHandedBack(t *testing.T) {
	wire := Preface{Version: 1, Nonce: 7}.Append(nil)
	for i := range wire {
		for _, bad := range []byte{wire[i] ^ 0x80, wire[i] ^ 0x20 ^ 0x80, 'G'} {
			b := append([]byte(nil), wire...)
			b[i] = bad
			var s Sniffer
			v, n := s.Feed(b)
			require.Equal(t, NotPreface, v)
			require.Equal(t, b, append(append([]byte(nil), s.Bytes()...), b[n:]...))
		}
	}
}

func TestAnswer(t *testing.T) {
	q := Preface{Version: 2, Nonce: 42}
	right := q.AppendAnswer(nil, 1)
	for name, c := range map[string]struct {
		b    []byte
		want Answer
	}{
		"right":                 {right, AnswerRight},
		"echo":                  {q.Append(nil), AnswerEcho},
		"echo in lower case":    {bytes.ToLower(q.Append(nil)), AnswerWrong},
		"of another nonce":      {Preface{Version: 2, Nonce: 43}.AppendAnswer(nil, 1), AnswerWrong},
		"of another question":   {Preface{Version: 1, Nonce: 42}.AppendAnswer(nil, 1), AnswerWrong},
		"version 0":             {q.AppendAnswer(nil, 0), AnswerWrong},
		"version not asked for": {q.AppendAnswer(nil, 3), AnswerWrong},
		"HTTP":                  {[]byte("HTTP/1.1 400 Bad Request\r\n"), AnswerWrong},
		"half":                  {right[:17], AnswerNeedMore},
		"nothing":               {nil, AnswerNeedMore},
	} {
		for step := 1; step <= PrefaceLen; step++ {
			a := answerReader{asked: q}
			got := AnswerNeedMore
			for b := c.b; len(b) > 0 && got == AnswerNeedMore; {
				k := min(step, len(b))
				var n int
				got, n = a.feed(b[:k])
				require.True(t, n == k || got != AnswerNeedMore)
				b = b[k:]
			}
			require.Equal(t, c.want, got, name)
		}
	}
}

func TestAnswerIsNoPreface(t *testing.T) {
	var s Sniffer
	v, _ := s.Feed(Preface{Version: 1, Nonce: 1}.AppendAnswer(nil, 1))
	require.Equal(t, NotPreface, v)
}

func FuzzSniffer(f *testing.F) {
	wire := Preface{Version: 1, Nonce: 0xfeedbeef}.Append(nil)
	f.Add(wire, uint8(3))
	f.Add(wire[:12], uint8(1))
	f.Add([]byte("GET / HTTP/1.0\r\n\r\n"), uint8(30))
	f.Add([]byte("\x9eMPTCP/zz"), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		var s Sniffer
		v, n := NeedMore, 0
		for n < len(b) && v == NeedMore {
			var k int
			v, k = s.Feed(b[n:min(len(b), n+int(step)+1)])
			n += k
		}
		require.Equal(t, b[:n], append([]byte{}, s.Bytes()...), "what is consumed can be given back")
		if v == IsPreface {
			require.Equal(t, b[:n], s.Preface().Append(nil))
		}
		a := answerReader{asked: Preface{Version: 1, Nonce: 0xfeedbeef}}
		if got, _ := a.feed(b); got == AnswerRight {
			require.Equal(t, Preface{Version: 1, Nonce: 0xfeedbeef}.AppendAnswer(nil, 1), b[:PrefaceLen])
		}
	})
}
