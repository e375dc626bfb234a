//go:build !race

package simtest

// slow says that the race detector is on.
const slow = false
