package mptcp

import "sync/atomic"

// budget is the limit on the bytes that all connections of a Transport buffer (engine.Memory).
type budget struct {
	limit int64
	used  atomic.Int64
}

func newBudget(limit int64) *budget {
	if limit <= 0 {
		limit = machineMemory() / 4
	}
	return &budget{limit: limit}
}

// Grab takes n bytes, or says that there are none left.
func (b *budget) Grab(n int64) bool {
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

// Free gives n bytes back.
func (b *budget) Free(n int64) { b.used.Add(-n) }

// unknownMemory stands in where the operating system does not tell how much memory there is.
const unknownMemory = 4 << 30
