package wire

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// tally is what is not 0 of a host's counters.
type tally map[string]uint64

func (h *host) counted() tally {
	l := tally{}
	mib.Named(*h.cfg.Counters.Snapshot(), func(name string, n uint64) {
		if n > 0 {
			l[name] = n
		}
	})
	return l
}

// since is what was counted after before.
func (l tally) since(before tally) tally {
	for name, n := range before {
		if l[name] -= n; l[name] == 0 {
			delete(l, name)
		}
	}
	return l
}

// Every way into Multipath TCP, and past it, has its counter.
func TestHandshakesAreCounted(t *testing.T) {
	refused := oneKey
	refused.HasReceiver, refused.ReceiverKey = true, 1
	for _, tt := range []struct {
		name   string
		client bool
		do     func(s *script)
		want   tally
	}{
		{"dialled", true, func(s *script) { s.open() }, tally{"MPCapableSYNTX": 1, "MPCapableSYNACKRX": 1}},
		{"accepted", false, func(s *script) { s.open() }, tally{"MPCapableACKRX": 1}},
		{"a SYN that gets no answer at once", true, func(s *script) {
			s.w.dial()
			s.wait(1500 * time.Millisecond)
			key := oneKey
			key.SenderKey = uint64(s.mine)
			s.list[0].sends(packet.SYN|packet.ACK, "", key)
		}, tally{"MPCapableSYNTX": 1, "MPCapableSYNACKRX": 1}},
		{"a plain peer", true, func(s *script) { s.w.dial(); s.w.settle(); s.list[0].sends(packet.SYN|packet.ACK, "") },
			tally{"MPCapableSYNTX": 1, "MPCapableFallbackSYNACK": 1}},
		{"a black hole", true, func(s *script) {
			s.w.dial()
			s.wait(4 * time.Second)
			s.list[0].sends(packet.SYN|packet.ACK, "")
		}, tally{"MPCapableSYNTX": 1, "MPCapableSYNTXDrop": 1, "Blackhole": 1}},
		{"a third message without keys", false, func(s *script) { s.syn(capableSyn).acks() }, tally{"MPCapableFallbackACK": 1}},
		{"one with others", false, func(s *script) {
			p := s.syn(capableSyn)
			for range maxPuzzled + 1 {
				p.acks(refused)
			}
		}, tally{"MPCapableFallbackACK": 1}},
		{"both sides at once", true, func(s *script) {
			s.w.dial()
			s.w.settle()
			p := s.list[0]
			p.sends(packet.SYN, "")
			p.acks()
		}, tally{"MPCapableSYNTX": 1, "SimultConnectFallback": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, tt.client)
			tt.do(s)
			require.Equal(t, tt.want, s.us.counted())
		})
	}
}

// Where nothing is lost, a busy connection joins each further path once, and stays there.
func TestEachPathIsJoinedOnce(t *testing.T) {
	for _, paths := range []int{1, 2, 4} {
		for _, family := range []string{"10.0.%d.%d", "fd00:0:0:%d::%d"} {
			w := newWorld(t, uint64(paths))
			for i := range paths {
				w.connect(fmt.Sprintf(family, i+1, 1), fmt.Sprintf(family, 1, 2), route{delay: 5 * time.Millisecond, rate: mbit(50)})
			}
			w.exchange(2<<20, 2<<20, time.Minute)
			want, answers := tally{"MPCapableSYNTX": 1, "MPCapableSYNACKRX": 1}, tally{"MPCapableACKRX": 1}
			if n := uint64(paths - 1); n > 0 {
				want["MPJoinSynTx"], want["MPJoinSynAckRx"], answers["MPJoinAckRx"] = n, n, n
			}
			ours, theirs := w.client.counted(), w.server.counted()
			for _, ofData := range []string{"OFOQueue", "MPTCPRetrans", "DuplicateData"} { // which several paths bring
				delete(ours, ofData)
				delete(theirs, ofData)
			}
			require.Equal(t, want, ours, "%d paths", paths)
			require.Equal(t, answers, theirs, "%d paths", paths)
		}
	}
}

