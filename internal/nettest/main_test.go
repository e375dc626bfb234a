package nettest

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// orderEnv holds the order of a program that runs in a namespace.
const orderEnv = "MPTCP_NETTEST_ORDER"

// nsPrefix begins the name of every namespace that these tests make; the process id follows.
const nsPrefix = "mptcpnt"

func TestMain(m *testing.M) {
	if text := os.Getenv(orderEnv); text != "" {
		os.Exit(obey(text))
	}
	sweep()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-stop
		labs.closeAll()
		os.Exit(1)
	}()
	code := m.Run()
	labs.closeAll()
	os.Exit(code)
}

// sweep removes what a run left behind whose process was killed.
func sweep() {
	found, _ := filepath.Glob("/run/netns/" + nsPrefix + "-*")
	for _, f := range found {
		name := filepath.Base(f)
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, nsPrefix+"-"), "-")
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			removeNamespace(name)
		}
	}
}

// openLabs are the labs to be closed should the process be told to end.
type openLabs struct {
	mu   sync.Mutex
	all  map[*lab]struct{}
	last int
}

var labs = openLabs{all: make(map[*lab]struct{})}

// enter returns a number that no other lab of this process has.
func (o *openLabs) enter(l *lab) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all[l] = struct{}{}
	o.last++
	return o.last
}

func (o *openLabs) leave(l *lab) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, l)
}

func (o *openLabs) closeAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for l := range o.all {
		l.tearDown()
	}
}

// need skips the test where it can't run, and says why.
func need(t *testing.T, tools ...string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("network namespaces are Linux's")
	}
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	for _, tool := range append([]string{"ip", "tc", "nft", "sysctl"}, tools...) {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s(8) is missing: %v", tool, err)
		}
	}
}
