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
		id, err := strconv.Atoi(arg)
		return errors.Join(err, c.SetBackup(extapi.PathID(id), verb == "backup"))
	case "remove":
		addr, err := netip.ParseAddrPort(arg)
		return errors.Join(err, c.RemoveLocalAddr(addr))
	case "add":
		addr, err := netip.ParseAddrPort(arg)
		return errors.Join(err, c.AddLocalAddr(addr))
	}
	return errors.New("nobody knows this command")
}
