//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// usedAgain is how many bytes a link must have carried after its return to count as used: more than
// probes, retransmitted handshakes and keep-alives amount to.
const usedAgain = 64 << 10

// watchLink runs in the middle namespace. From the first byte on standard input it counts time: at
// DropAt it makes the link swallow everything both ways, at BackAt it lets go and then waits until
// the link carries data again. It answers when standard input ends.
func watchLink(t *task, out *json.Encoder) error {
	if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
		return err
	}
	start := time.Now()
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(done)
	}()
	v := make(values)
	if !wait(done, t.DropAt) {
		return fmt.Errorf("the transfer ended before the link died")
	}
	if err := nft(fmt.Sprintf("table inet bench { chain dead { type filter hook forward priority 0; iifname %q drop; oifname %q drop; }; }", t.Device, t.Device)); err != nil {
		return err
	}
	if t.BackAt > 0 {
		if !wait(done, t.BackAt-time.Since(start)) {
			return fmt.Errorf("the transfer ended before the link came back")
		}
		if err := nft("delete table inet bench"); err != nil {
			return err
		}
		if took, ok := reuse(done, t.Device); ok {
			v["reused"] = took.Seconds()
		} else {
			v["reused"], v["never_reused"] = took.Seconds(), 1
		}
	}
	<-done
	return out.Encode(answer{Values: v})
}

// reuse waits until the device has sent usedAgain bytes, and says how long that took. It reports false
// with the time waited when the transfer ends first.
func reuse(done <-chan struct{}, device string) (time.Duration, bool) {
	start, before := time.Now(), carried(device)
	for wait(done, 2*time.Millisecond) {
		if carried(device)-before >= usedAgain {
			return time.Since(start), true
		}
	}
	return time.Since(start), false
}

// wait reports whether d has passed before done.
func wait(done <-chan struct{}, d time.Duration) bool {
	select {
	case <-done:
		return false
	case <-time.After(d):
		return true
	}
}

func nft(rules string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(b))
	}
	return nil
}

// carried is the number of bytes that left through the device, in this network namespace.
func carried(device string) int64 {
	b, err := os.ReadFile("/proc/self/net/dev")
	if err != nil {
		return 0
	}
	for l := range strings.SplitSeq(string(b), "\n") {
		name, rest, ok := strings.Cut(strings.TrimSpace(l), ":")
		f := strings.Fields(rest)
		if !ok || name != device || len(f) < 9 {
			continue
		}
		n, _ := strconv.ParseInt(f[8], 10, 64)
		return n
	}
	return 0
}
