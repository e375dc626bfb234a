package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// bare is what arrives from a path that strips options.
func bare(p string) move {
	return func(f *scriptFlow) {
		f.s.c.HandlePlain(f.s.now, f.id)
		payload(p)(f)
	}
}

// summed is data with a checksum, which bad breaks.
func summed(dsn uint64, p string, bad bool) move {
	return func(f *scriptFlow) {
		d := options.DSS{HasMap: true, DSN64: true, DSN: f.s.remote() + dsn, SSN: f.peer, DataLen: uint16(len(p)), HasChecksum: true}
		d.Checksum = dssChecksum(d.DSN, d.SSN, d.DataLen, []byte(p))
		if bad {
			d.Checksum++
		}
		says(d)(f)
		payload(p)(f)
	}
}

// infinite is an infinite mapping that begins at the flow's next byte.
func infinite(dsn uint64) move {
	return func(f *scriptFlow) {
		says(options.DSS{HasMap: true, DSN64: true, DSN: f.s.remote() + dsn, SSN: f.peer})(f)
	}
}

func checksums(c *Config) { c.Checksum = true }

// "the implementation MUST drop out of MPTCP mode and fall back to regular TCP. The sender will send
// one final Data Sequence Mapping, with the Data-Level Length value of 0 [...] and then revert to
// sending data on the single subflow without any MPTCP options."
func TestOptionsStrippedFromTheStart(t *testing.T) {
	s, f := single(t, true)
	s.write("hello")
	f.Sends(bare("plain "))
	s.wantRead("plain ")
	f.clear()
	s.write("one")
	s.write("two")
	f.Wants("infinite mapping once, then nothing", "infinite 5+3", "plain 3")
	f.Sends(payload("answer"))
	s.wantRead("answer")
	require.Equal(t, extapi.FallbackStripped, s.c.Info().Fallback)
	require.Equal(t, extapi.CarrierTCP, s.c.Info().Carrier)
	require.Contains(t, s.names(), "conn_fell_back")
	f.Wants("no DATA_ACK any more")
	f.Sends(tcpAck)
	require.True(t, s.c.Drained())
	s.wait(time.Minute)
	f.Wants("and no timers")
}

