package tcp

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"
)

// Secret keys what must not be guessed: initial sequence numbers, timestamps, cookies. One is drawn for each
// process, from a cryptographic source.
type Secret [32]byte

// hash is the keyed function of a connection's addresses, of what for it is wanted, and of more.
func (k *Secret) hash(what byte, local, remote netip.AddrPort, more ...uint32) [32]byte {
	var b [32 + 1 + 2*18 + 4*4]byte
	n := copy(b[:], k[:])
	b[n] = what
	n++
	for _, a := range [...]netip.AddrPort{local, remote} {
		ip := a.Addr().As16()
		n += copy(b[n:], ip[:])
		binary.BigEndian.PutUint16(b[n:], a.Port())
		n += 2
	}
	for _, v := range more[:min(len(more), 4)] {
		binary.BigEndian.PutUint32(b[n:], v)
		n += 4
	}
	return sha256.Sum256(b[:])
}

// What a hash is for.
const (
	forISN byte = iota + 1
	forTimestamps
	forCookie
)

// ISN is the initial sequence number for a connection: "ISN = M + F(localip, localport, remoteip,
// remoteport, secretkey)", "where M is the 4 microsecond timer" (RFC 6528 section 3).
func ISN(now time.Duration, k *Secret, local, remote netip.AddrPort) uint32 {
	h := k.hash(forISN, local, remote)
	return uint32(now/(4*time.Microsecond)) + binary.BigEndian.Uint32(h[:])
}

// TSOffset is the offset of a connection's timestamps. The same addresses get the same one, so that
// timestamps go on rising from one connection to the next, which RFC 6191 makes use of.
func TSOffset(k *Secret, local, remote netip.AddrPort) uint32 {
	h := k.hash(forTimestamps, local, remote)
	return binary.BigEndian.Uint32(h[:])
}
