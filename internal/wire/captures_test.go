package wire

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pcapw"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/mptcp-go/mptcp/options"
	"github.com/mptcp-go/mptcp/scheduler"
	"github.com/stretchr/testify/require"
)

// record is a packet of a capture.
type record struct {
	at   time.Duration
	s    packet.Segment
	got  received
	mine bool // of the side that we play
}

// replay plays one side of a connection that the kernel had with itself: what the other side sent is what
// the kernel sent then, and our program does what the kernel's did, when it did it.
type replay struct {
	t       *testing.T
	client  bool // we are the client
	records []record
	now     time.Duration
	keys    engine.Keys // ours first
	eng     *engine.Conn
	flows   map[netip.AddrPort]*played // by the address and port of the client's end
	order   []*played
	written uint64
	got     []byte
	current engine.PathID
	plain   bool     // our side knows nothing of Multipath TCP
	said    []string // the options that we sent
	dataAck uint64   // the highest DATA_ACK that we sent
}

type played struct {
	*Flow
	id       engine.PathID
	isn      uint32
	attached bool
	params   engine.FlowParams
}

// Next and OnPathChange make the replay the scheduler: data goes where the kernel put it.
func (r *replay) Next(v *scheduler.View) scheduler.Decision {
	return scheduler.Decision{Path: r.current}
}
func (r *replay) OnPathChange(*scheduler.View) {}

// kernelByte is the i-th byte of each direction in the captures.
func kernelByte(i int) byte { return byte(i%251*7 + 3) }

func kernelBytes(from, to uint64) []byte {
	b := make([]byte, to-from)
	for i := range b {
		b[i] = kernelByte(int(from) + i)
	}
	return b
}

func load(t *testing.T, file string) (l []record) {
	in, err := os.Open("../../options/testdata/" + file)
	require.NoError(t, err)
	defer in.Close()
	r, err := pcapw.NewReader(in)
	require.NoError(t, err)
	var began time.Duration
	for {
		p, err := r.Next()
		if err == io.EOF {
			return l
		}
		require.NoError(t, err)
		b, ok := r.IP(p)
		if !ok {
			continue
		}
		s, err := packet.Parse(bytes.Clone(b))
		if err != nil {
			continue
		}
		x := record{s: s}
		x.got.parse(s.Options)
		if len(l) == 0 {
			began = p.Time
		}
		x.at = time.Second + p.Time - began
		x.got.signals = slices.Clone(x.got.signals)
		l = append(l, x)
	}
}

// newReplay takes a capture, or the part of it that is about one port, where the file holds several connections:
// "28-tfo:55070".
func newReplay(t *testing.T, file string, client bool) *replay {
	file, port, part := strings.Cut(file, ":")
	r := &replay{t: t, client: client, records: load(t, file+".pcap"), flows: map[netip.AddrPort]*played{}}
	if part {
		r.records = slices.DeleteFunc(r.records, func(x record) bool {
			return fmt.Sprint(x.s.Src.Port()) != port && fmt.Sprint(x.s.Dst.Port()) != port
		})
	}
	initiators := map[netip.AddrPort]bool{}
	var ck, sk engine.Key
	for i := range r.records {
		x := &r.records[i]
		if x.s.Flags&(packet.SYN|packet.ACK) == packet.SYN {
			initiators[x.s.Src] = true
		}
		x.mine = initiators[x.s.Src] == client
		if c := x.got.capable; x.got.hasCapable && c.HasReceiver {
			ck, sk = engine.Key(c.SenderKey), engine.Key(c.ReceiverKey)
		} else if x.got.hasCapable && c.HasSender && sk == 0 {
			sk = engine.Key(c.SenderKey)
		}
	}
	if ck == 0 {
		ck = 0x1234567890
	}
	r.keys = engine.Keys{Local: sk, Remote: ck}
	if client {
		r.keys = engine.Keys{Local: ck, Remote: sk}
	}
	if r.keys.Local == 0 {
		r.keys.Local = 0x4242
	}
	return r
}

