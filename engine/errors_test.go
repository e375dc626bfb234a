package engine

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProtocolErrorSaysWhere(t *testing.T) {
	err := fmt.Errorf("wrapped: %w", &ProtocolError{Section: "RFC 8684 section 3.3", Detail: "too long"})
	var p *ProtocolError
	require.ErrorAs(t, err, &p)
	require.EqualError(t, p, "mptcp: protocol violation (RFC 8684 section 3.3): too long")
}

func TestResetErrorIsConnectionReset(t *testing.T) {
	err := fmt.Errorf("read: %w", &ResetError{Reason: ResetMiddlebox, Remote: true, Path: 2})
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.NotErrorIs(t, err, syscall.ECONNREFUSED)
	require.NotErrorIs(t, err, io.EOF)
	require.NotErrorIs(t, err, errors.New("connection reset by peer"))
	require.False(t, (&ResetError{}).Is(nil))
	var r *ResetError
	require.ErrorAs(t, err, &r)
	require.EqualError(t, r, "mptcp: subflow 2 reset by the peer: middlebox interference")
	require.EqualError(t, &ResetError{Reason: ResetResources, Transient: true}, "mptcp: connection reset by this side: lack of resources (transient)")
}

// The names are those of RFC 8684 section 3.6.
func TestResetReasonNames(t *testing.T) {
	for r, want := range []string{"unspecified error", "MPTCP-specific error", "lack of resources", "administratively prohibited",
		"too much outstanding data", "unacceptable performance", "middlebox interference"} {
		require.Equal(t, want, ResetReason(r).String())
	}
	require.Equal(t, "reason 7", ResetReason(7).String())
	require.Equal(t, "reason 255", ResetReason(255).String())
}
