package engine

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// script runs one connection against a peer that the test plays line by line: flows record what the
// connection gives them, and the test says what comes back. Sequence numbers are relative to each
// side's first data byte.
type script struct {
	t      *testing.T
	c      *Conn
	now    time.Duration
	mem    *scriptMemory
	flows  []*scriptFlow
	events []extapi.Event
	joins  []JoinRequest
}

// scriptMemory is a budget that tests read.
type scriptMemory struct{ held, limit int64 }

func (m *scriptMemory) Grab(n int64) bool {
	if m.limit > 0 && m.held+n > m.limit {
		return false
	}
	m.held += n
	return true
}
func (m *scriptMemory) Free(n int64) { m.held -= n }

// scriptFlow is a subflow whose other end is the test.
type scriptFlow struct {
	s     *script
	id    PathID
	room  int
	stats FlowStats
	log   []string
	data  []byte // payload given to Send since the last Wants
	last  Ack
	ssn   uint32 // next relative sequence number that Send must use
	peer  uint32 // the same for what the test sends
	ended bool   // closed or aborted by the connection

	held time.Duration // for so long questions wait for their turn
}

// newScript makes a connection with both keys known and no flow.
func newScript(t *testing.T, client bool, cfg ...func(*Config)) *script {
	s := blankScript(t, client, cfg...)
	s.c.SetRemote(0, labKey(!client))
	return s
}

// blankScript does not know the peer's key yet.
func blankScript(t *testing.T, client bool, cfg ...func(*Config)) *script {
	s := &script{t: t, mem: &scriptMemory{}}
	before := pool.Outstanding()
	c := Config{
		Client: client, Rand: rand.NewChaCha8([32]byte{1}), SendBuffer: 1 << 20, RecvBuffer: 1 << 20, Memory: s.mem,
		JoinDelay: 50 * time.Millisecond, JoinBytes: 64 << 10,
		NoPathTimeout: 60 * time.Second, CloseTimeout: 60 * time.Second,
	}
	for _, f := range cfg {
		f(&c)
	}
	s.c = NewConn(0, c, labKey(client))
	t.Cleanup(func() {
		s.c.Abort(s.now, ResetUnspecified)
		s.c.Close(s.now)
		require.Equal(t, before, pool.Outstanding(), "buffers that nobody released")
		require.Zero(t, s.mem.held, "memory budget not returned")
	})
	return s
}

// single is an established connection with its first flow.
func single(t *testing.T, client bool, cfg ...func(*Config)) (*script, *scriptFlow) {
	s := newScript(t, client, cfg...)
	f := s.first()
	return s, f
}

// double has a second flow.
func double(t *testing.T, client bool, cfg ...func(*Config)) (s *script, f, g *scriptFlow) {
	s, f = single(t, client, cfg...)
	return s, f, s.joined("10.0.2.1:5000")
}

