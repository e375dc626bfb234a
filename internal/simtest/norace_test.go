//go:build !race

package simtest

// slow says that the race detector is on.
const slow = false

// few takes all cases: the race detector is off.
func few[T any](all []T) []T { return all }
