package wire

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// "A duplicate ACK that includes any MPTCP signaling (with the exception of the DSS option) MUST NOT be treated as a signal of
// congestion" (RFC 8684 section 4). The peer has no SACK, so that three duplicates are all that it can say of a loss.
func TestOptionsAloneAreNoSignOfLoss(t *testing.T) {
	for _, signal := range []bool{true, false} {
		s := newScript(t, false)
		f := s.open()
		s.write(5 * 1432)
		require.Len(t, f.out, 5)
		f.out, f.got = nil, 1433
		f.acks(s.ack(1432))
		f.out = nil
		for range 4 {
			if signal {
				f.acks(s.ack(1432), options.MPPrio{})
			} else {
				f.acks(s.ack(1432))
			}
			s.wait(time.Millisecond)
		}
		again := f.again(5*1432 + 1)
		if signal {
			require.Empty(t, again)
		} else {
			require.NotEmpty(t, again, "a DSS, which every ACK has, changes nothing: the third is a fast retransmit")
		}
	}
}
