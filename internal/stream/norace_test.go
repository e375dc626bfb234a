//go:build !race

package stream

// raceDetector says that the race detector is on.
const raceDetector = false
