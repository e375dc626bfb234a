package rawip

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// free reports whether another program could listen on a port.
func free(t *testing.T, a netip.AddrPort) bool {
	t.Helper()
	nl, err := net.Listen("tcp4", a.String())
	if err == nil {
		nl.Close()
		return true
	}
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	return false
}

// freePort is a port of this host's that nobody uses.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	nl, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer nl.Close()
	return nl.Addr().(*net.TCPAddr).AddrPort()
}

// What the peer still sends to a flow that a RST has ended meets the shield, and not the kernel, for a second or two; then the port
// is free.
func TestShieldOutlastsItsFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, filtered := unfiltered(t)
		local := freePort(t)
		f := connect(t, p, local, remote(1))
		p.remove(f)
		for range 10 {
			got, h, ours := p.lookup(local, remote(1), 0)
			require.True(t, ours, "a segment is answered here")
			require.Nil(t, got)
			require.Nil(t, h)
			require.True(t, p.holds(local, 0), "so that there can be an answer")
			require.True(t, filtered.through(local))
			require.False(t, free(t, local))
			time.Sleep(restTime / 10)
			synctest.Wait()
		}
		time.Sleep(restTime)
		synctest.Wait()
		require.False(t, p.holds(local, 0))
		require.Empty(t, filtered.spans())
		require.True(t, free(t, local))
		require.Nil(t, p.resting.timer)
	})
}

// A port that rests is taken again as if it had been free, and stays when its rest would have ended.
func TestRestingPortIsTakenAgain(t *testing.T) {
	take := map[string]func(p *ports, local netip.AddrPort) (giveBack func(), err error){
		"by a flow to the same remote": func(p *ports, local netip.AddrPort) (func(), error) {
			f := &flow{tuple: tupleOf(local, remote(1), 0), handler: newRecorder()}
			return func() { p.remove(f) }, p.connect(f)
		},
		"by a listener": func(p *ports, local netip.AddrPort) (func(), error) {
			h, err := p.listen(local, 0, newRecorder())
			return func() { p.unlisten(h) }, err
		},
	}
	for name, again := range take {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, filtered := unfiltered(t)
				local := freePort(t)
				p.remove(connect(t, p, local, remote(1)))
				time.Sleep(restTime / 2)
				giveBack, err := again(p, local)
				require.NoError(t, err)
				time.Sleep(3 * restTime)
				synctest.Wait()
				require.True(t, p.holds(local, 0))
				require.True(t, filtered.through(local))
				require.Equal(t, 1, p.held[door{local, 0}].users)

				giveBack()
				time.Sleep(3 * restTime)
				synctest.Wait()
				require.True(t, free(t, local))
				require.Empty(t, filtered.spans())
			})
		})
	}
}

// A client's next flow goes from a port that does not rest, as long as there is one: its peer may still have the old flow.
func TestRestingPortIsNotPreferred(t *testing.T) {
	p, _ := unfiltered(t)
	first, second := connect(t, p, netip.AddrPortFrom(here, 0), remote(1)), connect(t, p, netip.AddrPortFrom(here, 0), remote(1))
	p.remove(second)
	rested(p)
	p.remove(first)
	require.Equal(t, second.local, connect(t, p, netip.AddrPortFrom(here, 0), remote(1)).local)
	require.Equal(t, first.local, connect(t, p, netip.AddrPortFrom(here, 0), remote(1)).local)
}

// The sockets and the filter have bounds, however many connections a peer resets.
func TestRestingPortsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, filtered := unfiltered(t)
		port := freePort(t).Port()
		var ended []netip.AddrPort
		for i := range 2*maxResting + 1 {
			at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 2, byte(i >> 8), byte(i)}), port)
			p.remove(connect(t, p, at, remote(1)))
			ended = append(ended, at)
			require.LessOrEqual(t, len(p.held), maxResting)
			require.LessOrEqual(t, p.resting.list.Len(), maxResting)
		}
		require.False(t, p.holds(ended[maxResting], 0), "the oldest has made room")
		require.True(t, free(t, ended[maxResting]))
		require.True(t, p.holds(ended[maxResting+1], 0))
		time.Sleep(3 * restTime)
		synctest.Wait()
		require.Empty(t, p.held)
		require.Empty(t, filtered.spans())
	})
}

// What rests when the link is closed does not rest any longer, and nothing looks after it.
func TestClosedWhilePortsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, filtered := unfiltered(t)
		local := freePort(t)
		p.remove(connect(t, p, local, remote(1)))
		p.close()
		require.True(t, free(t, local))
		changes := filtered.changes()
		time.Sleep(3 * restTime)
		synctest.Wait()
		require.Zero(t, p.resting.list.Len())
		require.Equal(t, changes, filtered.changes())
	})
}
