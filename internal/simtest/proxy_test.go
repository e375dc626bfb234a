package simtest

import (
	"errors"
	"io"

	"github.com/mptcp-go/mptcp/internal/simnet"
)

// proxyBuffer is how much a proxy holds in each direction beyond what the sockets take.
const proxyBuffer = 256 << 10

// proxy is a machine in the middle of a path that ends TCP connections and makes its own to the server,
// as performance-enhancing proxies and tunnels do: what it has read it acknowledges, whatever becomes of
// it. Between it and the server lie links of their own.
type proxy struct {
	w        *world
	up, down *simnet.Link // behind it
}

// open connects a client's socket through the proxy.
func (x *proxy) open(p *path, serve func(*simnet.Socket), done func(*simnet.Socket, error)) *simnet.Dialing {
	cfg := simnet.PipeConfig{SendBuffer: proxyBuffer, RecvBuffer: proxyBuffer}
	return x.w.sim.Dial(cfg, []*simnet.Link{p.up}, []*simnet.Link{p.down}, func() func(*simnet.Socket) {
		return func(near *simnet.Socket) {
			there := listen(near)
			x.w.sim.Dial(cfg, []*simnet.Link{x.up}, []*simnet.Link{x.down}, func() func(*simnet.Socket) { return serve },
				func(far *simnet.Socket, err error) {
					if err != nil {
						near.Abort()
						return
					}
					there.pass(far)
					listen(far).pass(near)
				})
		}
	}, done)
}

// splice is one direction through the proxy.
type splice struct {
	src, dst *simnet.Socket // dst is nil until it is connected
	held     []byte
	ended    bool
}

// listen takes what src brings from now on.
func listen(src *simnet.Socket) *splice {
	s := &splice{src: src}
	src.OnReadable(func(b []byte) {
		s.held = append(s.held, b...)
		s.flush()
	})
	src.OnClosed(func(err error) {
		s.ended = true
		if s.dst != nil && !errors.Is(err, io.EOF) {
			s.dst.Abort()
			return
		}
		s.flush()
	})
	return s
}

// pass gives it to dst, as fast as that takes it.
func (s *splice) pass(dst *simnet.Socket) {
	s.dst = dst
	dst.OnWritable(func() {
		if s.flush(); len(s.held) == 0 {
			s.src.Resume()
		}
	})
	s.flush()
}

func (s *splice) flush() {
	if s.dst == nil {
		return
	}
	n := s.dst.Write(s.held)
	s.held = s.held[n:]
	switch {
	case len(s.held) > 0:
		s.src.Pause()
	case s.ended:
		s.dst.CloseWrite()
	}
}
