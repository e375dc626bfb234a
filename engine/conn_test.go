package engine

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/stretchr/testify/require"
)

func mbit(n float64) int64 { return int64(n * 1e6 / 8) }

// twoLinks makes a lab whose client has a second local address, and joins over the second link.
func twoLinks(t *testing.T, a, b *labLink, cfg ...func(bool, *Config)) *lab {
	l := newLab(t, 1, cfg...)
	l.join = func(l *lab, r JoinRequest) *labLink {
		if r.Path.Local.Addr() == labAddr("10.0.2.1:0").Addr() {
			return b
		}
		return a
	}
	l.first(a)
	l.client.c.SetLocalAddrs(0, []extapi.Candidate{
		{Local: labAddr("10.0.1.1:0"), Interface: "eth1", IfIndex: 1, Kind: extapi.KindEthernet},
		{Local: labAddr("10.0.2.1:0"), Interface: "eth2", IfIndex: 2, Kind: extapi.KindEthernet},
	})
	return l
}

func TestTransferOneSubflow(t *testing.T) {
	l := newLab(t, 1)
	l.first(&labLink{rate: mbit(100), delay: 5 * time.Millisecond, queue: 64 << 10})
	data := labBytes(3 << 20)
	l.client.out, l.client.fin = data, true
	l.server.out, l.server.fin = data[:1<<20], true
	l.run(time.Minute, func() bool { return l.client.c.Done() && l.server.c.Done() })
	l.arrived(data, l.server)
	l.arrived(data[:1<<20], l.client)
	require.NoError(t, l.client.c.Err())
	require.NoError(t, l.server.c.Err())
	require.True(t, l.client.eof && l.server.eof)
}

func TestTransferUsesBothPaths(t *testing.T) {
	l := twoLinks(t, &labLink{rate: mbit(50), delay: 5 * time.Millisecond, queue: 512 << 10}, &labLink{rate: mbit(50), delay: 20 * time.Millisecond, queue: 512 << 10})
	data := labBytes(32 << 20)
	l.client.out, l.client.fin = data, true
	l.server.fin = true
	l.run(time.Minute, func() bool { return l.client.c.Done() && l.server.c.Done() })
	l.arrived(data, l.server)
	// 100 Mbit/s together: 2.7 s; on one alone it would take 5.4 s.
	require.Less(t, l.now, 3100*time.Millisecond)
}

// RFC 8684 section 3.3.6: data on a path that dies in silence is sent again on another.
func TestSilentPathIsLeft(t *testing.T) {
	bad := &labLink{rate: mbit(50), delay: 10 * time.Millisecond, queue: 512 << 10}
	l := twoLinks(t, &labLink{rate: mbit(50), delay: 10 * time.Millisecond, queue: 512 << 10}, bad)
	data := labBytes(32 << 20)
	l.client.out, l.client.fin = data, true
	l.server.fin = true
	l.after(time.Second, func() { bad.dead = true })
	l.run(time.Minute, func() bool { return l.server.eof })
	l.arrived(data, l.server)
	require.Less(t, l.server.maxGap, 300*time.Millisecond)
}

func TestSilentPathIsTakenBack(t *testing.T) {
	bad := &labLink{rate: mbit(50), delay: 10 * time.Millisecond, queue: 512 << 10}
	l := twoLinks(t, &labLink{rate: mbit(50), delay: 10 * time.Millisecond, queue: 512 << 10}, bad)
	data := labBytes(64 << 20)
	l.client.out, l.client.fin = data, true
	l.server.fin = true
	l.after(time.Second, func() { bad.dead = true })
	l.after(3*time.Second, func() { bad.dead = false })
	l.run(time.Minute, func() bool { return l.server.eof })
	l.arrived(data, l.server)
	require.Less(t, l.server.maxGap, 300*time.Millisecond)
	// 64 MiB: 1 s of two paths, 2 to 3 s of one, the rest of two again.
	require.Less(t, l.now, 7500*time.Millisecond)
}
