package engine

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// keyStream is a source of randomness that yields these keys.
func keyStream(keys ...uint64) io.Reader {
	var b []byte
	for _, k := range keys {
		b = binary.BigEndian.AppendUint64(b, k)
	}
	return bytes.NewReader(b)
}

// repeat is a source of randomness that has lost its own.
type repeat byte

func (r repeat) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r)
	}
	return len(b), nil
}

func TestTokensLeadToTheirValues(t *testing.T) {
	tok := NewTokens[string](keyStream(0x711ec960ce6761d7, 0xf203f24def5ba654), 0)
	a, err := tok.NewKey("a")
	require.NoError(t, err)
	b, err := tok.NewKey("b")
	require.NoError(t, err)
	require.Equal(t, Key(0x711ec960ce6761d7), a)

	v, ok := tok.Lookup(0xdc2230a5) // capture 02
	require.True(t, ok)
	require.Equal(t, "a", v)
	v, ok = tok.Lookup(b.Token())
	require.True(t, ok)
	require.Equal(t, "b", v)
	_, ok = tok.Lookup(0xdeadbeef)
	require.False(t, ok)

	tok.Remove(a)
	_, ok = tok.Lookup(a.Token())
	require.False(t, ok)
	require.Equal(t, 1, tok.Len())
}

func TestTokensSkipZeroAndTakenKeys(t *testing.T) {
	tok := NewTokens[int](keyStream(0, 7, 7, 7, 8), 0)
	a, err := tok.NewKey(1)
	require.NoError(t, err)
	require.Equal(t, Key(7), a)
	b, err := tok.NewKey(2)
	require.NoError(t, err)
	require.Equal(t, Key(8), b)
	v, _ := tok.Lookup(a.Token())
	require.Equal(t, 1, v)
}

// Two keys whose tokens are the same, found by search: their SHA-256 begins with the same 32 bits.
func TestTokensDrawAgainOnCollision(t *testing.T) {
	x, y := collision(t)
	require.NotEqual(t, x, y)
	require.Equal(t, x.Token(), y.Token())

	tok := NewTokens[string](keyStream(uint64(x), uint64(y), 99), 0)
	_, err := tok.NewKey("x")
	require.NoError(t, err)
	k, err := tok.NewKey("other")
	require.NoError(t, err)
	require.Equal(t, Key(99), k)

	// Removing the one must not remove the other.
	tok.Remove(y)
	v, ok := tok.Lookup(y.Token())
	require.True(t, ok)
	require.Equal(t, "x", v)
}

// collision searches the birthday way, counting up: among 2^17 keys two share a token more often than not.
func collision(t *testing.T) (Key, Key) {
	t.Helper()
	seen := make(map[uint32]Key, 1<<18)
	for k := Key(1); k < 1<<20; k++ {
		token := k.Token()
		if other, ok := seen[token]; ok {
			return other, k
		}
		seen[token] = k
	}
	require.Fail(t, "no collision")
	return 0, 0
}

func TestTokensExhausted(t *testing.T) {
	tok := NewTokens[int](keyStream(1, 2, 3), 2)
	a, err := tok.NewKey(1)
	require.NoError(t, err)
	_, err = tok.NewKey(2)
	require.NoError(t, err)
	_, err = tok.NewKey(3)
	require.ErrorIs(t, err, ErrTokens)
	tok.Remove(a)
	tok.Remove(a)
	_, err = tok.NewKey(3)
	require.NoError(t, err)
}

func TestTokensWithBrokenRandomness(t *testing.T) {
	_, err := NewTokens[int](repeat(0), 0).NewKey(1)
	require.ErrorIs(t, err, ErrTokens, "only zero keys")

	tok := NewTokens[int](repeat(5), 0)
	_, err = tok.NewKey(1)
	require.NoError(t, err)
	_, err = tok.NewKey(2)
	require.ErrorIs(t, err, ErrTokens, "the same key for ever")

	_, err = NewTokens[int](bytes.NewReader([]byte{1, 2, 3}), 0).NewKey(1)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NotErrorIs(t, err, ErrTokens)
}

// Against a map from keys, through any sequence of births and deaths.
func TestTokensModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := rand.NewChaCha8([32]byte{byte(rapid.IntRange(0, 255).Draw(t, "seed"))})
		tok := NewTokens[int](src, 20)
		model := map[Key]int{}
		var keys []Key
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(keys) > 0 && rapid.Bool().Draw(t, "remove") {
				k := rapid.SampledFrom(keys).Draw(t, "key")
				tok.Remove(k)
				delete(model, k)
			} else if k, err := tok.NewKey(i); err == nil {
				require.NotZero(t, k)
				require.NotContains(t, model, k)
				model[k] = i
				keys = append(keys, k)
			} else {
				require.Len(t, model, 20)
			}
			require.Equal(t, len(model), tok.Len())
			for _, k := range keys {
				want, alive := model[k]
				got, ok := tok.Lookup(k.Token())
				require.Equal(t, alive, ok)
				require.Equal(t, want, got)
			}
		}
	})
}

// A key that a stateless answer was made of is entered once its client has come back with it.
func TestTokensTakeKeysMadeElsewhere(t *testing.T) {
	tab := NewTokens[string](nil, 2)
	require.False(t, tab.Enter(0, "none"))
	require.True(t, tab.Enter(7, "seven"))
	require.False(t, tab.Enter(7, "again"), "its token is taken")
	v, ok := tab.Lookup(Key(7).Token())
	require.True(t, ok)
	require.Equal(t, "seven", v)
	require.True(t, tab.Enter(8, "eight"))
	require.False(t, tab.Enter(9, "nine"), "the table is full")
	tab.Remove(7)
	require.True(t, tab.Enter(9, "nine"))
}
