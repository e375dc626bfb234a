package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/options"
)

// The worked vector of capture 02, in the open.
func TestKeyWorkedVector(t *testing.T) {
	c, s := Key(0xf203f24def5ba654), Key(0x711ec960ce6761d7)
	require.Equal(t, uint32(0xe6a5e8ff), c.Token())
	require.Equal(t, uint64(0x571dbf14ceaf10b1), c.IDSN())
	k := Keys{Local: s, Remote: c}
	h := k.JoinHMAC(0x1232edd1, 0x7553df66)
	require.Equal(t, "5ad7baae89d89f5dbae8801194bc3987c1f91e7d47ebbfd3ef1e03e6063ecf0c", hex.EncodeToString(h[:]))
	h = k.PeerJoinHMAC(0x1232edd1, 0x7553df66)
	require.Equal(t, "dfe8e14026273db5b05ecdd3ac0457f44d63809adfc805ac22bf9ad4b6959c7b", hex.EncodeToString(h[:]))
}

func TestKeysAreNotPrinted(t *testing.T) {
	k := Key(1234567890123456789)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		s := fmt.Sprintf(verb, Keys{Local: k, Remote: k})
		require.NotContains(t, s, "1234567890123456789")
		require.NotContains(t, s, fmt.Sprintf("%x", uint64(k)))
	}
}

// Under a secret the HMACs are those of RFC 8684 with HMAC-SHA256(secret, "mptcp keys" ‖ sender's key ‖
// receiver's key) as the key, written out here with the standard library alone.
func TestKeySecretGoesIntoEveryHMAC(t *testing.T) {
	k := Keys{Local: 0x0102030405060708, Remote: 0x1112131415161718, Secret: []byte("shared")}
	local := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	remote := []byte{0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18}
	mac := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	own := mac(k.Secret, []byte("mptcp keys"), local, remote)
	peers := mac(k.Secret, []byte("mptcp keys"), remote, local)

	got := k.JoinHMAC(0xaabbccdd, 0x01020304)
	require.Equal(t, mac(own, []byte{0xaa, 0xbb, 0xcc, 0xdd, 1, 2, 3, 4}), got[:])
	got = k.PeerJoinHMAC(0xaabbccdd, 0x01020304)
	require.Equal(t, mac(peers, []byte{1, 2, 3, 4, 0xaa, 0xbb, 0xcc, 0xdd}), got[:])

	a := options.AddAddr{AddrID: 9, Addr: netip.MustParseAddr("192.0.2.1"), HasPort: true, Port: 443}
	want := mac(own, []byte{9, 192, 0, 2, 1, 1, 187})[24:]
	require.Equal(t, hex.EncodeToString(want), fmt.Sprintf("%016x", k.AddAddrHMAC(true, a)))

	got16 := k.Proof(true)
	require.Equal(t, mac(k.Secret, []byte("mptcp proof client"), local, remote)[:16], got16[:])
	got16 = k.Proof(false)
	require.Equal(t, mac(k.Secret, []byte("mptcp proof server"), local, remote)[:16], got16[:])
}

// Who has read the first handshake knows both keys and still can't join, announce or prove.
func TestKeySecretKeepsReadersOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := Keys{
			Local:  Key(rapid.Uint64().Draw(t, "local")),
			Remote: Key(rapid.Uint64().Draw(t, "remote")),
			Secret: rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "secret"),
		}
		reader := k
		reader.Secret = rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "guess")
		// HMAC pads its key with zeros up to a block.
		if string(trimZeros(reader.Secret)) == string(trimZeros(k.Secret)) {
			t.Skip("the guess is the secret")
		}
		x, y := rapid.Uint32().Draw(t, "nonce"), rapid.Uint32().Draw(t, "nonce")
		require.NotEqual(t, k.JoinHMAC(x, y), reader.JoinHMAC(x, y))
		a := options.AddAddr{AddrID: 1, Addr: netip.MustParseAddr("192.0.2.1")}
		require.NotEqual(t, k.AddAddrHMAC(true, a), reader.AddAddrHMAC(true, a))
		p := reader.Proof(true)
		require.False(t, k.CheckProof(true, p[:]))
	})
}

func trimZeros(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

func TestKeyProof(t *testing.T) {
	client := Keys{Local: 1, Remote: 2, Secret: []byte("s")}
	server := client.swapped()
	p, q := client.Proof(true), server.Proof(false)
	require.True(t, server.CheckProof(true, p[:]))
	require.True(t, client.CheckProof(false, q[:]))
	require.False(t, client.CheckProof(false, p[:]), "one's own proof sent back")
	require.False(t, server.CheckProof(true, p[:15]))
	require.False(t, server.CheckProof(true, nil))
	p[3] ^= 1
	require.False(t, server.CheckProof(true, p[:]))

	open := Keys{Local: 1, Remote: 2}
	r := open.Proof(true)
	require.False(t, open.CheckProof(true, r[:]), "without a secret there is nothing to prove")
}

// Both sides agree on every HMAC, whatever keys, nonces and secret.
func TestKeySidesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := Keys{
			Local:  Key(rapid.Uint64().Draw(t, "local")),
			Remote: Key(rapid.Uint64().Draw(t, "remote")),
			Secret: rapid.SliceOf(rapid.Byte()).Draw(t, "secret"),
		}
		x, y := rapid.Uint32().Draw(t, "nonce"), rapid.Uint32().Draw(t, "nonce")
		require.Equal(t, k.JoinHMAC(x, y), k.swapped().PeerJoinHMAC(y, x))
		require.Equal(t, k.Proof(true), k.swapped().Proof(true))
	})
}

func BenchmarkKeyJoinHMAC(b *testing.B) {
	b.ReportAllocs()
	k := Keys{Local: 1, Remote: 2}
	for b.Loop() {
		k.JoinHMAC(3, 4)
	}
}

func BenchmarkKeyIDSN(b *testing.B) {
	b.ReportAllocs()
	k := Key(1)
	for b.Loop() {
		k.IDSN()
	}
}
