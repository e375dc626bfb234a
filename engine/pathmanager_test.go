package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// planBed is a planner with its book, as a connection would hold them.
type planBed struct {
	t    *testing.T
	book addrBook
	plan pathPlanner
	now  time.Duration
	last PathID
}

func local(iface, addr string) extapi.Candidate {
	return extapi.Candidate{Local: netip.AddrPortFrom(netip.MustParseAddr(addr), 0), Interface: iface, Kind: extapi.KindEthernet}
}

// newPlanBed has a connection from eth0 to 10.0.9.9:80 that may join at once.
func newPlanBed(t *testing.T, policy extapi.PathPolicy, locals ...extapi.Candidate) *planBed {
	return newPlanBedAt(t, policy, "10.0.0.1:5000", "10.0.9.9:80", locals...)
}

func newPlanBedAt(t *testing.T, policy extapi.PathPolicy, from, to string, locals ...extapi.Candidate) *planBed {
	b := &planBed{t: t, now: time.Second, last: 1}
	cfg := Config{Client: true, Policy: policy, Loopback: ap(to).Addr().IsLoopback()}
	b.book.init(cfg)
	b.plan.init(b.now, cfg, &b.book)
	b.book.first(ap(from), ap(to))
	b.plan.setLocals(b.now, locals)
	b.plan.first(b.now, FlowParams{Local: ap(from), Remote: ap(to), Initial: true})
	b.plan.established(b.now)
	return b
}

// after moves the time on, as a timer would.
func (b *planBed) after(d time.Duration) *planBed {
	b.now += d
	b.plan.tick(b.now)
	return b
}

// drain takes all joins that are due, "iface>remote" each.
func (b *planBed) drain() (names []string, joins []JoinRequest) {
	for {
		r, ok := b.plan.next(b.now)
		if !ok {
			return names, joins
		}
		name := r.Path.Interface + ">" + r.Path.Remote.String()
		if r.Probe != 0 {
			name += " again"
		}
		if r.Backup {
			name += " backup"
		}
		names, joins = append(names, name), append(joins, r)
	}
}

func (b *planBed) wants(want ...string) []JoinRequest {
	b.t.Helper()
	names, joins := b.drain()
	require.Equal(b.t, want, names)
	return joins
}

// ok makes the join a subflow.
func (b *planBed) ok(r JoinRequest) PathID {
	b.last++
	b.plan.opened(b.now, r.Attempt, b.last, FlowParams{
		Local: r.Path.Local, Remote: r.Path.Remote, Interface: r.Path.Interface, Attempt: r.Attempt,
	})
	return b.last
}

// settle lets every join succeed and returns them in order.
func (b *planBed) settle() []string {
	var all []string
	for {
		names, joins := b.drain()
		if len(joins) == 0 {
			return all
		}
		all = append(all, names...)
		for _, r := range joins {
			b.ok(r)
		}
	}
}

func (b *planBed) hear(id uint8, addr string) {
	b.t.Helper()
	got := b.book.handleAdd(b.now, addAddr(id, addr, 0), 80)
	require.Contains(b.t, []announcement{announceNew, announceRefreshed}, got)
}

func TestEachFurtherSubflowUsesAnInterfaceOrRemoteThatNoOtherUses(t *testing.T) {
	eth, wlan := local("eth0", "10.0.0.1"), local("wlan0", "10.0.1.1")
	for _, c := range []struct {
		rule   string
		locals []extapi.Candidate
		hear   []string
		want   []string
	}{
		{"one and one: nothing to add", []extapi.Candidate{eth}, nil, nil},
		{"a second interface", []extapi.Candidate{eth, wlan}, nil, []string{"wlan0>10.0.9.9:80"}},
		{"a second address of the same interface is no second path", []extapi.Candidate{eth, local("eth0", "10.0.0.2")}, nil, nil},
		{"a second remote", []extapi.Candidate{eth}, []string{"10.0.9.8"}, []string{"eth0>10.0.9.8:80"}},
		{"both new is best", []extapi.Candidate{eth, wlan}, []string{"10.0.9.8"}, []string{"wlan0>10.0.9.8:80"}},
		{"then what is left", []extapi.Candidate{eth, wlan}, []string{"10.0.9.8", "10.0.9.7"}, []string{"wlan0>10.0.9.8:80", "eth0>10.0.9.7:80"}},
		{"the other family", []extapi.Candidate{eth, local("eth0", "fd00::1")}, []string{"fd00::9"}, []string{"eth0>[fd00::9]:80"}},
		{"no IPv6 source", []extapi.Candidate{eth}, []string{"fd00::9"}, nil},
	} {
		b := newPlanBed(t, extapi.PathPolicy{}, c.locals...)
		for i, a := range c.hear {
			b.hear(uint8(i+1), a)
		}
		require.Equal(t, c.want, b.settle(), c.rule)
	}
}

