//go:build race

package stream

// raceDetector says that the race detector is on: sync.Pool then throws some buffers away on purpose, so
// that counting allocations tells nothing.
const raceDetector = true
