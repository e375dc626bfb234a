package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
)

// planModel runs a planner on a list of operations and checks what must hold whatever happens. Its
// own record of subflows and joins is kept apart from the planner's.
type planModel struct {
	book   addrBook
	plan   pathPlanner
	now    time.Duration
	nextID PathID
	policy extapi.PathPolicy
	locals []extapi.Candidate

	flows map[PathID]*modelFlow
	joins map[uint32]JoinRequest
	dials []time.Duration // to announced addresses where no join was completed

	proven  map[netip.AddrPort]bool
	refused map[string]bool // route -> refused since the last announcement or appearance
	renewed map[uint32]bool // join -> its address was announced again while it was on its way
}

type modelFlow struct {
	route string
	stale bool
}

var modelLocals = []extapi.Candidate{
	local("eth0", "10.0.0.1"), local("eth0", "fd00::1"), local("wlan0", "10.0.1.1"), local("lte0", "10.0.2.1"), local("never0", "10.0.3.1"),
}

var modelRemotes = []string{"10.0.9.8", "10.0.9.7", "fd00::9", "203.0.113.1", "127.0.0.1", "10.0.9.9", "10.0.0.1"}

func newPlanModel(seed byte) *planModel {
	m := &planModel{
		nextID: 1, now: time.Second,
		flows: map[PathID]*modelFlow{}, joins: map[uint32]JoinRequest{},
		proven: map[netip.AddrPort]bool{ap("10.0.9.9:80"): true}, refused: map[string]bool{},
		renewed: map[uint32]bool{},
	}
	m.policy = extapi.PathPolicy{
		MaxSubflows: int(seed % 5), PerPair: int(seed >> 4 % 3), FullMesh: seed&8 != 0,
		Rules: []extapi.PathRule{{PathMatch: extapi.PathMatch{Interface: "never*"}, Role: extapi.RoleNever}},
	}
	cfg := Config{Client: true, Policy: m.policy, JoinDelay: 50 * time.Millisecond, JoinBytes: 1000}
	m.book.init(cfg)
	m.plan.init(m.now, cfg, &m.book)
	m.book.first(ap("10.0.0.1:5000"), ap("10.0.9.9:80"))
	m.setLocals(0xff)
	m.plan.first(m.now, FlowParams{Local: ap("10.0.0.1:5000"), Remote: ap("10.0.9.9:80")})
	m.plan.joinInitial(seed&0x80 == 0)
	m.plan.established(m.now)
	m.flows[1] = &modelFlow{route: "eth0 10.0.0.1 10.0.9.9:80"}
	return m
}

func (m *planModel) setLocals(mask byte) {
	old := m.locals
	m.locals = nil
	for i, c := range modelLocals {
		if mask&(1<<i) != 0 {
			m.locals = append(m.locals, c)
		}
	}
	for _, c := range modelLocals {
		if slices.Contains(old, c) != slices.Contains(m.locals, c) {
			for _, r := range modelRemotes {
				to := netip.AddrPortFrom(netip.MustParseAddr(r), 80)
				delete(m.refused, fmt.Sprint(c.Interface, " ", c.Local.Addr(), " ", to))
			}
		}
	}
	m.plan.setLocals(m.now, m.locals)
}

func routeName(r JoinRequest) string {
	return fmt.Sprint(r.Path.Interface, " ", r.Path.Local.Addr(), " ", r.Path.Remote)
}

func (m *planModel) limit() int {
	if m.policy.MaxSubflows == 0 {
		return 8
	}
	return m.policy.MaxSubflows
}

// step runs one operation with one argument.
func (m *planModel) step(op, arg byte) error {
	switch op % 10 {
	case 0:
		m.now += time.Duration(arg) * 40 * time.Millisecond
		m.plan.tick(m.now)
	case 1:
		m.setLocals(arg)
	case 2:
		m.announce(arg)
	case 3:
		m.book.handleRemove(extapi.AddrID(arg % 9))
	case 4, 5:
		m.answer(arg)
	case 6:
		m.touchFlow(arg)
	case 7:
		m.plan.progress(m.now, int64(arg)*8)
	case 8:
		m.endFlow(arg)
	case 9:
		m.now += time.Duration(arg) * time.Millisecond
	}
	return m.drain()
}

func (m *planModel) announce(arg byte) {
	a := netip.MustParseAddr(modelRemotes[int(arg)%len(modelRemotes)])
	got := m.book.handleAdd(m.now, options.AddAddr{AddrID: arg % 9, Addr: a}, 80)
	if got == announceNew || got == announceRefreshed {
		for id, r := range m.joins {
			m.renewed[id] = m.renewed[id] || r.Path.Remote.Addr() == a
		}
		for _, c := range modelLocals {
			delete(m.refused, fmt.Sprint(c.Interface, " ", c.Local.Addr(), " ", netip.AddrPortFrom(a, 80)))
		}
	}
}

// answer settles one join: success, failure or refusal.
func (m *planModel) answer(arg byte) {
	a, ok := pickKey(m.joins, int(arg>>2))
	if !ok {
		return
	}
	r := m.joins[a]
	delete(m.joins, a)
	if arg&3 < 2 {
		m.nextID++
		m.flows[m.nextID] = &modelFlow{route: routeName(r)}
		m.proven[r.Path.Remote] = true
		m.plan.opened(m.now, a, m.nextID, FlowParams{Local: r.Path.Local, Remote: r.Path.Remote, Interface: r.Path.Interface, Attempt: a})
		return
	}
	refused := arg&3 == 3
	if refused && r.Probe == 0 && !m.renewed[a] {
		m.refused[routeName(r)] = true
	}
	m.plan.failed(m.now, a, refused)
}

