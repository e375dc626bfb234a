package tcp

import (
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/recovery"
)

// scratch is what would have to be allocated again for each segment, since interfaces make it escape. An idle
// connection has none.
type scratch struct {
	head     header
	incoming Incoming
	outgoing Outgoing
	acked    recovery.Ack
	sacks    [4]Range
}

var scratches pool.Free[scratch]

func (c *Conn) borrow() { c.scratch = scratches.Get() }

func (c *Conn) giveBack() {
	scratches.Put(c.scratch)
	c.scratch = nil
}
