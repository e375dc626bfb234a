package engine

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Tokens is the host's table of tokens, and what each leads to: "Demultiplexing subflow SYNs MUST be
// done using the token" (RFC 8684 section 3.2), over all listeners and dialers. It is not locked: its
// owner locks.
//
// A token stays taken until its key is removed, so that a connection in TIME_WAIT keeps its own.
type Tokens[T any] struct {
	rand io.Reader
	max  int
	m    map[uint32]tokenEntry[T]
}

type tokenEntry[T any] struct {
	key   Key
	value T
}

// keyAttempts bounds the search for a key whose token is free. With a table that is half full, which
// would be two thousand million connections, one search in 2^32 fails; what it really stops is a source
// of randomness that repeats itself.
const keyAttempts = 32

// NewTokens makes an empty table that draws keys from rand and holds at most max of them (0: no
// limit but memory).
func NewTokens[T any](rand io.Reader, max int) *Tokens[T] {
	return &Tokens[T]{rand: rand, max: max, m: make(map[uint32]tokenEntry[T])}
}

// NewKey draws a key and enters its token for v. "The key MUST be hard to guess, and it MUST be unique
// for the sending host across all its current MPTCP connections. [...] an implementation SHOULD check
// its list of connection tokens to ensure that there is no collision before sending its key, and if
// there is, then it should generate a new key." (RFC 8684 section 3.1) Keys with different tokens are
// different. No key is 0, which stands for a key not known yet.
//
// The error is ErrTokens when the table is full or no free token was found: the connection is then
// plain TCP. It is rand's own when that fails.
func (t *Tokens[T]) NewKey(v T) (Key, error) {
	if t.max > 0 && len(t.m) >= t.max {
		return 0, ErrTokens
	}
	for range keyAttempts {
		var b [8]byte
		if _, err := io.ReadFull(t.rand, b[:]); err != nil {
			return 0, fmt.Errorf("mptcp: no randomness for a key: %w", err)
		}
		k := Key(binary.BigEndian.Uint64(b[:]))
		token := k.Token()
		if _, taken := t.m[token]; taken || k == 0 {
			continue
		}
		t.m[token] = tokenEntry[T]{key: k, value: v}
		return k, nil
	}
	return 0, ErrTokens
}

// Enter takes a key that was not drawn here: one that a stateless answer to a SYN was made of. False: its
// token is taken, or the table is full.
func (t *Tokens[T]) Enter(k Key, v T) bool {
	token := k.Token()
	if _, taken := t.m[token]; taken || k == 0 || t.max > 0 && len(t.m) >= t.max {
		return false
	}
	t.m[token] = tokenEntry[T]{key: k, value: v}
	return true
}

// Lookup is what the token leads to.
func (t *Tokens[T]) Lookup(token uint32) (T, bool) {
	e, ok := t.m[token]
	return e.value, ok
}

// Remove frees the key's token. Removing a key twice, or one that is not in the table, does nothing,
// also when another key has the same token now.
func (t *Tokens[T]) Remove(k Key) {
	token := k.Token()
	if e, ok := t.m[token]; ok && e.key == k {
		delete(t.m, token)
	}
}

// Len is the number of tokens taken.
func (t *Tokens[T]) Len() int { return len(t.m) }
