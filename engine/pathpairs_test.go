package engine

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

func twoPaths(t *testing.T) (b *planBed, second PathID) {
	b = newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"), local("wlan0", "10.0.1.1"))
	return b, b.ok(b.wants("wlan0>10.0.9.9:80")[0])
}

// runFor follows the timer for d; answer decides about each join. It returns when joins were made.
func (b *planBed) runFor(d time.Duration, answer func(JoinRequest)) (at []time.Duration) {
	begin := b.now
	for {
		_, joins := b.drain()
		for _, r := range joins {
			at = append(at, b.now-begin)
			answer(r)
		}
		if len(joins) > 0 {
			continue
		}
		next, ok := b.plan.wake()
		if !ok || next > begin+d {
			b.now = begin + d
			return at
		}
		require.Greater(b.t, next, b.now, "the timer must not spin")
		b.now = next
	}
}

func silence(JoinRequest) {}

func TestRefusedJoinNeedsANewAnnouncement(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"))
	b.hear(1, "10.0.9.8")
	b.plan.failed(b.now, b.wants("eth0>10.0.9.8:80")[0].Attempt, true)
	require.Empty(t, b.runFor(24*time.Hour, silence))
	b.hear(1, "10.0.9.8")
	b.wants("eth0>10.0.9.8:80")
}

func TestFailedJoinBacksOff(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"), local("wlan0", "10.0.1.1"))
	at := b.runFor(200*time.Second, func(r JoinRequest) { b.plan.failed(b.now, r.Attempt, false) })
	s := time.Second
	require.Equal(t, []time.Duration{0, s, 3 * s, 7 * s, 15 * s, 31 * s, 63 * s, 123 * s, 183 * s}, at)
}

func TestBackoffJitterComesFromTheReader(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"), local("wlan0", "10.0.1.1"))
	b.plan.rand = bytes.NewReader([]byte{255, 0})
	at := b.runFor(3*time.Second, func(r JoinRequest) { b.plan.failed(b.now, r.Attempt, false) })
	require.Equal(t, []time.Duration{0, 750 * time.Millisecond, 2750 * time.Millisecond}, at)
}

func TestLostSubflowIsProbedEvery500msFor60s(t *testing.T) {
	b, second := twoPaths(t)
	b.after(time.Minute).plan.lost(b.now, second, true)
	probes, cancelled := 0, 0
	at := b.runFor(59*time.Second, func(r JoinRequest) {
		probes++
		require.Equal(t, second, r.Probe)
		for _, ok := b.plan.pollCancel(); ok; _, ok = b.plan.pollCancel() {
			cancelled++
		}
	})
	require.Equal(t, 119, probes)
	require.Equal(t, probes-1, cancelled, "an unanswered probe gives way to the next")
	for i, d := range at {
		require.Equal(t, time.Duration(i)*probeInterval, d, "the first one leaves at once")
	}

	at = b.runFor(10*time.Minute, func(r JoinRequest) { b.plan.failed(b.now, r.Attempt, false) })
	require.Less(t, len(at), 25, "then with back-off")
	require.Greater(t, len(at), 10, "but for ever")
	b.ok(b.drainUntilJoin())
	require.Empty(t, b.runFor(time.Hour, silence), "found again")
}

func (b *planBed) drainUntilJoin() JoinRequest {
	b.t.Helper()
	for range 1000 {
		if _, joins := b.drain(); len(joins) > 0 {
			return joins[0]
		}
		next, ok := b.plan.wake()
		require.True(b.t, ok)
		b.now = next
	}
	b.t.Fatal("no join")
	return JoinRequest{}
}

func TestProbeOfALongPathWaitsFourRoundTrips(t *testing.T) {
	b, second := twoPaths(t)
	b.plan.setRTT(second, 300*time.Millisecond)
	b.after(time.Minute).plan.lost(b.now, second, true)
	at := b.runFor(2500*time.Millisecond, silence)
	require.Equal(t, []time.Duration{0, 1200 * time.Millisecond, 2400 * time.Millisecond}, at)
}

func TestRefusedProbeOfAPathThatWorkedBacksOff(t *testing.T) {
	b, second := twoPaths(t)
	b.after(time.Minute).plan.lost(b.now, second, true)
	at := b.runFor(20*time.Second, func(r JoinRequest) { b.plan.failed(b.now, r.Attempt, true) })
	s := time.Second
	require.Equal(t, []time.Duration{0, s, 3 * s, 7 * s, 15 * s}, at)
}

func TestFlappingPathIsProbedOncePerInterval(t *testing.T) {
	b, second := twoPaths(t)
	b.after(time.Minute)
	b.plan.lost(b.now, second, true)
	at := b.runFor(10*time.Second, func(r JoinRequest) {
		id := b.ok(r)
		b.now += 50 * time.Millisecond
		b.plan.lost(b.now, id, true)
	})
	require.InDelta(t, 20, len(at), 1)
}

func TestStaleSubflowIsProbedBesideIt(t *testing.T) {
	b, second := twoPaths(t)
	b.after(time.Minute).plan.stale(b.now, second, 20*time.Millisecond)
	join := b.wants("wlan0>10.0.9.9:80 again")[0]
	fresh := b.ok(join)
	require.Equal(t, second, b.plan.probeOf(fresh))
	b.plan.replaced(b.now, second, fresh)
	require.Zero(t, b.plan.probeOf(fresh))
	require.Empty(t, b.runFor(time.Hour, silence))
}