func TestFullMeshTakesEveryPair(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{FullMesh: true}, local("eth0", "10.0.0.1"), local("wlan0", "10.0.1.1"))
	b.hear(1, "10.0.9.8")
	require.Equal(t, []string{"wlan0>10.0.9.8:80", "eth0>10.0.9.8:80", "wlan0>10.0.9.9:80"}, b.settle())
}

func TestPerPairTakesSeveralPorts(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{PerPair: 3}, local("eth0", "10.0.0.1"))
	joins := b.wants("eth0>10.0.9.9:80")
	require.Zero(t, joins[0].Path.Local.Port(), "the kernel picks a port: ECMP tells subflows apart by it")
	b.ok(joins[0])
	require.Equal(t, []string{"eth0>10.0.9.9:80"}, b.settle(), "three in all, one at a time")
}

// Where no carrier sees losses two subflows of one interface can't be coupled, whatever the policy says. The rule does
// not limit loopback.
func TestWithoutALossSignalEachInterfaceHasOneSubflow(t *testing.T) {
	eth, wlan := local("eth0", "10.0.0.1"), local("wlan0", "10.0.1.1")
	for _, policy := range []extapi.PathPolicy{{}, {FullMesh: true}, {PerPair: 3}} {
		b := newPlanBed(t, policy, eth, wlan)
		b.plan.blind = true
		b.hear(1, "10.0.9.8")
		require.Equal(t, []string{"wlan0>10.0.9.8:80"}, b.settle())

		b.after(time.Minute).plan.stale(b.now, b.last, 0)
		joins := b.wants("wlan0>10.0.9.9:80", "wlan0>10.0.9.8:80 again")
		first := b.ok(joins[0])
		require.Zero(t, b.plan.probeOf(first))
		late := b.ok(joins[1])
		require.Equal(t, first, b.plan.probeOf(late), "one too many")
		b.plan.closed(b.now, late)
		b.after(time.Minute).plan.lost(b.now, first, true)
		require.Contains(t, b.settle(), "wlan0>10.0.9.8:80", "closed for its being one too many, not for good")
	}
	b := newPlanBedAt(t, extapi.PathPolicy{PerPair: 2}, "127.0.0.1:5000", "127.0.0.1:80")
	b.plan.blind = true
	require.Len(t, b.settle(), 1)
}

func TestMaxSubflowsLimitsTheTotal(t *testing.T) {
	var locals []extapi.Candidate
	for i := range 12 {
		locals = append(locals, local("eth"+string(rune('a'+i)), netip.AddrFrom4([4]byte{10, 0, byte(i), 1}).String()))
	}
	require.Len(t, newPlanBed(t, extapi.PathPolicy{}, locals...).settle(), 7)
	require.Len(t, newPlanBed(t, extapi.PathPolicy{MaxSubflows: 3}, locals...).settle(), 2)
	require.Empty(t, newPlanBed(t, extapi.PathPolicy{MaxSubflows: 1}, locals...).settle())
}

func TestAtMostTwoJoinsInFlight(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"), local("b", "10.0.1.1"), local("c", "10.0.2.1"), local("d", "10.0.3.1"))
	joins := b.wants("b>10.0.9.9:80", "c>10.0.9.9:80")
	b.ok(joins[0])
	b.wants("d>10.0.9.9:80")
}

