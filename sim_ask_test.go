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