func (s *script) first() *scriptFlow {
	f := s.add(FlowParams{Initial: true, Interface: "eth1", Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
	s.c.HandleEstablished(s.now, f.id)
	s.drain()
	f.clear()
	return f
}

// joined adds a flow that the peer joined, from the given address.
func (s *script) joined(from string) *scriptFlow {
	f := s.add(FlowParams{Accepted: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr(from), RemoteID: extapi.AddrID(len(s.flows))})
	f.clear()
	return f
}

func (s *script) add(p FlowParams) *scriptFlow {
	f := &scriptFlow{s: s, room: 1 << 20, ssn: 1, peer: 1}
	f.stats = FlowStats{SRTT: 20 * time.Millisecond, RTTVar: 5 * time.Millisecond, CWnd: -1, InFlight: -1, Acked: -1, Congestion: "script"}
	if p.Carrier == 0 {
		p.Carrier = extapi.CarrierWire
	}
	s.flows = append(s.flows, f)
	f.id = s.c.AddFlow(s.now, f, p)
	s.drain()
	return f
}

func (s *script) local() uint64  { return s.c.keys.Local.IDSN() + 1 }
func (s *script) remote() uint64 { return s.c.keys.Remote.IDSN() + 1 }

// drain takes the outputs, as a driver does after every input.
func (s *script) drain() {
	for {
		r, ok := s.c.PollJoin()
		if !ok {
			break
		}
		s.joins = append(s.joins, r)
	}
	for {
		e, ok := s.c.PollEvent()
		if !ok {
			break
		}
		s.events = append(s.events, e)
	}
}

// wait lets time pass, and fails the test when the connection spins.
func (s *script) wait(d time.Duration) {
	s.t.Helper()
	s.drain()
	end := s.now + d
	for n := 0; ; n++ {
		at, ok := s.c.Next()
		if !ok || at > end {
			break
		}
		require.Less(s.t, n, int(d/(5*time.Millisecond))+200, "the connection's timer spins")
		s.now = max(s.now, at)
		s.c.HandleTimeout(s.now)
		s.drain()
	}
	s.now = end
}

// write gives p to the connection, which must take all of it.
func (s *script) write(p string) {
	s.t.Helper()
	n, err := s.c.Write(s.now, []byte(p))
	require.NoError(s.t, err)
	require.Equal(s.t, len(p), n)
	s.drain()
}

// read takes everything readable.
func (s *script) read() (string, error) {
	var all []byte
	b := make([]byte, 4096)
	for {
		n, err := s.c.Read(s.now, b)
		all = append(all, b[:n]...)
		if n == 0 || err != nil {
			return string(all), err
		}
	}
}

func (s *script) wantRead(want string) {
	s.t.Helper()
	got, err := s.read()
	require.NoError(s.t, err)
	require.Equal(s.t, want, got)
}

func (s *script) wantEOF(want string) {
	s.t.Helper()
	got, err := s.read()
	require.Equal(s.t, io.EOF, err)
	require.Equal(s.t, want, got)
}

// names are the events since the last call.
func (s *script) names() []string {
	s.drain()
	var l []string
	for _, e := range s.events {
		l = append(l, e.Name())
	}
	s.events = nil
	return l
}

// ends closes the transport of a flow, as its carrier reports it.
func (f *scriptFlow) ends(err error) {
	f.ended = true
	f.s.c.HandleClosed(f.s.now, f.id, err)
	f.s.drain()
}

func (f *scriptFlow) clear() { f.log, f.data = nil, nil }

// Wants compares what the connection gave the flow since the last time.
func (f *scriptFlow) Wants(why string, lines ...string) {
	f.s.t.Helper()
	if lines == nil {
		lines = []string{}
	}
	got := append([]string{}, f.log...)
	f.clear()
	require.Equal(f.s.t, lines, got, why)
}

// a move is one thing that the peer does.
type move func(f *scriptFlow)

// Sends lets the peer do things on the flow.
func (f *scriptFlow) Sends(moves ...move) {
	for _, m := range moves {
		m(f)
		f.s.drain()
	}
}

func says(d options.DSS) move {
	return func(f *scriptFlow) { f.s.c.HandleDSS(f.s.now, f.id, &d) }
}

func option(o options.Option) move {
	return func(f *scriptFlow) { f.s.c.HandleOption(f.s.now, f.id, o) }
}

// ack is a DATA_ACK of the first n bytes.
func ack(n uint64) move {
	return func(f *scriptFlow) {
		says(options.DSS{HasAck: true, Ack64: true, DataAck: f.s.local() + n})(f)
	}
}

// window opens the peer's window up to the given edge.
func window(edge uint64) move {
	return func(f *scriptFlow) { f.s.c.HandleWindow(f.s.now, f.id, f.s.local(), int64(edge)) }
}

// bytes are payload without a mapping.
func payload(p string) move {
	return func(f *scriptFlow) {
		for len(p) > 0 {
			n := min(len(p), pool.MaxSize)
			f.peer += uint32(n)
			f.s.c.HandleBytes(f.s.now, f.id, pool.Copy([]byte(p[:n])))
			p = p[n:]
		}
	}
}

// mapping is a DSS for the next n bytes of the flow.
func mapping(dsn uint64, n int) move {
	return func(f *scriptFlow) {
		says(options.DSS{HasMap: true, DSN64: true, DSN: f.s.remote() + dsn, SSN: f.peer, DataLen: uint16(n)})(f)
	}
}

// data is a mapping with its payload.
func data(dsn uint64, p string) move {
	return func(f *scriptFlow) {
		mapping(dsn, len(p))(f)
		payload(p)(f)
	}
}

// lastData is data with a DATA_FIN behind it.
func lastData(dsn uint64, p string) move {
	return func(f *scriptFlow) {
		says(options.DSS{HasMap: true, DSN64: true, DSN: f.s.remote() + dsn, SSN: f.peer, DataLen: uint16(len(p) + 1), DataFIN: true})(f)
		payload(p)(f)
	}
}

// fin is a DATA_FIN that travels alone.
func fin(dsn uint64) move {
	return func(f *scriptFlow) {
		says(options.DSS{HasMap: true, DSN64: true, DSN: f.s.remote() + dsn, DataLen: 1, DataFIN: true})(f)
	}
}

// tcpFIN is the subflow's own FIN.
func tcpFIN(f *scriptFlow) { f.s.c.HandleFIN(f.s.now, f.id) }

// tcpAck is the acknowledgement by the peer's TCP of all that has left, our FIN included.
func tcpAck(f *scriptFlow) {
	f.stats.Acked = int64(f.ssn) - 1
	f.s.c.HandleAcked(f.s.now, f.id)
	if f.s.c.flow(f.id).finSent {
		f.s.c.HandleFINAcked(f.s.now, f.id)
	}
}

// alive is a subflow-level sign of life.
func alive(f *scriptFlow) { f.s.c.HandleProgress(f.s.now, f.id) }

func (f *scriptFlow) note(format string, a ...any) { f.log = append(f.log, fmt.Sprintf(format, a...)) }

func (f *scriptFlow) Room() int {
	if f.ended {
		return 0
	}
	return f.room
}

func (f *scriptFlow) Send(now time.Duration, m Mapping, p pool.Ref) {
	defer p.Release()
	t := f.s.t
	require.False(t, f.ended, "data on a flow that has ended")
	require.Equal(t, p.Len(), m.Len)
	require.Equal(t, f.ssn, m.SSN, "subflow sequence numbers go on without a gap")
	require.GreaterOrEqual(t, now, time.Duration(0))
	f.ssn += uint32(m.Len)
	f.data = append(f.data, p.B...)
	f.took(m.Ack)
	line := fmt.Sprintf("data %d+%d", int64(m.DSN-f.s.local()), m.Len)
	if m.DataFIN {
		line += " fin"
	}
	if m.Infinite {
		line = fmt.Sprintf("plain %d", m.Len)
		if !m.Continued {
			line = fmt.Sprintf("infinite %d+%d", int64(m.DSN-f.s.local()), m.Len)
		}
	}
	f.log = append(f.log, line)
}

// took checks what every acknowledgement must obey.
func (f *scriptFlow) took(a Ack) {
	if !a.Valid {
		return
	}
	require.True(f.s.t, f.s.c.remoteKnown, "no DATA_ACK before the peer's key is known")
	if f.last.Valid {
		old, edge := f.last, f.last.DataAck+uint64(f.last.Window)
		require.GreaterOrEqual(f.s.t, int64(a.DataAck-old.DataAck), int64(0), "DATA_ACK went back")
		fin := 0
		if f.s.c.rcv.finSeen {
			fin = 1
		}
		require.GreaterOrEqual(f.s.t, int64(a.DataAck+uint64(a.Window)-edge)+int64(fin), int64(0), "the right edge shrank")
	}
	f.last = a
}

func (f *scriptFlow) Ack(_ time.Duration, a Ack) {
	if !a.Valid {
		require.True(f.s.t, f.s.c.FellBack(), "an ACK without DATA_ACK is for plain TCP")
		f.note("window")
		return
	}
	f.took(a)
	f.note("ack %d", int64(a.DataAck-f.s.remote()))
}

func (f *scriptFlow) Signal(_ time.Duration, o options.Option) {
	require.False(f.s.t, f.ended, "option on a flow that has ended")
	switch o := o.(type) {
	case options.DSS:
		line := fmt.Sprintf("fin %d", int64(o.DSN-f.s.local()))
		if o.SSN != 0 || o.DataLen != 1 || !o.DataFIN {
			line = "bad " + o.String()
		}
		f.log = append(f.log, line)
	case options.MPFail:
		f.note("MP_FAIL %d", int64(o.DSN-f.s.remote()))
	case options.MPPrio:
		f.note("MP_PRIO %t", o.Backup)
	case options.AddAddr:
		what := "ADD_ADDR"
		if o.Echo {
			what = "ADD_ADDR echo"
		}
		if o.HasPort {
			f.note("%s %d %s", what, o.AddrID, netip.AddrPortFrom(o.Addr, o.Port))
			return
		}
		f.note("%s %d %s", what, o.AddrID, o.Addr)
	case options.RemoveAddr:
		f.note("REMOVE_ADDR %v", o.IDs[:o.N])
	default:
		f.note("%s", strings.Fields(o.String())[0])
	}
}

func (f *scriptFlow) Close(time.Duration) {
	require.False(f.s.t, f.ended)
	f.ended = true
	f.note("close")
}

func (f *scriptFlow) Abort(_ time.Duration, r ResetReason) {
	f.ended = true
	f.note("abort %d", r)
}

func (f *scriptFlow) Limit(n int64) { f.note("limit %d", n) }
func (f *scriptFlow) Probe(now time.Duration) time.Duration {
	f.note("probe")
	return now + f.held
}
func (f *scriptFlow) Remind(time.Duration)              { f.note("remind") }
func (f *scriptFlow) Stats(now time.Duration) FlowStats { return f.stats }

func sorted(l []string) []string {
	slices.Sort(l)
	return l
}