func TestRolesRuleTheJoins(t *testing.T) {
	policy := extapi.PathPolicy{Rules: []extapi.PathRule{
		{PathMatch: extapi.PathMatch{Interface: "lte*"}, Role: extapi.RoleBackup, Cost: 7},
		{PathMatch: extapi.PathMatch{Interface: "docker*"}, Role: extapi.RoleNever},
		{PathMatch: extapi.PathMatch{Interface: "eth1"}, Role: extapi.RolePrefer},
	}}
	b := newPlanBed(t, policy, local("eth0", "10.0.0.1"), local("docker0", "10.0.1.1"), local("lte0", "10.0.2.1"), local("eth1", "10.0.3.1"))
	joins := b.wants("eth1>10.0.9.9:80", "lte0>10.0.9.9:80 backup")
	require.Equal(t, extapi.RolePrefer, joins[0].Role)
	require.Equal(t, 7, joins[1].Path.Cost)

	b.ok(joins[0])
	b.plan.setPolicy(b.now, extapi.Only("lte*"))
	role, _, ok := b.plan.role(b.last)
	require.True(t, ok)
	require.Equal(t, extapi.RoleNever, role, "for the caller to close")
}

func TestLazyStart(t *testing.T) {
	for _, c := range []struct {
		rule  string
		wait  time.Duration
		moved int64
		want  bool
	}{
		{"young and little", 49 * time.Millisecond, 64<<10 - 1, false},
		{"old enough", 50 * time.Millisecond, 0, true},
		{"moved enough", 0, 64 << 10, true},
	} {
		var b planBed
		cfg := Config{Client: true, JoinDelay: 50 * time.Millisecond, JoinBytes: 64 << 10}
		b.book.init(cfg)
		b.plan.init(0, cfg, &b.book)
		b.book.first(ap("10.0.0.1:5000"), ap("10.0.9.9:80"))
		b.plan.setLocals(0, []extapi.Candidate{local("eth0", "10.0.0.1"), local("wlan0", "10.0.1.1")})
		b.plan.first(0, FlowParams{Local: ap("10.0.0.1:5000"), Remote: ap("10.0.9.9:80")})
		_, ok := b.plan.next(time.Hour)
		require.False(t, ok, "no join before the peer has proved that it got the keys")
		b.plan.established(time.Hour)
		_, ok = b.plan.next(time.Hour)
		require.False(t, ok)
		at, ok := b.plan.wake()
		require.True(t, ok)
		require.Equal(t, time.Hour+50*time.Millisecond, at)
		b.plan.progress(time.Hour, c.moved)
		_, ok = b.plan.next(time.Hour + c.wait)
		require.Equal(t, c.want, ok, c.rule)
	}
}

func TestWakeNeverSpinsAndNeverForgets(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"), local("wlan0", "10.0.1.1"))
	at, ok := b.plan.wake()
	require.True(t, ok, "not drained yet")
	require.Equal(t, b.now+undrained, at)
	b.wants("wlan0>10.0.9.9:80")
	_, ok = b.plan.wake()
	require.False(t, ok)
	b.plan.client = false
	b.plan.touch(b.now)
	_, ok = b.plan.wake()
	require.False(t, ok, "a server plans nothing")
}

func TestServerOpensNothingByItself(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"), local("wlan0", "10.0.1.1"))
	b.plan.client = false
	b.wants()
	_, err := b.plan.ask(b.now, ap("10.0.1.1:0"), netip.AddrPort{})
	require.NoError(t, err)
	b.wants("wlan0>10.0.9.9:80")
}

func TestCFlagNoJoinToTheInitialAddress(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"), local("wlan0", "10.0.1.1"))
	b.plan.joinInitial(false)
	b.wants()
	b.hear(1, "10.0.9.8")
	b.wants("wlan0>10.0.9.8:80")
}

