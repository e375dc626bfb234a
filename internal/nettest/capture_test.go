package nettest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
)

// capture records the TCP packets of one host. tshark, which knows nothing of our code, judges them.
type capture struct {
	l    *lab
	ns   string
	file string
	cmd  *exec.Cmd
	errs bytes.Buffer
}

// capture begins to record.
func (l *lab) capture(ns string) *capture {
	l.t.Helper()
	c := &capture{l: l, ns: ns, file: filepath.Join(l.t.TempDir(), ns+".pcap")}
	// The time limit: it must not outlive a test that is killed. Whole packets: tshark checks their checksums. -U: what was seen is in the file at once.
	c.cmd = l.command(ns, "timeout", "-s", "INT", "600", "tcpdump", "-i", "any", "-y", "LINUX_SLL2", "-s", "0", "-B", "65536", "-U", "-w", c.file, "tcp")
	c.cmd.Stderr = &c.errs
	require.NoError(l.t, c.cmd.Start())
	l.t.Cleanup(c.stop)
	l.eventually(5*time.Second, "tcpdump listens", func() bool {
		fi, err := os.Stat(c.file)
		return err == nil && fi.Size() > 0
	})
	return c
}

// stop ends the recording.
func (c *capture) stop() {
	if c.cmd.ProcessState != nil {
		return
	}
	// tcpdump reads the kernel's buffer in blocks, each of which it gets when it is full or a second old: what came less than a second
	// ago is lost otherwise.
	time.Sleep(1100 * time.Millisecond)
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	_ = c.cmd.Wait() // a signal ends it, which is no failure
}

// tshark asks a question about the recording.
func (c *capture) tshark(args ...string) string {
	c.l.t.Helper()
	c.stop()
	// What our pattern looks like to other dissectors is no concern here.
	cmd := exec.Command("tshark", append([]string{"-r", c.file, "-d", fmt.Sprintf("tcp.port==%d,data", port),
		"-o", "tcp.try_heuristic_first:FALSE", "-o", "mptcp.analyze_mptcp:TRUE", "-o", "mptcp.analyze_mappings:FALSE"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(c.l.t, err, "tshark: %s", stderr.Bytes())
	return string(out)
}

// from is a filter for the packets that our host sent.
func (c *capture) from() string {
	var addrs []string
	for i := range 8 {
		n := i + 1
		if c.ns == "c" {
			addrs = append(addrs, "ip.src=="+clientIP(n).String(), "ipv6.src=="+clientIP6(n).String())
		} else {
			addrs = append(addrs, "ip.src=="+serverIP(n).String(), "ipv6.src=="+serverIP6(n).String())
		}
	}
	return "(" + strings.Join(addrs, " || ") + ")"
}

// harmless are warnings of tshark's that well-behaved TCPs, Linux among them, earn as well.
var harmless = []string{
	"4 NOP in a row - a router may have removed some options", // padding behind one option and before the next
	"D-SACK Sequence",        // tells the peer that it sent something twice
	"Connection reset (RST)", // where none is right, the peer's counters tell
}

// judge asks tshark whether anything that our host sent is wrong: malformed options, wrong tokens and keys, bad checksums.
// tolerated are further warnings that the test expects.
func (c *capture) judge(tolerated ...string) {
	c.l.t.Helper()
	ours := c.from()
	require.NotEmpty(c.l.t, c.tshark("-Y", ours+" && tcp.flags.syn==1"), "nothing of ours was captured")
	const warning = 6291456 // of _ws.expert.severity; what is below is a remark
	warned := c.tshark("-Y", fmt.Sprintf("%s && _ws.expert.severity >= %d && !tcp.analysis.flags", ours, warning), "-T", "fields", "-E", "aggregator=|",
		"-e", "frame.number", "-e", "tcp.flags.str", "-e", "_ws.expert.severity", "-e", "_ws.expert.message")
	var serious []string
	for line := range strings.Lines(warned) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		require.Len(c.l.t, f, 4, line)
		levels, messages := strings.Split(f[2], "|"), strings.Split(f[3], "|")
		require.Len(c.l.t, messages, len(levels), line)
		for i, m := range messages {
			level, err := strconv.Atoi(levels[i])
			require.NoError(c.l.t, err, line)
			if level >= warning && !contains(harmless, m) && !contains(tolerated, m) {
				serious = append(serious, line)
			}
		}
	}
	require.Empty(c.l.t, lines(strings.Join(serious, ""), 20), "tshark warns of packets that we sent")
	// Data may leave by the fast way, on which the kernel computes the checksum behind the capture.
	bad := c.tshark("-o", "tcp.check_checksum:TRUE", "-Y", ours+" && tcp.checksum.status==0 && tcp.len==0", "-T", "fields", "-e", "frame.number", "-e", "tcp.len")
	require.Empty(c.l.t, lines(bad, 20), "TCP checksums of ours are wrong")
}

// lines are the first n lines of s.
func lines(s string, n int) string {
	l := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(l[:min(len(l), n)], "\n")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
