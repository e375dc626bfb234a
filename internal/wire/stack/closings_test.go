package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/leaks"
	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/simnet/ipnet"
	"github.com/mptcp-go/mptcp/internal/wire"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

const (
	closingsLanes   = 3               // connections at a time
	closingsInTurn  = 3               // in each lane, one after the other
	closingsPorts   = 4               // of the client, so that a port comes again while the old connection is in TIME-WAIT
	closingsPatient = 5 * time.Minute // for a byte, or an end, that does come
	closingsAlone   = time.Minute     // NoPathTimeout: the peer of one that was aborted may have heard nothing of it but its RSTs
	closingsClose   = 5 * time.Minute // CloseTimeout, which nothing needs where both ends close in order
	closingsEnd     = 2 * time.Minute // from when both have closed to their end: in order, and in any way with CloseTimeout besides
)

// part is what one end of a connection does.
type part struct {
	size  int           // bytes that it writes, in pieces
	pause time.Duration // between these
	half  bool          // CloseWrite follows
	reads bool          // to the end
	rest  time.Duration // afterwards
	cut   time.Duration // it ends then, whatever it is doing; 0: when it is done
	abort bool          // it ends with Abort; else with Close
}

// toEnd says whether it reads to the end, whatever comes.
func (p *part) toEnd() bool { return p.reads && p.cut == 0 && !p.abort }

// played is what has come of a part.
type played struct {
	sent, got  []byte
	werr, rerr error
	err        error // the connection's
}

// meeting is one connection of the sweep.
type meeting struct {
	ends     [2]part // client, server
	plain    bool
	joins    bool
	checksum bool
	patience time.Duration // of who dials; 0: enough
}

// closings are two stacks whose connections end in all the ways there are, over paths that lose packets, let some overtake others
// and bring some twice.
type closings struct {
	*world
	about string // its network, for who looks into a failure
	r     *rand.Rand
	dice  io.Reader
	tcp   tcp.Config
	pace  time.Duration // how far apart things happen
	net   *ipnet.Net
	hosts [2]*ipnet.Host
	said  time.Time // when the last packet left
	meets map[uint16]chan *driver.Conn
	held  map[uint16]int // by connections that are not over at both ends
	weak  []weak.Pointer[driver.Conn]
	count closingsCount
}

// closingsCount is what a sweep has seen.
type closingsCount struct{ whole, aborts, refused, cancelled, joined, inherited, lost int }

func (n *closingsCount) add(m closingsCount) {
	n.whole += m.whole
	n.aborts += m.aborts
	n.refused += m.refused
	n.cancelled += m.cancelled
	n.joined += m.joined
	n.inherited += m.inherited
	n.lost += m.lost
}

// scarce is a link that has few ports of its own to choose from: one may be the next connection's as soon as the last one is over,
// or in TIME-WAIT.
type scarce struct {
	link.Link
	c *closings
}

func (s scarce) Connect(local, remote netip.AddrPort, ifIndex int, h link.Handler) (link.Flow, error) {
	if local.Port() != 0 {
		return s.Link.Connect(local, remote, ifIndex, h)
	}
	for i := range uint16(closingsPorts) {
		port := 50000 + i
		if s.c.holds(port, 0) > 0 {
			continue
		}
		f, err := s.Link.Connect(netip.AddrPortFrom(local.Addr(), port), remote, ifIndex, h)
		if !errors.Is(err, link.ErrInUse) {
			return f, err
		}
	}
	return nil, link.ErrNoPort
}

