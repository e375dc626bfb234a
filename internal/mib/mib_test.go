package mib

import (
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// Every counter has its field, and the field the same name.
func TestCountersAreTheFields(t *testing.T) {
	n := 0
	Named(extapi.MPTCPCounters{}, func(string, uint64) { n++ })
	require.Equal(t, n, int(counters))
	for name, c := range map[string]Counter{
		"MPCapableSYNRX":          MPCapableSYNRX,
		"MPCapableSYNTX":          MPCapableSYNTX,
		"MPCapableSYNACKRX":       MPCapableSYNACKRX,
		"MPCapableACKRX":          MPCapableACKRX,
		"MPCapableFallbackACK":    MPCapableFallbackACK,
		"MPCapableFallbackSYNACK": MPCapableFallbackSYNACK,
		"MPCapableSYNTXDrop":      MPCapableSYNTXDrop,
		"MPCapableSYNTXDisabled":  MPCapableSYNTXDisabled,
		"MPFallbackTokenInit":     MPFallbackTokenInit,
		"MPTCPRetrans":            MPTCPRetrans,
		"MPJoinNoTokenFound":      MPJoinNoTokenFound,
		"MPJoinSynRx":             MPJoinSynRx,
		"MPJoinSynBackupRx":       MPJoinSynBackupRx,
		"MPJoinSynAckRx":          MPJoinSynAckRx,
		"MPJoinSynAckBackupRx":    MPJoinSynAckBackupRx,
		"MPJoinSynAckHMacFailure": MPJoinSynAckHMacFailure,
		"MPJoinAckRx":             MPJoinAckRx,
		"MPJoinAckHMacFailure":    MPJoinAckHMacFailure,
		"MPJoinRejected":          MPJoinRejected,
		"MPJoinSynTx":             MPJoinSynTx,
		"DSSNotMatching":          DSSNotMatching,
		"DSSCorruptionFallback":   DSSCorruptionFallback,
		"DSSCorruptionReset":      DSSCorruptionReset,
		"DataCsumErr":             DataCsumErr,
		"DssFallback":             DssFallback,
		"SimultConnectFallback":   SimultConnectFallback,
		"InfiniteMapTx":           InfiniteMapTx,
		"InfiniteMapRx":           InfiniteMapRx,
		"OFOQueue":                OFOQueue,
		"NoDSSInWindow":           NoDSSInWindow,
		"DuplicateData":           DuplicateData,
		"AddAddr":                 AddAddr,
		"AddAddrTx":               AddAddrTx,
		"AddAddrTxDrop":           AddAddrTxDrop,
		"AddAddrDrop":             AddAddrDrop,
		"EchoAdd":                 EchoAdd,
		"EchoAddTx":               EchoAddTx,
		"PortAdd":                 PortAdd,
		"RmAddr":                  RmAddr,
		"RmAddrDrop":              RmAddrDrop,
		"RmAddrTx":                RmAddrTx,
		"MPPrioTx":                MPPrioTx,
		"MPPrioRx":                MPPrioRx,
		"MPFailTx":                MPFailTx,
		"MPFailRx":                MPFailRx,
		"MPFastcloseTx":           MPFastcloseTx,
		"MPFastcloseRx":           MPFastcloseRx,
		"MPRstTx":                 MPRstTx,
		"MPRstRx":                 MPRstRx,
		"SubflowStale":            SubflowStale,
		"SubflowRecover":          SubflowRecover,
		"Blackhole":               Blackhole,
		"WinProbe":                WinProbe,
		"MPCapableDataFallback":   MPCapableDataFallback,
		"MPCurrEstab":             MPCurrEstab,
		"MPJoinSynTxBindErr":      MPJoinSynTxBindErr,
		"MPJoinSynTxConnectErr":   MPJoinSynTxConnectErr,
		"MPJoinPortSynRx":         MPJoinPortSynRx,
		"MPJoinPortSynAckRx":      MPJoinPortSynAckRx,
		"MPJoinPortAckRx":         MPJoinPortAckRx,
		"DSSNoMatchTCP":           DSSNoMatchTCP,
		"FallbackFailed":          FallbackFailed,
		"EchoAddTxDrop":           EchoAddTxDrop,
		"RmAddrTxDrop":            RmAddrTxDrop,
		"RmSubflow":               RmSubflow,
	} {
		var table Table
		table.Add(c, 7)
		s := table.Snapshot()
		require.Equal(t, uint64(7), reflect.ValueOf(s).FieldByName(name).Uint(), name)
	}
}

// The names are Linux's.
func TestNamesAreLinuxs(t *testing.T) {
	b, err := os.ReadFile("/proc/net/netstat")
	if err != nil || !strings.Contains(string(b), "MPTcpExt: ") {
		t.Skip("no kernel with Multipath TCP here")
	}
	_, rest, _ := strings.Cut(string(b), "MPTcpExt: ")
	line, _, _ := strings.Cut(rest, "\n")
	known := strings.Fields(line)
	Named(extapi.MPTCPCounters{}, func(name string, _ uint64) { require.Contains(t, known, name) })
}

func TestNilTableCountsNothing(t *testing.T) {
	var table *Table
	table.Count(AddAddr)
	table.Add(AddAddr, 3)
}

// A connection's counters are its own, and its stack's are all of them.
func TestTally(t *testing.T) {
	var stack Table
	a, b := Tally{Of: &stack}, Tally{Of: &stack}
	a.Count(AddAddr)
	a.Add(MPCurrEstab, 1)
	b.Add(AddAddr, 3)
	b.Add(MPCurrEstab, 1)
	b.Add(MPCurrEstab, -1)
	require.Equal(t, &extapi.MPTCPCounters{
		AddAddrCounters: extapi.AddAddrCounters{AddAddr: 1}, MPCapableCounters: extapi.MPCapableCounters{MPCurrEstab: 1},
	}, a.Snapshot())
	require.Equal(t, &extapi.MPTCPCounters{AddAddrCounters: extapi.AddAddrCounters{AddAddr: 3}}, b.Snapshot())
	all := stack.Snapshot()
	require.Equal(t, []uint64{4, 1}, []uint64{all.AddAddr, all.MPCurrEstab})
	var none *Tally
	none.Count(AddAddr)
	require.Nil(t, none.Snapshot())
	require.NotPanics(t, func() { new(Tally).Count(AddAddr) })
}

// Joins shake hands beside each other, and beside the connection.
func TestTallyIsSharedWithoutALock(t *testing.T) {
	var tally Tally
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for c := range counters {
				tally.Count(c)
			}
		})
	}
	all.Wait()
	Named(*tally.Snapshot(), func(name string, n uint64) { require.EqualValues(t, 4, n, name) })
}

// What happens often allocates nothing once it has been counted.
func TestTallyAllocatesOnce(t *testing.T) {
	tally := &Tally{Of: new(Table)}
	tally.Count(OFOQueue)
	require.Zero(t, testing.AllocsPerRun(100, func() { tally.Count(OFOQueue) }))
}

func TestSum(t *testing.T) {
	a := extapi.ListenCounters{Admitted: 1, Resets: 2}
	Sum(&a, extapi.ListenCounters{Admitted: 10, CookiesSent: 5})
	require.Equal(t, extapi.ListenCounters{Admitted: 11, CookiesSent: 5, Resets: 2}, a)
	var m, o extapi.MPTCPCounters
	m.AddAddr, o.AddAddr, o.MPCapableSYNRX, o.MPRstRx = 1, 2, 3, 4
	Sum(&m, o)
	require.Equal(t, []uint64{3, 3, 4, 0}, []uint64{m.AddAddr, m.MPCapableSYNRX, m.MPRstRx, m.MPRstTx})
}