// run plays the whole capture.
func (r *replay) run() {
	for i := range r.records {
		x := &r.records[i]
		r.advance(x.at)
		if x.mine {
			r.act(i, x)
		} else {
			r.feed(x)
		}
		r.settle()
	}
	r.advance(r.now + 2*time.Second)
}

// advance lets time pass.
func (r *replay) advance(to time.Duration) {
	for n := 0; n < 1000; n++ {
		next, any := to, false
		if r.eng != nil {
			if at, ok := r.eng.Next(); ok && at < next {
				next, any = at, true
			}
		}
		for _, f := range r.order {
			if at, ok := f.Flow.Next(); ok && at < next {
				next, any = at, true
			}
		}
		r.now = max(r.now, next)
		if !any {
			return
		}
		for _, f := range r.order {
			f.HandleTimeout(r.now)
		}
		if r.eng != nil {
			r.eng.HandleTimeout(r.now)
		}
		r.settle()
	}
}

// config is how a flow begins that has this sequence number and timestamp in the capture.
func (r *replay) config(local, remote netip.AddrPort) Config {
	c := tcp.Config{Local: local, Remote: remote, MTU: 1500, NoDelay: true, Controller: newGroup().New(0, subflowOf())}
	for _, x := range r.records {
		if x.s.Src == local && x.s.Dst == remote {
			c.ISN, c.NoTimestamps = x.s.Seq, true
			for b := x.s.Options; len(b) > 0; {
				o, rest, err := options.Next(b)
				if err != nil {
					break
				}
				if ts, err := options.ParseTimestamps(o); err == nil {
					c.NoTimestamps = false
					c.TSOffset = ts.Value - uint32(x.at/time.Millisecond) + 1
				}
				b = rest
			}
			break
		}
	}
	return Config{TCP: c}
}

// act does what the program of our side did that sent x.
func (r *replay) act(i int, x *record) {
	if r.client && x.s.Flags&(packet.SYN|packet.ACK) == packet.SYN {
		r.dial(x)
	}
	if r.eng == nil {
		return
	}
	first := r.keys.Local.IDSN() + 1
	end := r.written
	if f := r.find(x.s); f != nil && f.id != 0 {
		r.current = f.id
		r.steer(x, f)
		if n := len(x.s.Payload); n > 0 && (r.eng.FellBack() || !x.got.any() && len(r.order) == 1) {
			end = max(end, uint64(x.s.Seq-f.isn-1)+uint64(n))
		}
	}
	switch d, n := x.got.dss, uint64(x.got.dss.DataLen); {
	case x.got.hasDSS && d.HasMap && d.DataLen > 0:
		if d.DataFIN {
			n--
		}
		end = max(end, d.DSN-first+n)
		if d.DataFIN && d.SSN == 0 {
			end = r.written
		}
	case x.got.hasCapable && x.got.capable.HasData:
		end = max(end, uint64(x.got.capable.DataLen))
	}
	if end > r.written && end < 1<<20 {
		_, err := r.eng.Write(r.now, kernelBytes(r.written, end))
		require.NoError(r.t, err)
		r.written = end
	}
	switch {
	case x.got.hasDSS && x.got.dss.DataFIN && x.got.dss.DSN-first+uint64(x.got.dss.DataLen)-1 <= r.written,
		x.s.Flags.Has(packet.FIN) && r.eng.FellBack():
		r.eng.CloseWrite(r.now)
	case x.got.hasFast && !r.eng.Done():
		r.eng.Abort(r.now, engine.ResetUnspecified)
	}
}

// steer changes and closes subflows as the kernel's path manager did.
func (r *replay) steer(x *record, f *played) {
	if x.s.Flags.Has(packet.FIN) && !r.eng.FellBack() {
		_ = r.eng.CloseFlow(r.now, f.id) // if that has not happened yet, and not the last one
	}
	for _, o := range x.got.signals {
		switch o := o.(type) {
		case options.MPPrio:
			require.NoError(r.t, r.eng.SetBackup(r.now, f.id, o.Backup))
		case options.RemoveAddr:
			for _, id := range o.IDs[:o.N] {
				for _, g := range r.order {
					if g.id != 0 && uint8(g.params.LocalID) == id {
						_ = r.eng.CloseFlow(r.now, g.id) // the last one stays
					}
				}
			}
		}
	}
}

