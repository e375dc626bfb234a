package simnet

import (
	"errors"
	"io"
	"time"
)

// ErrReset is what both ends see of a connection that was reset.
var ErrReset = errors.New("simnet: connection reset")

const (
	headerSize  = 66 // Ethernet, IPv4, TCP with timestamps: 1448 of 1514 bytes are payload
	defaultMSS  = 1448
	initialCWnd = 10 // segments, RFC 6928

	minRTO = 200 * time.Millisecond // as Linux has it
	maxRTO = 120 * time.Second
)

// PipeConfig is the socket on both ends of a pipe. Zero fields take the default.
type PipeConfig struct {
	SendBuffer int64 // bytes neither acknowledged nor refused; 0: 4 MiB
	Lowat      int64 // of these, at most so many unsent, like TCP_NOTSENT_LOWAT; 0: no cap
	RecvBuffer int64 // bytes that a reader who pauses holds; 0: 4 MiB
	MSS        int64 // payload bytes per packet; 0: 1448
}

func (c PipeConfig) resolve() PipeConfig {
	def := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.SendBuffer, 4<<20)
	def(&c.RecvBuffer, 4<<20)
	def(&c.MSS, defaultMSS)
	return c
}

// Stats is what TCP_INFO would say of the sender.
type Stats struct {
	Written, Acked, Retransmitted int64 // bytes, ever
	InFlight, Unsent, CWnd        int64 // bytes
	Lost                          int64 // bytes known to be lost and not yet sent again, not in InFlight
	SRTT, RTTVar, MinRTT          time.Duration
	Rate                          int64         // bytes per second delivered, by the latest sample
	LastAck                       time.Duration // when Acked last grew
}

// Pipe is one direction of an emulated kernel TCP connection: reno against the queues of its hops,
// selective retransmission, RTO with exponential back-off.
type Pipe struct {
	sim  *Sim
	cfg  PipeConfig
	hops []*Link // for the data
	back []*Link // for the acknowledgements
	send sender
	recv receiver

	err  error // why it ended
	full bool  // a Write was short: OnWritable is owed

	readable func([]byte)
	writable func()
	ended    func(error)
}

// NewPipe makes a pipe whose data passes hops and whose acknowledgements pass back.
func (s *Sim) NewPipe(cfg PipeConfig, hops, back []*Link) *Pipe {
	p := &Pipe{sim: s, cfg: cfg.resolve(), hops: hops, back: back}
	p.send.cwnd = initialCWnd * p.cfg.MSS
	p.send.ssthresh = 1 << 40
	p.send.edge = p.cfg.RecvBuffer
	for _, l := range hops {
		l.join(p)
	}
	return p
}

// OnReadable sets who gets the bytes that arrive. b may be kept.
func (p *Pipe) OnReadable(fn func(b []byte)) { p.readable = fn }

// OnWritable sets who is called when a Write that was short may go on.
func (p *Pipe) OnWritable(fn func()) { p.writable = fn }

// OnClosed sets who is called, once, at the end: with io.EOF after the last byte when the writer closed
// in order, else with the error that both ends see.
func (p *Pipe) OnClosed(fn func(error)) { p.ended = fn }

// Write takes what fits into the send buffer. 0: nothing, or the pipe has ended.
func (p *Pipe) Write(b []byte) (n int) {
	if p.err != nil || p.send.fin {
		return 0
	}
	n = int(min(int64(len(b)), p.Room()))
	p.full = n < len(b)
	p.send.buf = append(p.send.buf, b[:n]...)
	p.pump()
	return n
}

// Room is how many bytes Write takes now.
func (p *Pipe) Room() int64 {
	s := &p.send
	room := p.cfg.SendBuffer - int64(len(s.buf))
	if p.cfg.Lowat > 0 {
		room = min(room, p.cfg.Lowat-s.unsent())
	}
	return max(room, 0)
}

// CloseWrite ends the stream after what was written.
func (p *Pipe) CloseWrite() {
	if p.err == nil && !p.send.fin {
		p.send.fin = true
		p.pump()
	}
}

