package driver

import "time"

// A packet costs a call into the kernel, in which the kernel copies it and, where the peer is on this host, does the
// peer's work as well. An application that writes and writes would wait for that after each write, and copy the next piece
// only then, all of it on one CPU. So what it writes without a pause is sent by a goroutine, which goes on as long as
// there is something to send. Everybody else sends what he writes himself: to wake another costs more than that.
const (
	// pause is how long a writer may stay away and still be believed to write without one.
	pause = 200 * time.Microsecond
	// bigPiece is the least write that is worth the goroutine, in bytes.
	bigPiece = 16 << 10
)

// run is what the application writes without a pause.
type run struct {
	bytes   int           // runSize at the most
	ended   time.Duration // when the last write ended
	send    func()        // Conn.sender, made once
	started bool          // it has been started, and has not come to the lock yet
}

// begin begins a write.
func (r *run) begin(now time.Duration) {
	if now-r.ended > pause {
		r.bytes = 0
	}
}

// add adds n bytes that have been taken.
func (r *run) add(n int) { r.bytes = min(r.bytes+n, runSize) }

// inRun says whether a write of n bytes leaves the sending to the sender.
func (c *Conn) inRun(n int) bool {
	return c.run.bytes >= runSize && n >= bigPiece && len(c.packets) > 0
}

// handsOver does so, if inRun: it starts the sender.
func (c *Conn) handsOver(n int) bool {
	if !c.inRun(n) {
		return false
	}
	if !c.run.started {
		if c.run.send == nil {
			c.run.send = c.sender
		}
		c.run.started = true
		go c.run.send()
	}
	return true
}

// sender gives a write the consequences that every event has.
func (c *Conn) sender() {
	c.mu.Lock()
	c.run.started = false
	c.leave(c.now())
}
