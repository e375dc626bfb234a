package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/netmon"
)

const infoHelp = `
Shows what this machine offers: which carriers can be used and why others cannot, how the wire carrier may send fast, the
interfaces with their kinds, the addresses that subflows may use, those that a listener would announce to its peers, and
the state of the kernel's own Multipath TCP: its settings, and those of its counters that are not 0 (with -json all).

Examples:
  mptcp info
  mptcp info -json | jq .addresses`

// machine is what info shows.
type machine struct {
	System       string            `json:"system"`
	Capabilities []capability      `json:"capabilities"`
	FastPath     []fastPath        `json:"wire_fast_path,omitempty"`
	Addresses    []localAddress    `json:"addresses"`
	DefaultVPN   string            `json:"default_vpn,omitempty"` // the tunnel that far destinations are reached through
	Kernel       map[string]string `json:"kernel_mptcp,omitempty"`
}

type capability struct {
	Name   string `json:"name"`
	Usable bool   `json:"usable"`
	Reason string `json:"reason,omitempty"`
}

type localAddress struct {
	Interface    string          `json:"interface"`
	Index        int             `json:"index"`
	Kind         extapi.LinkKind `json:"kind"`
	Address      string          `json:"address"`
	DefaultRoute bool            `json:"default_route"`
	Announced    bool            `json:"announced"` // by a listener on every address
	Temporary    bool            `json:"temporary,omitempty"`
}

func runInfo(_ context.Context, e *env) error {
	c := e.flags("info [flags]", infoHelp)
	asJSON := c.Bool("json", false, "print JSON")
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	m := lookAround()
	if *asJSON {
		return printJSON(e.stdout, m)
	}
	m.print(e.stdout)
	return nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func lookAround() machine {
	t := &mptcp.Transport{}
	defer t.Close()
	caps := t.Capabilities()
	m := machine{
		System: runtime.GOOS + "/" + runtime.GOARCH,
		Capabilities: []capability{
			{Name: "stream", Usable: true},
			newCapability("kernel", caps.Kernel),
			newCapability("wire", caps.Wire),
			newCapability("events", caps.Watch),
		},
		FastPath:  fastPaths("/proc"),
		Addresses: []localAddress{},
		Kernel:    kernelState("/proc"),
	}
	w := netmon.New(netmon.Options{})
	defer w.Close()
	for _, a := range w.Addrs() {
		m.Addresses = append(m.Addresses, localAddress{
			Interface: a.Interface, Index: a.IfIndex, Kind: a.Kind, Address: a.Local.Addr().String(),
			DefaultRoute: a.DefaultRoute, Announced: netmon.Announceable(a), Temporary: a.Temporary,
		})
	}
	m.DefaultVPN, _ = w.DefaultTunnel()
	return m
}

func newCapability(name string, err error) capability {
	c := capability{Name: name, Usable: err == nil}
	if err != nil {
		c.Reason = strings.TrimPrefix(err.Error(), "mptcp: ")
	}
	return c
}

// counterPrefix tells counters from settings in what kernelState returns.
const counterPrefix = "counter "

// kernelState reads Linux's settings and counters of its own Multipath TCP below proc; nil elsewhere.
func kernelState(proc string) map[string]string {
	state := make(map[string]string)
	files, _ := filepath.Glob(filepath.Join(proc, "sys/net/mptcp/*"))
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil {
			state[filepath.Base(f)] = strings.TrimSpace(string(b))
		}
	}
	if b, err := os.ReadFile(filepath.Join(proc, "net/netstat")); err == nil {
		for name, v := range netstat(string(b)) {
			state[counterPrefix+name] = v
		}
	}
	if len(state) == 0 {
		return nil
	}
	return state
}

// netstat reads the pair of lines that begin with "MPTcpExt:": names, then values.
func netstat(text string) map[string]string {
	out := make(map[string]string)
	var names []string
	for _, line := range strings.Split(text, "\n") {
		rest, ok := strings.CutPrefix(line, "MPTcpExt:")
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		if names == nil {
			names = fields
			continue
		}
		for i, v := range fields {
			if i < len(names) {
				out[names[i]] = v
			}
		}
	}
	return out
}

func (m machine) print(w io.Writer) {
	fmt.Fprintf(w, "system   %s\n\ncarriers\n", m.System)
	for _, c := range m.Capabilities {
		state := "usable"
		if !c.Usable {
			state = "no: " + c.Reason
		}
		name := c.Name
		if name == "events" {
			name, state = "address changes", "reported as events"
			if !c.Usable {
				state = "found by polling: " + c.Reason
			}
		}
		fmt.Fprintf(w, "  %-16s %s\n", name, state)
	}
	if len(m.FastPath) > 0 {
		fmt.Fprintf(w, "\nwire: super-segments, which make sending cheap\n")
		for _, p := range m.FastPath {
			state := "yes"
			if !p.Usable {
				state = "no: " + p.Reason
			}
			fmt.Fprintf(w, "  %-16s %s\n", p.Name, state)
		}
	}
	fmt.Fprintf(w, "\naddresses for subflows\n")
	if len(m.Addresses) == 0 {
		fmt.Fprintf(w, "  none: no interface but loopback is up\n")
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, a := range m.Addresses {
		notes := []string{}
		if a.DefaultRoute {
			notes = append(notes, "default route")
		}
		if a.Announced {
			notes = append(notes, "announced")
		}
		if a.Temporary {
			notes = append(notes, "temporary")
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", a.Interface, a.Kind, a.Address, strings.Join(notes, ", "))
	}
	_ = tw.Flush()
	if m.DefaultVPN != "" {
		fmt.Fprintf(w, "\nThe default route is the tunnel %s: other interfaces are used only where a path policy names them.\n", m.DefaultVPN)
	}
	if m.Kernel != nil {
		fmt.Fprintf(w, "\nkernel MPTCP\n")
		for _, k := range sortedKeys(m.Kernel) {
			if v := m.Kernel[k]; v != "0" || !strings.HasPrefix(k, counterPrefix) {
				fmt.Fprintf(w, "  %-32s %s\n", k, v)
			}
		}
	}
}