// Reset ends the pipe at once, at both ends.
func (p *Pipe) Reset() { p.end(ErrReset) }

// Err is why the pipe has ended; nil: it has not.
func (p *Pipe) Err() error { return p.err }

func (p *Pipe) end(err error) {
	if p.err != nil {
		return
	}
	p.err = err
	p.send.rto.Stop()
	for _, l := range p.hops {
		l.leave(p)
	}
	if p.ended != nil {
		p.ended(err)
	}
}

// Pause makes the reader stop reading; what arrives fills the receive buffer.
func (p *Pipe) Pause() { p.recv.paused = true }

// Resume makes it read again, what has piled up first.
func (p *Pipe) Resume() {
	p.recv.paused = false
	held := p.recv.held
	p.recv.held = nil
	if len(held) > 0 && p.readable != nil {
		p.readable(held)
	}
	if len(held) > 0 {
		p.acknowledge(nil)
	}
	p.checkEOF()
}

// Stats reads the sender's state.
func (p *Pipe) Stats() Stats {
	s := &p.send
	return Stats{
		Written: s.una + int64(len(s.buf)), Acked: s.una, Retransmitted: s.retransmitted,
		InFlight: s.inFlight, Unsent: s.unsent(), CWnd: s.cwnd, Lost: int64(s.lost) * p.cfg.MSS,
		SRTT: s.srtt, RTTVar: s.rttvar, MinRTT: s.minRTT, Rate: s.rate, LastAck: s.lastAck,
	}
}

// receiver is the far end of a pipe.
type receiver struct {
	next   int64
	out    []*packet // beyond next, ordered
	held   []byte    // while the reader pauses
	paused bool
	dead   bool   // its owner has aborted: whatever arrives is answered with a reset
	deaf   bool   // its owner has closed: data that arrives is answered with a reset
	first  func() // called before the first packet is looked at
	refuse func()
	fin    int64 // offset of the end of the stream, plus 1; 0: unknown
}

// arrive takes a packet at the far end.
func (p *Pipe) arrive(k *packet) {
	if p.err != nil {
		return
	}
	r := &p.recv
	if r.dead || r.deaf && len(k.data) > 0 {
		r.refuse()
		return
	}
	if r.first != nil {
		first := r.first
		r.first = nil
		first()
	}
	if k.fin {
		r.fin = k.seq + int64(len(k.data)) + 1
	}
	if k.seq >= r.next {
		r.insert(k)
	}
	var ready []byte
	for len(r.out) > 0 && r.out[0].seq <= r.next {
		if ready == nil {
			ready = r.out[0].data[:len(r.out[0].data):len(r.out[0].data)] // one packet, as a rule: no copy
		} else {
			ready = append(ready, r.out[0].data...)
		}
		r.next += int64(len(r.out[0].data))
		r.out = r.out[1:]
	}
	switch {
	case len(ready) == 0:
	case r.paused:
		r.held = append(r.held, ready...)
	case p.readable != nil:
		p.readable(ready)
	}
	p.acknowledge(k)
	p.checkEOF()
}

func (r *receiver) insert(k *packet) {
	i := len(r.out)
	for i > 0 && r.out[i-1].seq >= k.seq {
		if r.out[i-1].seq == k.seq {
			return
		}
		i--
	}
	r.out = append(r.out, nil)
	copy(r.out[i+1:], r.out[i:])
	r.out[i] = k
}

// acknowledge sends the receiver's state back; k is the packet that it answers.
func (p *Pipe) acknowledge(k *packet) {
	r := &p.recv
	next, edge := r.next, r.next+p.cfg.RecvBuffer-int64(len(r.held))
	done := r.fin > 0 && next == r.fin-1
	travel(p.back, headerSize, func() { p.acked(next, edge, k, done) }, func() {})
}

func (p *Pipe) checkEOF() {
	r := &p.recv
	if p.err == nil && r.fin > 0 && r.next == r.fin-1 && len(r.held) == 0 {
		p.end(io.EOF)
	}
}
