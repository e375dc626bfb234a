// Package mib counts what Multipath TCP does on the connections of one stack, under the names of Linux's MPTcpExt.
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

// Table is where the connections of a stack count, whatever lock they hold. A nil *Table counts nothing.
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
