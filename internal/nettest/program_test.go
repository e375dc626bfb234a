package nettest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// order says what a program does.
type order struct {
	Role string // see roles

	Addr  string // to listen on or to dial
	Stack string // "": this library; "net": the standard library, whose TCP may be the kernel's MPTCP
	Job   job    // of a client
	Quick quick  // of quick ones

	Mode        mptcp.Mode
	Discovery   mptcp.Discovery
	Peers       []string
	Paths       policy
	Announce    []netip.AddrPort
	SpeaksFirst bool
	Checksum    bool
	FastOpen    bool   // the kernel's dialer has its first data in the SYN
	Token       uint32 // that a flooder's joins are for; 0: it opens connections

	URLs []string // of a fetcher
	Cert string   // file
	Key  string   // file
}

// policy is the part of an extapi.PathPolicy that can be written down.
type policy struct {
	Rules            []extapi.PathRule
	Default          extapi.Role
	MaxSubflows      int
	PerPair          int
	FullMesh         bool
	AnyAnnouncedPort bool
}

func policyOf(p extapi.PathPolicy) policy {
	return policy{p.Rules, p.Default, p.MaxSubflows, p.PerPair, p.FullMesh, p.AnyAnnouncedPort}
}

func (p policy) paths() extapi.PathPolicy {
	return extapi.PathPolicy{
		Rules: p.Rules, Default: p.Default, MaxSubflows: p.MaxSubflows,
		PerPair: p.PerPair, FullMesh: p.FullMesh, AnyAnnouncedPort: p.AnyAnnouncedPort,
	}
}

// job is what a client asks of a server over a connection, as its first line.
type job struct {
	Down, Up bool          // who sends
	For      time.Duration // the senders' time, unless they are told to stop before
	Bytes    int64         // and their limit; 0: none
	Rate     int64         // bytes per second; 0: as many as go

	// Hold: an end that sends nothing half-closes when it has received everything, else at once. Linux opens and accepts
	// joins only while neither end has closed its direction.
	Hold bool

	Preface int           // blanks before the job: what the client writes first is longer than a segment
	Nap     time.Duration // a receiver's, before it reads on
	Damaged bool          // wrong bytes are expected, and counted
}

// report is what a program has to say, as a line of JSON.
type report struct {
	Kind string        // "listening", "connected", "state", "event", "done", "fetched", "usage", "slow", "failed"
	At   time.Duration // since the program began
	Err  string

	Addr     string
	Conn     extapi.ConnID
	Info     extapi.ConnInfo
	Subflows []extapi.SubflowInfo
	Counters extapi.Counters
	Local    string // the connection's LocalAddr
	Remote   string

	Event  string
	Detail string

	Sent, Received tally
	Fetch          fetch
	Usage          usage
}

// tally is what one direction of a connection has carried.
type tally struct {
	Bytes  int64
	Took   time.Duration // from the first byte to the last
	Gap    time.Duration // the longest time without a byte
	GapEnd time.Duration // since the program began
	Wrong  int           // reads with a wrong byte
}

// rate is in Mbit/s.
func (t tally) rate() float64 { return float64(t.Bytes) * 8 / 1e6 / t.Took.Seconds() }

// program is a process in a namespace, as its parent sees it.
type program struct {
	l      *lab
	mode   mptcp.Mode
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer

	mu      sync.Mutex
	reports []report
	news    chan struct{} // closed and replaced at each report
	over    bool          // its output has ended
	ended   sync.Once
}

// start runs a program.
func (l *lab) start(ns string, o order) *program {
	l.t.Helper()
	exe, err := os.Executable()
	require.NoError(l.t, err)
	text, err := json.Marshal(o)
	require.NoError(l.t, err)
	p := &program{l: l, mode: o.Mode, cmd: l.command(ns, exe, "-test.run=^$"), news: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), orderEnv+"="+string(text))
	p.cmd.Stderr = &p.stderr
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(l.t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(l.t, err)
	require.NoError(l.t, p.cmd.Start())
	l.mu.Lock()
	l.programs = append(l.programs, p)
	l.mu.Unlock()
	go p.listen(out)
	return p
}

// serve starts a server and waits until it listens.
func (l *lab) serve(ns string, o order) *program {
	l.t.Helper()
	if o.Role == "" {
		o.Role = "server"
	}
	if o.Addr == "" {
		o.Addr = fmt.Sprintf(":%d", port)
	}
	p := l.start(ns, o)
	p.wait(5*time.Second, "listening")
	return p
}

// dial starts a client and waits until it has connected.
func (l *lab) dial(o order) *program {
	l.t.Helper()
	if o.Role == "" {
		o.Role = "client"
	}
	p := l.start("c", o)
	p.wait(10*time.Second, "connected")
	return p
}