// dial makes the flow whose SYN the kernel sent.
func (r *replay) dial(x *record) {
	if r.flows[x.s.Src] != nil {
		return
	}
	cfg := r.config(x.s.Src, x.s.Dst)
	p := &played{isn: cfg.TCP.ISN}
	switch {
	case r.plain:
		r.engine()
		p.Flow = DialPlain(r.now, cfg, extapi.FallbackDisabled)
	case x.got.hasJoin:
		p.params = engine.FlowParams{LocalID: extapi.AddrID(x.got.join.AddrID), Backup: x.got.join.Backup}
		j := engine.NewJoinInitiator(r.keys, x.got.join.Nonce, p.params.LocalID, x.got.join.Backup)
		p.Flow = DialJoin(r.now, cfg, r.keys, j)
	case r.eng != nil: // the capture was taken behind a box that strips the option
		p.params = engine.FlowParams{LocalID: 1}
		p.Flow = DialJoin(r.now, cfg, r.keys, engine.NewJoinInitiator(r.keys, 1, 1, false))
	default:
		r.engine()
		offer := engine.CapableOffer{Carrier: extapi.CarrierWire}
		offer.Checksum = x.got.capable.Flags&options.FlagA != 0
		p.Flow = Dial(r.now, cfg, engine.NewCapable(offer, r.keys.Local))
	}
	r.flows[x.s.Src] = p
	r.order = append(r.order, p)
}

func (r *replay) engine() {
	r.eng = engine.NewConn(r.now, engine.Config{
		Client: r.client, SendBuffer: 1 << 20, RecvBuffer: 1 << 20, Scheduler: r, NoPathTimeout: time.Minute, CloseTimeout: time.Minute,
		JoinDelay: time.Hour, JoinBytes: 1 << 40,
	}, r.keys.Local)
}

func (r *replay) find(s packet.Segment) *played {
	if f := r.flows[s.Src]; f != nil {
		return f
	}
	return r.flows[s.Dst]
}

// feed brings in a packet of the other side.
func (r *replay) feed(x *record) {
	f := r.find(x.s)
	if f == nil && !r.client && x.s.Flags&(packet.SYN|packet.ACK) == packet.SYN {
		r.accept(x)
		return
	}
	if f == nil {
		return
	}
	var p pool.Ref
	s := x.s
	if len(s.Payload) > 0 {
		p = pool.Copy(s.Payload)
		s.Payload = p.B
	}
	f.HandleSegment(r.now, &s, p)
}

// accept takes a SYN.
func (r *replay) accept(x *record) {
	cfg := r.config(x.s.Dst, x.s.Src)
	p := &played{isn: cfg.TCP.ISN}
	o := Open(&x.s)
	if r.plain {
		o = Opening{}
	}
	switch o.Asks {
	case AsksCapable:
		offer := engine.CapableOffer{Carrier: extapi.CarrierWire}
		for _, y := range r.records { // what the kernel offered
			if y.mine && y.got.hasCapable {
				offer.Checksum = offer.Checksum || y.got.capable.Flags&options.FlagA != 0
				offer.NoInitialJoin = y.got.capable.Flags&options.FlagC != 0
				break
			}
		}
		c, ok := o.Negotiate(offer)
		require.True(r.t, ok)
		p.Flow = Accept(r.now, cfg, c.WithKey(r.keys.Local), &x.s)
	case AsksJoin:
		require.NotNil(r.t, r.eng)
		var nonce uint32
		for _, y := range r.records {
			if y.s.Src == x.s.Dst && y.s.Dst == x.s.Src && y.got.hasJoin {
				nonce = y.got.join.Nonce
				break
			}
		}
		j, params, err := r.eng.AcceptJoin(r.now, o.Join, x.s.Dst, x.s.Src, nonce)
		require.NoError(r.t, err)
		p.params = params
		p.Flow, err = AcceptJoin(r.now, cfg, r.keys, j, &x.s)
		require.NoError(r.t, err)
	default:
		p.Flow = AcceptPlain(r.now, cfg, extapi.FallbackPeer, &x.s)
	}
	r.flows[x.s.Src] = p
	r.order = append(r.order, p)
}

