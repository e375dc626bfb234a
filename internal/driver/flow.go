package driver

import (
	"net"
	"time"

	"github.com/mptcp-go/mptcp/engine"
)

// flow is one subflow with its socket. The connection's lock guards it, except for buf, which belongs
// to the holder of the reader role while it is in a system call.
type flow struct {
	id  engine.PathID
	f   Flow
	net net.Conn
	raw Raw // nil: blocking calls only

	own      bool // has a reader goroutine of its own
	joining  bool // nothing has come from the peer yet
	gone     bool // not in Conn.flows any more
	eof      bool // nothing more is read: the peer's FIN has come, or it broke the protocol
	finSent  bool
	writer   func() // what a writer goroutine does
	writing  bool   // somebody has the write token
	idle     bool   // what is pending does not leave by itself
	blocked  bool   // a writer goroutine waits for the socket
	hurried  bool   // the blocking write under way got a deadline
	inFlight bool   // a system call reads what Gather returned
	drained  bool   // the last read left nothing in the socket
	burst    int    // bytes read since other flows were looked at
	hold     time.Duration
	collect  time.Duration // until when what is queued waits for more (collect.go); 0: it does not
	prologue []byte
	intake   Intake
	broken   error // writing failed
	until    limit // for intake to be done, or for reading after broken
	buf      readBuffers
	pace     pace
}

// pace is what the kernel says of a flow, and what follows from it.
type pace struct {
	stats engine.FlowStats
	at    time.Duration // when stats were read
	rate  int64         // that lowat and the flow's cap follow, bytes per second
	lowat int
	grain int  // what a record is at most; 0: nothing is known
	full  bool // the socket was full since the last look
}

// feed takes bytes that were read outside the reader role.
func (c *Conn) feed(now time.Duration, f *flow, b []byte) error {
	c.heard(now, f)
	if f.intake != nil {
		n, done, err := f.intake.Feed(now, c.eng, b)
		if err != nil {
			return err
		}
		b = b[n:]
		if !done {
			return nil
		}
		f.intake, f.until = nil, limit{}
	}
	if len(b) == 0 || f.gone {
		return nil
	}
	return f.f.Feed(now, b)
}

// heard notes that the peer is there.
func (c *Conn) heard(now time.Duration, f *flow) {
	c.lastIO = now
	f.joining = false
}

func (c *Conn) flow(id engine.PathID) *flow {
	for _, f := range c.flows {
		if f.id == id {
			return f
		}
	}
	return nil
}
