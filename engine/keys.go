package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"

	"github.com/mptcp-go/mptcp/options"
)

// Key is what one host brings into a connection (RFC 8684 section 3.1). Keys are never logged: String
// hides them, since who knows both can join the connection.
type Key uint64

// Token names the connection at the key's host: "the token MUST be a truncated (most significant
// 32 bits) SHA-256 hash [RFC6234] of the key." (RFC 8684 section 3.1) It costs one hash.
func (k Key) Token() uint32 {
	h := k.hash()
	return binary.BigEndian.Uint32(h[:])
}

// IDSN is the initial data sequence number of the key's host, which the handshake takes up: the first
// byte of data has the number after it. "A different, 64-bit truncation (the least significant 64 bits)
// of the SHA-256 hash of the key MUST be used as the IDSN." (RFC 8684 section 3.1) It costs one hash.
func (k Key) IDSN() uint64 {
	h := k.hash()
	return binary.BigEndian.Uint64(h[24:])
}

// "Note that the key MUST be hashed in network byte order."
func (k Key) hash() [sha256.Size]byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(k))
	return sha256.Sum256(b[:])
}

// String hides the key.
func (k Key) String() string { return "key" }

// GoString hides the key from %#v too.
func (k Key) GoString() string { return "engine.Key(hidden)" }

// Keys are both hosts' keys, as one of them sees them, and the secret that both were configured with.
type Keys struct {
	Local, Remote Key
	Secret        []byte // nil: none, and everything is as in RFC 8684
}

// JoinHMAC is the HMAC that this side sends in a join with these nonces. "The key for the HMAC
// algorithm, in the case of the message transmitted by Host A, will be Key-A followed by Key-B; and in
// the case of Host B, Key-B followed by Key-A. [...] The "message" for the HMAC algorithm in each case
// is the concatenations of random numbers for each host (denoted by R): for Host A, R-A followed by
// R-B; and for Host B, R-B followed by R-A." (RFC 8684 section 3.2)
func (k Keys) JoinHMAC(local, remote uint32) [sha256.Size]byte {
	var msg [8]byte
	binary.BigEndian.PutUint32(msg[0:], local)
	binary.BigEndian.PutUint32(msg[4:], remote)
	return k.sum(msg[:])
}

// PeerJoinHMAC is the HMAC that the peer has to send in a join with these nonces.
func (k Keys) PeerJoinHMAC(local, remote uint32) [sha256.Size]byte {
	return k.swapped().JoinHMAC(remote, local)
}

// AddAddrHMAC is the HMAC of an ADD_ADDR that this side (local) or the peer sends: "The Truncated HMAC
// parameter present in this option is the rightmost 64 bits of an HMAC, negotiated and calculated in
// the same way as for MP_JOIN" (RFC 8684 section 3.4.1). The HMAC that a carries has no part in it.
func (k Keys) AddAddrHMAC(local bool, a options.AddAddr) uint64 {
	if !local {
		k = k.swapped()
	}
	var buf [1 + 16 + 2]byte
	h := k.sum(a.AppendHMACMessage(buf[:0]))
	return binary.BigEndian.Uint64(h[sha256.Size-8:])
}

// CheckAddAddr reports whether the HMAC of an ADD_ADDR from the peer is right, in constant time.
func (k Keys) CheckAddAddr(a options.AddAddr) bool {
	var got, want [8]byte
	binary.BigEndian.PutUint64(got[:], a.HMAC)
	binary.BigEndian.PutUint64(want[:], k.AddAddrHMAC(false, a))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// Labels keep the uses of the secret apart: what one of them shows is of no use to another.
const (
	labelHMAC        = "mptcp keys"
	labelProofClient = "mptcp proof client"
	labelProofServer = "mptcp proof server"
)

// Proof shows that its sender, the client or the server, knows the secret. Both sides compute the same
// value: the keys go in by size, and the label says whose proof it is, so that neither side's can be
// sent back as the other's. Both keys are fresh, so that none serves twice.
func (k Keys) Proof(fromClient bool) (p [16]byte) {
	label := labelProofServer
	if fromClient {
		label = labelProofClient
	}
	lo, hi := min(k.Local, k.Remote), max(k.Local, k.Remote)
	h := k.derive(label, lo, hi)
	copy(p[:], h[:])
	return p
}

// CheckProof reports whether got is the client's or the server's proof, in constant time. Without a
// secret there is nothing to prove, and nothing passes.
func (k Keys) CheckProof(fromClient bool, got []byte) bool {
	want := k.Proof(fromClient)
	return len(k.Secret) > 0 && subtle.ConstantTimeCompare(got, want[:]) == 1
}

func (k Keys) swapped() Keys {
	k.Local, k.Remote = k.Remote, k.Local
	return k
}

// sum is the HMAC of a message from this side. Its key is both keys, the sender's first; under a
// secret it is made from them and the secret, so that the keys alone, which anyone on the path of the
// first handshake can read, make no HMAC.
func (k Keys) sum(msg []byte) (out [sha256.Size]byte) {
	var key [sha256.Size]byte
	n := 16
	if len(k.Secret) > 0 {
		key, n = k.derive(labelHMAC, k.Local, k.Remote), sha256.Size
	} else {
		binary.BigEndian.PutUint64(key[0:], uint64(k.Local))
		binary.BigEndian.PutUint64(key[8:], uint64(k.Remote))
	}
	h := hmac.New(sha256.New, key[:n])
	h.Write(msg)
	h.Sum(out[:0])
	return out
}

// derive is HMAC-SHA256(secret, label ‖ first ‖ second).
func (k Keys) derive(label string, first, second Key) (out [sha256.Size]byte) {
	var msg [len(labelProofClient) + 16]byte
	b := append(msg[:0], label...)
	b = binary.BigEndian.AppendUint64(b, uint64(first))
	b = binary.BigEndian.AppendUint64(b, uint64(second))
	h := hmac.New(sha256.New, k.Secret)
	h.Write(b)
	h.Sum(out[:0])
	return out
}