func pickKey[K ~uint32, V any](from map[K]V, n int) (K, bool) {
	if len(from) == 0 {
		return 0, false
	}
	var keys []K
	for k := range from {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys[n%len(keys)], true
}

// touchFlow makes a subflow stale, or well again.
func (m *planModel) touchFlow(arg byte) {
	id, ok := pickKey(m.flows, int(arg>>1))
	if !ok {
		return
	}
	if m.flows[id].stale {
		if m.working()+len(m.joins) < m.limit() { // else its own replacement is there
			m.flows[id].stale = false
			m.plan.recovered(m.now, id)
		}
		return
	}
	m.flows[id].stale = true
	m.plan.stale(m.now, id, time.Duration(arg)*time.Millisecond)
}

func (m *planModel) endFlow(arg byte) {
	id, ok := pickKey(m.flows, int(arg>>2))
	if !ok {
		return
	}
	delete(m.flows, id)
	switch arg & 3 {
	case 0:
		m.plan.lost(m.now, id, true)
	case 1:
		m.plan.lost(m.now, id, false)
	case 2:
		m.plan.closed(m.now, id)
	default:
		m.plan.refused(m.now, id)
	}
}

func (m *planModel) working() int {
	n := 0
	for _, f := range m.flows {
		if !f.stale {
			n++
		}
	}
	return n
}

// drain takes the outputs as the driver would, and judges them.
func (m *planModel) drain() error {
	for n := 0; ; n++ {
		for a, ok := m.plan.pollCancel(); ok; a, ok = m.plan.pollCancel() {
			delete(m.joins, a)
		}
		r, ok := m.plan.next(m.now)
		for a, ok := m.plan.pollCancel(); ok; a, ok = m.plan.pollCancel() {
			delete(m.joins, a)
		}
		if !ok {
			break
		}
		if n > maxJoinsInFlight {
			return fmt.Errorf("joins without end")
		}
		if err := m.judge(r); err != nil {
			return fmt.Errorf("%w: %+v", err, r)
		}
		m.joins[r.Attempt] = r
	}
	switch at, ok := m.plan.wake(); {
	case ok && at <= m.now:
		return fmt.Errorf("wake at %v is not after %v", at, m.now)
	case len(m.plan.pairs) > maxPairs || len(m.plan.cancels) > maxCancels:
		return fmt.Errorf("unbounded memory")
	}
	return nil
}

func (m *planModel) judge(r JoinRequest) error {
	route, counts := routeName(r), !m.proven[r.Path.Remote]
	switch {
	case len(m.joins) >= maxJoinsInFlight:
		return fmt.Errorf("more than two in flight")
	case m.working()+len(m.joins) >= m.limit():
		return fmt.Errorf("more than MaxSubflows")
	case r.Path.Interface == "never0":
		return fmt.Errorf("excluded by the policy")
	case r.Path.Local.Addr().Is4() != r.Path.Remote.Addr().Is4():
		return fmt.Errorf("families differ")
	case r.Path.Remote.Addr().IsLoopback() || r.Path.Remote.Port() != 80 || r.Path.Remote == ap("10.0.0.1:80"):
		return fmt.Errorf("forbidden remote")
	case r.Path.Remote == ap("10.0.9.9:80") && !m.book.joinInitial:
		return fmt.Errorf("against the C flag")
	case m.refused[route] && r.Probe == 0:
		return fmt.Errorf("refused before")
	case !slices.ContainsFunc(m.locals, func(c extapi.Candidate) bool { return c.Local == r.Path.Local && c.Interface == r.Path.Interface }):
		return fmt.Errorf("local address is gone")
	}
	for _, j := range m.joins {
		if routeName(j) == route {
			return fmt.Errorf("two in flight for one pair")
		}
	}
	onPair := 0
	for _, f := range m.flows {
		if f.route == route && !f.stale {
			onPair++
		}
	}
	if onPair >= max(1, m.policy.PerPair) {
		return fmt.Errorf("more than PerPair")
	}
	if counts {
		m.dials = append(m.dials, m.now)
		if n := len(m.dials); n > 4 && m.now-m.dials[n-5] < time.Minute {
			return fmt.Errorf("more than four announced dials a minute")
		}
	}
	return nil
}

func TestPlannerHoldsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newPlanModel(rapid.Byte().Draw(t, "policy"))
		for _, b := range rapid.SliceOfN(rapid.Uint16(), 1, 120).Draw(t, "ops") {
			if err := m.step(byte(b), byte(b>>8)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// The same operations give the same joins: nothing depends on the order of a map or on a clock.
func TestPlannerIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, ops := rapid.Byte().Draw(t, "policy"), rapid.SliceOfN(rapid.Uint16(), 1, 60).Draw(t, "ops")
		a, b := newPlanModel(seed), newPlanModel(seed)
		for _, op := range ops {
			errA, errB := a.step(byte(op), byte(op>>8)), b.step(byte(op), byte(op>>8))
			if fmt.Sprint(errA, a.joins) != fmt.Sprint(errB, b.joins) {
				t.Fatalf("%v, %v", a.joins, b.joins)
			}
		}
	})
}

func FuzzPathPlanner(f *testing.F) {
	f.Add([]byte{0, 0, 2, 4, 0})
	f.Add([]byte{8, 2, 0, 2, 2, 4, 3, 8, 0, 0, 20, 0, 20, 4, 0})
	f.Add([]byte{0x1f, 1, 3, 1, 0xff, 6, 0, 0, 13, 4, 0, 8, 8, 0, 255})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) == 0 {
			return
		}
		m := newPlanModel(ops[0])
		for i := 1; i+1 < len(ops) && i < 1000; i += 2 {
			if err := m.step(ops[i], ops[i+1]); err != nil {
				t.Fatal(err)
			}
		}
	})
}
