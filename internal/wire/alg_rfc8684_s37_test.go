package wire

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/onpath"
)

// talk makes an end of the connection say its lines in turn: each once it has heard as many of the other's as stand before it.
// Who has said the last one ends its direction with it, the other when it has read that.
func (h *host) talk(lines []string, speaks func(i int) bool) {
	at, closed := 0, false
	h.source = func() {
		heard := bytes.Count(h.in.Bytes(), []byte("\n"))
		for ; at < len(lines); at++ {
			if speaks(at) {
				h.out = append(h.out, lines[at]...)
				h.fin = at == len(lines)-1
				continue
			}
			if heard--; heard < 0 {
				return
			}
		}
		if h.eof && !speaks(len(lines)-1) && !closed {
			h.fin, closed = true, true
		}
	}
}

// A gateway that edits the lines of a dialogue, as for FTP, and makes them longer or shorter. On the only subflow checksums find
// that, and the connection "MUST ... entirely revert to a regular TCP session" (RFC 8684 section 3.7), in which the gateway is right.
func TestGatewayEditsADialogue(t *testing.T) {
	const secret = "10,0,1,1,4,1"
	dialogue := []string{"220 ready\n", "USER me\n", "331 go on\n", "SYST\n", "215 UNIX\n", "QUIT\n", "221 bye\n"}
	for _, with := range []string{"192,0,2,177,200,100", "1,2,3,4,5,6", ""} {
		for edited := range dialogue {
			for last := edited; last < len(dialogue); last++ {
				t.Run(fmt.Sprintf("%q in line %d of %d", with, edited, last), func(t *testing.T) {
					lines := append([]string(nil), dialogue[:last+1]...)
					lines[edited] = "PORT " + secret + "\n"
					w, r := one(t, 31, withChecksums)
					r.through(&onpath.ALG{Old: []byte(secret), New: []byte(with)})
					w.server.talk(lines, func(i int) bool { return i%2 == 0 })
					w.client.talk(lines, func(i int) bool { return i%2 == 1 })
					w.dial()
					w.run(30*time.Second, func() bool { return w.client.eof && w.server.eof })
					lines[edited] = "PORT " + with + "\n"
					var said [2]string
					for i, l := range lines {
						said[i%2] += l
					}
					require.Equal(t, said[0], w.client.in.String())
					require.Equal(t, said[1], w.server.in.String())
					require.True(t, w.client.eof && w.server.eof, "%v %v", w.client.eof, w.server.eof)
					require.Less(t, w.now, 3*time.Second)
					require.True(t, w.run(w.now+2*time.Minute, w.over), "the connection ends")
					require.NoError(t, w.client.eng.Err())
					require.NoError(t, w.server.eng.Err())
					require.NotEqual(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
					require.NotEqual(t, extapi.FallbackNone, w.server.eng.Info().Fallback)
				})
			}
		}
	}
}
