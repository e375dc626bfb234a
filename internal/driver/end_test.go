package driver

import (
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/options"
)

// starvedConn is a socket whose reader gets the processor late.
type starvedConn struct {
	net.Conn
	late time.Duration
}

func (c starvedConn) Read(b []byte) (int, error) {
	time.Sleep(c.late)
	return c.Conn.Read(b)
}

// finished is a connection whose DATA_FINs are acknowledged both ways. Its subflow's FINs are still to come: end closes the
// peer's socket.
func finished(t *testing.T, socket func(net.Conn) net.Conn) (c *Conn, w *wire, end func()) {
	ours, theirs := net.Pipe()
	c, w = attachedTo(t, Params{}, socket(ours))
	require.NoError(t, c.Close())
	_, err := theirs.Write(options.DSS{
		HasAck: true, Ack64: true, DataAck: ourKey.IDSN() + 2,
		HasMap: true, DSN64: true, DSN: theirKey.IDSN() + 1, DataLen: 1, DataFIN: true,
	}.Append(nil))
	require.NoError(t, err)
	synctest.Wait()
	return c, w, func() { require.NoError(t, theirs.Close()) }
}

// breaks makes writing to the subflow of c fail, as where the peer has closed its socket whole. Reading goes on.
func (c *Conn) breaks(t *testing.T, w *wire) {
	require.NoError(t, c.NetConns()[0].SetWriteDeadline(longAgo))
	c.Update(func(time.Duration, *engine.Conn) { w.out = []byte("late") })
	synctest.Wait()
}

// The peer's FIN counts, though our last words found no listener: it says that the peer waits for nothing, else TIME_WAIT
// would last a minute.
func TestFINIsHeardThoughWritingFailed(t *testing.T) {
	for _, starved := range []time.Duration{0, 300 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			c, w, end := finished(t, func(ours net.Conn) net.Conn { return starvedConn{ours, starved} })
			start := time.Now()
			c.breaks(t, w)
			end()
			<-c.Closed()
			require.LessOrEqual(t, time.Since(start), starved, "nothing but the reader is waited for")
			require.NoError(t, c.Err())
		})
	}
}

// Likewise when alarm and reader are late by more than the time that reading has.
func TestFINIsHeardByAReaderAsLateAsTheAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slept = 3 * lastRead
		wake := time.Now().Add(slept)
		c, w, end := finished(t, func(ours net.Conn) net.Conn {
			return &asleep{Conn: ours, from: time.Now().Add(time.Nanosecond), wake: wake}
		})
		time.Sleep(time.Nanosecond)
		c.breaks(t, w)
		c.alarm.t.Reset(slept)
		end()
		<-c.Closed()
		require.LessOrEqual(t, time.Since(wake), time.Duration(0), "TIME_WAIT would last a minute")
		require.NoError(t, c.Err())
	})
}

// A connection whose last subflow is over goes, whatever the alarm was set for: TIME-WAIT would keep it for a minute, and so
// would a timer that is stopped but not ended.
func TestNothingHoldsAConnectionThatIsOver(t *testing.T) {
	abort := func(p *postbox) { p.do(func(now time.Duration) { p.c.abort(now, engine.ResetUnspecified) }) }
	wait := func(p *postbox) { p.do(func(now time.Duration) { p.due = now + time.Minute }) }
	over := func(p *postbox) { p.do(func(time.Duration) { p.over = true }) }
	for name, steps := range map[string][]func(*postbox){
		"the subflow after the connection": {abort, wait, over},
		"the connection after the subflow": {wait, over, abort},
		"both at once": {wait, func(p *postbox) {
			p.over = true
			abort(p)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := func() weak.Pointer[Conn] {
					p := newPostbox()
					for _, step := range steps {
						step(p)
					}
					<-p.released
					<-p.c.Closed()
					return weak.Make(p.c)
				}()
				runtime.GC()
				require.Nil(t, w.Value())
			})
		})
	}
}