// oneOf these is what r says.
func oneOf[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func newClosings(t *testing.T, seed uint64) *closings {
	c := &closings{
		r: rand.New(rand.NewPCG(seed, 3333)), net: ipnet.NewLive(seed),
		meets: make(map[uint16]chan *driver.Conn), held: make(map[uint16]int),
	}
	r := c.r
	keys := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	c.world = &world{t: t, tokens: engine.NewTokens[*driver.Conn](keys, 0), byToken: make(map[uint32]*driver.Conn)}
	epoch := time.Now()
	c.hosts[0], c.hosts[1] = c.net.Host("client"), c.net.Host("server")
	far := c.hosts[1].Attach("s0", 0, serverAddr)
	dice := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	for i, a := range []netip.Addr{clientAddr, secondAddr} {
		delay := oneOf[time.Duration](r, 1, 10, 50) * time.Millisecond
		loss, twice, late := oneOf(r, 0, 0.01, 0.05, 0.1), oneOf(r, 0, 0.05, 0.2), oneOf(r, 0, 0.05, 0.3)
		by, rate := oneOf(r, 2*delay, time.Second), oneOf(r, int64(0), 1e6, 1e5)
		c.about += fmt.Sprintf("path %d: %v, %d B/s, ", i, delay, rate) +
			fmt.Sprintf("loses %.2f, doubles %.2f, delays %.2f by %v; ", loss, twice, late, by)
		c.pace = max(c.pace, delay)
		lose := onpath.Loss(loss, dice)
		c.net.Join(c.hosts[0].Attach(fmt.Sprint("c", i), 0, a), far,
			onpath.Func(func(p []byte, d onpath.Dir, emit onpath.Emit) {
				c.count.lost++
				lose.Process(0, p, d, func(p []byte, d onpath.Dir) { c.count.lost--; emit(p, d) })
			}),
			onpath.Duplicate(onpath.Sometimes(twice, dice), 1),
			&onpath.Reorder{Probability: late, By: by, Random: dice},
			onpath.NewLink(onpath.LinkConfig{Rate: rate, Delay: delay}, nil))
	}
	c.net.Tap(func(time.Duration, string, bool, []byte) { c.said = time.Now() })
	c.tcp = tcp.Config{
		NoDelay: r.IntN(2) == 0, Pacing: r.IntN(4) == 0, NoSACK: r.IntN(6) == 0, NoTimestamps: r.IntN(6) == 0, SYNRetries: 10,
	}
	c.dice = &locked{r: rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 2})}
	c.about += fmt.Sprintf("NoDelay %t, Pacing %t, ", c.tcp.NoDelay, c.tcp.Pacing) +
		fmt.Sprintf("NoSACK %t, NoTimestamps %t", c.tcp.NoSACK, c.tcp.NoTimestamps)
	open := func(h *ipnet.Host) *Stack {
		s, err := New(epoch, func(s link.Stack) (link.Link, error) {
			if h == c.hosts[0] {
				return scarce{h.Open(s), c}, nil
			}
			return h.Open(s), nil
		})
		require.NoError(t, err)
		s.rand = c.dice
		_, _ = c.dice.Read(s.secret[:])
		return s
	}
	c.client, c.server = open(c.hosts[0]), open(c.hosts[1])
	c.listen()
	return c
}

func (c *closings) listen() {
	var err error
	c.l, err = c.server.Listen(serverAt, ListenConfig{TCP: c.tcp}, c)
	require.NoError(c.t, err)
}

// seed is what a connection is made from.
func (c *closings) seed(client bool) Seed {
	s := c.world.seed(client)
	s.Driver.Engine.NoPathTimeout, s.Driver.Engine.CloseTimeout = closingsAlone, closingsClose
	s.Driver.Engine.Rand = c.dice
	s.TCP = func() tcp.Config { return c.tcp }
	s.Driver.OnDone = func(d *driver.Conn) {
		c.forget(s.Key)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.byToken, d.Token())
	}
	return s
}

func (c *closings) Seed(r Request) (Seed, error) {
	s := c.seed(false)
	if !r.Capable {
		s.Plain = extapi.FallbackPeer
	}
	return s, nil
}

func (c *closings) Welcome(d *driver.Conn, _ wire.Result, _ any) {
	c.mu.Lock()
	select {
	case <-d.Closed(): // already
	default:
		c.byToken[d.Token()] = d
	}
	c.weak = append(c.weak, weak.Make(d))
	c.mu.Unlock()
	c.meet(d.RemoteAddr()) <- d
}

// meet is where the server's ends of the connections from a client's port come.
func (c *closings) meet(from net.Addr) chan *driver.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	port := uint16(from.(*net.TCPAddr).Port)
	if c.meets[port] == nil {
		c.meets[port] = make(chan *driver.Conn, 10)
	}
	return c.meets[port]
}

