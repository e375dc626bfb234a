package stream

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

// decode splits what a flow wrote into options and payload, by the codec alone.
func decode(t *testing.T, b []byte) (opts []options.Option, data []byte) {
	for len(b) > 0 {
		raw, rest, err := options.Next(b)
		require.NoError(t, err)
		o, err := options.Decode(raw)
		require.NoError(t, err)
		opts = append(opts, o)
		b = rest
		if d, ok := o.(options.DSS); ok && d.HasMap {
			n := int(d.DataLen)
			if d.DataFIN {
				n--
			}
			data = append(data, b[:n]...)
			b = b[n:]
		}
	}
	return opts, data
}

func kinds(opts []options.Option) (s []string) {
	for _, o := range opts {
		switch o := o.(type) {
		case options.DSS:
			switch {
			case o.HasMap && o.HasAck:
				s = append(s, "data+ack")
			case o.HasMap:
				s = append(s, "data")
			default:
				s = append(s, "ack")
			}
		case options.Private:
			s = append(s, map[uint8]string{TypeWindow: "window", TypeEcho: "echo", TypeEchoReply: "reply", TypeProof: "proof"}[o.Type])
		default:
			s = append(s, o.String())
		}
	}
	return s
}

func send(f *Flow, now time.Duration, ssn uint32, b []byte) {
	f.Send(now, engine.Mapping{DSN: 1000 + uint64(ssn), SSN: ssn, Len: len(b)}, pool.Copy(b))
}

func ack(n uint64, window int64) engine.Ack {
	return engine.Ack{Valid: true, DataAck: n, Window: window}
}

// RFC 6182 section 5.4: acknowledgements must not wait behind data, and the newest one is enough.
func TestAckOvertakesQueuedData(t *testing.T) {
	f, _ := established(t, FlowConfig{})
	for i := range 10 {
		send(f, 0, uint32(1+i*50_000), payload(50_000, i))
	}
	first := f.Gather(nil)
	f.Wrote(0, len(first[0])+len(first[1])+100) // the first record is half out
	for i := range 1000 {
		f.Ack(0, ack(uint64(i), 1<<20))
	}
	iov := f.Gather(nil)
	n := 0
	for _, s := range iov[:2] {
		n += len(s)
	}
	require.Less(t, n, 50_000+100, "the rest of the record that had begun, and the acknowledgement")
	opts, _ := decode(t, iov[1])
	require.Equal(t, []string{"ack", "window"}, kinds(opts))
	require.EqualValues(t, 999, opts[0].(options.DSS).DataAck)
	f.Wrote(0, 0)
}

func TestAckTravelsWithData(t *testing.T) {
	f, _ := established(t, FlowConfig{})
	f.Ack(0, ack(5, 100))
	opts, _ := decode(t, drain(f, 0, 0))
	require.Equal(t, []string{"ack", "window"}, kinds(opts), "the first one is never left to data")
	f.Ack(0, ack(6, 99))
	send(f, 0, 1, []byte("x"))
	opts, data := decode(t, drain(f, 0, 0))
	require.Equal(t, []string{"echo", "data+ack"}, kinds(opts), "the right edge has not moved: no window")
	require.EqualValues(t, 6, opts[1].(options.DSS).DataAck)
	require.Equal(t, "x", string(data))
	f.Ack(0, ack(7, 200))
	send(f, 0, 2, []byte("y"))
	opts, _ = decode(t, drain(f, 0, 0))
	require.Equal(t, []string{"window", "data+ack"}, kinds(opts))
	f.Ack(0, ack(7, 200))
	opts, _ = decode(t, drain(f, 0, 0))
	require.Equal(t, []string{"ack", "window"}, kinds(opts), "a repetition says everything again")
	f.Ack(0, ack(3, 1))
	opts, _ = decode(t, drain(f, 0, 0))
	require.EqualValues(t, 7, opts[0].(options.DSS).DataAck, "nothing goes back")
}

