package rawip

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Each error of sending has one counter, however it is wrapped, and what nobody has thought of has one too.
func TestSendErrorsAreSorted(t *testing.T) {
	for want, errs := range map[extapi.LinkCounters][]error{
		{NoBuffers: 1}:    {unix.ENOBUFS, unix.ENOMEM},
		{NotPermitted: 1}: {unix.EPERM, unix.EACCES},
		{TooLong: 1}:      {unix.EMSGSIZE, packet.ErrTooLong},
		{Unreachable: 1}:  {unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EADDRNOTAVAIL, unix.ENODEV, unix.EAFNOSUPPORT},
		{NotHeld: 1}:      {link.ErrNotHeld},
		{SendErrors: 1}:   {unix.EIO, unix.EINVAL},
	} {
		for _, err := range errs {
			var l Link
			l.count(fmt.Errorf("sending: %w", err))
			require.Equal(t, want, l.Counters(), "%v", err)
		}
	}
}