func TestThirdAckWithoutOptions(t *testing.T) {
	s := newScript(t, false)
	f := s.add(FlowParams{Initial: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
	f.Sends(bare("GET"))
	s.wantRead("GET")
	require.Equal(t, extapi.FallbackThirdAck, s.c.Info().Fallback)
}

// "If a subflow breaks during operation, [...] the subflow SHOULD be treated as broken and closed with
// a RST": where it is the only one that there has been, and nothing is missing, it goes on as TCP instead.
func TestOptionsStrippedMidway(t *testing.T) {
	s, f := single(t, false)
	f.Sends(data(0, "hello"))
	f.clear()
	f.Sends(payload(" world"))
	s.wait(unmappedWait - time.Millisecond)
	s.wantRead("hello")
	require.Equal(t, extapi.FallbackNone, s.c.Info().Fallback, "a mapping may still come")
	s.wait(time.Millisecond)
	s.wantRead(" world")
	require.Equal(t, extapi.FallbackStripped, s.c.Info().Fallback)
	f.clear()
	s.write("answer")
	f.Wants("plain from here on", "infinite 0+6")
}

// Behind a FIN no mapping can come any more; and after MP_FAIL none is due that Linux would send.
func TestStrippedBeforeTheFIN(t *testing.T) {
	s, f := single(t, false)
	f.Sends(data(0, "hello"), payload(" world"), tcpFIN)
	s.wantEOF("hello world")
	require.Equal(t, extapi.FallbackStripped, s.c.Info().Fallback)

	s, f = single(t, true, checksums)
	s.write("changed on its way")
	f.Sends(option(options.MPFail{DSN: s.local()}), payload("answer"), tcpFIN)
	s.wantEOF("answer")
	require.Equal(t, extapi.FallbackChecksum, s.c.Info().Fallback)
}

// A box that cuts segments may leave the option on a later piece.
func TestMappingComesLate(t *testing.T) {
	s, f := single(t, false)
	f.Sends(payload("hel"))
	s.wait(unmappedWait / 2)
	f.Sends(says(options.DSS{HasMap: true, DSN64: true, DSN: s.remote(), SSN: 1, DataLen: 5}), payload("lo"))
	s.wantRead("hello")
	require.Equal(t, extapi.FallbackNone, s.c.Info().Fallback)
	s.wait(time.Second)
	require.Equal(t, extapi.FallbackNone, s.c.Info().Fallback)
}

// With "a Middlebox interference reason code", where another subflow has delivered too.
func TestOptionsStrippedMidwayOnTheLastOfTwo(t *testing.T) {
	s, f, g := double(t, false)
	f.Sends(data(0, "hello"))
	g.ends(errTest)
	f.clear()
	f.Sends(payload("?"))
	s.wait(unmappedWait)
	f.Wants("broken", "abort 6")
	require.Equal(t, extapi.FallbackNone, s.c.Info().Fallback)
	h := s.joined("10.0.2.1:5000")
	h.Sends(data(5, " world"))
	s.wantRead("hello world")
}

// A peer that has fallen back gives no DATA_ACK any more, but what it sends again has its mapping still: data that it has
// is not sent a second time, which would arrive twice.
func TestPeerThatHasFallenBackRepeatsItsMappings(t *testing.T) {
	s, f := single(t, true)
	s.write("hello")
	for range 20 {
		f.Sends(says(options.DSS{HasMap: true, DSN64: true, DSN: s.remote(), SSN: 1, DataLen: 5}))
		s.c.HandleBare(s.now, f.id)
		s.wait(50 * time.Millisecond)
	}
	require.Equal(t, extapi.FallbackStripped, s.c.Info().Fallback)
	require.Equal(t, "hello", string(f.data), "once")
}

// One that has nothing to send keeps silent: it is asked before data leaves a second time.
func TestSilentPeerIsAskedBeforeDataIsSentTwice(t *testing.T) {
	s, f := single(t, true)
	f.stats.InFlight = 0 // its TCP has everything
	s.write("hello")
	s.wait(dataFloor)
	f.Wants("asked", "data 0+5", "probe")
	s.c.HandleBare(s.now, f.id)
	s.wait(time.Minute)
	f.Wants("it has fallen back")
	require.Equal(t, extapi.FallbackStripped, s.c.Info().Fallback)

	s, f = single(t, true)
	f.stats.InFlight = 0 // its TCP has everything
	s.write("hello")
	s.wait(dataFloor)
	f.Wants("asked", "data 0+5", "probe")
	f.Sends(ack(0))
	s.wait(dataFloor)
	f.Wants("it has not: the data has got lost behind its TCP", "data 0+5")
}

// What the TCP of the only subflow has yet to deliver it sends again itself: a copy would come behind it, and stand in the way
// of a fallback, which comes even after a silence that has made the path stale.
func TestTheOnlySubflowRepeatsItself(t *testing.T) {
	s, f := single(t, true)
	f.stats.InFlight, f.stats.Acked = 5, 0
	s.write("hello")
	s.wait(3 * time.Second)
	require.Equal(t, extapi.StateStale, s.state(f))
	s.c.HandlePlain(s.now, f.id)
	require.Equal(t, extapi.FallbackStripped, s.c.Info().Fallback)
	f.stats.InFlight, f.stats.Acked = 0, 5
	s.c.HandleAcked(s.now, f.id)
	s.wait(time.Minute)
	require.Equal(t, "hello", string(f.data), "once")

	s, f = single(t, true)
	f.stats.InFlight, f.stats.Acked = 5, 5
	s.write("hello")
	f.stats.Patience = time.Minute
	s.wait(dataFloor)
	require.Equal(t, "hellohello", string(f.data), "what has got lost behind it comes again")
}

// The handshake of the first subflow came to plain TCP: the connection works without the peer's key.
func TestPlainFromTheStart(t *testing.T) {
	for _, client := range []bool{true, false} {
		s := blankScript(t, client)
		s.write("early ")
		s.c.SetID(1, extapi.CarrierWire)
		f := s.add(FlowParams{Initial: true, Fallback: extapi.FallbackPeer, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
		f.Wants("under no mapping that the flow would send", "infinite 0+6")
		require.True(t, s.c.FellBack())
		require.Positive(t, s.c.Window(s.now, 0), "there is a window to announce")
		require.False(t, s.c.Advertise(s.now).Valid, "and no DATA_ACK")
		f.Sends(payload("hello"))
		s.wantRead("hello")
		s.write("answer")
		f.Wants("as all that follows", "plain 6")
		f.Sends(tcpFIN)
		s.wantEOF("")
		s.c.CloseWrite(s.now)
		f.Wants("closed", "close")
		f.Sends(tcpAck)
		f.ends(nil)
		require.True(t, s.c.Done())
		require.NoError(t, s.c.Err())
		require.Equal(t, extapi.FallbackPeer, s.c.Info().Fallback)
	}
}

// What the peer said before it knew of the fallback does no harm.
func TestSignalsAfterAFallback(t *testing.T) {
	s, f := single(t, true)
	f.Sends(bare("x"))
	f.clear()
	f.Sends(
		says(options.DSS{HasAck: true, Ack64: true, DataAck: s.local() + 1<<20}),
		says(options.DSS{HasMap: true, DSN64: true, DSN: s.remote() + 1<<40, SSN: 2, DataLen: 5}),
		option(options.AddAddr{AddrID: 3, Addr: labAddr("10.0.9.9:1").Addr()}), payload("y"))
	s.wantRead("xy")
	f.Wants("nothing")
}

func TestOptionsStrippedOnOneOfTwo(t *testing.T) {
	s, f, g := double(t, false)
	g.Sends(bare("?"))
	g.Wants("closed", "abort 6")
	f.Sends(data(0, "fine"))
	s.wantRead("fine")
}

// "it will send back an MP_FAIL option on the subflow-level ACK, referring to the data-level sequence
// number of the start of the segment on which the checksum error was detected", and both sides go on
// as plain TCP; what was changed is delivered, as TCP does.
func TestChecksumFailureOnTheOnlySubflow(t *testing.T) {
	s, f := single(t, true, checksums)
	f.Sends(summed(0, "good ", false))
	f.clear()
	f.Sends(summed(5, "changed ", true))
	f.Wants("told", "MP_FAIL 5")
	s.wantRead("good changed ")
	require.Equal(t, extapi.FallbackChecksum, s.c.Info().Fallback)
	f.Sends(option(options.MPFail{DSN: s.local()}))
	f.Wants("MP_FAIL is not answered twice")
	s.write("ours")
	f.Wants("\"the receiver of this option [...] will signal an infinite mapping\": before it has, we have not", "data 0+4")
	require.Equal(t, s.remote()+13, s.c.Advertise(s.now).DataAck, "nor will what is delivered come again")
	f.Sends(summed(13, "on its way ", true), infinite(24), payload("from here on"))
	s.wantRead("on its way from here on")
	s.write("more")
	f.Wants("both ways", "infinite 4+4")
	require.False(t, s.c.Advertise(s.now).Valid)
	require.Equal(t, extapi.FallbackChecksum, s.c.Info().Fallback)
}

// A side whose data has failed, and which has no more, sends no infinite mapping: it ends as ever.
func TestClosesAfterAChecksumFailure(t *testing.T) {
	s, f := single(t, true, checksums)
	s.write("hello")
	f.Sends(ack(5), summed(0, "changed", true))
	f.clear()
	dataFIN := options.DSS{HasAck: true, Ack64: true, DataAck: s.local() + 5, HasMap: true, DSN64: true, DSN: s.remote() + 7, DataLen: 1, DataFIN: true, HasChecksum: true}
	dataFIN.Checksum = EmptyChecksum(dataFIN.DSN)
	f.Sends(option(options.MPFail{DSN: s.local()}), says(dataFIN))
	s.wantEOF("changed")
	f.Wants("acknowledged", "ack 8")
	s.c.CloseWrite(s.now)
	f.Wants("ours too", "fin 5")
	f.Sends(ack(6), tcpFIN)
	f.Wants("both are", "close")
	f.ends(nil)
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())

	s, f = single(t, true, checksums)
	f.Sends(summed(0, "changed", true), option(options.MPFail{DSN: s.local()}), tcpFIN)
	s.wantEOF("changed") // of a peer that has gone over to plain TCP at once
	f.clear()
	s.write("answer")
	f.Wants("so do we", "infinite 0+6")
}

// A window that is shut is asked about without a byte that was sent before: the peer may have fallen back meanwhile, and would
// take that for another.
func TestWindowProbeAfterAChecksumFailure(t *testing.T) {
	s, f := single(t, true, checksums)
	f.Sends(summed(0, "changed", true))
	s.write(strings.Repeat("x", initialWindow))
	f.Sends(ack(initialWindow))
	f.clear()
	s.write("more")
	s.wait(persistMin)
	f.Wants("asked", "probe")
	f.Sends(window(initialWindow + 4))
	f.Wants("opened", "data 65536+4")
}

func TestChecksumFailureOnOneOfTwo(t *testing.T) {
	s, f, g := double(t, false, checksums)
	g.Sends(summed(0, "changed", true))
	g.Wants("RST with MP_FAIL", "MP_FAIL 0", "abort 6")
	f.Sends(summed(0, "correct", false))
	s.wantRead("correct")
	require.Equal(t, extapi.FallbackNone, s.c.Info().Fallback)
}

// "In the rare case that the data is not contiguous [...] the receiver MUST close the subflow with a
// RST with MP_FAIL."
func TestChecksumFailureWithAHole(t *testing.T) {
	s, f := single(t, false, checksums)
	f.Sends(summed(7, "behind a hole", false))
	f.clear()
	f.Sends(summed(0, "changed", true), summed(0, "nothing counts any more", false))
	f.Wants("no fallback", "MP_FAIL 0", "abort 6")
	require.Equal(t, s.remote(), s.c.Info().RcvNxt)
	g := s.joined("10.0.2.1:5000")
	g.Sends(summed(0, "correct", false))
	s.wantRead("correctbehind a hole")
}

// "the receiver of an MP_FAIL MUST also respond with an MP_FAIL in the reverse direction and entirely
// revert to a regular TCP session"
func TestPeerReportsAChecksumFailure(t *testing.T) {
	s, f := single(t, true, checksums)
	s.write("hello")
	f.clear()
	f.Sends(option(options.MPFail{DSN: s.local()}))
	f.Wants("answered", "MP_FAIL 0")
	require.Zero(t, s.c.Info().SendBuffered, "what its TCP delivers is not sent again")
	require.False(t, s.c.Drained(), "which it has not yet")
	f.Sends(tcpAck)
	require.True(t, s.c.Drained())
	f.Sends(summed(0, "an answer to that", false))
	require.Equal(t, s.remote()+17, s.c.Advertise(s.now).DataAck, "else it would come again")
	s.wantRead("an answer to that")
	f.clear()
	s.write("more")
	f.Wants("plain", "infinite 5+4")
	f.Sends(summed(17, "sent before it knew", false), infinite(36), payload("!"))
	s.wantRead("sent before it knew!")
	require.Equal(t, extapi.FallbackChecksum, s.c.Info().Fallback)
}

func TestPeerReportsAChecksumFailureOnOneOfTwo(t *testing.T) {
	s, f, g := double(t, true, checksums)
	g.room = 0
	s.write("hello")
	g.room = 1 << 20
	f.clear()
	f.Sends(option(options.MPFail{DSN: s.local()}))
	f.Wants("closed", "abort 6")
	require.Equal(t, "hello", string(g.data))
}

func TestInfiniteMappingOfThePeer(t *testing.T) {
	s, f := single(t, false)
	f.Sends(data(0, "mapped "))
	f.clear()
	f.Sends(infinite(7), payload("plain"))
	s.wantRead("mapped plain")
	f.Wants("no DATA_ACK after it")
	s.write("back")
	f.Wants("both ways", "infinite 0+4")
	require.Equal(t, extapi.FallbackInfiniteMap, s.c.Info().Fallback)
}

func TestInfiniteMappingOnOneOfTwo(t *testing.T) {
	s, f, g := double(t, false)
	g.Sends(infinite(0))
	g.Wants("not with two subflows", "abort 6")
	f.Sends(data(0, "fine"))
	s.wantRead("fine")
}

// After a fallback each direction ends with the subflow's FIN, one after the other.
func TestHalfCloseAfterFallback(t *testing.T) {
	for _, own := range []bool{true, false} {
		s, f := single(t, true)
		f.Sends(bare("x"))
		f.clear()
		if own {
			s.write("request")
			s.c.CloseWrite(s.now)
			f.Wants("FIN", "infinite 0+7", "close")
			f.Sends(tcpAck)
			f.Sends(payload("answer"))
			s.wantRead("xanswer")
			f.Sends(tcpFIN)
		} else {
			f.Sends(tcpFIN)
			s.wantEOF("x")
			f.Wants("our direction stays open")
			s.wait(2 * time.Minute)
			s.write("answer")
			f.Wants("and is used", "infinite 0+6")
			s.c.CloseWrite(s.now)
			f.Wants("until we close it", "close")
			f.Sends(tcpAck)
		}
		s.wantEOF("")
		f.ends(nil)
		require.True(t, s.c.Done())
		require.NoError(t, s.c.Err())
	}
}

// After a fallback no DATA_ACK comes: what the peer's TCP has acknowledged is delivered, and the end of our direction when it
// has acknowledged the FIN.
func TestDrainedAfterFallback(t *testing.T) {
	s, f := single(t, true)
	f.Sends(bare("x"), tcpAck)
	f.clear()
	require.True(t, s.c.Drained())
	s.write("request")
	require.False(t, s.c.Drained(), "its TCP has it, the peer not yet")
	f.Sends(tcpAck)
	require.True(t, s.c.Drained())
	s.c.CloseWrite(s.now)
	f.Wants("FIN", "infinite 0+7", "close")
	require.False(t, s.c.Drained(), "nor its end")
	f.Sends(tcpAck)
	require.True(t, s.c.Drained())
}

// A peer that has closed its direction still gets everything that we have queued before the FIN, however long that takes.
func TestCloseAfterFallbackDelivers(t *testing.T) {
	s, f := single(t, true)
	f.Sends(bare("x"), tcpFIN)
	s.wantEOF("x")
	f.clear()
	s.write("a long answer")
	s.c.Close(s.now)
	f.Wants("queued", "infinite 0+13", "close")
	s.wait(20 * lingerFIN)
	f.Wants("no RST while it is under way")
	f.Sends(tcpAck)
	f.ends(nil)
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())
}

// A close that runs out of time says that not everything was delivered.
func TestCloseAfterFallbackRunsOutOfTime(t *testing.T) {
	s, f := single(t, true)
	f.Sends(bare("x"))
	s.wantRead("x")
	s.write("request")
	f.clear()
	s.c.Close(s.now)
	s.wait(time.Minute)
	f.Wants("given up", "close", "abort 0")
	require.ErrorIs(t, s.c.Err(), errUndelivered)
}

func TestResetAfterFallback(t *testing.T) {
	s, f := single(t, true)
	f.Sends(bare("x"))
	f.ends(errTest)
	require.True(t, s.c.Done(), "there is no other subflow to wait for")
	require.ErrorIs(t, s.c.Err(), errTest)
	got, err := s.read()
	require.Equal(t, "x", got)
	require.ErrorIs(t, err, errTest)
}

// No subflow is added to a connection that has fallen back.
func TestNoJoinsAfterFallback(t *testing.T) {
	s, f := single(t, true)
	s.c.SetLocalAddrs(s.now, twoAddrs)
	f.Sends(bare("x"))
	s.wait(time.Minute)
	require.Empty(t, s.joins)
	_, _, err := s.c.AcceptJoin(s.now, options.MPJoin{Token: s.c.keys.Local.Token()}, labAddr("10.0.1.1:4000"), labAddr("10.0.2.1:5000"), 1)
	require.Error(t, err)
	g := &scriptFlow{s: s}
	require.Zero(t, s.c.AddFlow(s.now, g, FlowParams{Accepted: true}))
	_, err = s.c.RequestJoin(s.now, labAddr("10.0.1.1:0"), labAddr("10.0.1.2:80"))
	require.Error(t, err)
}

// Bytes that came before it was known that the path strips options are not lost.
func TestBytesHeldBeforeTheFallback(t *testing.T) {
	s, f := single(t, true)
	f.Sends(payload("held "), bare("and more"))
	s.wantRead("held and more")
}

// The stream carrier has no TCP below it to fall back to.
func TestStreamNeverFallsBack(t *testing.T) {
	for _, m := range []move{bare("x"), infinite(0), option(options.MPFail{})} {
		s := newScript(t, true)
		f := s.add(FlowParams{Initial: true, Carrier: extapi.CarrierStream, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
		s.c.HandleEstablished(s.now, f.id)
		f.Sends(m)
		require.Contains(t, f.log, "abort 6")
		require.Equal(t, extapi.FallbackNone, s.c.Info().Fallback)
	}
}

// Whole connections over links that strip or change, both ends this engine.
func TestFallbackBetweenTwoEngines(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cfg    func(bool, *Config)
		damage func(a, b *labFlow)
		reason extapi.FallbackReason
	}{
		{"options lost both ways", nil, func(a, b *labFlow) { a.strip, b.strip = true, true }, extapi.FallbackStripped},
		{"payload changed", func(_ bool, c *Config) { c.Checksum = true }, func(a, b *labFlow) { a.flip = 1 }, extapi.FallbackChecksum},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := pool.Outstanding()
			l := newLab(t, 1, func(client bool, c *Config) {
				if tt.cfg != nil {
					tt.cfg(client, c)
				}
			})
			a, b := l.first(&labLink{rate: mbit(100), delay: time.Millisecond, queue: 64 << 10})
			l.run(10*time.Millisecond, func() bool { return false })
			tt.damage(a, b)
			l.client.c.established = false // the server's first segment would have told
			want := labBytes(300 << 10)
			l.client.out, l.client.fin = want, true
			l.server.out, l.server.fin = want, true
			l.run(time.Minute, func() bool { return l.client.c.Done() && l.server.c.Done() })
			require.Equal(t, len(want), l.server.in.Len())
			require.Equal(t, len(want), l.client.in.Len())
			require.Equal(t, want, l.client.in.Bytes())
			require.True(t, l.client.eof && l.server.eof)
			require.NoError(t, l.client.c.Err())
			require.NoError(t, l.server.c.Err())
			require.NotEqual(t, extapi.FallbackNone, l.server.c.Info().Fallback)
			require.NotEqual(t, extapi.FallbackNone, l.client.c.Info().Fallback)
			require.Equal(t, before, pool.Outstanding())
		})
	}
}

// A window that was closed opens again by an ACK of TCP's own: there is no DATA_ACK to tell it.
func TestWindowReopensOfPlainTCP(t *testing.T) {
	s := blankScript(t, false)
	s.c.SetID(1, extapi.CarrierWire)
	f := s.add(FlowParams{Initial: true, Fallback: extapi.FallbackPeer, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
	full := s.c.Window(s.now, 0)
	sent := 0
	for w := full; w > 0; w = s.c.Window(s.now, 0) {
		b := strings.Repeat("x", int(min(w, 32<<10)))
		f.Sends(payload(b))
		sent += len(b)
		require.LessOrEqual(t, sent, 64<<20, "the window never closes")
	}
	s.c.CloseWrite(s.now) // our half is no concern of the peer's
	f.clear()
	s.wantRead(strings.Repeat("x", sent))
	require.Contains(t, f.log, "window")
	require.Positive(t, s.c.Window(s.now, 0))
	f.clear()
	f.Sends(payload("y"))
	s.wantRead("y")
	require.NotContains(t, f.log, "window", "nothing that would be worth an ACK")
}

// With checksums nothing of a mapping is delivered before all of it is there. Where the path has taken bytes out of it, and the
// peer, which has nothing more to send, asks why, that is the end of the wait: else it would send the data a second time.
func TestAMappingThatLacksBytes(t *testing.T) {
	s, f := single(t, true, checksums)
	told := s.remote() + uint64(s.c.Window(s.now, 8))
	d := options.DSS{HasMap: true, DSN64: true, DSN: s.remote(), SSN: 1, DataLen: 7, HasChecksum: true}
	d.Checksum = dssChecksum(d.DSN, d.SSN, d.DataLen, []byte("1234567"))
	f.Sends(says(d), payload("12345"))
	s.wantRead("")
	f.clear()
	s.c.HandleAsked(s.now, f.id)
	s.wantRead("12345")
	a := s.c.Advertise(s.now)
	require.Equal(t, s.remote()+7, a.DataAck, "else the peer would send the rest again")
	require.Equal(t, s.c.rcv.win.rightEdge(), a.DataAck+uint64(a.Window), "the right edge does not move with the DATA_ACK")
	require.Equal(t, s.c.rcv.win.rightEdge(), a.DataAck+uint64(s.c.Window(s.now, 0)))
	require.GreaterOrEqual(t, a.DataAck+uint64(s.c.Window(s.now, 8)), told, "nor where it is rounded")
	require.Less(t, a.DataAck+uint64(s.c.Window(s.now, 8)), told+512)
	require.Equal(t, extapi.FallbackChecksum, s.c.Info().Fallback)
	f.Sends(says(options.DSS{HasMap: true, DSN64: true, DSN: s.remote() + 7, DataLen: 1, DataFIN: true, HasChecksum: true,
		Checksum: dssChecksum(s.remote()+7, 0, 1, nil)}))
	s.wait(time.Second)
	require.False(t, s.c.Done(), "the DATA_FIN's number says nothing any more")
	f.Sends(tcpFIN)
	s.wantEOF("")
}

// What fails may be a copy of what was acknowledged before: the DATA_ACK does not go back to where it ends.
func TestACopyThatFails(t *testing.T) {
	s, f := single(t, true, checksums)
	d := options.DSS{HasMap: true, DSN64: true, DSN: s.remote(), SSN: 1, DataLen: 7, HasChecksum: true}
	d.Checksum = dssChecksum(d.DSN, d.SSN, d.DataLen, []byte("1234567"))
	f.Sends(says(d), payload("1234567"))
	s.wantRead("1234567")
	d = options.DSS{HasMap: true, DSN64: true, DSN: s.remote(), SSN: 8, DataLen: 5, HasChecksum: true}
	d.Checksum = dssChecksum(d.DSN, d.SSN, d.DataLen, []byte("12345"))
	f.Sends(says(d), payload("12x45"))
	require.Equal(t, extapi.FallbackChecksum, s.c.Info().Fallback)
	require.Equal(t, s.remote()+7, s.c.Advertise(s.now).DataAck)
}

// Where our data has failed and none follows that the infinite mapping would go with, our FIN ends our direction: the peer can
// no longer tell where a DATA_FIN stands.
func TestFINAfterThePeersFail(t *testing.T) {
	for _, closedBefore := range []bool{false, true} {
		s, f := single(t, true, checksums)
		s.write("hello")
		if closedBefore {
			s.c.CloseWrite(s.now)
		}
		f.clear()
		f.Sends(option(options.MPFail{DSN: s.local()}))
		if !closedBefore {
			s.c.CloseWrite(s.now)
		}
		require.Contains(t, f.log, "close")
		require.True(t, s.c.FellBack())
	}
}