func TestScopesMustMatch(t *testing.T) {
	b := newPlanBedAt(t, extapi.PathPolicy{}, "127.0.0.1:5000", "127.0.0.1:80", local("eth0", "10.0.0.1"))
	b.wants()
	b.hear(1, "10.0.0.7")
	b.wants()
	b.hear(2, "127.0.0.2")
	b.hear(3, "::1")
	require.Equal(t, []string{">[::1]:80", ">127.0.0.2:80"}, b.settle(), "loopback is its own interface and mixes families")
}

func TestLoopbackRemotesCountWithTheirPorts(t *testing.T) {
	b := newPlanBedAt(t, extapi.PathPolicy{AnyAnnouncedPort: true}, "127.0.0.1:5000", "127.0.0.1:80")
	require.Equal(t, announceNew, b.book.handleAdd(b.now, addAddr(1, "127.0.0.1", 8001), 80))
	require.Equal(t, announceNew, b.book.handleAdd(b.now, addAddr(2, "127.0.0.1", 8002), 80))
	require.Equal(t, []string{">127.0.0.1:8001", ">127.0.0.1:8002"}, b.settle())
}

func TestFourAnnouncedDialsAMinute(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"))
	for i := range 8 {
		b.hear(uint8(i+1), netip.AddrFrom4([4]byte{10, 0, 9, byte(20 + i)}).String())
	}
	dials := 0
	for range 10 {
		names, joins := b.drain()
		dials += len(names)
		for _, r := range joins {
			b.plan.failed(b.now, r.Attempt, true)
		}
	}
	require.Equal(t, 4, dials)
	at, ok := b.plan.wake()
	require.True(t, ok)
	require.Equal(t, b.now+time.Minute, at)
	b.after(time.Minute)
	names, _ := b.drain()
	require.NotEmpty(t, names)
}

func TestProvenAddressesDoNotCountAsDials(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{FullMesh: true}, local("eth0", "10.0.0.1"), local("b", "10.0.1.1"), local("c", "10.0.2.1"))
	b.hear(1, "10.0.9.8")
	require.Len(t, b.settle(), 5)
}

func TestTunnelIsNotBypassedByAccident(t *testing.T) {
	tun := local("wg0", "10.8.0.2")
	tun.Kind = extapi.KindTunnel
	locals := []extapi.Candidate{tun, local("eth0", "10.0.0.1")}
	b := newPlanBedAt(t, extapi.PathPolicy{}, "10.8.0.2:5000", "10.0.9.9:80", locals...)
	b.plan.setTunnel(b.now, true)
	b.wants()
	b.plan.setPolicy(b.now, extapi.PathPolicy{Rules: []extapi.PathRule{{PathMatch: extapi.PathMatch{Interface: "eth*"}}}})
	b.wants("eth0>10.0.9.9:80")
}

func TestAskOverridesTheRulesButNotThePolicy(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{MaxSubflows: 3}, local("eth0", "10.0.0.1"))
	b.wants()
	a, err := b.plan.ask(b.now, netip.AddrPort{}, netip.AddrPort{})
	require.NoError(t, err)
	joins := b.wants("eth0>10.0.9.9:80")
	require.Equal(t, a, joins[0].Attempt)
	_, err = b.plan.ask(b.now, netip.AddrPort{}, ap("10.7.7.7:81"))
	require.NoError(t, err)
	b.wants("eth0>10.7.7.7:81")
	_, err = b.plan.ask(b.now, netip.AddrPort{}, netip.AddrPort{})
	require.ErrorIs(t, err, errJoinLimit)
	b.plan.failed(b.now, a, false)
	_, err = b.plan.ask(b.now, ap("[fd00::1]:0"), netip.AddrPort{})
	require.ErrorIs(t, err, errJoinNowhere)
	b.plan.setPolicy(b.now, extapi.PathPolicy{Default: extapi.RoleNever})
	_, err = b.plan.ask(b.now, netip.AddrPort{}, netip.AddrPort{})
	require.ErrorIs(t, err, errJoinExcluded)
	b.plan.stop(b.now)
	_, err = b.plan.ask(b.now, netip.AddrPort{}, netip.AddrPort{})
	require.ErrorIs(t, err, errJoinStopped)
}
