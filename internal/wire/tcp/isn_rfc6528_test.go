package tcp

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var testSecret = Secret{1, 2, 3}

func TestISNIsAClockAndAKeyedHash(t *testing.T) {
	at := func(now time.Duration) uint32 { return ISN(now, &testSecret, clientAddr, serverAddr) }
	require.EqualValues(t, 250_000, at(time.Second)-at(0), "section 3: one tick is 4 µs")
	require.EqualValues(t, 1, at(4*time.Microsecond)-at(0))

	// The hash, written down in another way.
	a, b := clientAddr.Addr().As16(), serverAddr.Addr().As16()
	in := slices.Concat(testSecret[:], []byte{1}, a[:], binary.BigEndian.AppendUint16(nil, clientAddr.Port()), b[:], binary.BigEndian.AppendUint16(nil, serverAddr.Port()))
	h := sha256.Sum256(append(in, make([]byte, 16)...))
	require.Equal(t, binary.BigEndian.Uint32(h[:]), at(0))

	other := Secret{1, 2, 4}
	seen := map[uint32]bool{at(0): true}
	for _, v := range []uint32{
		ISN(0, &other, clientAddr, serverAddr),
		ISN(0, &testSecret, serverAddr, clientAddr),
		ISN(0, &testSecret, netip.AddrPortFrom(clientAddr.Addr(), 1), serverAddr),
		ISN(0, &testSecret, clientAddr, netip.AddrPortFrom(serverAddr.Addr(), 1)),
		TSOffset(&testSecret, clientAddr, serverAddr),
	} {
		require.False(t, seen[v], "everything counts")
		seen[v] = true
	}
}

func TestTimestampOffsetStaysWithTheAddresses(t *testing.T) {
	require.Equal(t, TSOffset(&testSecret, clientAddr, serverAddr), TSOffset(&testSecret, clientAddr, serverAddr))
}

func TestISNAllocatesNothing(t *testing.T) {
	require.Zero(t, testing.AllocsPerRun(100, func() { ISN(0, &testSecret, clientAddr, serverAddr) }))
}
