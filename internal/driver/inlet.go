package driver

// Inlet is where packets come in, those of packet flows of this connection and of others. A goroutine of the carrier's
// receives them, or who has the reader role: internal/wire/link has the contract.
type Inlet interface {
	parking
	Take(conn any) bool
	Receive(b []byte, wait bool) (n int, stays bool)
	Leave(wanted bool)
}

// takeInlet takes the right to receive where the connection's packets come in.
func (c *Conn) takeInlet() bool {
	if c.owns > 0 {
		return false
	}
	for _, f := range c.packets {
		if in := f.p.Inlet(); in != nil && in.Take(c) {
			c.role.inlet = in
			return true
		}
	}
	return false
}

// leaveInlet gives it back. Who else waits for what comes in must not have to wait for the next Read.
func (c *Conn) leaveInlet() {
	in := c.role.inlet
	c.role.inlet = nil
	in.Leave(c.rd.waiting || c.wr.waiting || c.readNow())
}

// receive receives one batch of packets, which are fed as if they came from the carrier: the lock is free meanwhile. What comes
// next in order may arrive in app; receive returns how much did.
func (c *Conn) receive(app []byte, wait bool) (direct int) {
	in := c.role.inlet
	if in == nil {
		return 0
	}
	if wait {
		c.role.parked = in
	}
	c.mu.Unlock()
	direct, stays := in.Receive(app, wait)
	c.mu.Lock()
	c.unpark()
	if !stays {
		c.give(c.now())
	}
	return direct
}
