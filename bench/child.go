//go:build linux

package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// task is what the parent asks of a child, as JSON on its command line.
type task struct {
	Role      string // server, client, watch
	Contender string
	Work      string
	Addr      string   // where to listen or dial
	Local     string   // address to dial from; "" for any
	Control   string   // client: the server's control address; server: where it is to be, "" for on loopback
	Announce  []string // addresses that the listener announces
	CC        string   // congestion control of the kernel's sockets; "" for the namespace's
	Subflows  int      // wanted; 0 for as many as there are

	Bytes  int64
	Piece  int // of a bulk work: what one write has, and one read at most
	Count  int // operations, requests or connections
	Size   int // of one message
	Upload bool
	Hold   time.Duration

	Device string        // the interface: of the link that dies, or that packets of one's own go through
	DropAt time.Duration // watch: when it dies
	BackAt time.Duration // watch: when it works again; 0: never
}

// values are a child's findings by metric name.
type values map[string]float64

// answer is what a child prints, one JSON object per line. A server prints its addresses first and
// its findings when its standard input is closed.
type answer struct {
	Addr    string    `json:",omitempty"`
	Control string    `json:",omitempty"`
	State   connState `json:",omitzero"`
	Values  values    `json:",omitempty"`
}

func childMain(arg string) error {
	t := new(task)
	if err := json.Unmarshal([]byte(arg), t); err != nil {
		return err
	}
	stop, err := profile(t)
	if err != nil {
		return err
	}
	defer stop()
	out := json.NewEncoder(os.Stdout)
	switch t.Role {
	case "server":
		return serveTask(t, out)
	case "watch":
		return watchLink(t, out)
	}
	c, k := findContender(t.Contender), findWork(t.Work)
	dial, err := c.dialer(t)
	if err != nil {
		return err
	}
	e := &client{task: t, contender: c, dial: dial}
	v, err := k.client(e)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", t.Contender, t.Work, err)
	}
	return out.Encode(answer{Values: v, State: e.state})
}

// serveTask listens until standard input ends.
func serveTask(t *task, out *json.Encoder) error {
	l, err := findContender(t.Contender).listen(t)
	if err != nil {
		return err
	}
	ctl, err := net.Listen("tcp", cmp.Or(t.Control, "127.0.0.1:0"))
	if err != nil {
		return err
	}
	go serveControl(ctl)
	if err := out.Encode(answer{Addr: l.Addr().String(), Control: ctl.Addr().String()}); err != nil {
		return err
	}
	s := &server{task: t}
	go s.serve(l)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return out.Encode(answer{State: s.state})
}

// sample is what a process has used and holds at one moment.
type sample struct {
	CPU     float64 // seconds, user and system
	Mallocs uint64
	Memory  float64 // bytes of heap objects and stacks, after a collection
	Stacks  float64 // of these, the stacks
}

// take samples this process. Collecting garbage first makes Memory meaningful, and is left out where
// it would disturb.
func take(collect bool) (s sample) {
	if collect {
		runtime.GC()
		runtime.GC()
		m := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
		metrics.Read(m)
		s.Stacks = float64(m[1].Value.Uint64())
		s.Memory = float64(m[0].Value.Uint64()) + s.Stacks
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	s.Mallocs = ms.Mallocs
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		s.CPU = float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return s
}

// serveControl answers every byte on a control connection with a sample of this process: 's' as it
// is, 'g' after a collection. Control connections are plain TCP, beside the contender under test.
func serveControl(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			var b [1]byte
			enc := json.NewEncoder(c)
			for {
				if _, err := c.Read(b[:]); err != nil {
					return
				}
				if enc.Encode(take(b[0] == 'g')) != nil {
					return
				}
			}
		}()
	}
}

// client is what a work's client side has at hand.
type client struct {
	*task
	contender *contender
	dial      dialFunc
	state     connState

	first atomic.Pointer[net.Conn] // that an HTTP client dialled

	once    sync.Once
	control net.Conn
	answers *bufio.Reader
	ctlErr  error
}

// both samples this process and the server's.
func (c *client) both(collect bool) (here, there sample, err error) {
	c.once.Do(func() {
		if c.control, c.ctlErr = net.Dial("tcp", c.Control); c.ctlErr == nil {
			c.answers = bufio.NewReader(c.control)
		}
	})
	if c.ctlErr != nil {
		return here, there, c.ctlErr
	}
	ask := "s"
	if collect {
		ask = "g"
	}
	if _, err = io.WriteString(c.control, ask); err != nil {
		return here, there, err
	}
	line, err := c.answers.ReadBytes('\n')
	if err != nil {
		return here, there, err
	}
	err = json.Unmarshal(line, &there)
	return take(collect), there, err
}

// see remembers what the contender tells of a connection that is about to be closed.
func (c *client) see(conn net.Conn) { c.state = c.contender.look(conn) }

var errShort = errors.New("the connection ended early")
