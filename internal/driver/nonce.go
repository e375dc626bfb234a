package driver

import (
	"encoding/binary"
	"io"
)

// Nonce is 64 random bits out of rand.
func Nonce(rand io.Reader) (uint64, error) {
	var b [8]byte
	_, err := io.ReadFull(rand, b[:])
	return binary.BigEndian.Uint64(b[:]), err
}

// Nonce is 64 random bits for a handshake. The lock guards the connection's source of randomness.
func (c *Conn) Nonce() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Nonce(c.rand)
}
