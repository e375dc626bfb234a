package deque

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestDequeIsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Deque[int]
		var model []int
		for v := range rapid.IntRange(0, 400).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 4).Draw(t, "op"); {
			case op <= 1:
				d.Push(v)
				model = append(model, v)
			case op == 2:
				i := rapid.IntRange(0, len(model)).Draw(t, "i")
				d.Insert(i, v)
				model = slices.Insert(model, i, v)
			case len(model) > 0:
				require.Equal(t, model[0], d.Pop())
				model = model[1:]
			}
			require.Equal(t, len(model), d.Len())
			for i, x := range model {
				require.Equal(t, x, *d.At(i))
			}
			for _, x := range d.s[:d.head] {
				require.Zero(t, x, "what was popped is not held")
			}
		}
		d.Reset()
		require.Zero(t, d.Len())
	})
}

func TestDequeInSteadyUseDoesNotGrow(t *testing.T) {
	var d Deque[int]
	for i := range 100 {
		d.Push(i)
	}
	held := cap(d.s)
	for i := range 10_000 {
		d.Push(i)
		d.Pop()
	}
	require.LessOrEqual(t, cap(d.s), 2*held)
	for d.Len() > 0 {
		d.Pop()
	}
	require.Greater(t, cap(d.s), keep, "a busy queue keeps its array")
	d.Trim()
	require.LessOrEqual(t, cap(d.s), keep, "an idle queue keeps little")
	require.Zero(t, testing.AllocsPerRun(100, func() { d.Push(1); d.Pop() }))
}