// settle attaches, reads, and notes what leaves.
func (r *replay) settle() {
	var buf [packet.MaxOptions]byte
	for _, f := range r.order {
		if res, ok := f.Settled(); ok && !f.attached {
			f.attached = true
			if res.Err == nil {
				if r.eng == nil {
					r.engine()
				}
				f.id = f.Attach(r.now, r.eng, f.params)
				r.current = f.id
			}
		}
	}
	if r.eng != nil {
		var b [4096]byte
		for {
			n, err := r.eng.Read(r.now, b[:])
			r.got = append(r.got, b[:n]...)
			if n == 0 || err != nil {
				break
			}
		}
	}
	for _, f := range r.order {
		out := packet.Segment{Options: buf[:0]}
		for f.Poll(r.now, &out) {
			r.note(out)
			out.Options = buf[:0]
		}
		f.Sent(r.now)
	}
}

// say describes the reactions in the options of a segment that are not a matter of timing.
func say(s packet.Segment) (l []string) {
	var g received
	g.parse(s.Options)
	switch {
	case g.hasCapable && g.capable.HasData:
		l = append(l, "MP_CAPABLE with data")
	case g.hasCapable && g.capable.HasReceiver:
		l = append(l, fmt.Sprintf("MP_CAPABLE %x %x flags %x", g.capable.SenderKey, g.capable.ReceiverKey, uint8(g.capable.Flags)))
	case g.hasCapable:
		l = append(l, fmt.Sprintf("MP_CAPABLE %x flags %x", g.capable.SenderKey, uint8(g.capable.Flags)))
	}
	if g.hasJoin {
		l = append(l, fmt.Sprintf("MP_JOIN %v nonce %x hmac %x", g.join.Form, g.join.Nonce, g.join.HMAC))
	}
	if g.hasDSS && g.dss.DataFIN {
		l = append(l, fmt.Sprintf("DATA_FIN %x", g.dss.DSN+uint64(g.dss.DataLen)-1))
	}
	if g.hasDSS && g.dss.HasMap && g.dss.DataLen == 0 {
		l = append(l, "infinite mapping")
	}
	for _, o := range g.signals {
		if x, ok := o.(options.MPFail); ok {
			l = append(l, fmt.Sprintf("MP_FAIL %x", x.DSN))
		}
		if x, ok := o.(options.MPPrio); ok {
			l = append(l, fmt.Sprintf("MP_PRIO %t", x.Backup))
		}
		if x, ok := o.(options.AddAddr); ok && x.Echo {
			l = append(l, fmt.Sprintf("echo of %d %v", x.AddrID, x.Addr))
		}
	}
	if g.hasFast {
		l = append(l, fmt.Sprintf("MP_FASTCLOSE %x", g.fast.ReceiverKey))
	}
	if s.Flags.Has(packet.RST) && g.hasRst {
		l = append(l, fmt.Sprintf("RST %d", g.rst.Reason))
	}
	return l
}

func (r *replay) note(s packet.Segment) {
	r.said = append(r.said, say(s)...)
	var g received
	g.parse(s.Options)
	if g.hasDSS && g.dss.HasAck {
		r.dataAck = max(r.dataAck, g.dss.DataAck)
	}
}

// kernelSaid is the same of the kernel.
func (r *replay) kernelSaid() (l []string, dataAck uint64) {
	for _, x := range r.records {
		if !x.mine {
			continue
		}
		l = append(l, say(x.s)...)
		if d := x.got.dss; x.got.hasDSS && d.HasAck && d.Ack64 {
			dataAck = max(dataAck, d.DataAck)
		}
	}
	return l, dataAck
}

