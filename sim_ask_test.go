package mptcp

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/simnet"
)

// sleepyHost is a host on which who dials does not run before an instant.
type sleepyHost struct {
	simHost
	wake time.Time
}

func (h sleepyHost) Dial(ctx context.Context, spec DialSpec) (net.Conn, error) {
	c, err := h.simHost.Dial(ctx, spec)
	if err != nil {
		return nil, err
	}
	return &sleepy{Conn: c, wake: h.wake}, nil
}

// A process that did not run for as long as it waits does not take the peer for one that has not answered, and does not remember it as
// one.
func TestAnswerThatCameWhileTheDialerSlept(t *testing.T) {
	for name, c := range map[string]struct {
		cfg Config
		nap time.Duration
	}{
		"a peer that nothing is known of":    {Config{}, answerWait + time.Millisecond},
		"one that has to speak it":           {Config{RequireMultipath: true, HandshakeTimeout: 100 * time.Millisecond}, 101 * time.Millisecond},
		"one that has to, and is asked only": {Config{RequireMultipath: true, Mode: ModeStream, HandshakeTimeout: 100 * time.Millisecond}, 101 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simnet.LinkConfig{}, ListenConfig{}, func(t *testing.T, w *world) {
				go w.serveHashes()
				w.client.Network = sleepyHost{simHost{w.net.Host("client")}, time.Now().Add(c.nap)}
				w.dial(t, c.cfg).Close() // who knows nothing may take the plain connection, with the rest of its own patience
				time.Sleep(c.nap)        // the question outlives the dial
				conn := w.dial(t, Config{})
				require.Equal(t, extapi.CarrierStream, conn.Info().Carrier, "no verdict says that it does not speak it")
				require.NoError(t, conn.Close())
			})
		})
	}
}

// drowsy is a context that its users get to look at only when the process runs again, between two instants.
type drowsy struct {
	context.Context
	from, wake time.Time
}

func (c *drowsy) Done() <-chan struct{} {
	if !time.Now().Before(c.from) {
		time.Sleep(time.Until(c.wake))
	}
	return c.Context.Done()
}

// The dial that finds, when it runs again, an answer and the end of its patience takes the answer. A select with both takes
// either: hence several times.
func TestStreamThatCameWhileTheJudgeSlept(t *testing.T) {
	const delay = 100 * time.Millisecond // the plain connection is there after 210 ms, the answer after 400, and 610 are enough
	inWorld(t, simnet.LinkConfig{Delay: delay}, ListenConfig{}, func(t *testing.T, w *world) {
		go w.serveHashes()
		for range 20 {
			now := time.Now()
			ctx := &drowsy{t.Context(), now.Add(205 * time.Millisecond), now.Add(615 * time.Millisecond)}
			c, err := (&Dialer{Transport: w.client}).DialMultipath(ctx, "tcp", serverAddr)
			require.NoError(t, err)
			require.Equal(t, extapi.CarrierStream, c.Info().Carrier)
			require.Equal(t, 615*time.Millisecond, time.Since(now))
			require.NoError(t, c.Close())
			w.client.use().verdicts.flush()
		}
	})
}
