package httpx

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
)

// Handler serves the connections of t (nil: mptcp.DefaultTransport) with their subflows and counters,
// as JSON where the request asks for it (Accept: application/json, or ?format=json), else as text. Mount
// it under /debug/mptcp, where only operators can reach it: it shows addresses.
func Handler(t *mptcp.Transport) http.Handler {
	if t == nil {
		t = mptcp.DefaultTransport
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		s := snapshot(t)
		if wantsJSON(r) {
			w.Header().Set("Content-Type", "application/json")
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			_ = e.Encode(s)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		s.text(w)
	})
}

func wantsJSON(r *http.Request) bool {
	return r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json")
}

// debugState is what Handler shows.
type debugState struct {
	Capabilities map[string]string `json:"capabilities"` // "" means available
	Counters     extapi.Counters   `json:"counters"`     // of our own TCP
	Conns        []debugConn       `json:"conns"`
}

// debugConn embeds nothing: the MarshalJSON of an embedded ConnInfo would stand for the whole.
type debugConn struct {
	Info     extapi.ConnInfo      `json:"info"`
	Local    string               `json:"local"`
	Remote   string               `json:"remote"`
	Subflows []extapi.SubflowInfo `json:"subflows"`
}

func snapshot(t *mptcp.Transport) debugState {
	caps := t.Capabilities()
	s := debugState{
		Capabilities: map[string]string{"wire": reason(caps.Wire), "kernel": reason(caps.Kernel), "watch": reason(caps.Watch)},
		Counters:     t.Counters(),
		Conns:        []debugConn{},
	}
	for _, i := range t.Conns() {
		d := debugConn{Info: i}
		if c, ok := t.Conn(i.ID); ok {
			d.Local, d.Remote, d.Subflows = c.LocalAddr().String(), c.RemoteAddr().String(), c.Subflows()
		}
		s.Conns = append(s.Conns, d)
	}
	return s
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// known is a measurement that the carrier has, or a dash.
func known(d time.Duration) string {
	if d < 0 {
		return "-"
	}
	return d.String()
}

func (s debugState) text(w io.Writer) {
	for _, k := range []string{"wire", "kernel", "watch"} {
		state := s.Capabilities[k]
		if state == "" {
			state = "available"
		}
		fmt.Fprintf(w, "%s: %s\n", k, state)
	}
	fmt.Fprintf(w, "connections: %d\n", len(s.Conns))
	for _, c := range []struct {
		kind     string
		counters any
	}{{"tcp", s.Counters.TCP}, {"listen", s.Counters.Listen}, {"mptcp", s.Counters.MPTCP}, {"link", s.Counters.Link}} {
		mib.Named(c.counters, func(name string, n uint64) {
			if n > 0 {
				fmt.Fprintf(w, "%s %s %d\n", c.kind, name, n)
			}
		})
	}
	for _, c := range s.Conns {
		i := c.Info
		fmt.Fprintf(w, "\nconn %d  %s  %s -> %s", i.ID, i.Carrier, c.Local, c.Remote)
		if i.Fallback != extapi.FallbackNone {
			fmt.Fprintf(w, "  fallback: %s", i.Fallback)
		}
		fmt.Fprintf(w, "\n  sent %d  received %d  reinjected %d  send buffer %d  receive buffer %d  out of order %d\n",
			i.BytesSent, i.BytesReceived, i.BytesReinjected, i.SendBuffered, i.RecvBuffered, i.OutOfOrder)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(tw, "  path\tinterface\tlocal\tremote\tstate\tbackup\tsrtt\tsent\treceived\tcongestion\n")
		for _, f := range c.Subflows {
			fmt.Fprintf(tw, "  %d\t%s\t%s\t%s\t%s\t%v\t%s\t%d\t%d\t%s\n",
				f.ID, f.Interface, f.Local, f.Remote, f.State, f.Backup, known(f.SRTT), f.BytesSent, f.BytesReceived, f.Congestion)
		}
		_ = tw.Flush()
	}
}
