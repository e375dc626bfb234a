package stack

import (
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// parted is a connection that the server has closed first, and then the client: the server's end of it is in TIME-WAIT. It
// returns the client's end, and the server's port, and the client's FIN.
func (w *world) parted() (c *driver.Conn, p *port, fin packet.Segment) {
	w.t.Helper()
	w.fabric.watch(func(s *packet.Segment) bool {
		if s.Flags.Has(packet.FIN) && s.Dst == serverAt {
			fin = packet.Segment{Src: s.Src, Dst: s.Dst, Seq: s.Seq, Ack: s.Ack, Flags: s.Flags, Options: append([]byte(nil), s.Options...)}
		}
		return false
	})
	client, server := w.dial(w.seed(true))
	for _, x := range w.server.allPorts() {
		if x.d.Load() == server.d {
			p = x
		}
	}
	w.hello(client.d, server.d)
	w.part(server.d, client.d)
	<-client.d.Closed()
	<-server.d.Closed()
	synctest.Wait()
	w.fabric.watch(nil)
	return client.d, p, fin
}

// answersTo are the segments with which the server answers one.
func (w *world) answersTo(s packet.Segment, to func(*packet.Segment)) (answers []packet.Segment) {
	w.fabric.watch(func(s *packet.Segment) bool {
		answers = append(answers, *s)
		return true
	})
	defer w.fabric.watch(nil)
	to(&s)
	w.server.Flush(0)
	synctest.Wait()
	return answers
}

// toServer is the way of a segment that comes to the server's host.
func (w *world) toServer(s *packet.Segment) {
	b, err := s.Append(nil, packet.FullChecksum)
	require.NoError(w.t, err)
	w.fabric.hosts[1].arrive(b)
	time.Sleep(time.Second)
}

// forgetConns is what a program does with connections that are over.
func (w *world) forgetConns() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = nil
	clear(w.byToken)
}

// What a connection was goes with its end. Only what TIME-WAIT needs stays.
func TestTimeWaitLetsGoOfTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		conns, ports := func() (conns []weak.Pointer[driver.Conn], ports []weak.Pointer[port]) {
			c, s := w.dial(w.seed(true))
			for _, stack := range []*Stack{w.client, w.server} {
				for _, p := range stack.allPorts() {
					ports = append(ports, weak.Make(p))
				}
			}
			w.hello(c.d, s.d)
			w.part(s.d, c.d)
			<-s.d.Closed()
			return []weak.Pointer[driver.Conn]{weak.Make(c.d), weak.Make(s.d)}, ports
		}()
		synctest.Wait()
		w.forgetConns()
		require.Len(t, ports, 2)
		runtime.GC()
		for i, who := range []string{"client", "server"} {
			require.Nil(t, conns[i].Value(), who)
			require.Nil(t, ports[i].Value(), who)
		}
		require.Equal(t, 1, waiting(w.server))
	})
}

// A connection in TIME-WAIT takes little.
func TestTimeWaitIsSmall(t *testing.T) {
	if race == 1 {
		t.Skip("the race detector takes more")
	}
	synctest.Test(t, func(t *testing.T) {
		const conns = 1000
		w := newDistantWorld(t)
		w.parted()
		before := heap()
		for range conns {
			w.served()
		}
		synctest.Wait()
		w.forgetConns()
		require.Equal(t, conns+1, waiting(w.server))
		each := (heap() - before) / conns
		t.Logf("%d bytes each", each)
		require.Less(t, each, int64(1<<10))
	})
}

// TIME-WAIT lasts for 2 MSL, and for that long again after each FIN that comes again, which is answered.
func TestTimeWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		_, _, fin := w.parted()
		began := time.Now()
		w.parted()
		time.Sleep(time.Until(began.Add(30 * time.Second)))
		answers := w.answersTo(fin, w.toServer)
		require.Len(t, answers, 1)
		require.Equal(t, packet.ACK, answers[0].Flags)
		require.Equal(t, fin.Seq+1, answers[0].Ack)
		for _, x := range []struct {
			at   time.Duration
			want int
		}{{59 * time.Second, 2}, {62 * time.Second, 1}, {89 * time.Second, 1}, {92 * time.Second, 0}} {
			time.Sleep(time.Until(began.Add(x.at)))
			_, flows, _ := w.population()
			require.Equal(t, [2]int{x.want, x.want}, [2]int{waiting(w.server), flows}, x.at)
		}
		answers = w.answersTo(fin, w.toServer)
		require.Len(t, answers, 1)
		require.Equal(t, packet.RST, answers[0].Flags, "nobody knows of it any more")
	})
}