func (r *replay) end() {
	if r.eng != nil {
		r.eng.Abort(r.now, engine.ResetUnspecified)
		r.eng.Close(r.now)
	}
	for _, f := range r.order {
		f.Abort(r.now, engine.ResetUnspecified)
		f.Sent(r.now)
	}
}

// difference is where we do otherwise than the kernel did, and why: the beginnings of what we say beyond it
// and of what it said beyond us.
type difference struct {
	more, less string
	acked      uint64 // what our last DATA_ACK covers beyond the kernel's
}

var differences = map[string]difference{
	// The capture was taken behind the box: what it shows of this side lacks what the box took away.
	"15-fallback-syn-stripped client":       {more: "MP_CAPABLE 0 flags"},
	"16-fallback-synack-stripped server":    {more: "MP_CAPABLE 4242 flags"},
	"17-fallback-third-ack-stripped client": {more: "MP_CAPABLE"},
	"35-third-ack-lost client":              {more: "MP_CAPABLE 6abd22f35344cded"},
	// "Host B tears down all subflows by sending a TCP RST": before their own RST has come.
	"10-fastclose server": {more: "RST 0"},
	// Option A of section 3.5: an ACK, repeated until it is answered; the kernel sends a RST, once.
	"11-fastclose-server-unread server": {less: "RST 0"},
	// "entirely revert to a regular TCP session": our direction begins with its infinite mapping, the
	// kernel's with none.
	// What has changed is delivered as it is. Without a DATA_ACK it would come again on the subflow that changes it.
	"32-mp-fail-single server": {more: "infinite mapping", acked: 100},
	// The kernel's server does not notice that nothing of what it says arrives; ours does, and says so.
	"18-fallback-dss-stripped-from-server server": {more: "infinite mapping"},
	// The kernel is silent about the checksum of the very first data; section 3.7 makes no difference.
	"33-bad-csum-first server": {more: "MP_FAIL|infinite mapping"},
	"33-bad-csum-first client": {more: "infinite mapping"},
	// Behind the box once more.
	"22-join-third-ack-stripped client":       {more: "MP_JOIN ACK"},
	"38-third-ack-and-first-data-lost client": {more: "MP_CAPABLE 380b0e290e46f99d"},
	"43-syn-blackhole client":                 {more: "MP_CAPABLE 0 flags"},
	"21-join-syn-stripped client":             {more: "MP_JOIN SYN nonce 1|RST 1"},
	// The kernel closes its only subflow, to which section 3.3.3 says no; ours is closed in the end, when nobody answers any more.
	"44-all-subflows-gone-then-rejoin client": {more: "RST 0"},
	// The kernel's listener was bound to one address; the replay's takes all.
	"03b-add-addr-join-refused-bound-listener server": {more: "MP_JOIN SYN/ACK"},
	// The kernel's limit of subflows is none of ours.
	"25-tcprst-join-prohibited server": {less: "RST 3"},
	// The kernel answers the RST with another; nobody is there any more to hear it.
	"25-tcprst-join-prohibited client": {less: "RST 0"},
	// What has not ended two seconds after both DATA_FINs is reset: the capture ends with the path that died.
	"39-reinjection client": {more: "RST 0"},
	"39-reinjection server": {more: "RST 0"},
}

// plainInTheEnd says which captures show a connection that becomes TCP.
var plainInTheEnd = regexp.MustCompile(`plain-tcp|fallback|mp-fail-single|bad-csum|third-ack-and-first-data|blackhole`)

// plainSides play the part of an end without Multipath TCP.
var plainSides = []string{"31-plain-tcp-both:59338 client", "31-plain-tcp-both:53566 server"}

// oneSided cannot be replayed from that side.
var oneSided = map[string]string{
	"13-repeated-mapping client":  "the capture lacks segments with 17,216 bytes, which are acknowledged all the same",
	"29-zero-window-probe client": "the kernel's probe takes a sequence number of TCP, so that all that is acknowledged behind it has numbers that ours has not",
}

