package rawip

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// insideEnv tells the test binary that it runs in the namespace that its parent made, with the name of the
// other one. roleEnv makes it a program of its own.
const (
	insideEnv = "RAWIP_TEST_PEER"
	roleEnv   = "RAWIP_TEST_ROLE"
	nsPrefix  = "rawipt"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		play(role)
		return
	}
	sweep()
	code := m.Run()
	if code == 0 && pool.Outstanding() != 0 {
		fmt.Println("chunks that nobody has released:", pool.Outstanding())
		code = 1
	}
	os.Exit(code)
}

// sweep removes namespaces of runs that were killed.
func sweep() {
	found, _ := filepath.Glob("/run/netns/" + nsPrefix + "-*")
	for _, f := range found {
		name := filepath.Base(f)
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, nsPrefix+"-"), "-")
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			exec.Command("ip", "netns", "del", name).Run()
		}
	}
}

// Addresses of the two ends of the veth pair "near" and "far".
var (
	near4, far4 = netip.MustParseAddr("10.73.0.1"), netip.MustParseAddr("10.73.0.2")
	near6, far6 = netip.MustParseAddr("fd73::1"), netip.MustParseAddr("fd73::2")
)

// world is a test inside a namespace. peer names the other namespace, on the far end of the link.
type world struct {
	*testing.T
	peer string
}

// inNamespaces runs body in a namespace of its own that has a link to another. It runs in a child process, so
// that all of the process is there: its threads and what it reads below /proc.
func inNamespaces(t *testing.T, body func(w *world)) {
	t.Helper()
	if peer := os.Getenv(insideEnv); peer != "" {
		t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreAnyFunction("testing.tRunner")) })
		body(&world{t, peer})
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("making network namespaces needs ip(8): " + err.Error())
	}
	base := fmt.Sprintf("%s-%d-%d", nsPrefix, os.Getpid(), time.Now().UnixNano()%1e6)
	near, far := base+"n", base+"f"
	for _, ns := range []string{near, far} {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("no network namespace can be made here: %v: %s", err, out)
		}
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
	}
	// Without detection of duplicates addresses work at once, the link-local ones that resolve neighbours too.
	sh(t, fmt.Sprintf(`for ns in %[1]s %[2]s; do ip netns exec $ns sysctl -qw net.ipv6.conf.default.accept_dad=0; done
		ip -n %[1]s link add near type veth peer name far netns %[2]s
		ip -n %[1]s link set lo up; ip -n %[2]s link set lo up
		ip -n %[1]s addr add %[3]v/24 dev near; ip -n %[2]s addr add %[4]v/24 dev far
		ip -n %[1]s addr add %[5]v/64 dev near nodad; ip -n %[2]s addr add %[6]v/64 dev far nodad
		ip -n %[1]s link set near up; ip -n %[2]s link set far up`, near, far, near4, far4, near6, far6))
	cmd := exec.CommandContext(t.Context(), "ip", "netns", "exec", near, os.Args[0],
		"-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.timeout=100s", "-test.v")
	cmd.Env = append(os.Environ(), insideEnv+"="+far)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), "no tests to run")
	if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// sh runs shell commands.
func sh(t testing.TB, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	require.NoError(t, err, "%s\n%s", script, out)
	return string(out)
}

// far runs shell commands in the other namespace.
func (w *world) far(script string) string {
	w.Helper()
	out, err := exec.Command("ip", "netns", "exec", w.peer, "sh", "-ec", script).CombinedOutput()
	require.NoError(w, err, "%s\n%s", script, out)
	return string(out)
}

// there runs f on a thread in the other namespace: sockets that it makes stay there.
func (w *world) there(f func()) {
	w.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocks: the thread ends with the goroutine
		fd, err := unix.Open("/run/netns/"+w.peer, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	require.NoError(w, <-done)
}

// counter reads a counter of this namespace's kernel.
func (w *world) counter(name string) int {
	w.Helper()
	out := sh(w, "nstat -asz "+name+" | awk '$1 == \""+name+"\" {print $2}'")
	n, err := strconv.Atoi(strings.TrimSpace(out))
	require.NoError(w, err, "%q", out)
	return n
}

// seen is a copy of a segment that was handed to a handler.
type seen struct {
	packet.Segment
	at time.Duration
}

// recorder is a handler, and a stack, that keeps what it gets.
type recorder struct {
	segments chan seen
	icmp     chan packet.ICMPError
	changed  chan struct{}
	writable chan struct{}
	flushes  chan int // how many segments each batch had

	mu    sync.Mutex
	batch int
	only  any                                   // what Flush returns
	do    func(s *packet.Segment, buf pool.Ref) // instead of segments
}

func newRecorder() *recorder {
	return &recorder{
		segments: make(chan seen, 4096), icmp: make(chan packet.ICMPError, 64),
		changed: make(chan struct{}, 1024), writable: make(chan struct{}, 1024), flushes: make(chan int, 4096),
	}
}

func (r *recorder) HandleSegment(now time.Duration, s *packet.Segment, buf pool.Ref) {
	r.mu.Lock()
	do := r.do
	r.batch++
	r.mu.Unlock()
	if do != nil {
		do(s, buf)
		return
	}
	c := seen{*s, now}
	c.Options, c.Payload = append([]byte(nil), s.Options...), append([]byte(nil), s.Payload...)
	r.segments <- c
}

func (r *recorder) HandleICMP(_ time.Duration, e *packet.ICMPError) { r.icmp <- *e }
func (r *recorder) Changed(time.Duration)                           { r.changed <- struct{}{} }
func (r *recorder) Writable(time.Duration)                          { r.writable <- struct{}{} }

func (r *recorder) Flush(time.Duration) any {
	r.mu.Lock()
	n, only := r.batch, r.only
	r.batch = 0
	r.mu.Unlock()
	select {
	case r.flushes <- n:
	default:
	}
	return only
}

// next is the next segment; it must come.
func (r *recorder) next(t testing.TB) seen {
	t.Helper()
	select {
	case s := <-r.segments:
		return s
	case <-time.After(10 * time.Second):
		require.Fail(t, "no segment has come")
		panic("unreachable")
	}
}

// open opens a link with a recorder as its stack, until the test ends.
func open(t testing.TB, mode SuperMode) (*Link, *recorder) {
	t.Helper()
	r := newRecorder()
	began := time.Now()
	l, err := Open(Config{Clock: func() time.Duration { return time.Since(began) }, Super: mode}, r)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l, r
}

// family is one of the two ways to reach the other namespace.
type family struct {
	name      string
	near, far netip.Addr
}

var families = []family{{"IPv4", near4, far4}, {"IPv6", near6, far6}}

// send sends one segment, which must leave.
func send(t testing.TB, l *Link, s packet.Segment) {
	t.Helper()
	n, err := l.Send([]packet.Segment{s})
	require.NoError(t, err)
	require.Equal(t, 1, n)
}
