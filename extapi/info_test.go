package extapi

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func subflow() SubflowInfo {
	return SubflowInfo{
		ID: 2, Carrier: CarrierStream, State: StateActive,
		Local: netip.MustParseAddrPort("10.0.0.1:40000"), Remote: netip.MustParseAddrPort("[2001:db8::1]:443"),
		LocalID: 1, RemoteID: 0, Interface: "eth0", Role: RolePrefer, Backup: true,
		SRTT: 12*time.Millisecond + 345*time.Microsecond, RTTVar: time.Millisecond, MinRTT: -1,
		CWnd: 14600, InFlight: -1, DeliveryRate: 1_000_000,
		BytesSent: 10, BytesRetransmitted: 1, BytesReceived: 20, BytesReinjected: 3,
		Congestion: "kernel:cubic", LastError: errors.New("boom"),
	}
}

func TestSubflowInfoJSON(t *testing.T) {
	b, err := json.Marshal(subflow())
	require.NoError(t, err)
	require.JSONEq(t, `{"id":2,"carrier":"stream","state":"active","local":"10.0.0.1:40000",
		"remote":"[2001:db8::1]:443","local_id":1,"remote_id":0,"interface":"eth0","role":"prefer",
		"backup":true,"srtt_ms":12.345,"rttvar_ms":1,"cwnd":14600,"delivery_rate":1000000,
		"bytes_sent":10,"bytes_retransmitted":1,"bytes_received":20,"bytes_reinjected":3,
		"congestion":"kernel:cubic","last_error":"boom"}`, string(b))
	var got SubflowInfo
	require.NoError(t, json.Unmarshal(b, &got))
	require.Equal(t, subflow(), got)
	require.Error(t, got.UnmarshalJSON([]byte(`{"id":"x"}`)))
	require.Equal(t, subflow(), got, "untouched by an error")
}

func TestConnInfoJSON(t *testing.T) {
	want := ConnInfo{
		ID: 7, Carrier: CarrierWire, Version: 1, Token: 0xab, Established: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		SndNxt: 1<<64 - 1, SndUna: 1<<53 + 1, RcvNxt: 3, SendBuffered: 4, RecvBuffered: 5, OutOfOrder: 6,
		BytesSent: 7, BytesReceived: 8, BytesReinjected: 9, Scheduler: "minrtt", Checksum: true,
		MPTCP: &MPTCPCounters{SubflowCounters: SubflowCounters{MPRstTx: 1<<53 - 1}},
	}
	b, err := json.Marshal(want)
	require.NoError(t, err)
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(b, &fields))
	require.Contains(t, string(fields["mptcp"]), `"MPRstTx":9007199254740991`)
	delete(fields, "mptcp")
	rest, err := json.Marshal(fields)
	require.NoError(t, err)
	require.JSONEq(t, `{"id":7,"carrier":"wire","fallback":"none","version":1,"token":"000000ab",
		"established":"2026-01-02T03:04:05.000000006Z","snd_nxt":"18446744073709551615",
		"snd_una":"9007199254740993","rcv_nxt":"3","send_buffered":4,"recv_buffered":5,"out_of_order":6,
		"bytes_sent":7,"bytes_received":8,"bytes_reinjected":9,"scheduler":"minrtt","checksum":true}`, string(rest))
	var got ConnInfo
	require.NoError(t, json.Unmarshal(b, &got))
	require.Equal(t, want, got)
	require.ErrorContains(t, json.Unmarshal([]byte(`{"token":"123456789","snd_nxt":"0","snd_una":"0","rcv_nxt":"0"}`), &got), "32 bits")

	b, err = json.Marshal(ConnInfo{})
	require.NoError(t, err)
	require.NotContains(t, string(b), "established", "a connection that is not established has no such time")
	require.NotContains(t, string(b), "mptcp", "nor counters where they are not ours")
}

func TestSubflowInfoJSONRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := SubflowInfo{
			ID:   PathID(rapid.Uint32().Draw(t, "id")),
			SRTT: time.Duration(rapid.Int64Range(-1, int64(time.Hour)).Draw(t, "srtt")), RTTVar: -1, MinRTT: 0,
			CWnd: rapid.Int64Min(-1).Draw(t, "cwnd"), InFlight: -1, DeliveryRate: 0,
			BytesSent: rapid.Uint64().Draw(t, "sent"),
			TCP:       rapid.SampledFrom([]*TCPCounters{nil, {TCPPerfCounters: TCPPerfCounters{SegsOut: 5}, TCPEventCounters: TCPEventCounters{Supers: 1}}}).Draw(t, "tcp"),
			Role:      Role(rapid.IntRange(0, 4).Draw(t, "role")), Carrier: Carrier(rapid.IntRange(0, 4).Draw(t, "carrier")),
		}
		b, err := json.Marshal(want)
		require.NoError(t, err)
		var got SubflowInfo
		require.NoError(t, json.Unmarshal(b, &got))
		require.Equal(t, want, got)
	})
}
