package pool

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is lent is copied for who keeps it, and handed on as it is to who does not.
func TestLoanIsCopiedForWhoKeepsIt(t *testing.T) {
	before := Outstanding()
	var l Loan
	b := []byte("what has come")
	l.Begin(b, t)
	require.Equal(t, any(t), l.To())
	r := l.Ref(b[:4])
	require.Same(t, &l, r.Loan())
	require.Same(t, &b[0], &r.Pass().B[0])
	kept, own := r.Retain(), r.Own()
	for _, k := range []Ref{kept, own} {
		require.Nil(t, k.Loan())
		require.NotSame(t, &b[0], &k.B[0])
		require.Equal(t, "what", string(k.B))
	}
	r.Release() // and again: it has no references
	r.Release()
	require.Panics(t, func() { r.C.Retain() })
	require.Zero(t, l.End())
	copy(b, "something else")
	require.Equal(t, "what", string(kept.B))
	kept.Release()
	own.Release()
	require.Equal(t, before, Outstanding())
}

// A chunk of the pool is no loan, and the zero Ref neither.
func TestNoLoan(t *testing.T) {
	r := Copy([]byte("bytes"))
	require.Nil(t, r.Loan())
	require.False(t, r.Loan().More())
	require.Same(t, &r.B[0], &r.Own().B[0])
	p := r.Pass()
	r.Release()
	require.Equal(t, "bytes", string(p.B), "it has a reference of its own")
	p.Release()
	require.Nil(t, Ref{}.Loan())
	require.Zero(t, Ref{}.Own().Len())
}

// What is taken lies at the front, however it arrived, and the count says how much.
func TestLoanTakes(t *testing.T) {
	var l Loan
	b := []byte("....one..two.three")
	l.Begin(b, nil)
	l.Take(b[4:7])
	l.Take(b[9:12])
	l.Take(b[12:12])
	l.Take(b[13:18])
	require.Equal(t, 11, l.End())
	require.Equal(t, "onetwothree", string(b[:11]))

	l.Begin(b[:11], nil) // again, in place
	require.False(t, l.More())
	l.Follow()
	require.True(t, l.More())
	l.Take(b[:3])
	l.Take(b[3:6])
	require.Equal(t, 6, l.End())
	require.Equal(t, "onetwo", string(b[:6]))
	l.Begin(b, nil)
	require.False(t, l.More())
	require.Zero(t, l.End())
}
