package stream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/leaks"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

func mapping(dsn uint64, ssn uint32, n uint16) options.DSS {
	return options.DSS{HasMap: true, DSN64: true, DSN: dsn, SSN: ssn, DataLen: n}
}

func TestViolations(t *testing.T) {
	fin := mapping(1, 5, 1)
	fin.DataFIN = true
	short := mapping(1, 1, 5)
	short.DSN64 = false
	for name, c := range map[string]struct {
		b      []byte
		detail string
		reason engine.ResetReason
	}{
		"no option":              {[]byte("GET / HTTP/1.1"), "kind 30", engine.ResetProtocol},
		"padding":                {[]byte{1}, "kind 30", engine.ResetProtocol},
		"length 0":               {[]byte{30, 0}, "length", engine.ResetProtocol},
		"length 2":               {[]byte{30, 2}, "length", engine.ResetProtocol},
		"length 41":              {[]byte{30, 41}, "length", engine.ResetProtocol},
		"length 255":             {[]byte{30, 255}, "length", engine.ResetProtocol},
		"DSS of a wrong length":  {[]byte{30, 6, 0x20, 1, 0, 0}, "length", engine.ResetProtocol},
		"infinite mapping":       {mapping(1, 1, 0).Append(nil), "infinite", engine.ResetProtocol},
		"short DSN":              {short.Append(nil), "4 bytes", engine.ResetProtocol},
		"short DATA_ACK":         {options.DSS{HasAck: true, DataAck: 1}.Append(nil), "4 bytes", engine.ResetProtocol},
		"DATA_FIN alone":         {options.DSS{DataFIN: true}.Append(nil), "without a mapping", engine.ResetProtocol},
		"DATA_FIN with offset":   {fin.Append(nil), "payload offset", engine.ResetMiddlebox},
		"offset 0":               {mapping(1, 0, 5).Append(nil), "payload offset", engine.ResetMiddlebox},
		"offset 2":               {mapping(1, 2, 5).Append(nil), "payload offset", engine.ResetMiddlebox},
		"MP_CAPABLE again":       {third(1, 2, false).Append(nil), "behind the handshake", engine.ResetProtocol},
		"MP_JOIN again":          {options.MPJoin{Form: options.JoinSyn}.Append(nil), "behind the handshake", engine.ResetProtocol},
		"PROOF again":            {private(TypeProof, 0, make([]byte, 32)).Append(nil), "PROOF", engine.ResetProtocol},
		"ADD_ADDR malformed":     {[]byte{30, 5, 0x30, 0, 0}, "length", engine.ResetProtocol},
		"window before DATA_ACK": {appendWindow(nil, 1, 1), "before any DATA_ACK", engine.ResetProtocol},
		"window of 5 bytes":      {private(TypeWindow, windowInitial, make([]byte, 5)).Append(nil), "neither", engine.ResetProtocol},
		"window of 2 TiB":        {appendInitialWindow(nil, 2<<40), "1 TiB", engine.ResetProtocol},
		"window behind": {
			appendWindow(options.DSS{HasAck: true, Ack64: true, DataAck: 10}.Append(nil), 9, 9), "before the DATA_ACK", engine.ResetProtocol,
		},
		"echo of 3 bytes":  {private(TypeEcho, 0, make([]byte, 3)).Append(nil), "echo", engine.ResetProtocol},
		"reply of 8 bytes": {private(TypeEchoReply, 0, make([]byte, 8)).Append(nil), "echo", engine.ResetProtocol},
	} {
		for _, step := range []int{0, 1, 3} {
			f, r := established(t, FlowConfig{Local: 1})
			err := feed(f, 0, c.b, step)
			requireViolation(t, err, c.detail)
			require.Equal(t, err, f.Err(), name)
			reason, aborted := f.Aborted()
			require.True(t, aborted)
			require.Equal(t, c.reason, reason, name)
			require.Equal(t, options.TCPRst{Reason: uint8(reason)}.Append(nil), drain(f, 0, 0))
			require.Equal(t, err, f.Feed(0, []byte{1}), "an error stays")
			require.Empty(t, r.data.Bytes())
		}
	}
}

// The bytes of a mapping whose offset is wrong are not delivered, those before it are.
func TestShiftedStreamIsNotDelivered(t *testing.T) {
	a, _ := established(t, FlowConfig{})
	send(a, 0, 1, []byte("first"))
	send(a, 0, 6, []byte("second"))
	wire := drain(a, 0, 0)
	f, r := established(t, FlowConfig{})
	i := len(wire) - len("second") - 18 - 1
	require.Error(t, f.Feed(0, append(append(append([]byte(nil), wire[:i]...), "tXt"...), wire[i+1:]...)))
	require.NotContains(t, r.data.String(), "second")
}

func TestUnknownIsSkipped(t *testing.T) {
	f, r := established(t, FlowConfig{})
	var b []byte
	for sub := uint8(9); sub < 15; sub++ {
		b = append(b, 30, 6, sub<<4, 1, 2, 3)
	}
	b = private(99, 3, []byte("later")).Append(b)
	b = options.DSS{HasAck: true, Ack64: true, DataAck: 3}.Append(b)
	for step := range 8 {
		r.events = nil
		require.NoError(t, feed(f, 0, b, step))
		require.Len(t, r.events, 1)
	}
}