// holds counts connections of a port, and how many there are now.
func (c *closings) holds(port uint16, more int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[port] += more
	return c.held[port]
}

// draw makes up a connection. No two ends wait for each other's end.
func (c *closings) draw() (m meeting) {
	r := c.r
	some := func() time.Duration {
		soon, late := time.Duration(r.Int64N(int64(4*c.pace))), time.Duration(r.Int64N(int64(time.Second)))
		return oneOf(r, 0, 0, c.pace/2, c.pace, 2*c.pace, soon, late)
	}
	for i := range m.ends {
		p := &m.ends[i]
		*p = part{size: oneOf(r, 0, 1, 100, 1400, 5000, 20_000, 100_000), half: r.IntN(2) == 0, reads: r.IntN(4) > 0, rest: some()}
		if r.IntN(4) == 0 {
			p.pause = some()
		}
		if r.IntN(6) == 0 {
			p.cut = max(1, some())
		}
		p.abort = r.IntN(8) == 0
	}
	if m.ends[0].reads && m.ends[1].reads && !m.ends[0].half && !m.ends[1].half {
		m.ends[r.IntN(2)].half = true
	}
	m.plain, m.joins, m.checksum = r.IntN(4) == 0, r.IntN(2) == 0, r.IntN(4) == 0
	if r.IntN(10) == 0 {
		m.patience = max(1, some())
	}
	return m
}

// play lets one end do its part.
func (c *closings) play(d *driver.Conn, p part, data []byte) (x played) {
	_ = d.SetDeadline(time.Now().Add(closingsPatient))
	var wg sync.WaitGroup
	wg.Go(func() {
		for len(x.sent) < len(data) && x.werr == nil {
			var n int
			n, x.werr = d.Write(data[len(x.sent):min(len(data), len(x.sent)+10_000)])
			x.sent = data[:len(x.sent)+n]
			time.Sleep(p.pause)
		}
		if p.half {
			_ = d.CloseWrite() // the other goroutine may have closed it
		}
	})
	wg.Go(func() {
		if p.reads {
			x.got, x.rerr = io.ReadAll(d)
			if x.rerr == nil {
				x.rerr = io.EOF
			}
		}
	})
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	if p.cut > 0 {
		select {
		case <-done:
		case <-time.After(p.cut):
		}
	} else {
		<-done
		time.Sleep(p.rest)
	}
	if p.abort {
		_ = d.Abort(engine.ResetUnspecified)
	} else {
		_ = d.Close()
	}
	<-done
	return x
}

// dial opens a connection, however long it takes: a port may have to become free, or a listener to come back.
func (c *closings) dial(m *meeting, local netip.AddrPort) (*driver.Conn, error) {
	patience := m.patience
	if patience == 0 {
		patience = closingsPatient
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		s := c.seed(true)
		s.Offer.Checksum = m.checksum
		if m.plain {
			s.Plain = extapi.FallbackDisabled
		}
		before := c.waiting()
		d, _, err := c.client.Dial(ctx, s, local, serverAt, "")
		switch {
		case err == nil:
			if c.mu.Lock(); before > c.waiting() {
				c.count.inherited++
			}
			c.weak = append(c.weak, weak.Make(d))
			c.mu.Unlock()
			return d, nil
		// The new ISN may be the last number of the connection before, whose MP_FASTCLOSE ends in a RST that fits then.
		case errors.Is(err, tcp.ErrRefused), errors.Is(err, syscall.ECONNRESET):
			c.mu.Lock()
			c.count.refused++
			c.mu.Unlock()
		case !errors.Is(err, link.ErrNoPort):
			s.Discard()
			return nil, err
		}
		s.Discard()
		time.Sleep(200 * time.Millisecond)
	}
}

// candidates are the client's addresses, over which a connection whose only subflow has failed comes back.
var candidates = []extapi.Candidate{
	{Local: netip.AddrPortFrom(clientAddr, 0), Interface: "c0", IfIndex: 1},
	{Local: netip.AddrPortFrom(secondAddr, 0), Interface: "c1", IfIndex: 2},
}

