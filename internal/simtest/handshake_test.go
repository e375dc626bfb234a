package simtest

import (
	"encoding/binary"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/simnet"
	"github.com/mptcp-go/mptcp/internal/stream"
)

const joinTimeout = 5 * second

func (w *world) nonce() uint64 {
	var b [8]byte
	_, _ = w.sim.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// dial opens the connection over the first path. The server learns of the client's addresses only
// from its joins.
func (w *world) dial() {
	w.open(w.paths[0], func(l *leg) {
		h := stream.NewClientHandshake(stream.Hello{Key: w.client.key, Nonce: w.nonce(), Checksum: w.client.cfg.Checksum})
		l.sock.Write(h.Output())
		l.shake = func(b []byte) ([]byte, bool, error) {
			n, done, err := h.Feed(b)
			if !done {
				return nil, false, err
			}
			now := w.sim.Now()
			c := w.client.eng
			cfg := l.config()
			cfg.Client = true
			f := stream.NewFlow(cfg)
			f.Open(now, h.Third()...)
			c.SetChecksum(h.Result().Checksum)
			c.SetRemote(now, h.Result().Remote)
			l.attach(now, f, engine.FlowParams{
				Carrier: extapi.CarrierStream, Initial: true, Interface: w.locals()[0].Interface, Kind: extapi.KindEthernet,
			})
			c.SetLocalAddrs(now, w.locals())
			return b[n:], true, nil
		}
	}, func(error) {})
}

// open makes a TCP connection over a path, with a server at its other end.
func (w *world) open(p *path, done func(*leg), failed func(error)) *simnet.Dialing {
	serve := func(s *simnet.Socket) { w.serve(newLeg(w.server, p, s)) }
	connected := func(s *simnet.Socket, err error) {
		if err != nil {
			failed(err)
			return
		}
		done(newLeg(w.client, p, s))
	}
	if p.proxy != nil {
		return p.proxy.open(p, serve, connected)
	}
	return w.sim.Dial(simnet.PipeConfig{}, []*simnet.Link{p.up}, []*simnet.Link{p.down}, func() func(*simnet.Socket) { return serve }, connected)
}

// serve reads the first bytes of a fresh connection.
func (w *world) serve(l *leg) {
	var sn stream.Sniffer
	var hs *stream.ServerHandshake
	l.shake = func(b []byte) ([]byte, bool, error) {
		if hs == nil {
			v, n := sn.Feed(b)
			if v == stream.NotPreface {
				return nil, false, stream.ErrNotStream
			}
			if v == stream.NeedMore {
				return nil, false, nil
			}
			hs = stream.NewServerHandshake(sn.Preface())
			b = b[n:]
		}
		n, done, err := hs.Feed(b)
		if err != nil || !done {
			return nil, false, err
		}
		if _, ok := hs.Join(); ok {
			return w.serveJoin(l, hs, b[n:])
		}
		return w.accept(l, hs, b[n:])
	}
}

func (w *world) accept(l *leg, hs *stream.ServerHandshake, rest []byte) ([]byte, bool, error) {
	answer, r, confirm, err := hs.Accept(stream.Hello{Key: w.server.key, Checksum: w.server.cfg.Checksum})
	if err != nil {
		return nil, false, err
	}
	now := w.sim.Now()
	cfg := l.config()
	cfg.Confirm = confirm
	l.first = answer
	w.server.eng.SetChecksum(r.Checksum)
	w.server.eng.SetRemote(now, r.Remote)
	l.attach(now, stream.NewFlow(cfg), engine.FlowParams{Carrier: extapi.CarrierStream, Initial: true})
	return rest, true, nil
}

func (w *world) serveJoin(l *leg, hs *stream.ServerHandshake, rest []byte) ([]byte, bool, error) {
	w.joins++
	syn, _ := hs.Join()
	now := w.sim.Now()
	r, params, err := w.server.eng.AcceptJoin(now, syn, l.path.server, l.path.client, uint32(w.nonce()))
	if err != nil {
		l.sock.Write(hs.Refuse(engine.ResetProhibited, false))
		return nil, false, err
	}
	j, err := stream.NewJoinServerHandshake(hs, r)
	if err != nil {
		return nil, false, err
	}
	l.sock.Write(j.Output())
	third := func(b []byte) ([]byte, bool, error) {
		n, done, err := j.Feed(b)
		if err != nil {
			w.server.eng.JoinRefused(w.sim.Now())
		}
		if !done {
			return nil, false, err
		}
		params.Carrier = extapi.CarrierStream
		l.attach(w.sim.Now(), stream.NewFlow(l.config()), params)
		return b[n:], true, nil
	}
	l.shake = third
	return third(rest)
}

// openJoin opens the subflow that the client's engine asks for.
func (w *world) openJoin(e *end, r engine.JoinRequest) {
	var p *path
	for _, x := range w.paths {
		if x.client.Addr() == r.Path.Local.Addr() {
			p = x
		}
	}
	over := false
	var mine *leg
	fail := func(err error, refused bool) {
		if !over {
			over = true
			e.failed = append(e.failed, err)
			e.act(func(now time.Duration) { e.eng.JoinFailed(now, r.Attempt, err, refused) })
		}
	}
	d := w.open(p, func(l *leg) {
		mine = l
		j := engine.NewJoinInitiator(e.eng.Keys(), uint32(w.nonce()), r.LocalID, r.Backup)
		h := stream.NewJoinClientHandshake(w.nonce(), j)
		l.sock.Write(h.Output())
		l.shake = func(b []byte) ([]byte, bool, error) {
			n, done, err := h.Feed(b)
			if err != nil {
				fail(err, true)
			}
			if !done {
				return nil, false, err
			}
			over = true
			cfg := l.config()
			cfg.Client = true
			f := stream.NewFlow(cfg)
			f.Open(w.sim.Now())
			l.first = h.Output()
			l.attach(w.sim.Now(), f, engine.FlowParams{
				Carrier: extapi.CarrierStream, LocalID: r.LocalID, RemoteID: j.PeerID, Interface: r.Path.Interface,
				Role: r.Role, Attempt: r.Attempt, Joining: true, Kind: r.Path.Kind,
			})
			return b[n:], true, nil
		}
	}, func(err error) { fail(err, true) })
	w.sim.After(joinTimeout, func() {
		if !over {
			d.Cancel()
			if mine != nil {
				mine.sock.Abort()
			}
			fail(errTimeout, false)
		}
	})
}
