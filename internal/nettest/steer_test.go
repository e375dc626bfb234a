package nettest

import (
	"errors"
	"net/netip"
	"strconv"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// steer does to the newest connection what a command asks for.
func (a *actor) steer(verb, arg string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.conns) == 0 {
		return errors.New("there is no connection")
	}
	nc := a.conns[len(a.conns)-1]
	if verb == "reset" { // of either stack: RFC 8684 section 3.5 says what it is with Multipath TCP
		if err := nc.(interface{ SetLinger(int) error }).SetLinger(0); err != nil {
			return err
		}
		return nc.Close()
	}
	c, ok := nc.(*mptcp.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	switch verb {
	case "abort":
		return c.Abort(0)
	case "backup", "regular":
		return prefer(c, arg, verb == "backup")
	case "remove":
		addr, err := netip.ParseAddrPort(arg)
		return errors.Join(err, c.RemoveLocalAddr(addr))
	case "add":
		addr, err := netip.ParseAddrPort(arg)
		return errors.Join(err, c.AddLocalAddr(addr))
	}
	return errors.New("nobody knows this command")
}

// prefer says how the subflows over an interface are to be used. That holds for those which take their place: a path that was
// silent for a while is joined anew.
func prefer(c *mptcp.Conn, iface string, backup bool) error {
	for _, f := range c.Subflows() {
		if !over(f, iface) {
			continue
		}
		if err := c.SetBackup(f.ID, backup); err != nil && !errors.Is(err, mptcp.ErrNoSubflow) { // which has ended meanwhile
			return err
		}
	}
	return nil
}

// over says whether a subflow takes an interface of either host: one of its ends has an address there, or one that a translator
// has put into its place.
func over(f extapi.SubflowInfo, iface string) bool {
	i, err := strconv.Atoi(iface[1:])
	for _, a := range legAddrs(iface[:1], i, leg{family: 46}) {
		net := netip.PrefixFrom(a, prefixLen(a))
		if err == nil && (net.Contains(f.Local.Addr().Unmap()) || net.Contains(f.Remote.Addr().Unmap())) {
			return true
		}
	}
	return false
}
