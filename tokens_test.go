package mptcp

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
)

// "If uniqueness is not met [...] the connection MUST fall back to using regular TCP" (RFC 8684 section 3.1), on whichever
// side there is no token left.
func TestWithoutATokenItIsPlainTCP(t *testing.T) {
	exhausted := func() *Transport {
		tr := newTransport(t)
		h := tr.use()
		h.tokens = engine.NewTokens[*member](rand.Reader, 1)
		_, err := h.tokens.NewKey(new(member))
		require.NoError(t, err)
		return tr
	}
	for _, mode := range []Mode{ModeAuto, ModeStream} {
		for name, full := range map[string][2]*Transport{
			"client": {exhausted(), newTransport(t)}, "server": {newTransport(t), exhausted()},
		} {
			l := listen(t, ListenConfig{Transport: full[1], Config: Config{Multipath: MultipathOn}})
			begin := time.Now()
			client, server := connect(t, Dialer{Transport: full[0], Config: Config{Mode: mode}}, l)
			require.Less(t, time.Since(begin), 2*time.Second, name)
			require.NotEqual(t, extapi.CarrierStream, client.Info().Carrier, name)
			require.NotEqual(t, extapi.CarrierStream, server.Info().Carrier, name)
			exchange(t, client, server)

			if mode == ModeStream {
				d := Dialer{Transport: full[0], Config: Config{Mode: mode, RequireMultipath: true}}
				_, err := d.Dial("tcp", l.Addr().String())
				require.ErrorIs(t, err, ErrNotMultipath, name)
			}
		}
	}
}
