package engine

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestDequeIsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d deque[int]
		var model []int
		for v := range rapid.IntRange(0, 400).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 4).Draw(t, "op"); {
			case op <= 1:
				d.push(v)
				model = append(model, v)
			case op == 2:
				i := rapid.IntRange(0, len(model)).Draw(t, "i")
				d.insert(i, v)
				model = slices.Insert(model, i, v)
			case len(model) > 0:
				require.Equal(t, model[0], d.pop())
				model = model[1:]
			}
			require.Equal(t, len(model), d.len())
			for i, x := range model {
				require.Equal(t, x, *d.at(i))
			}
			for _, x := range d.s[:d.head] {
				require.Zero(t, x, "what was popped is not held")
			}
		}
		d.reset()
		require.Zero(t, d.len())
	})
}

func TestDequeInSteadyUseDoesNotGrow(t *testing.T) {
	var d deque[int]
	for i := range 100 {
		d.push(i)
	}
	held := cap(d.s)
	for i := range 10_000 {
		d.push(i)
		d.pop()
	}
	require.LessOrEqual(t, cap(d.s), 2*held)
	for d.len() > 0 {
		d.pop()
	}
	require.Greater(t, cap(d.s), dequeKeep, "a busy queue keeps its array")
	d.trim()
	require.LessOrEqual(t, cap(d.s), dequeKeep, "an idle queue keeps little")
	require.Zero(t, testing.AllocsPerRun(100, func() { d.push(1); d.pop() }))
}
