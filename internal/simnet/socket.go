package simnet

import (
	"errors"
	"io"
	"time"
)

// ErrRefused is the answer of a host where nobody listens.
var ErrRefused = errors.New("simnet: connection refused")

// Socket is one end of an emulated kernel TCP connection: two pipes.
type Socket struct {
	sim      *Sim
	out, in  *Pipe
	peer     *Socket
	dead     bool
	eof      bool
	onClosed func(error)
}

// Connect makes a connection that stands already: up carries what a writes, down what b writes.
func (s *Sim) Connect(cfg PipeConfig, up, down []*Link) (a, b *Socket) {
	there, back := s.NewPipe(cfg, up, down), s.NewPipe(cfg, down, up)
	a = &Socket{sim: s, out: there, in: back}
	b = &Socket{sim: s, out: back, in: there}
	a.peer, b.peer = b, a
	for _, e := range []*Socket{a, b} {
		e.in.recv.refuse = e.sendReset
		e.in.ended = e.inEnded
	}
	return a, b
}

// Write takes what fits into the send buffer.
func (s *Socket) Write(b []byte) (n int) {
	if s.dead {
		return 0
	}
	return s.out.Write(b)
}

// OnReadable sets who gets the bytes that arrive. b may be kept.
func (s *Socket) OnReadable(fn func(b []byte)) { s.in.OnReadable(fn) }

// OnWritable sets who is called when a Write that was short may go on.
func (s *Socket) OnWritable(fn func()) { s.out.OnWritable(fn) }

// OnClosed sets who is told of the end: io.EOF once the peer has closed its half in order, ErrReset
// when the connection is gone.
func (s *Socket) OnClosed(fn func(error)) { s.onClosed = fn }

// Pause makes this end stop reading; Resume undoes it.
func (s *Socket) Pause() { s.in.Pause() }

// Resume makes it read again.
func (s *Socket) Resume() { s.in.Resume() }

// SetLowat caps the unsent bytes that Write takes, like TCP_NOTSENT_LOWAT; 0: no cap.
func (s *Socket) SetLowat(bytes int64) {
	s.out.cfg.Lowat = bytes
	s.out.tellWritable()
}

// CloseWrite sends a FIN after what was written.
func (s *Socket) CloseWrite() {
	if !s.dead {
		s.out.CloseWrite()
	}
}

// Stats are those of what this end sends.
func (s *Socket) Stats() Stats { return s.out.Stats() }

// Room is how many bytes Write takes now.
func (s *Socket) Room() int64 {
	if s.dead || s.out.err != nil {
		return 0
	}
	return s.out.Room()
}

// Abort resets the connection. This end is done at once and is not told; the peer learns of it when
// the reset arrives, or when it next sends something.
func (s *Socket) Abort() {
	if s.dead {
		return
	}
	s.dead = true
	s.out.send.dead, s.in.recv.dead = true, true
	s.out.send.rto.Stop()
	s.sendReset()
}

// Discard makes this end read nothing more: what arrives from now on is answered with a reset, as a
// closed socket does. What was written is still delivered.
func (s *Socket) Discard() {
	if s.in.err == nil {
		s.in.recv.deaf = true
		if len(s.in.recv.held) > 0 {
			s.sendReset()
		}
	}
}

func (s *Socket) sendReset() { travel(s.out.hops, headerSize, s.peer.kill, func() {}) }

// kill ends this socket with a reset.
func (s *Socket) kill() {
	if s.dead {
		return
	}
	s.dead = true
	s.out.end(ErrReset)
	s.in.end(ErrReset)
	if s.onClosed != nil {
		s.onClosed(ErrReset)
	}
}

func (s *Socket) inEnded(err error) {
	if err != io.EOF {
		s.kill()
		s.peer.kill()
		return
	}
	s.eof = true
	if s.onClosed != nil && !s.dead {
		s.onClosed(io.EOF)
	}
}

// Dialing is a connection attempt.
type Dialing struct {
	sim    *Sim
	up     []*Link
	down   []*Link
	tries  int
	retry  *Event
	begun  time.Duration
	server *Socket
	client *Socket
	over   bool
}

// Dial opens a connection with a handshake of three packets; SYNs are sent again after 1, 3, 7, ...
// seconds. accept is asked when the first SYN arrives: nil refuses; else what it returns is called
// with the server's socket once the handshake is over there. done gets the client's socket, or an
// error.
func (s *Sim) Dial(cfg PipeConfig, up, down []*Link, accept func() func(*Socket), done func(*Socket, error)) *Dialing {
	d := &Dialing{sim: s, up: up, down: down, begun: s.now}
	finish := func(c *Socket, err error) {
		if d.over {
			return
		}
		d.over = true
		d.retry.Stop()
		done(c, err)
	}
	var accepted func(*Socket)
	syn := func() {
		if d.server == nil && !d.over {
			if accepted = accept(); accepted == nil {
				travel(down, headerSize, func() { finish(nil, ErrRefused) }, func() {})
				return
			}
			d.client, d.server = s.Connect(cfg, up, down)
			d.server.in.Pause()
			d.server.in.recv.first = func() {
				accepted(d.server)
				d.server.in.Resume()
			}
		}
		if d.server == nil {
			return
		}
		travel(down, headerSize, func() {
			if d.over {
				return
			}
			d.client.out.seed(s.now - d.begun)
			travel(up, headerSize, d.server.handshaken, func() {})
			finish(d.client, nil)
		}, func() {})
	}
	d.send(syn)
	return d
}

// handshaken takes the third packet.
func (s *Socket) handshaken() {
	if first := s.in.recv.first; first != nil && !s.dead {
		s.in.recv.first = nil
		first()
	}
}

// seed takes the round-trip time of the handshake.
func (p *Pipe) seed(rtt time.Duration) {
	if p.send.srtt == 0 && rtt > 0 {
		p.send.srtt, p.send.rttvar, p.send.minRTT = rtt, rtt/2, rtt
	}
}

func (d *Dialing) send(syn func()) {
	if d.over {
		return
	}
	d.retry = d.sim.After(time.Second<<d.tries, func() { d.send(syn) })
	d.tries = min(d.tries+1, 6)
	travel(d.up, headerSize, syn, func() {})
}

// Cancel gives up.
func (d *Dialing) Cancel() {
	d.over = true
	d.retry.Stop()
	if d.client != nil {
		d.client.Abort()
	}
}
