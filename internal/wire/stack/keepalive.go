package stack

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// ChangeKeepAlive changes how the subflows that a connection has now probe a silent peer.
func ChangeKeepAlive(d *driver.Conn, change func(*tcp.KeepAlive)) {
	d.EachPackets(func(now time.Duration, p driver.Packets) {
		if p, ok := p.(*port); ok {
			p.flow.Conn().ChangeKeepAlive(now, change)
		}
	})
}