func TestStaleSubflowThatRecoversCancelsItsProbe(t *testing.T) {
	b, second := twoPaths(t)
	b.after(time.Minute).plan.stale(b.now, second, 0)
	join := b.wants("wlan0>10.0.9.9:80 again")[0]
	b.plan.recovered(b.now, second)
	got, ok := b.plan.pollCancel()
	require.True(t, ok)
	require.Equal(t, join.Attempt, got)
	b.plan.failed(b.now, join.Attempt, false)
	require.Empty(t, b.runFor(time.Hour, silence))
}

// The driver may have been too late to drop a probe whose path came back: then the path has one subflow too many, which
// counts as the probe of the one that works.
func TestProbeThatAnswersAfterItsPathCameBackIsOneTooMany(t *testing.T) {
	b, second := twoPaths(t)
	b.after(time.Minute).plan.stale(b.now, second, 0)
	join := b.wants("wlan0>10.0.9.9:80 again")[0]
	b.plan.recovered(b.now, second)
	require.Equal(t, second, b.plan.probeOf(b.ok(join)))

	b, second = twoPaths(t)
	b.plan.policy.PerPair = 2
	b.after(time.Minute).plan.stale(b.now, second, 0)
	join = b.wants("eth0>10.0.9.9:80", "wlan0>10.0.9.9:80 again")[1]
	b.plan.recovered(b.now, second)
	require.Zero(t, b.plan.probeOf(b.ok(join)), "the policy has room for it")
}

func TestGivenUpProbeThatAnswersAfterAllIsTaken(t *testing.T) {
	b, second := twoPaths(t)
	b.after(time.Minute).plan.lost(b.now, second, true)
	first := b.wants("wlan0>10.0.9.9:80 again")[0]
	b.after(probeInterval).wants("wlan0>10.0.9.9:80 again")
	require.Equal(t, second, b.plan.probeOf(b.ok(first)))
}

func TestJoinThatNeverWorkedIsAFailedOne(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"), local("wlan0", "10.0.1.1"))
	at := b.runFor(10*time.Second, func(r JoinRequest) { b.plan.lost(b.now, b.ok(r), false) })
	require.Equal(t, []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}, at)
}

func TestConnectionWithoutSubflowJoinsAtOnce(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"), local("wlan0", "10.0.1.1"))
	b.plan.delay, b.plan.bytes = time.Hour, 1<<40
	b.wants()
	b.plan.lost(b.now, 1, true)
	b.wants("wlan0>10.0.9.9:80", "eth0>10.0.9.9:80 again")
}

func TestVanishedAddressCancelsItsProbes(t *testing.T) {
	b, second := twoPaths(t)
	both := b.plan.listed
	b.after(time.Minute).plan.lost(b.now, second, true)
	join := b.wants("wlan0>10.0.9.9:80 again")[0]
	b.plan.setLocals(b.now, both[:1])
	got, ok := b.plan.pollCancel()
	require.True(t, ok)
	require.Equal(t, join.Attempt, got)
	require.Empty(t, b.runFor(time.Hour, silence))
	b.plan.setLocals(b.now, both)
	b.wants("wlan0>10.0.9.9:80")
}

func TestVanishedFirstAddressIsNotProbed(t *testing.T) {
	b, _ := twoPaths(t)
	both := b.plan.listed
	b.plan.setLocals(b.now, both[1:])
	b.plan.lost(b.now, 1, true)
	require.Empty(t, b.runFor(time.Hour, silence))
	b.plan.setLocals(b.now, both)
	b.wants("eth0>10.0.9.9:80 again")
}

func TestNewAddressIsUsedAtOnce(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"))
	b.wants()
	b.plan.setLocals(b.now, []extapi.Candidate{local("eth0", "10.0.0.1"), local("usb0", "10.0.5.1")})
	b.wants("usb0>10.0.9.9:80")
}

// An announced address that no interface reaches is remembered: "may be relevant in the future" (RFC 8684 section 3.4.1).
func TestAnnouncementWaitsForItsFamily(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"))
	b.hear(1, "2001:db8::8")
	b.wants()
	b.plan.setLocals(b.now, []extapi.Candidate{local("eth0", "10.0.0.1"), local("usb0", "2001:db8:5::1")})
	b.wants("usb0>[2001:db8::8]:80")
}

func TestClosedSubflowIsNotOpenedAgainByItself(t *testing.T) {
	b, second := twoPaths(t)
	b.plan.closed(b.now, second)
	require.Empty(t, b.runFor(time.Hour, silence))
	b.plan.setPolicy(b.now, extapi.PathPolicy{})
	b.wants("wlan0>10.0.9.9:80")
}

func TestRefusedSubflowIsNotOpenedAgain(t *testing.T) {
	b, second := twoPaths(t)
	b.plan.refused(b.now, second)
	require.Empty(t, b.runFor(time.Hour, silence))
}

func TestRemovedRemoteIsNotProbed(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"))
	b.hear(1, "10.0.9.8")
	id := b.ok(b.wants("eth0>10.0.9.8:80")[0])
	require.True(t, b.book.handleRemove(1))
	b.plan.lost(b.now, id, true)
	require.Empty(t, b.runFor(time.Hour, silence))
}

func TestProbesOfAnnouncedAddressesAreNoDials(t *testing.T) {
	b := newPlanBed(t, extapi.PathPolicy{}, local("eth0", "10.0.0.1"))
	b.hear(1, "10.0.9.8")
	id := b.ok(b.wants("eth0>10.0.9.8:80")[0])
	b.plan.lost(b.now, id, true)
	require.Len(t, b.runFor(10*time.Second, silence), 20)
}
