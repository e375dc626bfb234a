package rawip

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

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

// receiving starts a receiver on a socket of another kind, and says how many batches it has handled.
func receiving(t *testing.T, f *os.File) (*Link, *atomic.Int64) {
	t.Helper()
	began := time.Now()
	l := &Link{cfg: Config{Clock: func() time.Duration { return time.Since(began) }}, stack: new(tallying), done: make(chan struct{})}
	c, err := f.SyscallConn()
	require.NoError(t, err)
	handled := new(atomic.Int64)
	l.start(&rawSocket{file: f, conn: c}, 1, func(*Link, *reader, int, time.Duration) { handled.Add(1) })
	t.Cleanup(func() {
		l.closed.Store(true)
		close(l.done)
		f.Close()
		l.running.Wait()
	})
	return l, handled
}

// An error of receiving is counted, and what comes after it is received.
func TestReceiveErrorsAreSurvived(t *testing.T) {
	there, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	at := there.LocalAddr().(*net.UDPAddr)
	c, err := net.DialUDP("udp4", nil, at)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, there.Close())
	_, err = c.Write([]byte{1}) // nobody is there: an error for who receives
	require.NoError(t, err)
	f, err := c.File()
	require.NoError(t, err)
	require.NoError(t, unix.SetNonblock(int(f.Fd()), true))
	l, handled := receiving(t, f)
	require.Eventually(t, func() bool { return l.Counters().ReceiveErrors == 1 }, 5*time.Second, time.Millisecond)
	there, err = net.ListenUDP("udp4", at)
	require.NoError(t, err)
	defer there.Close()
	_, err = there.WriteTo([]byte{2}, c.LocalAddr())
	require.NoError(t, err)
	require.Eventually(t, func() bool { return handled.Load() == 1 }, 5*time.Second, time.Millisecond)
	require.EqualValues(t, 1, l.Counters().ReceiveErrors)
}

// One that stays costs a hundred calls a second, and not a CPU.
func TestReceiveErrorsDoNotSpin(t *testing.T) {
	in, out, err := os.Pipe() // which is no socket
	require.NoError(t, err)
	defer out.Close()
	l, handled := receiving(t, in)
	require.Eventually(t, func() bool { return l.Counters().ReceiveErrors >= 2 }, 5*time.Second, time.Millisecond)
	began, before := time.Now(), l.Counters().ReceiveErrors
	time.Sleep(100 * time.Millisecond)
	require.LessOrEqual(t, l.Counters().ReceiveErrors-before, uint64(time.Since(began)/(10*time.Millisecond))+2)
	require.Zero(t, handled.Load())
}