// Captures from both sides: what we send back to the kernel's packets is what the kernel sent, or the better
// thing that stands above. Of 28 the connection whose SYN carries data is TestDataInTheCapturedSYN's, 40 is
// TestCapturedSYNs'; of 42 the join to the client's port is left out: the answer is that of a host without a listener,
// and no connection is asked.
func TestCapturesReplayed(t *testing.T) {
	for _, file := range []string{
		"01-handshake-v4", "02-join-client", "03-add-addr-join", "08-data-fin-halfclose", "09-data-fin-with-data", "10-fastclose",
		"11-fastclose-server-unread", "12-checksum", "14-repeated-mapping-checksum", "15-fallback-syn-stripped",
		"16-fallback-synack-stripped", "17-fallback-third-ack-stripped", "23-ipv6-add-addr-join", "27-syncookies", "32-mp-fail-single",
		"35-third-ack-lost", "36-third-ack-lost-server-first", "37-join-third-ack-lost", "46-data-fin-on-data",
		"03b-add-addr-join-refused-bound-listener", "04-add-addr-port", "05-mp-prio", "06-remove-addr", "07-remove-addr-id0",
		"18-fallback-dss-stripped-from-server", "19-fallback-dss-stripped-midway", "20-dss-stripped-on-join", "21-join-syn-stripped",
		"22-join-third-ack-stripped", "24-ipv6-add-addr-port", "24b-ipv6-add-addr-port-does-not-fit-with-timestamps",
		"25-tcprst-join-prohibited", "26-c-flag", "30-two-add-addr", "33-bad-csum-first", "34-mp-fail-multi",
		"38-third-ack-and-first-data-lost", "39-reinjection", "41-server-subflow-endpoint", "43-syn-blackhole",
		"44-all-subflows-gone-then-rejoin", "45-fullmesh",
		"13-repeated-mapping", "28-tfo:55070", "29-zero-window-probe", "31-plain-tcp-both:59338", "31-plain-tcp-both:53566",
		"42-client-signal:8042",
	} {
		for _, client := range []bool{false, true} {
			side := map[bool]string{false: "server", true: "client"}[client]
			t.Run(file+"/"+side, func(t *testing.T) {
				before := pool.Outstanding()
				if why := oneSided[file+" "+side]; why != "" {
					t.Skip(why)
				}
				r := newReplay(t, file, client)
				r.plain = slices.Contains(plainSides, file+" "+side)
				r.run()
				want, ack := r.kernelSaid()
				d := differences[file+" "+side]
				expect(t, d.more, beyond(r.said, want), "what we say and the kernel did not")
				expect(t, d.less, beyond(want, r.said), "what the kernel said and we do not")
				if file == "13-repeated-mapping" {
					ack = r.keys.Remote.IDSN() + 1 + uint64(len(r.got)) // as far as the capture has it: see oneSided
				}
				if ack != 0 {
					require.Equal(t, ack+d.acked, r.dataAck, "DATA_ACK")
				}
				if file != "32-mp-fail-single" && file != "33-bad-csum-first" {
					require.True(t, bytes.Equal(kernelBytes(0, uint64(len(r.got))), r.got), "every byte is right")
				}
				if !strings.Contains(file, "fastclose") {
					require.Equal(t, slices.ContainsFunc(r.records, func(x record) bool { return !x.mine && len(x.s.Payload) > 0 }), len(r.got) > 0)
					require.NoError(t, r.eng.Err())
				}
				require.Equal(t, plainInTheEnd.MatchString(file), r.eng.FellBack())
				r.end()
				require.Equal(t, before, pool.Outstanding())
			})
		}
	}
}

// beyond is what a has and b has not.
func beyond(a, b []string) (l []string) {
	for _, x := range a {
		if !slices.Contains(b, x) && !slices.Contains(l, x) {
			l = append(l, x)
		}
	}
	return l
}

