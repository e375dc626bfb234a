// Package mib counts what Multipath TCP does, on one connection and on all of a stack, under the names of Linux's MPTcpExt.
package mib

import (
	"reflect"
	"sync/atomic"

	"github.com/mptcp-go/mptcp/extapi"
)

// Counter is a field of extapi.MPTCPCounters, whose comments say what it counts.
type Counter uint8

// The counters, in the order of those fields.
const (
	MPCapableSYNRX Counter = iota
	MPCapableSYNTX
	MPCapableSYNACKRX
	MPCapableACKRX
	MPCapableFallbackACK
	MPCapableFallbackSYNACK
	MPCapableSYNTXDrop
	MPCapableSYNTXDisabled
	MPCapableDataFallback
	MPFallbackTokenInit
	SimultConnectFallback
	Blackhole
	MPCurrEstab
	MPJoinNoTokenFound
	MPJoinSynRx
	MPJoinSynBackupRx
	MPJoinSynAckRx
	MPJoinSynAckBackupRx
	MPJoinSynAckHMacFailure
	MPJoinAckRx
	MPJoinAckHMacFailure
	MPJoinRejected
	MPJoinSynTx
	MPJoinSynTxBindErr
	MPJoinSynTxConnectErr
	MPJoinPortSynRx
	MPJoinPortSynAckRx
	MPJoinPortAckRx
	MPTCPRetrans
	DSSNotMatching
	DSSNoMatchTCP
	DSSCorruptionFallback
	DSSCorruptionReset
	DataCsumErr
	DssFallback
	FallbackFailed
	InfiniteMapTx
	InfiniteMapRx
	OFOQueue
	NoDSSInWindow
	DuplicateData
	WinProbe
	AddAddr
	AddAddrTx
	AddAddrTxDrop
	AddAddrDrop
	EchoAdd
	EchoAddTx
	EchoAddTxDrop
	PortAdd
	RmAddr
	RmAddrDrop
	RmAddrTx
	RmAddrTxDrop
	RmSubflow
	MPPrioTx
	MPPrioRx
	MPFailTx
	MPFailRx
	MPFastcloseTx
	MPFastcloseRx
	MPRstTx
	MPRstRx
	SubflowStale
	SubflowRecover
	counters
)

// Counts is where something is counted: a Table, or a Tally.
type Counts interface{ Count(Counter) }

// Table is where a stack counts, whatever lock is held. A nil *Table counts nothing.
type Table [counters]atomic.Uint64

// Add counts n events.
func (t *Table) Add(c Counter, n int) {
	if t != nil {
		t[c].Add(uint64(n))
	}
}

// Count counts one event.
func (t *Table) Count(c Counter) { t.Add(c, 1) }

// Snapshot is what has been counted so far.
func (t *Table) Snapshot() (s extapi.MPTCPCounters) {
	next := 0
	each(reflect.ValueOf(&s).Elem(), func(f reflect.Value) {
		f.SetUint(t[next].Load())
		next++
	})
	return s
}

// Tally is what one connection has counted, which its stack counts too. Few counters move in the life of one, so that only these
// take room. It needs no lock, since the handshakes of joins do not have the connection's. A nil *Tally counts nothing.
type Tally struct {
	Of   *Table // the stack's; nil: there is none
	list atomic.Pointer[tallied]
}

// tallied is one counter, and those before it in the list.
type tallied struct {
	n    atomic.Uint64
	c    Counter
	next *tallied
}

// Add counts n events.
func (t *Tally) Add(c Counter, n int) {
	if t != nil {
		t.Of.Add(c, n)
		t.at(c).Add(uint64(n))
	}
}

// Count counts one event.
func (t *Tally) Count(c Counter) { t.Add(c, 1) }

// at is where c is counted.
func (t *Tally) at(c Counter) *atomic.Uint64 {
	for {
		head := t.list.Load()
		for x := head; x != nil; x = x.next {
			if x.c == c {
				return &x.n
			}
		}
		if x := (&tallied{c: c, next: head}); t.list.CompareAndSwap(head, x) {
			return &x.n
		}
	}
}

// Snapshot is what has been counted so far; nil of a nil *Tally.
func (t *Tally) Snapshot() *extapi.MPTCPCounters {
	if t == nil {
		return nil
	}
	var all Table
	for x := t.list.Load(); x != nil; x = x.next {
		all[x.c].Store(x.n.Load())
	}
	s := all.Snapshot()
	return &s
}

// each calls f for every counter of a struct, in order, and of those that it consists of.
func each(v reflect.Value, f func(reflect.Value)) {
	for i := range v.NumField() {
		if v := v.Field(i); v.Kind() == reflect.Struct {
			each(v, f)
		} else {
			f(v)
		}
	}
}

// Sum adds the counters of src to those of dst.
func Sum[T any](dst *T, src T) {
	var sums []uint64
	each(reflect.ValueOf(src), func(f reflect.Value) { sums = append(sums, f.Uint()) })
	each(reflect.ValueOf(dst).Elem(), func(f reflect.Value) {
		f.SetUint(f.Uint() + sums[0])
		sums = sums[1:]
	})
}

// Named calls f for every counter of c, a struct of counters, with its name, in order.
func Named(c any, f func(name string, n uint64)) {
	v := reflect.ValueOf(c)
	for _, field := range reflect.VisibleFields(v.Type()) {
		if field.Type.Kind() == reflect.Uint64 {
			f(field.Name, v.FieldByIndex(field.Index).Uint())
		}
	}
}