func TestWindowForms(t *testing.T) {
	for _, w := range []int64{0, 1, 1<<31 - 1, 1 << 31, 1<<40 - 1} {
		a, _ := established(t, FlowConfig{})
		b, r := established(t, FlowConfig{})
		a.Ack(0, ack(1<<63+7, w))
		require.NoError(t, b.Feed(0, drain(a, 0, 0)))
		r.events = nil
		send(a, 0, 1, []byte("x"))
		a.Ack(0, ack(1<<63+8, w))
		require.NoError(t, b.Feed(0, drain(a, 0, 0)))
		require.Equal(t, fmt.Sprintf("window 9223372036854775815+%d", w+1), r.events[0], "it counts from the ack before it")
	}
}

// An un-begun record takes the newest acknowledgement even after a write that a full socket refused.
func TestRefusedWriteIsMadeAnew(t *testing.T) {
	f, _ := established(t, FlowConfig{})
	f.Ack(0, ack(1, 100))
	drain(f, 0, 0)
	f.est.token, f.est.sentAt = 1, 0
	send(f, 0, 1, []byte("x"))
	for i := range 5 {
		f.Gather(nil)
		f.Wrote(0, 0)
		f.Ack(0, ack(uint64(2+i), 100))
	}
	opts, _ := decode(t, drain(f, 0, 0))
	require.Equal(t, []string{"window", "data+ack"}, kinds(opts))
	require.EqualValues(t, 6, opts[1].(options.DSS).DataAck)
}

func TestPartialWritesResumeExactly(t *testing.T) {
	for _, step := range []int{1, 2, 3, 7, 29, 30, 41, 1000, 70_000} {
		whole, parts := script(t, 0), script(t, step)
		require.Equal(t, whole, parts)
	}
}

// script is what a flow writes that is given the same things, step bytes at a time.
func script(t *testing.T, step int) []byte {
	f, _ := established(t, FlowConfig{})
	f.Ack(0, ack(1, 1<<20))
	for ssn, n := 1, 1; n < 30_000; ssn, n = ssn+n, n*7 {
		send(f, 0, uint32(ssn), payload(n, n))
	}
	f.Signal(0, options.MPPrio{Backup: true})
	f.Send(0, engine.Mapping{DSN: 5, DataFIN: true}, pool.Ref{})
	out := drain(f, 0, step)
	require.Zero(t, f.out.queued)
	require.Zero(t, f.out.n)
	return out
}

func TestRoom(t *testing.T) {
	f, r := established(t, FlowConfig{Cap: 1000})
	require.Equal(t, 1000, f.Room())
	send(f, 0, 1, payload(400, 0))
	require.Equal(t, 600, f.Room())
	send(f, 0, 401, payload(600, 0))
	require.Zero(t, f.Room())
	f.Gather(nil)
	f.Wrote(0, 100)
	require.Zero(t, r.room, "not worth a run yet")
	drain(f, 0, 0)
	require.Equal(t, 1, r.room)
	require.Equal(t, 1000, f.Room())

	f.SetBlocked(0, true)
	require.Zero(t, f.Room())
	f.SetBlocked(0, false)
	require.Equal(t, 2, r.room)

	f.SetStats(engine.FlowStats{InFlight: 300, Unsent: 50})
	f.Limit(650)
	require.Equal(t, 300, f.Room())
	f.Limit(500)
	require.Zero(t, f.Room(), "a crumb")
	f.Limit(100)
	require.Zero(t, f.Room())
	f.Limit(0)
	f.SetCap(0, 2000)
	require.Equal(t, 3, r.room)
	require.Equal(t, 2000, f.Room())
}

func TestManySmallRecordsAreBounded(t *testing.T) {
	f, _ := established(t, FlowConfig{})
	n := 0
	for ; f.Room() > 0; n++ {
		send(f, 0, uint32(n+1), []byte("x"))
	}
	require.Equal(t, maxRecords, n)
	require.LessOrEqual(t, len(f.Gather(nil)), maxSlices)
	f.Wrote(0, 0)
	drain(f, 0, 0)
	f.Trim()
	require.Nil(t, f.out.ring, "an idle queue does not stay large")
}

