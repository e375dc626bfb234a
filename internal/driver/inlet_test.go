package driver

import (
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
)

// door is an inlet in which nothing ever arrives.
type door struct {
	free   bool // it may be taken
	stays  bool // who receives may go on
	intr   chan struct{}
	waits  int
	leaves []bool // what each guest said of others who wait
	brings string // what arrives in the buffer of the next Read
}

func (d *door) Take(any) (taken bool) {
	taken, d.free = d.free, false
	return taken
}

func (d *door) Receive(b []byte, wait bool) (int, bool) {
	if n := copy(b, d.brings); n > 0 {
		d.brings = ""
		return n, d.stays
	}
	if wait {
		d.waits++
		<-d.intr
	}
	return 0, d.stays
}

func (d *door) Leave(wanted bool) { d.leaves = append(d.leaves, wanted) }

func (d *door) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		select {
		case d.intr <- struct{}{}:
		default:
		}
	}
	return nil
}

// atDoor runs f with a connection whose packets come in at a door.
func atDoor(t *testing.T, f func(p *postbox, d *door)) {
	synctest.Test(t, func(t *testing.T) {
		d := &door{free: true, stays: true, intr: make(chan struct{}, 1)}
		p := newPostbox()
		p.inlet = d
		f(p, d)
		p.c.Abort(engine.ResetUnspecified)
	})
}

// Who waits in Read receives, until its deadline passes, another call moves that, or the connection is closed.
func TestReadWaitsWhereThePacketsComeIn(t *testing.T) {
	read := func(p *postbox) chan error {
		done := make(chan error, 1)
		go func() {
			_, err := p.c.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		return done
	}
	atDoor(t, func(p *postbox, d *door) {
		require.NoError(t, p.c.SetReadDeadline(time.Now().Add(time.Second)))
		began := time.Now()
		require.ErrorIs(t, <-read(p), os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
		require.Equal(t, []bool{false}, d.leaves)

		d.free = true
		require.NoError(t, p.c.SetReadDeadline(time.Time{}))
		done := read(p)
		require.Empty(t, done)
		require.NoError(t, p.c.SetReadDeadline(longAgo))
		require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)

		d.free = true
		require.NoError(t, p.c.SetReadDeadline(time.Time{}))
		done = read(p)
		require.NoError(t, p.c.Close())
		require.ErrorIs(t, <-done, net.ErrClosed)
		require.Equal(t, []bool{false, false, true}, d.leaves, "what the peer says to the end is waited for")
		require.Equal(t, 3, d.waits)
	})
}

// What has arrived in the buffer of a Read is what it returns, also when it may not receive any more.
func TestReadLendsItsBuffer(t *testing.T) {
	atDoor(t, func(p *postbox, d *door) {
		b := make([]byte, 16)
		for _, d.stays = range []bool{true, false} {
			d.brings, d.free = "at once", true
			n, err := p.c.Read(b)
			require.NoError(t, err)
			require.Equal(t, "at once", string(b[:n]))
		}
		require.Zero(t, d.waits)
		require.Equal(t, []bool{false, false}, d.leaves)
	})
}

// Who loses the right to receive waits for what others receive.
func TestReadIsSentAwayFromWhereThePacketsComeIn(t *testing.T) {
	atDoor(t, func(p *postbox, d *door) {
		done := make(chan error, 1)
		go func() {
			_, err := p.c.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		d.stays = false
		d.intr <- struct{}{}
		synctest.Wait()
		require.Equal(t, []bool{false}, d.leaves)
		require.Empty(t, done, "it waits on")
		require.NoError(t, p.c.SetReadDeadline(longAgo))
		require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
		require.Equal(t, 1, d.waits)
	})
}

// A caller of Write that finds no room receives as well; and who leaves while another caller waits says so.
func TestWriteWaitsWhereThePacketsComeIn(t *testing.T) {
	atDoor(t, func(p *postbox, d *door) {
		wrote, read := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := io.Copy(p.c, zeros{}) // until there is no room
			wrote <- err
		}()
		synctest.Wait()
		require.Equal(t, 1, d.waits)
		go func() {
			_, err := p.c.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		require.Equal(t, 1, d.waits)
		require.NoError(t, p.c.SetWriteDeadline(longAgo))
		require.ErrorIs(t, <-wrote, os.ErrDeadlineExceeded)
		require.Equal(t, []bool{true}, d.leaves)
		require.Empty(t, read)
		require.NoError(t, p.c.SetReadDeadline(longAgo))
		require.ErrorIs(t, <-read, os.ErrDeadlineExceeded)
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
