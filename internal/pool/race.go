//go:build race

package pool

import "bytes"

// poisoned is what a released chunk is filled with, copied in pieces: writing byte by byte is very slow
// under the race detector.
var poisoned = bytes.Repeat([]byte{0xDB}, 4<<10)

func poison(b []byte) {
	for len(b) > 0 {
		b = b[copy(b, poisoned):]
	}
}
