package check

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// fine are the facts of a path without boxes.
func fine() *Facts {
	hello := Handshake{OptionSYNs: 1, Answer: Accepted, Option: true, Timestamps: true, SACK: true, Scale: true}
	plain := hello
	plain.OptionSYNs, plain.BareSYNs, plain.Option = 0, 1, false
	quiet := Signals{Reason: -1}
	return &Facts{
		Plain: &Seen{Handshake: plain, Data: Data{Sent: 20, Acked: 20, DataAcked: -1, TTLs: []uint8{60}}, Signals: quiet, Hole: Hole{Made: true, End: 20, Hints: 1, SACKs: 1, Filled: true}},
		Capable: &Seen{Handshake: hello, Data: Data{Sent: 20, Acked: 20, DataSent: 20, DataAcked: 21, DSS: 9, Mapped: 2, Checksums: 2, TTLs: []uint8{60}},
			Signals: Signals{Reason: -1, Announced: 1, Echoed: true}},
		Join:   &Seen{Handshake: hello, Data: Data{DataAcked: -1}, Signals: Signals{Reason: -1, ThirdSent: true, Fourth: true}},
		Long:   &Seen{Handshake: hello, Data: Data{DataAcked: -1}, Signals: quiet},
		Talked: true,
	}
}

// What no simulated box shows, or only with chance: each difference from a path without boxes has its sentence.
func TestVerdicts(t *testing.T) {
	require.Empty(t, remarkable(fine().Verdict(false)))
	bareAnswer := func(f *Facts, stray *Seen) {
		f.Capable.Option, f.Capable.DSS, f.Join, f.Stray = false, 0, nil, stray
	}
	seen := func(a Answer, reason int) *Seen {
		return &Seen{Handshake: Handshake{Answer: a}, Signals: Signals{Reason: reason}}
	}
	for name, tc := range map[string]struct {
		change func(*Facts)
		wanted []want
	}{
		"no route":   {func(f *Facts) { f.Err = errors.New("no route to host") }, []want{{CheckTCP, Failed, "no route to host"}}},
		"not tried":  {func(f *Facts) { f.Plain = nil }, []want{{CheckTCP, Untested, "not tried"}}},
		"half tried": {func(f *Facts) { f.Capable = nil }, []want{{CheckSYN, Untested, "not tried"}}},
		"another version": {func(f *Facts) {
			f.Capable.Option, f.Capable.Odd = false, "MP_CAPABLE of another version of the protocol"
		}, []want{{CheckSYNACK, Failed, "another version"}}},
		"join is refused, with the option": {func(f *Facts) { bareAnswer(f, seen(Reset, 1)) }, []want{{CheckSYNACK, Failed, "as only one that speaks MPTCP does"}}},
		"join is refused":                  {func(f *Facts) { bareAnswer(f, seen(Reset, -1)) }, []want{{CheckSYNACK, Failed, "most likely"}}},
		"join is swallowed":                {func(f *Facts) { bareAnswer(f, seen(NoAnswer, -1)) }, []want{{CheckSYN, Failed, "is not answered: a box knows the option"}}},
		"join is taken for a connection":   {func(f *Facts) { bareAnswer(f, seen(Accepted, -1)) }, []want{{CheckSYN, Failed, "does not speak MPTCP, or a box"}}},
		"DATA_ACKs end":                    {func(f *Facts) { f.Capable.DataAcked = 10 }, []want{{CheckData, Failed, "ended at byte 10 of 20"}}},
		"DATA_ACKs elsewhere":              {func(f *Facts) { f.Capable.DataAcked, f.Join = 0, nil }, []want{{CheckData, Failed, "not by the server's MPTCP"}}},
		"no mapping for some": {func(f *Facts) { f.Capable.bare = []span{{1, 9}, {9, 11}}; f.Capable.maps = []span{{1, 10}} },
			[]want{{CheckFromPeer, Failed, "no mapping covers 1 others"}}},
		"mappings elsewhere":  {func(f *Facts) { f.Capable.Elsewhere = 3 }, []want{{CheckFromPeer, Failed, "3 mappings of the server's data name other bytes"}}},
		"both damaged":        {func(f *Facts) { f.Capable.FailReceived, f.Capable.FailSent, f.Capable.DataAcked = true, true, 0 }, []want{{CheckChecksum, Failed, "in both directions"}, {CheckData, Note, ""}}},
		"no echo, but theirs": {func(f *Facts) { f.Capable.Echoed, f.Capable.Told = false, []netip.Addr{serverAddr} }, []want{{CheckAddAddr, Failed, "though the server announces [10.0.0.2]"}}},
		"flag C":              {func(f *Facts) { f.Capable.NoJoins, f.Join = true, nil }, []want{{CheckJoin, Note, "flag C"}}},
		"limit":               {func(f *Facts) { f.Join.Broken, f.Join.Reason, f.Join.Fourth = true, 3, false }, []want{{CheckJoin, Note, "takes no further subflow (MP_TCPRST reason 3)"}}},
		"no fourth":           {func(f *Facts) { f.Join.Fourth = false }, []want{{CheckJoin, Failed, "is not answered"}}},
		"wrong keys":          {func(f *Facts) { f.Join.ThirdSent, f.Join.Fourth = false, false }, []want{{CheckJoin, Failed, "wrong keys"}}},
		"copied":              {func(f *Facts) { f.Join.Odd = "MP_JOIN as in our own SYN: options are copied" }, []want{{CheckJoin, Failed, "options are copied"}}},
		"policy":              {func(f *Facts) { f.Join.Answer, f.Join.Reason = Reset, 3 }, []want{{CheckJoin, Note, "refuses the join (MP_TCPRST reason 3)"}}},
		"long refused":        {func(f *Facts) { f.Long.Answer = Reset }, []want{{CheckLong, Failed, "answered with a reset"}}},
		"two distances":       {func(f *Facts) { f.Capable.TTLs = []uint8{60, 64} }, []want{{CheckAnswers, Note, "different TTLs [60 64]"}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := fine()
			tc.change(f)
			list := f.Verdict(false)
			got := remarkable(list)
			for _, w := range tc.wanted {
				require.Equal(t, w.status, got[w.check].Status, "%s: %+v", w.check, list)
				require.Contains(t, got[w.check].Says, w.says)
				if w.status == Failed && w.check != CheckTCP {
					require.NotEmpty(t, got[w.check].Do)
				}
				delete(got, w.check)
			}
			for _, f := range got {
				require.Equal(t, Untested, f.Status, "%+v", f)
			}
		})
	}
}