func TestCloseSendsFINAfterTheQueue(t *testing.T) {
	f, _ := established(t, FlowConfig{})
	send(f, 0, 1, payload(100, 0))
	f.Close(0)
	require.False(t, f.FINQueued())
	require.Zero(t, f.Room())
	f.Ack(0, ack(1, 1))
	_, data := decode(t, drain(f, 0, 0))
	require.Len(t, data, 100)
	require.True(t, f.FINQueued())
	f.Ack(0, ack(2, 1))
	f.Signal(0, options.MPPrio{})
	send(f, 0, 101, []byte("x"))
	require.Zero(t, f.Pending(), "nothing after the FIN")
}

// The peer goes on until its own FIN. A socket whose half is closed refuses what answers it, and would be taken for broken.
func TestNothingFollowsTheFIN(t *testing.T) {
	for name, happens := range map[string]func(*Flow) error{
		"an ECHO comes":     func(f *Flow) error { return f.Feed(0, appendEcho(nil, TypeEcho, 7)) },
		"the engine probes": func(f *Flow) error { f.Probe(0); return nil },
		"the engine aborts": func(f *Flow) error { f.Abort(0, engine.ResetUnspecified); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := established(t, FlowConfig{})
			send(f, 0, 1, payload(100, 0))
			f.Close(0)
			drain(f, 0, 0)
			require.NoError(t, f.Feed(0, appendEcho(nil, TypeEchoReply, f.est.token)))
			require.True(t, f.FINQueued())
			require.NoError(t, happens(f))
			require.Zero(t, f.Pending())
		})
	}
}

func TestAbort(t *testing.T) {
	reset := options.TCPRst{Reason: uint8(engine.ResetPerformance)}.Append(nil)
	t.Run("between records", func(t *testing.T) {
		f, _ := established(t, FlowConfig{})
		send(f, 0, 1, payload(5000, 0))
		f.Abort(0, engine.ResetPerformance)
		f.Abort(0, engine.ResetMiddlebox)
		require.Equal(t, reset, drain(f, 0, 1))
		r, ok := f.Aborted()
		require.True(t, ok)
		require.Equal(t, engine.ResetPerformance, r)
		require.NoError(t, f.Err())
		require.False(t, f.FINQueued())
		require.NoError(t, f.Feed(0, []byte("anything")), "what comes now is not looked at")
	})
	t.Run("within a record", func(t *testing.T) {
		f, _ := established(t, FlowConfig{})
		send(f, 0, 1, payload(5000, 0))
		f.Gather(nil)
		f.Wrote(0, 3000)
		send(f, 0, 5001, payload(100, 0))
		f.Signal(0, options.Fastclose{ReceiverKey: 7})
		f.Abort(0, engine.ResetPerformance)
		rest := payload(5000, 0)[f.out.at(0).payloadOut():]
		want := append(append([]byte(nil), rest...), options.Fastclose{ReceiverKey: 7}.Append(nil)...)
		require.Equal(t, append(want, reset...), drain(f, 0, 0), "the record is finished, the next one is not begun")
	})
	t.Run("within an option", func(t *testing.T) {
		f, _ := established(t, FlowConfig{})
		f.Signal(0, options.MPFail{DSN: 9})
		f.Gather(nil)
		f.Wrote(0, 5)
		f.Abort(0, engine.ResetPerformance)
		require.Equal(t, append(options.MPFail{DSN: 9}.Append(nil)[5:], reset...), drain(f, 0, 0))
	})
	t.Run("during a write", func(t *testing.T) {
		for _, n := range []int{0, 10, 5000} {
			f, _ := established(t, FlowConfig{})
			send(f, 0, 1, payload(5000, 0))
			iov := f.Gather(nil)
			f.Abort(0, engine.ResetPerformance)
			require.Equal(t, payload(5000, 0), iov[len(iov)-1], "stays as it is until Wrote")
			f.Wrote(0, n)
			out := drain(f, 0, 0)
			require.True(t, bytes.HasSuffix(out, reset))
			if n > 0 {
				require.Equal(t, f.out.sent, uint64(5000), "the record is finished")
			}
		}
	})
}

