package stream

import (
	"context"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
)

var sniffParams = SniffParams{First: 200 * time.Millisecond, Handshake: 10 * time.Second}

func TestSniffHandsOutWhatIsNoPreface(t *testing.T) {
	for _, first := range []string{"GET / HTTP/1.1\r\n", "\x16\x03\x01", questionMagic[:3] + "x", string(make([]byte, 600))} {
		synctest.Test(t, func(t *testing.T) {
			x, y := bufferedPipe()
			_, err := x.Write([]byte(first))
			require.NoError(t, err)
			o, err := Sniff(y, sniffParams)
			require.NoError(t, err)
			require.Equal(t, KindPlain, o.Kind())
			_, err = x.Write([]byte("more"))
			require.NoError(t, err)
			require.NoError(t, x.Close())
			got, err := io.ReadAll(o.Conn())
			require.NoError(t, err)
			require.Equal(t, first+"more", string(got))
			y.Close()
		})
	}
}

func TestSniffOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := bufferedPipe()
		start := time.Now()
		o, err := Sniff(y, sniffParams)
		require.NoError(t, err)
		require.Equal(t, KindPlain, o.Kind())
		require.Equal(t, sniffParams.First, time.Since(start))
		go func() {
			_, _ = x.Write([]byte("h"))
			_, _ = x.Write([]byte("ello"))
			x.Close()
		}()
		got, err := io.ReadAll(o.Conn())
		require.NoError(t, err, "its deadline is gone")
		require.Equal(t, "hello", string(got))
		y.Close()
	})
}

func TestLatePrefaceIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := bufferedPipe()
		o, err := Sniff(y, SniffParams{First: -1})
		require.NoError(t, err)
		_, err = x.Write(Preface{Version: 1, Nonce: 7}.Append(nil))
		require.NoError(t, err)
		_, err = o.Conn().Read(make([]byte, 100))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = x.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		x.Close()
	})
}

func TestSniffErrors(t *testing.T) {
	preface := string(Preface{Version: 1, Nonce: 7}.Append(nil))
	for name, c := range map[string]struct {
		sent   string
		close  bool
		secret bool
		takes  time.Duration
		is     error
	}{
		"closed before the first byte": {close: true, is: io.EOF},
		"secret, and another protocol": {sent: "GET /", secret: true, is: ErrSecret},
		"secret, and silence":          {secret: true, takes: sniffParams.Handshake, is: ErrSecret},
		"preface and silence":          {sent: preface, takes: sniffParams.Handshake},
		"preface and garbage":          {sent: preface + "\x1e\x04\x80\x00"},
		"preface and the end":          {sent: preface, close: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, y := bufferedPipe()
				_, err := x.Write([]byte(c.sent))
				require.NoError(t, err)
				if c.close {
					require.NoError(t, x.Close())
				}
				start := time.Now()
				p := sniffParams
				p.Secret = c.secret
				_, err = Sniff(y, p)
				require.Error(t, err)
				if c.is != nil {
					require.ErrorIs(t, err, c.is)
				}
				require.Equal(t, c.takes, time.Since(start))
				x.Close()
			})
		})
	}
}

func TestPartialPrefaceThenSilenceIsPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := bufferedPipe()
		_, err := x.Write([]byte(questionMagic))
		require.NoError(t, err)
		start := time.Now()
		o, err := Sniff(y, sniffParams)
		require.NoError(t, err)
		require.Equal(t, KindPlain, o.Kind())
		require.Equal(t, sniffParams.Handshake, time.Since(start), "a peer that has begun the magic is waited for")
		require.NoError(t, x.Close())
		got, err := io.ReadAll(o.Conn())
		require.NoError(t, err)
		require.Equal(t, questionMagic, string(got))
		y.Close()
	})
}

// joinOf makes the opening of a join with these keys.
func joinOf(t *testing.T, w *world, keys engine.Keys) (net.Conn, *JoinClientHandshake) {
	nc, err := w.dial(t.Context())
	require.NoError(t, err)
	h := NewJoinClientHandshake(9, engine.NewJoinInitiator(keys, 5, 1, false))
	_, err = nc.Write(h.Output())
	require.NoError(t, err)
	return nc, h
}

func TestForgedJoins(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.connect(t, false)
		_, err := a.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, a.Flush(t.Context()))

		t.Run("unknown token", func(t *testing.T) {
			nc, h := joinOf(t, w, engine.Keys{Local: 1, Remote: 2})
			_, err := readHandshake(nc, nil, h.Feed)
			require.Error(t, err)
			require.Error(t, <-w.server.refused)
			nc.Close()
		})
		t.Run("wrong keys", func(t *testing.T) {
			keys := a.Keys()
			keys.Local++ // the token is the right one, the HMAC is not
			nc, _ := joinOf(t, w, keys)
			answer := make([]byte, PrefaceLen+16)
			_, err := io.ReadFull(nc, answer)
			require.NoError(t, err)
			_, err = nc.Write(make([]byte, 24))
			require.NoError(t, err)
			require.Error(t, <-w.server.refused)
			_, err = nc.Read(answer)
			require.Error(t, err)
			nc.Close()
		})
		t.Run("no third message", func(t *testing.T) {
			nc, _ := joinOf(t, w, a.Keys())
			nc.Close()
			require.Error(t, <-w.server.refused)
		})
		require.Len(t, b.Subflows(), 1)
		w.join(t, a, b)
		finish(t, a, b)
	})
}

func TestCancelledJoin(t *testing.T) {
	w := tcpWorld(t)
	stuck := make(chan struct{})
	open := w.clientP.Open
	w.clientP.Open = func(ctx context.Context, r engine.JoinRequest) (net.Conn, error) {
		select {
		case <-stuck:
			return open(ctx, r)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	a, b := w.connect(t, false)
	_, err := a.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, a.Flush(t.Context()))
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	_, err = a.OpenSubflow(ctx, netip.AddrPort{}, netip.AddrPort{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	finish(t, a, b) // which ends the join that is under way
}

func TestRefusedClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := bufferedPipe()
		go func() {
			o, err := Sniff(y, sniffParams)
			if err == nil {
				o.Refuse(engine.ResetResources, true)
			}
		}()
		p := testParams()
		p.Key = 1
		_, err := Client(t.Context(), x, p)
		var r *engine.ResetError
		require.ErrorAs(t, err, &r)
		require.True(t, r.Transient)
		require.Equal(t, engine.ResetResources, r.Reason)
	})
}