func (p *program) listen(out io.Reader) {
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadBytes('\n')
		var r report
		if err == nil && json.Unmarshal(line, &r) != nil {
			r = report{Kind: "noise", Detail: string(line)}
		}
		p.mu.Lock()
		if err != nil {
			p.over = true
		} else {
			p.reports = append(p.reports, r)
		}
		close(p.news)
		p.news = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// look returns the reports so far, and what is closed when there are more.
func (p *program) look() (list []report, news <-chan struct{}, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.reports), p.news, p.over
}

// wait returns the first report of this kind.
func (p *program) wait(d time.Duration, kind string) report {
	p.l.t.Helper()
	return p.until(d, kind, func(r report) bool { return r.Kind == kind })
}

// event returns the first event of this name whose details contain text.
func (p *program) event(d time.Duration, name string, match func(report) bool) report {
	p.l.t.Helper()
	return p.until(d, "event "+name, func(r report) bool { return r.Kind == "event" && r.Event == name && match(r) })
}

// until returns the first report that fits. A report of failure ends the test.
func (p *program) until(d time.Duration, what string, fits func(report) bool) report {
	p.l.t.Helper()
	timeout := time.After(d)
	for {
		list, news, over := p.look()
		for _, r := range list {
			require.NotEqual(p.l.t, "failed", r.Kind, "%v failed: %s", p, r.Err)
			if fits(r) {
				return r
			}
		}
		require.False(p.l.t, over, "%v ended before it reported: %s", p, what)
		select {
		case <-news:
		case <-timeout:
			require.Fail(p.l.t, "never: "+what, "%v", p)
		}
	}
}

// seen says whether an event of this name has been reported.
func (p *program) seen(event string) bool {
	list, _, _ := p.look()
	return slices.ContainsFunc(list, func(r report) bool { return r.Event == event })
}

// failure waits until the program reports that it failed, and returns why.
func (p *program) failure(d time.Duration) string {
	p.l.t.Helper()
	why := ""
	p.l.eventually(d, "a failure", func() bool {
		list, _, _ := p.look()
		for _, r := range list {
			if r.Kind == "failed" {
				why = r.Err
			}
		}
		return why != ""
	})
	return why
}

// say sends the program a command: "state", "stop", "stacks", or one of steer's.
func (p *program) say(command string) {
	_, _ = io.WriteString(p.stdin, command+"\n") // one that has ended is found out by wait
}

// state asks for the state of the program's connections and returns that of the newest.
func (p *program) state() report {
	p.l.t.Helper()
	return p.ask("state")
}

// ask asks for a report and returns it.
func (p *program) ask(kind string) report {
	p.l.t.Helper()
	var before time.Duration
	if list, _, _ := p.look(); len(list) > 0 {
		before = list[len(list)-1].At
	}
	p.say(kind)
	return p.until(5*time.Second, kind, func(r report) bool { return r.Kind == kind && r.At > before })
}

// String tells what is known when a test fails.
func (p *program) String() string {
	list, _, _ := p.look()
	var b bytes.Buffer
	fmt.Fprintf(&b, "program %s\n", p.cmd.Env[len(p.cmd.Env)-1])
	for _, r := range list[max(0, len(list)-40):] {
		fmt.Fprintf(&b, "  %7.3fs %-10s %s %s %s", r.At.Seconds(), r.Kind, r.Event, r.Detail, r.Err)
		if r.Kind == "usage" {
			fmt.Fprintf(&b, "%+v", r.Usage)
		}
		if r.Kind == "state" {
			fmt.Fprintf(&b, "%+v", r.Info)
		}
		for _, s := range r.Subflows {
			fmt.Fprintf(&b, "\n      %v", s.LogValue())
			if r.Kind == "state" && s.TCP != nil {
				fmt.Fprintf(&b, " in flight %d, reinjected %d, %+v", s.InFlight, s.BytesReinjected, *s.TCP)
			}
		}
		if c := r.Counters.MPTCP; c != (extapi.MPTCPCounters{}) {
			fmt.Fprintf(&b, "\n      counted %s", counted(c))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// counted is what is not 0 of our counters, in the form that the kernel's are shown in.
func counted(c extapi.MPTCPCounters) string {
	var m map[string]int
	if text, err := json.Marshal(c); err == nil {
		_ = json.Unmarshal(text, &m)
	}
	return nonzero(m)
}

// end stops the program: it ends by itself when its standard input does. Another end is a failure: a panic, or
// under the race detector a race.
func (p *program) end() {
	p.ended.Do(func() {
		if p.l.t.Failed() {
			p.say("stacks")
		}
		p.stdin.Close()
		late := time.AfterFunc(3*time.Second, func() { _ = p.cmd.Process.Kill() })
		defer late.Stop()
		if err := p.cmd.Wait(); err != nil {
			p.l.t.Errorf("program ended: %v", err)
		}
		if p.l.t.Failed() {
			p.l.t.Logf("%v%s", p, p.stderr.Bytes())
		}
	})
}