// A segment that has found the port before it was buried is answered by what has taken its place.
func TestPortHandsOnToItsHeir(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		_, p, fin := w.parted()
		answers := w.answersTo(fin, func(s *packet.Segment) { p.HandleSegment(0, s, pool.Ref{}) })
		require.Len(t, answers, 1)
		require.Equal(t, packet.ACK, answers[0].Flags)
		require.Equal(t, fin.Seq+1, answers[0].Ack)
	})
}

// RFC 6191 section 2: a SYN that can't be an old one begins a new connection, where its predecessor is in TIME-WAIT still.
func TestTimeWaitIsReopened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		first, _, _ := w.parted()
		require.Equal(t, 1, waiting(w.server))
		from := netip.MustParseAddrPort(first.LocalAddr().String())
		var resets atomic.Int64
		w.fabric.watch(func(s *packet.Segment) bool {
			if s.Flags.Has(packet.RST) {
				resets.Add(1)
			}
			return false
		})
		began := time.Now()
		d, r, err := w.client.Dial(t.Context(), w.seed(true), from, serverAt, "")
		require.NoError(t, err)
		require.Equal(t, extapi.FallbackNone, r.Fallback)
		w.keep(d)
		s := <-w.accepted
		require.Less(t, time.Since(began), 500*time.Millisecond, "at once")
		require.Zero(t, waiting(w.server))
		exchange(t, d, s.d, 10_000)
		require.Zero(t, resets.Load())
	})
}

// elsewhere is a Greeter of its own, which counts whom it welcomes.
type elsewhere struct {
	*world
	welcomed atomic.Int64
}

func (e *elsewhere) Welcome(d *driver.Conn, r wire.Result, owner any) {
	e.welcomed.Add(1)
	e.world.Welcome(d, r, owner)
}

// Who listens now gets the connection that ends TIME-WAIT, not who listened then.
func TestTimeWaitIsReopenedByWhoListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		first, _, _ := w.parted()
		from := netip.MustParseAddrPort(first.LocalAddr().String())
		require.NoError(t, w.l.Close())

		began := time.Now()
		_, _, err := w.client.Dial(t.Context(), w.seed(true), from, serverAt, "")
		require.ErrorIs(t, err, tcp.ErrRefused, "nobody listens")
		require.Less(t, time.Since(began), 500*time.Millisecond, "at once")
		require.Equal(t, 1, waiting(w.server), "TIME-WAIT goes on")

		e := &elsewhere{world: w}
		w.l, err = w.server.Listen(serverAt, ListenConfig{TCP: ourTCP}, e)
		require.NoError(t, err)
		d, _, err := w.client.Dial(t.Context(), w.seed(true), from, serverAt, "")
		require.NoError(t, err)
		w.keep(d)
		s := <-w.accepted
		require.EqualValues(t, 1, e.welcomed.Load())
		exchange(t, d, s.d, 1000)
	})
}

// A connection that was dialled from a port that is listened on, as joins are (RFC 8684 section 3.9.1), does not stand in the way
// of one that comes to it either.
func TestTimeWaitOfADialIsReopened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		clientAt := netip.AddrPortFrom(clientAddr, 9000)
		l, err := w.client.Listen(clientAt, ListenConfig{TCP: ourTCP}, w)
		require.NoError(t, err)
		defer l.Close()
		dial := func(from *Stack, local, remote netip.AddrPort) (near, far *driver.Conn) {
			d, _, err := from.Dial(t.Context(), w.seed(true), local, remote, "")
			require.NoError(t, err)
			w.keep(d)
			return d, (<-w.accepted).d
		}
		near, far := dial(w.server, serverAt, clientAt)
		w.hello(near, far)
		w.part(near, far)
		<-near.Closed()
		synctest.Wait()
		require.Equal(t, 1, waiting(w.server))

		began := time.Now()
		near, far = dial(w.client, clientAt, serverAt)
		require.Less(t, time.Since(began), 500*time.Millisecond, "at once")
		require.Zero(t, waiting(w.server))
		exchange(t, near, far, 1000)
	})
}

// Whoever ends TIME-WAIT forgets the four-tuple a little later: a SYN that comes between begins a connection all the same.
func TestTimeWaitThatIsOverIsNotInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		first, p, _ := w.parted()
		all := &w.server.waits
		all.mu.Lock()
		all.remove(p.heir)
		all.mu.Unlock()
		began := time.Now()
		d, _, err := w.client.Dial(t.Context(), w.seed(true), netip.MustParseAddrPort(first.LocalAddr().String()), serverAt, "")
		require.NoError(t, err)
		w.keep(d)
		require.Less(t, time.Since(began), 500*time.Millisecond, "at once")
		exchange(t, d, (<-w.accepted).d, 1000)
	})
}
