package wire

import (
	"io"
	"math/rand/v2"

	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/stretchr/testify/require"
)

// through puts elements on a route, in the place of those that were there; what these hold comes out all the same. They
// see whole packets, as on a real path; rate and delay come behind them.
func (r *route) through(elements ...onpath.Element) { r.path, r.due = onpath.NewChain(elements...), 0 }

func (r *route) process(w *world, up bool, s packet.Segment) {
	b, err := s.Append(nil, packet.FullChecksum)
	require.NoError(w.t, err)
	d := onpath.Back
	if up {
		d = onpath.Forward
	}
	r.path.Process(w.now, b, d, r.emit(w))
	r.rearm(w, r.path)
}

// emit is where packets leave the elements. A host drops those whose checksum is wrong.
func (r *route) emit(w *world) onpath.Emit {
	return func(b []byte, d onpath.Dir) {
		if s, err := packet.Parse(b); err == nil {
			w.carry(r, d == onpath.Forward, s)
			return
		}
		w.lost++
		to := w.client
		if d == onpath.Forward {
			to = w.server
		}
		if e, err := packet.ParseICMP(b); err == nil {
			w.after(r.delay, func() { to.trouble(&e) })
		}
	}
}

// trouble is an ICMP error that has come.
func (h *host) trouble(e *packet.ICMPError) {
	for _, f := range h.flows {
		if f.local == e.Src && f.remote == e.Dst {
			f.HandleICMP(h.w.now, e)
		}
	}
}

// rearm lets elements do in time what they have to do.
func (r *route) rearm(w *world, path *onpath.Chain) {
	at, ok := path.Next()
	if !ok || path == r.path && r.due > w.now && r.due <= at {
		return
	}
	if path == r.path {
		r.due = at
	}
	w.after(max(at-w.now, 0), func() {
		path.Tick(w.now, r.emit(w))
		r.rearm(w, path)
	})
}

// dice are for elements.
func (w *world) dice() io.Reader {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(w.rng.Uint32())
	}
	return rand.NewChaCha8(seed)
}