// So have the messages of joins. What a listener counts of them, package stack does.
func TestJoinsAreCounted(t *testing.T) {
	asked := func(s *script, change func(o *options.MPJoin)) { // our SYN, and the peer's answer
		g := s.second()
		o, err := engine.NewJoinResponder(s.keys(), 77, 0, false).HandleSyn(Open(&g.out[0]).Join)
		require.NoError(s.t, err)
		change(&o)
		g.sends(packet.SYN|packet.ACK, "", o)
	}
	asks := func(s *script, change func(o *options.MPJoin)) { // the peer's SYN, and its third message
		g := s.end(s.list[0].us, addrs[0])
		j := engine.NewJoinInitiator(s.keys(), 77, 1, false)
		g.sends(packet.SYN, "", j.Syn())
		var r received
		r.parse(g.out[0].Options)
		o, err := j.HandleSynAck(r.join)
		require.NoError(s.t, err)
		change(&o)
		g.acks(o)
		g.acks(o)
	}
	same := func(*options.MPJoin) {}
	wrong := func(o *options.MPJoin) { o.HMAC[0] ^= 1 }
	backup := func(o *options.MPJoin) { o.Backup = true }
	for _, tt := range []struct {
		name   string
		client bool
		do     func(s *script)
		want   tally
	}{
		{"ours", true, func(s *script) { asked(s, same) }, tally{"MPJoinSynTx": 1, "MPJoinSynAckRx": 1}},
		{"ours, as a backup", true, func(s *script) { asked(s, backup) }, tally{"MPJoinSynTx": 1, "MPJoinSynAckRx": 1, "MPJoinSynAckBackupRx": 1}},
		{"ours, to somebody else", true, func(s *script) { asked(s, wrong) }, tally{"MPJoinSynTx": 1, "MPJoinSynAckHMacFailure": 1, "MPRstTx": 1}},
		{"the peer's", false, func(s *script) { asks(s, same) }, tally{"MPJoinAckRx": 1}},
		{"somebody else's", false, func(s *script) { asks(s, wrong) }, tally{"MPJoinAckHMacFailure": 1, "MPRstTx": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, tt.client)
			s.open()
			before := s.us.counted()
			tt.do(s)
			require.Equal(t, tt.want, s.us.counted().since(before))
		})
	}
}

// Options that stand on their own are counted when they leave, or when it is sure that they never will.
func TestSignalsAreCounted(t *testing.T) {
	v4 := options.AddAddr{AddrID: 5, Addr: netip.MustParseAddr("10.0.9.9"), Port: 80, HMAC: 7}
	v6 := options.AddAddr{AddrID: 6, Addr: netip.MustParseAddr("2001:db8::9"), HasPort: true, Port: 80, HMAC: 7}
	echo := func(o options.AddAddr) options.AddAddr { o.Echo, o.HMAC = true, 0; return o }
	gone := options.RemoveAddr{N: 1}
	gone.IDs[0] = 5
	many := options.RemoveAddr{N: 12}
	for i := range many.N {
		many.IDs[i] = i
	}
	signals := func(l ...options.Option) func(f *Flow, s *script) {
		return func(f *Flow, s *script) {
			for _, o := range l {
				f.Signal(s.w.now, o)
			}
			s.wait(2 * time.Second)
		}
	}
	for _, tt := range []struct {
		name string
		do   func(f *Flow, s *script)
		want tally
	}{
		{"ADD_ADDR", signals(v4), tally{"AddAddrTx": 1}},
		{"its echo", signals(echo(v4)), tally{"EchoAddTx": 1}},
		{"REMOVE_ADDR", signals(gone), tally{"RmAddrTx": 1}},
		{"too many ids for one", signals(many), tally{"RmAddrTx": 2}},
		{"MP_PRIO", signals(options.MPPrio{Backup: true}), tally{"MPPrioTx": 1}},
		{"the last MP_PRIO counts", signals(options.MPPrio{Backup: true}, options.MPPrio{}, options.MPPrio{Backup: true}), tally{"MPPrioTx": 1}},
		{"no room for it in any segment", func(f *Flow, s *script) {
			f.sig.put(v6)
			f.sig.put(echo(v6))
			f.sig.put(gone)
			f.sig.unfit(8)
		}, tally{"AddAddrTxDrop": 1, "EchoAddTxDrop": 1}},
		{"no place in the queue", func(f *Flow, s *script) {
			for i := range maxQueued {
				o := v4
				o.AddrID = uint8(100 + i)
				f.sig.put(o)
			}
			f.sig.put(v6)
			f.sig.put(echo(v6))
			f.sig.put(gone)
		}, tally{"AddAddrTxDrop": 1, "EchoAddTxDrop": 1, "RmAddrTxDrop": 1}},
		{"a RST", func(f *Flow, s *script) { f.Abort(s.w.now, engine.ResetResources); s.wait(time.Second) }, tally{"MPRstTx": 1}},
		{"MP_FASTCLOSE", func(f *Flow, s *script) { s.us.eng.Abort(s.w.now, engine.ResetUnspecified); s.wait(0) }, tally{"MPFastcloseTx": 1}},
		{"the peer's RST", func(f *Flow, s *script) {
			s.list[0].resets(options.TCPRst{Reason: uint8(engine.ResetProhibited)})
		}, tally{"MPRstRx": 1}},
		{"one with MP_FAIL", func(f *Flow, s *script) {
			s.list[0].resets(options.MPFail{DSN: s.us.key.IDSN() + 1}, options.TCPRst{Reason: uint8(engine.ResetMiddlebox)})
		}, tally{"MPRstRx": 1, "MPFailRx": 1}},
		{"the peer's MP_FAIL", func(f *Flow, s *script) {
			s.write(10)
			s.list[0].acks(options.MPFail{DSN: s.us.key.IDSN() + 1})
			s.wait(10 * time.Millisecond)
			s.write(10)
		}, tally{"MPFailRx": 1, "MPFailTx": 1, "InfiniteMapTx": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, false)
			s.open()
			before := s.us.counted()
			tt.do(s.us.flows[0].Flow, s)
			require.Equal(t, tt.want, s.us.counted().since(before))
		})
	}
}
