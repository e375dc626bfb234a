//go:build race

package simtest

// slow says that the race detector is on. All here runs in one goroutine: it has nothing to find in the
// sweeps, which take minutes under it.
const slow = true

// few takes one of many cases.
func few[T any](all []T) []T { return all[:1] }
