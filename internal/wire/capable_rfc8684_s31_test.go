package wire

import (
	"net/netip"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// syn is a SYN to our listener.
func (s *script) syn(opts ...options.Option) *peerEnd {
	p := s.end(netip.MustParseAddrPort("10.0.1.2:80"), netip.MustParseAddrPort("10.0.1.1:4000"))
	p.sends(packet.SYN, "", opts...)
	return p
}

var (
	capableSyn = options.MPCapable{Version: 1, Flags: options.FlagH}
	oneKey     = options.MPCapable{Version: 1, Flags: options.FlagH, HasSender: true, SenderKey: 0x77}
)

// "If a SYN does not contain an MP_CAPABLE option, the SYN/ACK MUST NOT contain one in response" (RFC 8684 section 3.1), and
// where what it contains makes no sense "it must be treated as a regular TCP handshake".
func TestSynAckAnswersTheSyn(t *testing.T) {
	with := func(f func(c *options.MPCapable)) options.Option {
		c := capableSyn
		f(&c)
		return c
	}
	for _, tt := range []struct {
		what string
		opts []options.Option
		want string
	}{
		{"none", nil, "SYN/ACK"},
		{"version 1", []options.Option{capableSyn}, "SYN/ACK, MP_CAPABLE 12"},
		{"a later version", []options.Option{with(func(c *options.MPCapable) { c.Version = 2 })}, "SYN/ACK, MP_CAPABLE 12"},
		{"version 0", []options.Option{with(func(c *options.MPCapable) { c.Version, c.HasSender = 0, true })}, "SYN/ACK"},
		{"flag B", []options.Option{with(func(c *options.MPCapable) { c.Flags |= options.FlagB })}, "SYN/ACK"},
		{"no algorithm", []options.Option{with(func(c *options.MPCapable) { c.Flags = 0 })}, "SYN/ACK"},
		{"another algorithm", []options.Option{with(func(c *options.MPCapable) { c.Flags = 0x02 })}, "SYN/ACK"},
		{"checksums", []options.Option{with(func(c *options.MPCapable) { c.Flags |= options.FlagA })}, "SYN/ACK, MP_CAPABLE 12"},
	} {
		s := newScript(t, false)
		p := s.syn(tt.opts...)
		if len(p.out) == 1 && tt.what == "a later version" {
			var r received
			r.parse(p.out[0].Options)
			require.EqualValues(t, 1, r.capable.Version, "\"equal to or lower than the version number indicated\"")
			require.Equal(t, options.FlagH, r.capable.Flags, "\"set bit \"H\" to 1 and bits \"D\" through \"G\" to 0\"")
		}
		p.wants(tt.what, tt.want)
	}
}

// "If a SYN contains an MP_CAPABLE option but the SYN/ACK does not, [...] the MPTCP session MUST operate as a regular,
// single-path TCP session."
func TestSynAckWithoutMPCapable(t *testing.T) {
	wrong := oneKey
	wrong.Flags |= options.FlagB
	for _, opts := range [][]options.Option{nil, {capableSyn}, {wrong}} {
		s := newScript(t, true)
		s.write0(10)
		s.w.dial()
		s.w.settle()
		p := s.list[0]
		p.wants("asks", "SYN, MP_CAPABLE 4")
		p.sends(packet.SYN|packet.ACK, "", opts...)
		s.w.settle()
		p.wants("no option", "DATA 1+10")
		p.sends(packet.ACK, "answer")
		s.wait(time.Second)
		p.wants("none here", "ACK")
		require.Equal(t, "answer", s.us.in.String())
		require.Equal(t, extapi.FallbackPeer, s.us.eng.Info().Fallback)
	}
}

// write0 is what our program has to say before there is a connection.
func (s *script) write0(n int) { s.us.out = pattern(n) }

// "If the third packet (the ACK) does not contain the MP_CAPABLE option, then the session MUST fall back to operating as a
// regular, single-path TCP session"; and so where it contains another key, or other flags, than were agreed.
func TestThirdMessageWithoutMPCapable(t *testing.T) {
	for _, what := range []string{"none", "key", "flags"} {
		s := newScript(t, false)
		p := s.syn(capableSyn)
		p.wants("our key", "SYN/ACK, MP_CAPABLE 12")
		third := oneKey
		third.HasReceiver, third.ReceiverKey = true, uint64(s.us.key)
		switch what {
		case "key":
			third.ReceiverKey++
		case "flags":
			third.Flags |= options.FlagA
		}
		n := 1
		if what == "none" {
			p.acks()
		} else {
			n = maxPuzzled + 1
			for range n {
				p.acks(third)
			}
		}
		p.out = nil
		p.sends(packet.ACK, "request")
		s.wait(time.Second)
		require.Equal(t, "request", s.us.in.String(), what)
		require.Equal(t, extapi.FallbackThirdAck, s.us.eng.Info().Fallback, what)
		s.write(6)
		for _, seg := range p.out {
			var r received
			r.parse(seg.Options)
			require.False(t, r.any(), "\"no longer include MPTCP options in future TCP packets\"")
		}
	}
}

// Linux 6.18, whose SYN had data that nobody took, sends that data again without a mapping. MP_CAPABLE comes with what follows, and
// a mapping that begins at subflow sequence number 1 there. Taken for what they say, they would leave the end of the stream without
// a mapping: the connection is plain TCP, whichever of the two comes first.
func TestDataOfTheSYNIsSentAgainWithoutAMapping(t *testing.T) {
	for _, reordered := range []bool{false, true} {
		s := newScript(t, false)
		p := s.syn(capableSyn)
		p.wants("our key", "SYN/ACK, MP_CAPABLE 12")
		withData := oneKey
		withData.HasReceiver, withData.ReceiverKey, withData.HasData, withData.DataLen = true, uint64(s.us.key), true, 6
		if reordered {
			p.next += 5
			p.sends(packet.ACK, "behind", withData)
			p.next -= 11
		}
		p.sends(packet.ACK, "early", options.DSS{HasAck: true, DataAck: s.us.key.IDSN() + 1})
		p.sends(packet.ACK, "behind", withData)
		p.sends(packet.ACK|packet.FIN, "")
		s.wait(time.Second)
		require.Equal(t, "earlybehind", s.us.in.String())
		require.True(t, s.us.eof)
		require.Equal(t, extapi.FallbackThirdAck, s.us.eng.Info().Fallback)
	}
}

// "If A does not immediately have data to send, it MUST include the MP_CAPABLE on the first ACK, but without the additional
// data parameters. When A does have data to send, it must repeat the sending of the MP_CAPABLE option from the first ACK,
// with additional data parameters": until the server shows that it has the key.
func TestThirdMessageIsRepeatedWithTheFirstData(t *testing.T) {
	s := newScript(t, true)
	s.w.dial()
	s.w.settle()
	p := s.list[0]
	p.wants("asks", "SYN, MP_CAPABLE 4")
	key := oneKey
	key.SenderKey = uint64(s.mine)
	p.sends(packet.SYN|packet.ACK, "", key)
	p.wants("without data", "ACK, MP_CAPABLE 20")
	s.write(10)
	p.wants("with the first", "DATA 1+10, MP_CAPABLE 22")
	s.wait(250 * time.Millisecond)
	p.wants("lost", "DATA 1+10, MP_CAPABLE 22")
	p.acks(s.ack(10))
	s.write(10)
	p.wants("the server has it", "DATA 11+10, DSS map 10+10@11 ack 0")
}

// "new subflows MUST NOT be established [...] until a DSS option has been successfully received across the path".
func TestNoJoinBeforeADSS(t *testing.T) {
	s := newScript(t, true)
	s.us.addrs = append(s.us.addrs, addr("10.0.2.1"))
	s.w.dial()
	s.w.settle()
	p := s.list[0]
	key := oneKey
	key.SenderKey = uint64(s.mine)
	p.sends(packet.SYN|packet.ACK, "", key)
	s.wait(time.Minute)
	require.Len(t, s.list, 1)
	p.acks(s.ack(0))
	s.wait(time.Second)
	require.Len(t, s.list, 2)
}

// "the sender of this option will not accept additional MPTCP subflows to the source address and port, and therefore the
// receiver MUST NOT try to open any additional subflows toward this address and port": flag C.
func TestFlagC(t *testing.T) {
	s := newScript(t, true)
	s.w.connect("10.0.2.1", "10.0.9.9", route{}).box = s.take
	s.us.addrs = append(s.us.addrs[:1], addr("10.0.2.1"))
	s.w.dial()
	s.w.settle()
	p := s.list[0]
	key := oneKey
	key.SenderKey, key.Flags = uint64(s.mine), options.FlagH|options.FlagC
	p.sends(packet.SYN|packet.ACK, "", key)
	p.acks(s.ack(0))
	s.wait(time.Hour)
	require.Len(t, s.list, 1, "not there")
	p.acks(s.ack(0), announced(5, "10.0.9.9", s))
	s.wait(time.Second)
	require.Len(t, s.list, 2)
	require.Equal(t, netip.MustParseAddrPort("10.0.9.9:80"), s.list[1].peer, "but elsewhere")
}

// "if uniqueness is not met and there is no way to generate an alternative verifiable key, then the connection MUST fall back to
// using regular TCP by not sending an MP_CAPABLE in the SYN/ACK."
func TestStatelessTokenIsTaken(t *testing.T) {
	for _, taken := range []bool{false, true} {
		s := newScript(t, false)
		s.us.cookies()
		asked := 0
		s.us.state.Taken = func(uint32) bool { asked++; return taken }
		s.us.listen = tcp.NewListener(tcp.ListenConfig{Conn: s.us.params, SYNs: 1, Stateless: s.us.state})
		fill := packet.Segment{Src: netip.MustParseAddrPort("192.0.2.1:1"), Dst: netip.MustParseAddrPort("192.0.2.2:80"), Flags: packet.SYN}
		var out packet.Segment
		s.us.listen.HandleSegment(0, &fill, &out)
		p := s.syn(capableSyn)
		require.Positive(t, asked)
		if taken {
			p.wants("plain TCP", "SYN/ACK")
		} else {
			p.wants("multipath", "SYN/ACK, MP_CAPABLE 12")
		}
	}
}

// "work around middleboxes that may drop packets with unknown options" (RFC 8684 section 3.1): a path that takes SYNs with the
// option and nothing else that has one. The table of middleboxes has the outcome.
func TestOptionsThatNothingAnswersAreLeftOut(t *testing.T) {
	for _, speaks := range []bool{true, false} {
		w, r := one(t, 21)
		var with, without int
		r.box = func(up bool, s packet.Segment) []packet.Segment {
			var o received

			switch o.parse(s.Options); {
			case !up || s.Flags.Has(packet.SYN):
				return pass(s)
			case o.any():
				with++
				require.Zero(t, without, "nobody goes back")
				return nil
			}
			without++
			return pass(s)
		}
		if speaks {
			w.client.out = pattern(1000)
		} else {
			w.server.out = pattern(1000)
		}
		w.client.fin, w.server.fin = speaks, true
		w.dial()
		require.True(t, w.run(10*time.Second, func() bool { return w.client.in.Len()+w.server.in.Len() == 1000 }))
		require.Positive(t, with)
		require.Less(t, w.now, 8*time.Second, "three timeouts of data, or of the server's SYN/ACK")
		require.Equal(t, extapi.FallbackThirdAck, w.server.eng.Info().Fallback)
		require.True(t, w.run(w.now+time.Second, func() bool { return w.client.eng.Info().Fallback == extapi.FallbackStripped }))
	}
}

// A path that was only away for a while decides nothing: the server, which has the first data, answers with options, and the
// connection stays multipath.
func TestAnOutageTakesNoOptionsAway(t *testing.T) {
	w, r := one(t, 22)
	back, bare := 3*time.Second, 0
	r.box = func(up bool, s packet.Segment) []packet.Segment {
		var o received
		if o.parse(s.Options); up && !o.any() {
			bare++
		}
		if !up && !s.Flags.Has(packet.SYN) && w.now < back {
			return nil
		}
		return pass(s)
	}
	w.exchange(100<<10, 100<<10, time.Minute)
	require.Positive(t, bare, "it was long enough")
	require.Equal(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
	require.Equal(t, extapi.FallbackNone, w.server.eng.Info().Fallback)
}

// A client that has nothing to send but its end repeats the third message with that: only who has the keys can take it.
func TestThirdMessageIsRepeatedWithTheDataFIN(t *testing.T) {
	s := newScript(t, true)
	s.w.dial()
	s.w.settle()
	p := s.list[0]
	p.wants("a SYN", "SYN, MP_CAPABLE 4")
	p.sends(packet.SYN|packet.ACK, "", options.MPCapable{Version: 1, Flags: options.FlagH, HasSender: true, SenderKey: uint64(s.mine)})
	p.wants("the third message", "ACK, MP_CAPABLE 20")
	s.us.eng.CloseWrite(s.w.now)
	s.w.settle()
	const fin = "ACK, DSS map 0+1@0 DATA_FIN ack 0"
	p.wants("has left just now", fin)
	for d := 200 * time.Millisecond; d < 10*time.Second; d *= 2 {
		s.wait(d)
		p.wants("may have been lost", "ACK, MP_CAPABLE 20", fin)
	}
	p.acks(s.ack(1))
	s.wait(time.Minute)
	p.wants("the peer has them")
}