// join opens a second subflow, if the connection lasts long enough.
func (c *closings) join(d *driver.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	d.AwaitEstablished(ctx)
	if _, err := d.OpenSubflow(ctx, netip.AddrPortFrom(secondAddr, 0), netip.AddrPort{}); err == nil {
		c.mu.Lock()
		c.count.joined++
		c.mu.Unlock()
	}
}

// hold is a connection from its beginning to its end.
func (c *closings) hold(n int, m meeting, data [2][]byte) error {
	local := netip.AddrPortFrom(clientAddr, 0)
	if m.patience > 0 {
		local = netip.AddrPortFrom(clientAddr, uint16(40000+n)) // nobody takes the server's end of it for another's
	}
	client, err := c.dial(&m, local)
	if err != nil && m.patience == 0 {
		return fmt.Errorf("dial: %w", err)
	}
	if err != nil {
		c.mu.Lock()
		c.count.cancelled++
		c.mu.Unlock()
		select {
		case d := <-c.meet(net.TCPAddrFromAddrPort(local)):
			c.play(d, part{reads: true}, nil)
			return c.ended(d, closingsClose)
		case <-time.After(closingsPatient):
			return nil
		}
	}
	port := uint16(client.LocalAddr().(*net.TCPAddr).Port)
	c.holds(port, 1)
	defer c.holds(port, -1)
	client.SetLocalAddrs(candidates)
	var wg sync.WaitGroup
	if m.joins && !m.plain {
		wg.Go(func() { c.join(client) })
	}
	var x [2]played
	var server *driver.Conn
	wg.Go(func() { x[0] = c.play(client, m.ends[0], data[0]) })
	select {
	case server = <-c.meet(client.LocalAddr()):
		x[1] = c.play(server, m.ends[1], data[1])
	case <-time.After(closingsPatient):
		if !m.ends[0].abort {
			return errors.New("the server has not heard of it")
		}
	}
	wg.Wait()
	longer := time.Duration(0)
	if m.ends[0].abort || m.ends[1].abort {
		longer = closingsClose // neither a RST nor what it has answered may have arrived
	}
	for i, d := range []*driver.Conn{client, server} {
		if d == nil {
			continue
		}
		if err := c.ended(d, longer); err != nil {
			return fmt.Errorf("%s: %w", oneEnd(i), err)
		}
		x[i].err = d.Err()
	}
	return c.judge(&m, &x)
}

func oneEnd(i int) string { return [2]string{"client", "server"}[i] }

// ended waits for the end of one that both have closed.
func (c *closings) ended(d *driver.Conn, longer time.Duration) error {
	select {
	case <-d.Closed():
		return nil
	case <-time.After(closingsEnd + longer):
		return fmt.Errorf("it has not ended: %+v", d.Subflows())
	}
}

// judge compares what was written with what has arrived.
func (c *closings) judge(m *meeting, x *[2]played) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	both := m.ends[0].toEnd() && m.ends[1].toEnd()
	for i := range x {
		from, to := &m.ends[i], &m.ends[1-i]
		sent, got, err := x[i].sent, x[1-i].got, x[1-i].rerr
		switch {
		case !bytes.HasPrefix(sent, got):
			return fmt.Errorf("to the %s: %d bytes, and not those that were sent", oneEnd(1-i), len(got))
		case from.abort || to.abort:
			c.count.aborts++
		case !to.toEnd():
		case len(got) != len(sent):
			return fmt.Errorf("to the %s: %d of %d bytes have arrived: %w", oneEnd(1-i), len(got), len(sent), err)
		case err == io.EOF: // also where who has closed did not read what was sent to it
			c.count.whole++
		default:
			return fmt.Errorf("to the %s: all has arrived, but the end: %w", oneEnd(1-i), err)
		}
		if both && (x[i].werr != nil || x[i].err != nil) {
			return fmt.Errorf("%s: %w", oneEnd(i), errors.Join(x[i].werr, x[i].err))
		}
	}
	return nil
}