// A peer that never reads and makes us answer costs a bounded amount, and then the flow.
func TestAnswersAreBounded(t *testing.T) {
	f, _ := established(t, FlowConfig{})
	echo := appendEcho(nil, TypeEcho, 1)
	for i := range 10_000 {
		require.NoError(t, f.Feed(0, echo))
		f.Ack(0, ack(uint64(i), 10))
	}
	require.LessOrEqual(t, f.Pending(), 100)
	n := 0
	for ; n < 10_000; n++ {
		if _, aborted := f.Aborted(); aborted {
			break
		}
		f.Signal(0, options.AddAddr{Echo: true, AddrID: uint8(n)})
	}
	require.Less(t, n, maxOptions/3)
	reason, _ := f.Aborted()
	require.Equal(t, engine.ResetResources, reason)
	require.Error(t, f.Err())
}

func TestEarlyDataIsLimited(t *testing.T) {
	f, _ := established(t, FlowConfig{Client: true, Pending: true})
	require.Equal(t, MaxEarly, f.Room())
	f.Ack(0, engine.Ack{Window: 1 << 20})
	send(f, 0, 1, payload(MaxEarly-1, 0))
	require.Equal(t, 1, f.Room())
	send(f, 0, MaxEarly, payload(2, 1))
	require.Zero(t, f.Room())
	early := drain(f, 0, 0)
	opts, data := decode(t, early)
	require.Equal(t, []string{"window", "data"}, kinds(opts))
	require.Len(t, data, MaxEarly-1)
	f.Close(0)
	require.False(t, f.FINQueued())

	m3 := third(clientKey, serverKey, false)
	f.Open(0, m3)
	f.Ack(0, ack(7, 1<<20))
	late := drain(f, 0, 0)
	opts, data = decode(t, late)
	require.Equal(t, []string{m3.String(), "echo", "ack", "window", "data+ack"}, kinds(opts))
	require.Len(t, data, 2)

	s, r := established(t, FlowConfig{Local: serverKey, Confirm: &Confirm{third: m3, early: MaxEarly}})
	require.NoError(t, s.Feed(0, early))
	require.Contains(t, r.events[0], "+1048576")
	require.NoError(t, s.Feed(0, late))
	require.Equal(t, "established", r.events[2])
	require.Equal(t, append(payload(MaxEarly-1, 0), payload(2, 1)...), r.data.Bytes())
}

func TestClientIsEstablishedByTheFirstRecord(t *testing.T) {
	f, r := established(t, FlowConfig{Client: true})
	b := options.DSS{HasAck: true, Ack64: true, DataAck: 4}.Append(nil)
	require.NoError(t, feed(f, 0, b[:len(b)-1], 1))
	require.Empty(t, r.events)
	require.NoError(t, f.Feed(0, b[len(b)-1:]))
	require.NoError(t, f.Feed(0, b))
	require.Len(t, r.events, 3)
	require.Equal(t, "established", r.events[0])

	g, r := established(t, FlowConfig{Client: true})
	require.NoError(t, g.Feed(0, options.TCPRst{Reason: 3}.Append(nil)))
	require.NotContains(t, r.events, "established", "a refusal proves nothing")
}

// FeedPayload, FeedDirect and FeedRef are Feed by other means.
func TestPayloadByOtherMeans(t *testing.T) {
	a, _ := established(t, FlowConfig{})
	send(a, 0, 1, payload(40_000, 3))
	wire := drain(a, 0, 0)
	head := len(wire) - 40_000

	f, r := established(t, FlowConfig{})
	require.NoError(t, f.FeedRef(0, pool.Copy(wire[:head+10_000])))
	require.Equal(t, 30_000, f.PayloadLeft())
	require.NoError(t, f.FeedPayload(0, pool.Copy(wire[head+10_000:head+20_000])))
	require.NoError(t, f.FeedDirect(0, 5_000))
	require.NoError(t, f.FeedPayload(0, pool.Copy(make([]byte, 15_001))), "more than is left is dropped")
	require.NoError(t, f.Feed(0, wire[head+25_000:]))
	require.Zero(t, f.PayloadLeft())
	require.Equal(t, 5_000, r.direct)
	p := payload(40_000, 3)
	require.Equal(t, append(p[:20_000:20_000], p[25_000:]...), r.data.Bytes())
}
