package mptcp

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/scheduler"
)

// pathControl steers the paths of a multipath connection.
type pathControl interface {
	SetPathPolicy(extapi.PathPolicy) error
	OpenSubflow(ctx context.Context, local, remote netip.AddrPort) (extapi.PathID, error)
	CloseSubflow(extapi.PathID) error
	SetBackup(extapi.PathID, bool) error
	AddLocalAddr(netip.AddrPort) error
	RemoveLocalAddr(netip.AddrPort) error
	SetScheduler(scheduler.Factory) error
}

// onPaths runs f on the connection's paths; a connection without any of its own answers ErrNotMultipath.
func (c *Conn) onPaths(op string, f func(pathControl) error) error {
	p := c.b.paths()
	if p == nil {
		return c.fail(op, ErrNotMultipath)
	}
	return c.fail(op, f(p))
}

// Info is a snapshot of the connection.
func (c *Conn) Info() extapi.ConnInfo { return c.b.Info() }

// Subflows are snapshots of the subflows that exist now, ordered by id: those on their way up or down are among
// them, told apart by State. A connection that fell back has one.
func (c *Conn) Subflows() []extapi.SubflowInfo { return c.b.Subflows() }

// SetPathPolicy replaces Config.Paths. It takes effect at once; subflows follow asynchronously.
// Like all calls that steer paths it fails with ErrNotMultipath on a connection that fell back.
func (c *Conn) SetPathPolicy(p extapi.PathPolicy) error {
	clone := Config{Paths: p}
	return c.onPaths("set", func(b pathControl) error { return b.SetPathPolicy(clone.Clone().Paths) })
}

// OpenSubflow opens a subflow and waits until it is usable or refused. Zero addresses mean any, and so does port 0 of
// local. The path policy still rules; its limits on how many subflows there are per interface and pair do not. Errors
// are *net.OpError with what the path or the peer said, or the cause of ctx: the subflow may then still come.
func (c *Conn) OpenSubflow(ctx context.Context, local, remote netip.AddrPort) (id extapi.PathID, err error) {
	err = c.onPaths("open", func(b pathControl) error {
		id, err = b.OpenSubflow(ctx, local, remote)
		return err
	})
	return id, err
}

// CloseSubflow closes a subflow asynchronously; its data moves elsewhere first. It is not opened again by itself. The last
// subflow that works can't be closed.
func (c *Conn) CloseSubflow(id extapi.PathID) error {
	return c.onPaths("close", func(b pathControl) error { return b.CloseSubflow(id) })
}

// SetBackup makes a subflow a backup, or takes that back, and tells the peer (MP_PRIO, RFC 8684 section 3.3.8). Both
// sides then send on it only while no other subflow works. A subflow that later takes its place, between the same two
// addresses, is what was said last, until SetPathPolicy.
func (c *Conn) SetBackup(id extapi.PathID, backup bool) error {
	return c.onPaths("set", func(b pathControl) error { return b.SetBackup(id, backup) })
}

// AddLocalAddr announces a further address of this side to the peer (ADD_ADDR), which may then join there: something must
// listen on it, with this Transport. The port has to be given. RFC 6897 section 5.3.3.
//
// In ModeWire an IPv6 address and its port have no room beside TCP's timestamps, which nearly all connections have: the peer never
// hears of it, and AddAddrTxDrop counts that. Only a port that the subflow in use has on this side, and the first one, is left out.
func (c *Conn) AddLocalAddr(a netip.AddrPort) error {
	return c.onPaths("set", func(b pathControl) error { return b.AddLocalAddr(a) })
}

// RemoveLocalAddr closes the subflows that use a local address, on any port where a's is 0, and withdraws the
// address from the peer (REMOVE_ADDR) if AddLocalAddr announced it. The last subflow that works stays, with an error.
func (c *Conn) RemoveLocalAddr(a netip.AddrPort) error {
	return c.onPaths("set", func(b pathControl) error { return b.RemoveLocalAddr(a) })
}

// SetScheduler replaces Config.Scheduler from the next chunk on. nil: scheduler.MinRTT.
func (c *Conn) SetScheduler(f scheduler.Factory) error {
	if f == nil {
		f = scheduler.MinRTT
	}
	return c.onPaths("set", func(b pathControl) error { return b.SetScheduler(f) })
}

// Watch reports events until ctx or the connection ends; the channel is closed then. It is buffered: events
// that nobody reads are dropped and counted in an extapi.EventsLost.
func (c *Conn) Watch(ctx context.Context) <-chan extapi.Event { return c.b.Watch(ctx) }

// SetNoDelay follows net.TCPConn. A multipath connection never delays, whatever is set.
func (c *Conn) SetNoDelay(on bool) error {
	if c.b.paths() != nil {
		return nil
	}
	return c.set(func(t *net.TCPConn) error { return t.SetNoDelay(on) })
}

// SetLinger follows net.TCPConn: 0 makes Close abort, negative is the default, positive makes Close wait that
// many seconds for delivery.
func (c *Conn) SetLinger(sec int) error { return c.fail("set", c.b.setLinger(sec)) }

// SetKeepAlive follows net.TCPConn, on the subflows that there are now.
func (c *Conn) SetKeepAlive(on bool) error {
	return c.setKeepAlive(func(k keepAliver) error { return k.SetKeepAlive(on) })
}

// SetKeepAlivePeriod follows net.TCPConn, on the subflows that there are now.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	return c.setKeepAlive(func(k keepAliver) error { return k.SetKeepAlivePeriod(d) })
}

// SetKeepAliveConfig follows net.TCPConn, on the subflows that there are now.
func (c *Conn) SetKeepAliveConfig(cfg net.KeepAliveConfig) error {
	return c.setKeepAlive(func(k keepAliver) error { return k.SetKeepAliveConfig(cfg) })
}

// SetReadBuffer follows net.TCPConn. On a multipath connection it changes nothing: Config.RecvBuffer rules.
func (c *Conn) SetReadBuffer(bytes int) error {
	if c.b.paths() != nil {
		return nil
	}
	return c.set(func(t *net.TCPConn) error { return t.SetReadBuffer(bytes) })
}

// SetWriteBuffer follows net.TCPConn. On a multipath connection it changes nothing: Config.SendBuffer rules.
func (c *Conn) SetWriteBuffer(bytes int) error {
	if c.b.paths() != nil {
		return nil
	}
	return c.set(func(t *net.TCPConn) error { return t.SetWriteBuffer(bytes) })
}

// set applies f to the sockets of the connection.
func (c *Conn) set(f func(*net.TCPConn) error) error {
	return c.fail("set", onSockets(c.b.sockets(), f))
}