// pauses closes the listener for a while.
func (c *closings) pauses(at, for_ time.Duration) {
	time.Sleep(at)
	_ = c.l.Close()
	time.Sleep(for_)
	c.listen()
}

// left is what is left, of either stack.
func (c *closings) left() (l []string) {
	for i, s := range []*Stack{c.client, c.server} {
		s.mu.Lock()
		for d := range s.conns {
			l = append(l, fmt.Sprintf("%s: %v", oneEnd(i), d.Info()))
		}
		for p := range s.ports {
			l = append(l, fmt.Sprintf("%s: port %v", oneEnd(i), p.lf.Local()))
		}
		s.mu.Unlock()
		if n := waiting(s); n > 0 {
			l = append(l, fmt.Sprint(oneEnd(i), ": ", n, " in TIME-WAIT"))
		}
		if n := c.hosts[i].Flows(); n > 0 {
			l = append(l, fmt.Sprint(oneEnd(i), ": ", n, " flows"))
		}
	}
	if syns, waiting := c.l.tcp.Pending(); syns+waiting > 0 {
		l = append(l, fmt.Sprint(syns, " handshakes and ", waiting, " connections of the listener"))
	}
	if n := c.tokens.Len(); n > 0 {
		l = append(l, fmt.Sprint(n, " tokens"))
	}
	return l
}

// Connections end in all the ways there are: with Close, with CloseWrite on either side or on both, with Abort, while data is
// outstanding, right after they have begun, before they have, while the listener is closed, and where the port is used again
// during TIME-WAIT. Every byte that was written before a graceful end arrives, and its end. Nothing is left of any connection in
// a bounded time. MPTCP_CLOSINGS=1000 is the number of seeds.
func TestSweepOfClosings(t *testing.T) {
	seeds := uint64(24)
	if race == 1 {
		seeds = 8
	}
	if s := os.Getenv("MPTCP_CLOSINGS"); s != "" {
		var err error
		seeds, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	leaks.Settle(t)
	var count closingsCount
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { count.add(sweepClosings(t, seed)) })
		})
	}
	t.Logf("%+v", count)
	for _, n := range []int{
		count.whole, count.aborts, count.refused, count.cancelled, count.joined, count.inherited, count.lost,
	} {
		require.NotZero(t, n, "everything happens")
	}
}

// shut ends the stacks.
func (c *closings) shut() {
	_ = c.l.Close()
	require.NoError(c.t, c.client.Close())
	require.NoError(c.t, c.server.Close())
	c.net.Close()
}

func sweepClosings(t *testing.T, seed uint64) closingsCount {
	c := newClosings(t, seed)
	defer c.shut()
	defer func() {
		if t.Failed() {
			t.Log(c.about)
		}
	}()
	noise := make([]byte, 200_000)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), 2}).Read(noise)
	var lanes [closingsLanes][closingsInTurn]meeting
	for i := range lanes {
		for j := range lanes[i] {
			lanes[i][j] = c.draw()
		}
	}
	var wg sync.WaitGroup
	if c.r.IntN(3) == 0 {
		at, for_ := time.Duration(c.r.Int64N(int64(3*time.Second))), time.Duration(c.r.Int64N(int64(3*time.Second)))
		wg.Go(func() { c.pauses(at, for_) })
	}
	for i, lane := range lanes {
		wg.Go(func() {
			for j, m := range lane {
				n := i*closingsInTurn + j
				data := [2][]byte{noise[n*1000:][:m.ends[0].size], noise[n*1000+500:][:m.ends[1].size]}
				if err := c.hold(n, m, data); err != nil {
					t.Errorf("connection %d, %+v: %v", n, m, err)
				}
			}
		})
	}
	wg.Wait()
	over := time.Now()
	time.Sleep(closingsClose + closingsEnd)
	synctest.Wait()
	for _, l := range c.left() {
		t.Error("is left:", l)
	}
	c.net.Do(func() { require.Less(t, c.said.Sub(over), closingsClose, "somebody still sends") })
	require.Zero(t, pool.Outstanding(), "chunks")
	runtime.GC()
	for i, p := range c.weak {
		require.True(t, p.Value() == nil, "something keeps connection %d", i)
	}
	return c.count
}
