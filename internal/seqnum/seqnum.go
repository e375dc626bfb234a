// Package seqnum is the arithmetic of data sequence numbers: 64 bits wide and modulo 2^64, with the
// expansion of their 32-bit short forms (RFC 8684 section 3.3.1).
//
// Comparisons are those of RFC 9293 section 3.4, one word wider: they hold while the two numbers are
// less than 2^63 apart, which no window comes near.
package seqnum

// Less reports whether a comes before b.
func Less(a, b uint64) bool { return int64(a-b) < 0 }

// LessEq reports whether a comes before b or is b.
func LessEq(a, b uint64) bool { return int64(a-b) <= 0 }

// Diff is the distance from b to a: negative when a comes before b.
func Diff(a, b uint64) int64 { return int64(a - b) }

// Max is the later of a and b.
func Max(a, b uint64) uint64 {
	if Less(a, b) {
		return b
	}
	return a
}

// Min is the earlier of a and b.
func Min(a, b uint64) uint64 {
	if Less(b, a) {
		return b
	}
	return a
}

// Expand32 is the 64-bit number nearest to expected whose lower half is low; of two that are equally
// near (2^31 away) it is the earlier one.
//
// "Implementations MUST accept a 32-bit DSN and implicitly promote it to a 64-bit quantity by
// incrementing the upper 32 bits of the sequence number each time the lower 32 bits wrap. A sanity
// check MUST be implemented to ensure that a wrap occurs at an expected time (e.g., the sequence number
// jumps from a very high number to a very low number) and is not triggered by out-of-order packets."
// (RFC 8684 section 3.3.1) Taking the nearest number does both: expected is the number that the
// receiver waits for, and the upper half is its own, one more or one less.
func Expand32(expected uint64, low uint32) uint64 {
	return expected + uint64(int64(int32(low-uint32(expected))))
}
