package nettest

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/netlab"
	"github.com/mptcp-go/mptcp/internal/onpath"
)

// valve is a place on a path for a middlebox that a scenario puts there.
type valve struct {
	mu  sync.Mutex
	box onpath.Element
}

// Process implements onpath.Element.
func (v *valve) Process(now time.Duration, p []byte, d onpath.Dir, emit onpath.Emit) {
	v.mu.Lock()
	box := v.box
	v.mu.Unlock()
	if box == nil {
		emit(p, d)
		return
	}
	box.Process(now, p, d, emit)
}

func (v *valve) set(box onpath.Element) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.box = box
}

// newEmulatedStage makes a stage whose two paths are emulated, in both families: what the router of another stage can't do to packets, a
// middlebox of onpath does. Paths without a link neither delay nor limit.
func newEmulatedStage(t *testing.T, ours string, links ...onpath.LinkConfig) (s *stage, paths [2]*valve) {
	needKernelMPTCP(t)
	need(t, "tcpdump", "tshark")
	l := newLab(t, "c", "s")
	for i := range paths {
		paths[i] = &valve{}
		elements := []onpath.Element{paths[i]}
		if i < len(links) {
			elements = append(elements, onpath.NewLink(links[i], nil))
		}
		n := i + 1
		var near, far, routes []netip.Prefix
		for _, family := range []int{4, 6} {
			a, b := clientAddr(family, n), serverAddr(family, n)
			near, far = append(near, netip.PrefixFrom(a, prefixLen(a))), append(far, netip.PrefixFrom(b, prefixLen(b)))
			routes = append(routes, netip.PrefixFrom(a, prefixLen(a)).Masked())
		}
		emulated, err := netlab.Start(netlab.Config{
			Near:     netlab.End{Namespace: l.prefix + "c", Name: fmt.Sprintf("c%d", n), Addrs: near},
			Far:      netlab.End{Namespace: l.prefix + "s", Name: fmt.Sprintf("s%d", n), Addrs: far, Routes: routes},
			Elements: elements,
		})
		require.NoError(t, err)
		t.Cleanup(func() { _ = emulated.Close() }) // before that of the namespaces
		for _, family := range []int{4, 6} {
			l.do("c", fmt.Sprintf("ip -%d route add default dev c%d metric %d", family, n, 100*n))
			l.do("c", fmt.Sprintf("ip -%d route add default dev c%d table %d", family, n, 100+n))
			l.do("c", fmt.Sprintf("ip -%d rule add from %v table %d", family, clientAddr(family, n), 100+n))
		}
	}
	for _, ns := range []string{"c", "s"} {
		l.do(ns, "ip mptcp limits set subflow 4 add_addr_accepted 4")
	}
	s = &stage{lab: l, ours: ours, theirs: "s", family: 4}
	if ours == "s" {
		s.theirs = "c"
	}
	s.captured = l.capture(ours)
	return s, paths
}