// DATA_ACKs of both lengths count from the IDSN, across its wrap, and mappings from the SYN.
func TestSeenCounts(t *testing.T) {
	const idsn, isn, peer = 1<<64 - 5, 1<<32 - 3, 1<<32 - 100
	v := newSeen(idsn, true)
	seg := func(flags packet.Flags, seq, ack uint32, payload int, list ...options.Option) *packet.Segment {
		s := &packet.Segment{Flags: flags, Seq: seq, Ack: ack, Payload: make([]byte, payload)}
		for _, o := range list {
			s.Options = o.Append(s.Options)
		}
		return s
	}
	at := func(base, n uint32) uint32 { return base + n }
	v.sent(seg(packet.SYN, isn, 0, 0, options.MPCapable{Version: 1, Flags: options.FlagH}))
	v.received(seg(packet.SYN|packet.ACK, peer, at(isn, 1), 0, options.MPCapable{Version: 1, HasSender: true, SenderKey: 7, Flags: options.FlagC}, options.SACKPermitted{}))
	require.True(t, v.Option && v.NoJoins && v.SACK && !v.Scale)
	v.sent(seg(packet.ACK, at(isn, 1), at(peer, 1), 50))
	v.received(seg(packet.ACK, at(peer, 1), at(isn, 51), 0, options.DSS{HasAck: true, DataAck: uint64(at(1<<32-5, 41))}))
	require.EqualValues(t, 40, v.DataAcked)
	require.EqualValues(t, 50, v.Acked)
	idsn64 := uint64(idsn)
	v.received(seg(packet.ACK, at(peer, 1), at(isn, 51), 100, options.DSS{HasAck: true, Ack64: true, DataAck: idsn64 + 51, HasMap: true, SSN: 1, DataLen: 200}))
	v.received(seg(packet.ACK, at(peer, 101), at(isn, 51), 100))
	require.EqualValues(t, 50, v.DataAcked)
	require.Zero(t, v.Unmapped())
	require.Zero(t, v.Elsewhere)
	v.received(seg(packet.ACK, at(peer, 201), at(isn, 51), 10))
	require.Equal(t, 1, v.Unmapped())
	v.received(seg(packet.ACK, at(peer, 211), at(isn, 51), 10, options.DSS{HasMap: true, SSN: 221, DataLen: 10}))
	v.received(seg(packet.ACK, at(peer, 221), at(isn, 51), 10, options.DSS{HasMap: true, SSN: 211, DataLen: 10}))
	require.Equal(t, 2, v.Elsewhere)
	v.received(&packet.Segment{Flags: packet.ACK, Options: []byte{30, 1}})
	v.received(&packet.Segment{Flags: packet.ACK, Options: []byte{30, 4, 0xf0, 0, 30}})
	require.Equal(t, -1, v.Reason)
	for range 3 * maxSpans {
		v.received(seg(packet.ACK, at(peer, 301), at(isn, 51), 10))
	}
	require.LessOrEqual(t, len(v.bare), maxSpans, "a peer that sends much takes no more memory")
}

func FuzzSeen(f *testing.F) {
	f.Add(uint8(0x12), uint32(1), uint32(2), []byte{30, 4, 1, 1, 30, 12, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8}, []byte("x"))
	f.Add(uint8(0x10), uint32(1), uint32(2), []byte{30, 20, 32, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 9, 0, 0, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2}, []byte("x"))
	f.Fuzz(func(t *testing.T, flags uint8, seq, ack uint32, opts, payload []byte) {
		v := newSeen(1, true)
		s := packet.Segment{Flags: packet.Flags(flags), Seq: seq, Ack: ack, Options: opts, Payload: payload}
		for range 3 {
			v.sent(&s)
			v.received(&s)
			s.Flags ^= packet.SYN
		}
		facts := fine()
		facts.Capable, facts.Plain, facts.Join = v, v, v
		for _, x := range facts.Verdict(false) {
			require.NotEmpty(t, x.Status)
		}
	})
}
