package wire

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/stretchr/testify/require"
)

// fate is what becomes of a connection behind a middlebox. Whatever it is, every byte arrives once.
type fate struct {
	paths          int // of the client; the box stands on the last one
	client, server extapi.FallbackReason
	second         string // of two paths: "used", "renewed" (used, if need be by a subflow in the place of the first), "refused" (never set up), "lost" (after it was) or "" (no matter)
}

var (
	multipath = fate{paths: 1}
	used      = fate{paths: 2, second: "used"}
	renewed   = fate{paths: 2, second: "renewed"}
	refused   = fate{paths: 2, second: "refused"}
	lost      = fate{paths: 2, second: "lost"}
	survives  = fate{paths: 2}
)

// plain is a connection that goes on as TCP, with what each end says of it when the client speaks alone.
func plain(client, server extapi.FallbackReason) fate { return fate{1, client, server, ""} }

// passage is a case: elements by the names of the catalog, or made for it.
type passage struct {
	name  string
	specs []string
	make  func(w *world) []onpath.Element
	want  fate
	with  func(h *host)
}

func named(name string, want fate, specs ...string) passage {
	return passage{name: name, specs: specs, want: want}
}

func made(name string, want fate, elements ...func(w *world) onpath.Element) passage {
	return passage{name: name, want: want, make: func(w *world) (l []onpath.Element) {
		for _, e := range elements {
			l = append(l, e(w))
		}
		return l
	}}
}

func (p passage) configured(with func(h *host)) passage {
	p.with = with
	return p
}

// through plays a case. speaks says who sends data.
func (p passage) through(t *testing.T, seed uint64, speaks string) {
	with := func(h *host) {
		if p.with != nil {
			p.with(h)
		}
	}
	w, r := one(t, seed, with)
	if p.want.paths == 2 {
		r.rate = mbit(8)
		r = w.connect("10.0.2.1", "10.0.1.2", route{delay: 10 * time.Millisecond, rate: mbit(50), queue: 30 * time.Millisecond})
	}
	var elements []onpath.Element
	for _, spec := range p.specs {
		e, err := onpath.Named(spec, w.dice())
		require.NoError(t, err)
		elements = append(elements, e)
		if n, ok := e.(*onpath.NAT); ok {
			r.nat = n.Public
		}
	}
	if p.make != nil {
		elements = append(elements, p.make(w)...)
	}
	r.through(elements...)
	up, down := 1<<20, 1<<20
	if p.want.paths == 1 {
		up, down = 256<<10, 256<<10
	}
	switch speaks {
	case "client":
		down = 0
	case "server":
		up = 0
	}
	w.exchange(up, down, 2*time.Minute)
	p.judge(t, w, r, speaks)
	require.True(t, w.run(w.now+3*time.Minute, w.over), "the connection ends")
	require.NoError(t, w.client.eng.Err())
	require.NoError(t, w.server.eng.Err())
}

func (p passage) judge(t *testing.T, w *world, r *route, speaks string) {
	t.Helper()
	c, s := w.client.eng.Info().Fallback, w.server.eng.Info().Fallback
	if speaks == "client" || speaks == "both" && p.want.client == extapi.FallbackNone {
		require.Equal(t, p.want.client.String(), c.String(), "client")
		require.Equal(t, p.want.server.String(), s.String(), "server")
	}
	require.Equal(t, p.want.client == extapi.FallbackNone, c == extapi.FallbackNone, "client: %v", c)
	require.Equal(t, p.want.server == extapi.FallbackNone, s == extapi.FallbackNone, "server: %v", s)
	if p.want.paths == 1 {
		return
	}
	opened, failed := w.client.subflows(), w.client.broken()+w.server.broken()
	switch p.want.second {
	case "used":
		require.Equal(t, []int{1, 0}, []int{opened, failed}, "set up once, and never broken")
		require.Greater(t, r.data, 256<<10, "it carries data")
	case "renewed":
		require.GreaterOrEqual(t, opened, 1)
		require.Greater(t, r.data, 256<<10, "it carries data")
	case "refused":
		require.Equal(t, []int{0, 0}, []int{opened, r.data})
	case "lost":
		require.Positive(t, opened)
		require.Positive(t, failed)
	}
}

// broken is how many subflows have ended with an error while the connection went on.
func (h *host) broken() (n int) {
	for _, e := range h.events {
		if c, ok := e.(extapi.SubflowClosed); ok && c.Err != nil {
			n++
		}
	}
	return n
}
