package wire

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/options"
)

// leaves says whether an MP_FAIL goes with a segment that leaves now.
func (m *mpFail) leaves(now time.Duration) bool { return len(m.append(now, nil, 40, nil)) > 0 }

// Linux takes each MP_FAIL that it has not asked for as a complaint of its own, and answers.
func TestComplaintAndAnswerAreNotRepeatedAtOnce(t *testing.T) {
	const rto = 200 * time.Millisecond
	o := options.MPFail{DSN: 7}

	var complaint mpFail
	complaint.put(o, rto)
	require.True(t, complaint.leaves(0))
	require.False(t, complaint.leaves(rto-1))
	require.True(t, complaint.leaves(rto), "it may have got lost")
	complaint.take()
	require.False(t, complaint.leaves(time.Hour), "the answer has come")

	var answer mpFail
	answer.take()
	require.False(t, answer.leaves(0), "there is none yet")
	answer.put(o, rto)
	require.True(t, answer.leaves(1))
	require.False(t, answer.leaves(time.Hour))
	answer.take()
	require.True(t, answer.leaves(time.Hour), "the peer has not got it")
	require.False(t, answer.leaves(2*time.Hour))

	var full mpFail
	full.put(o, rto)
	require.Empty(t, full.append(0, nil, 8, nil), "no room")
	require.True(t, full.leaves(0))
}
