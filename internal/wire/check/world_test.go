package check

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/simnet/ipnet"
	"github.com/mptcp-go/mptcp/internal/wire"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/stack"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/mptcp-go/mptcp/scheduler"
)

// Chunks are not counted: a connection whose box loses every reset keeps what it has sent until it has tried often
// enough, which a check does not wait for.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	clientAddr = netip.MustParseAddr("10.0.0.1")
	serverAddr = netip.MustParseAddr("10.0.0.2")
	server     = netip.AddrPortFrom(serverAddr, 80)
	other      = netip.AddrPortFrom(serverAddr, 81) // another server, which knows nothing of the first one's connections
)

// peer is the server: our own stack, and a program that answers lines.
type peer struct {
	noJoins bool // flag C
	silent  bool // answers nothing
	stack   *stack.Stack
	tokens  *engine.Tokens[*driver.Conn]

	mu       sync.Mutex
	byToken  map[uint32]*driver.Conn
	conns    []*driver.Conn
	requests int
	work     sync.WaitGroup
}

const answer = "HTTP/1.0 404 none\r\n\r\n"

func (p *peer) Taken(uint32) bool { return false } // it is never under pressure

func (p *peer) Seed(r stack.Request) (stack.Seed, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, err := p.tokens.NewKey(nil)
	s := stack.Seed{
		Key: key, Offer: engine.CapableOffer{NoInitialJoin: p.noJoins},
		Driver: driver.Params{Engine: engine.Config{
			Rand: rand.Reader, Scheduler: scheduler.MinRTT.New(), SchedName: "minrtt", SendBuffer: 1 << 20, RecvBuffer: 1 << 20,
			NoPathTimeout: 5 * time.Second, CloseTimeout: 5 * time.Second,
		}},
		TCP:        func() tcp.Config { return tcp.Config{NoDelay: true, TimeWait: time.Second, SYNRetries: 3} },
		Congestion: congestion.Reno,
	}
	if !r.Capable {
		s.Plain = extapi.FallbackPeer
	}
	return s, err
}

func (p *peer) Lookup(token uint32) (*driver.Conn, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, ok := p.byToken[token]
	return d, ok
}

func (p *peer) Welcome(d *driver.Conn, _ wire.Result, _ any) {
	p.mu.Lock()
	p.byToken[d.Token()] = d
	p.conns = append(p.conns, d)
	p.mu.Unlock()
	p.work.Go(func() {
		defer d.Close()
		for {
			line, err := readLine(d)
			if err != nil {
				return
			}
			p.mu.Lock()
			p.requests++
			p.mu.Unlock()
			if !p.silent && len(line) > 0 {
				_, _ = d.Write(append([]byte(answer), bytes.Repeat([]byte("x"), 3000)...))
			}
		}
	})
}

func readLine(r io.Reader) (line []byte, err error) {
	for b := make([]byte, 1); ; {
		if _, err := r.Read(b); err != nil {
			return nil, err
		}
		if b[0] == '\n' {
			return line, nil
		}
		line = append(line, b[0])
	}
}

// ask is a request of several bytes.
func ask(c net.Conn) error {
	if _, err := c.Write([]byte("HEAD /some/file HTTP/1.0\n")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, len(answer)+3000))
	return err
}

// examine checks the path through elements, in virtual time.
func examine(t *testing.T, p *peer, talk func(net.Conn) error, elements ...onpath.Element) (f *Facts) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		epoch := time.Now()
		n := ipnet.NewLive(7)
		c, s := n.Host("c"), n.Host("s")
		near, far := c.Attach("eth0", 0, clientAddr), s.Attach("eth0", 0, serverAddr)
		path := n.Join(near, far, append(elements, onpath.NewLink(onpath.LinkConfig{Delay: 5 * time.Millisecond}, nil))...)
		path.Owns(netip.MustParseAddr("192.0.2.77")) // a NAT's
		p.tokens, p.byToken = engine.NewTokens[*driver.Conn](rand.Reader, 0), make(map[uint32]*driver.Conn)
		var err error
		p.stack, err = stack.New(epoch, func(ls link.Stack) (link.Link, error) { return s.Open(ls), nil })
		require.NoError(t, err)
		l, err := p.stack.Listen(server, stack.ListenConfig{}, p)
		require.NoError(t, err)
		stranger := &peer{tokens: engine.NewTokens[*driver.Conn](rand.Reader, 0)}
		m, err := p.stack.Listen(other, stack.ListenConfig{}, stranger)
		require.NoError(t, err)
		f = Run(t.Context(), Config{
			Timeout: 10 * time.Second, Talk: talk, Epoch: epoch,
			Open: func(ls link.Stack) (link.Link, error) { return c.Open(ls), nil },
		}, Path{Remote: server})
		t.Logf("%v of virtual time", time.Since(epoch).Round(time.Millisecond))
		require.NoError(t, l.Close())
		require.NoError(t, m.Close())
		p.mu.Lock()
		conns := p.conns
		p.mu.Unlock()
		for _, d := range conns {
			_ = d.Abort(engine.ResetUnspecified)
		}
		p.work.Wait()
		time.Sleep(time.Second) // for the RSTs
		require.NoError(t, p.stack.Close())
		n.Close()
	})
	return f
}