func TestTruncatedStream(t *testing.T) {
	a, _ := established(t, FlowConfig{})
	send(a, 0, 1, payload(50, 0))
	wire := drain(a, 0, 0)
	for cut := range len(wire) + 1 {
		f, r := established(t, FlowConfig{})
		require.NoError(t, f.Feed(0, wire[:cut]))
		err := f.FeedEOF(0)
		if cut == 0 || cut == echoLen || cut == len(wire) {
			require.NoError(t, err)
			require.Contains(t, r.events, "FIN")
			continue
		}
		requireViolation(t, err, "ends within")
		require.NotContains(t, r.events, "FIN")
	}
}

func TestBeforeTheThirdMessage(t *testing.T) {
	m3 := third(clientKey, serverKey, false)
	early := func() (*Flow, *recorder) {
		return established(t, FlowConfig{Local: serverKey, Confirm: &Confirm{third: m3, early: 100}})
	}
	with := mapping(1, 1, 5)
	with.HasAck, with.Ack64 = true, true
	for detail, b := range map[string][]byte{
		"more early data":  mapping(1, 1, 101).Append(nil),
		"a DATA_ACK":       with.Append(nil),
		"may not come":     options.MPPrio{}.Append(nil),
		"other keys":       third(clientKey, serverKey+1, false).Append(nil),
		"or flags":         third(clientKey, serverKey, true).Append(nil),
		"before message 3": options.MPJoin{Form: options.JoinAck}.Append(nil),
	} {
		f, _ := early()
		requireViolation(t, f.Feed(0, b), detail)
	}
	f, _ := early()
	require.ErrorIs(t, f.Feed(0, private(TypeProof, 0, make([]byte, 32)).Append(nil)), ErrSecret)

	f, r := early()
	b := mapping(1, 1, 60).Append(nil)
	b = append(b, payload(60, 0)...)
	b = append(b, mapping(61, 61, 40).Append(nil)...)
	b = append(b, payload(40, 0)...)
	require.NoError(t, feed(f, 0, b, 9))
	require.False(t, f.Confirmed())
	require.Equal(t, 100, r.data.Len())
	require.Error(t, f.Feed(0, mapping(101, 101, 1).Append(nil)))
}

// What the engine does to the flow while it is told of a record takes effect at once.
func TestAbortFromWithin(t *testing.T) {
	f, r := established(t, FlowConfig{})
	r.onDSS = func() { f.Abort(0, engine.ResetPerformance) }
	b := append(mapping(1, 1, 5).Append(nil), "hello"...)
	require.NoError(t, f.Feed(0, append(b, "garbage"...)))
	require.Empty(t, r.data.Bytes())
	require.NoError(t, f.Err())
}

// A record that announces much and brings little holds little memory.
func TestDribbleIsCheap(t *testing.T) {
	f, r := established(t, FlowConfig{})
	b := mapping(1, 1, 65_535).Append(nil)
	require.NoError(t, f.Feed(0, b))
	before := pool.Outstanding()
	for i := range 1000 {
		require.NoError(t, f.Feed(time.Duration(i), []byte{byte(i)}))
		require.LessOrEqual(t, pool.Outstanding(), before+1)
		require.LessOrEqual(t, f.in.chunk.Cap(), copyFloor)
	}
	require.Equal(t, 1000, r.data.Len())
}

func FuzzFeed(f *testing.F) {
	a := NewFlow(FlowConfig{})
	a.Ack(0, ack(7, 1<<20))
	send(a, 0, 1, payload(300, 0))
	a.Signal(0, options.MPPrio{Backup: true})
	send(a, 0, 301, payload(5, 0))
	wire := drain(a, 0, 0)
	a.Release()
	leaks.Settle(f)
	early := append(mapping(1, 1, 5).Append(nil), "hello"...)
	f.Add(wire, uint8(0), uint8(0))
	f.Add(append(wire, appendEcho(nil, TypeEchoReply, 1)...), uint8(4), uint8(1))
	f.Add(append(early, third(clientKey, serverKey, false).Append(nil)...), uint8(9), uint8(2))
	f.Add([]byte{30, 41, 0, 30, 3, 0x50}, uint8(1), uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, step, how uint8) {
		before := pool.Outstanding()
		cfg := FlowConfig{Local: serverKey, Client: how&1 != 0}
		if how&2 != 0 {
			cfg.Confirm = &Confirm{third: third(clientKey, serverKey, false), early: MaxEarly}
		}
		fl, r := NewFlow(cfg), new(recorder)
		fl.Bind(r, 1)
		for len(b) > 0 {
			n := min(len(b), int(step)+1)
			var err error
			switch left := fl.PayloadLeft(); {
			case how&4 != 0 && left > 0:
				n = min(n, left)
				err = fl.FeedPayload(0, pool.Copy(b[:n]))
			case how&8 != 0:
				err = fl.FeedRef(0, pool.Copy(b[:n]))
			default:
				err = fl.Feed(0, b[:n])
			}
			if err != nil {
				_, aborted := fl.Aborted()
				require.True(t, aborted)
				break
			}
			require.LessOrEqual(t, pool.Outstanding(), before+1, "one chunk at most")
			require.LessOrEqual(t, fl.Pending(), 100, "answers are state")
			b = b[n:]
		}
		if err := fl.FeedEOF(0); err == nil {
			require.Zero(t, fl.PayloadLeft())
		}
		drain(fl, 0, int(step)+1)
		fl.Release()
		require.Equal(t, before, pool.Outstanding())
	})
}