func expect(t *testing.T, prefix string, got []string, why string) {
	t.Helper()
	if prefix == "" {
		require.Empty(t, got, why)
		return
	}
	require.NotEmpty(t, got, why)
	for _, x := range got {
		require.True(t, slices.ContainsFunc(strings.Split(prefix, "|"), func(p string) bool { return strings.HasPrefix(x, p) }), "%s: %s", why, x)
	}
}

// SYNs made by hand, and what our listener answers: what Linux did. But where the client proposes another algorithm beside
// HMAC-SHA256 we choose that ("The responder responds with only 1 bit set -- this is the chosen algorithm", RFC 8684 section
// 3.1), and Linux none.
func TestCapturedSYNs(t *testing.T) {
	records := load(t, "40-raw-syns.pcap")
	answers := map[netip.AddrPort]packet.Segment{}
	for _, x := range records {
		if _, ok := answers[x.s.Dst]; !ok && x.s.Flags.Has(packet.ACK) {
			answers[x.s.Dst] = x.s
		}
	}
	syns := 0
	for _, x := range records {
		if x.s.Flags.Has(packet.ACK) {
			continue
		}
		syns++
		var theirs, ours received
		kernel := answers[x.s.Src]
		theirs.parse(kernel.Options)
		our := answered(t, x.s)
		ours.parse(our.Options)
		require.Equal(t, kernel.Flags, our.Flags, "SYN %d", syns)
		require.Equal(t, kernel.Ack, our.Ack)
		if x.got.hasCapable && x.got.capable.Flags == options.FlagH|0x10 {
			require.False(t, theirs.hasCapable)
			require.Equal(t, []string{"MP_CAPABLE 4242 flags 1"}, say(our))
			continue
		}
		require.Equal(t, theirs.hasCapable, ours.hasCapable, "SYN %d: %x", syns, x.s.Options)
		require.Equal(t, theirs.capable.Version, ours.capable.Version)
		require.Equal(t, theirs.capable.Flags, ours.capable.Flags)
		require.Equal(t, theirs.hasRst, ours.hasRst)
		require.Equal(t, theirs.rst, ours.rst)
	}
	require.Equal(t, 11, syns)
}

// answered is what a listener without connections sends back to a SYN.
func answered(t *testing.T, syn packet.Segment) packet.Segment {
	o := Open(&syn)
	if o.Asks == AsksJoin {
		rst, ok := Reject(&syn, engine.ResetProtocol, false)
		require.True(t, ok)
		return rst
	}
	cfg := Config{TCP: tcp.Config{Local: syn.Dst, Remote: syn.Src, MTU: 1500, Controller: newGroup().New(0, subflowOf())}}
	f := AcceptPlain(0, cfg, extapi.FallbackPeer, &syn)
	if o.Asks == AsksCapable {
		if c, ok := o.Negotiate(engine.CapableOffer{Carrier: extapi.CarrierWire}); ok {
			f = Accept(0, cfg, c.WithKey(0x4242), &syn)
		}
	}
	out := packet.Segment{Options: make([]byte, 0, packet.MaxOptions)}
	require.True(t, f.Poll(0, &out))
	f.Abort(0, engine.ResetUnspecified)
	return out
}

// Data in a SYN, of a client with a cookie of Fast Open that a server of ours never gave: we acknowledge the SYN alone, so
// that the client sends its data again with MP_CAPABLE, where it has numbers (RFC 7413 section 4.2.2, RFC 8684
// appendix B). The client's side can't be replayed: we send no data in SYNs, and the capture acknowledges it.
func TestDataInTheCapturedSYN(t *testing.T) {
	for _, x := range newReplay(t, "28-tfo:55084", false).records {
		if x.s.Flags&(packet.SYN|packet.ACK) != packet.SYN {
			continue
		}
		require.Len(t, x.s.Payload, 300)
		our := answered(t, x.s)
		require.Equal(t, "SYN/ACK", kind(our))
		require.Equal(t, x.s.Seq+1, our.Ack)
		require.Equal(t, []string{"MP_CAPABLE 4242 flags 1"}, say(our))
	}
}
