package main

import (
	"cmp"
	"context"
	"net/http/httptrace"
	"slices"
	"sync"

	"github.com/mptcp-go/mptcp/extapi"
)

// ledger adds up what the subflows of some connections carried, also after they have closed.
type ledger struct {
	mu      sync.Mutex
	flows   map[flowID]extapi.SubflowInfo
	conns   map[extapi.ConnID]extapi.Control
	carrier extapi.Carrier // of the newest connection
	watches sync.WaitGroup
}

type flowID struct {
	conn extapi.ConnID
	path extapi.PathID
}

func newLedger() *ledger {
	return &ledger{flows: make(map[flowID]extapi.SubflowInfo), conns: make(map[extapi.ConnID]extapi.Control)}
}

// watcher is implemented by *mptcp.Conn.
type watcher interface {
	Watch(context.Context) <-chan extapi.Event
}

// adopt follows a connection until ctx ends. Subflows() tells of the living; the events say what a
// subflow had carried when it closed.
func (l *ledger) adopt(ctx context.Context, c extapi.Control) {
	info := c.Info()
	l.mu.Lock()
	_, known := l.conns[info.ID]
	l.conns[info.ID] = c
	l.carrier = info.Carrier
	l.mu.Unlock()
	w, ok := c.(watcher)
	if known || !ok {
		return
	}
	events := w.Watch(ctx)
	l.watches.Go(func() {
		for ev := range events {
			if closed, ok := ev.(extapi.SubflowClosed); ok {
				l.note(info.ID, closed.Info)
			}
		}
	})
}

// trace returns a context under which the connections of HTTP requests are adopted.
func (l *ledger) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			if c, ok := extapi.From(i.Conn); ok {
				l.adopt(ctx, c)
			}
		},
	})
}

// note keeps the largest counters: a snapshot may be older than the event that overtook it.
func (l *ledger) note(conn extapi.ConnID, f extapi.SubflowInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := flowID{conn, f.ID}
	if old, ok := l.flows[id]; ok {
		f.BytesReceived = max(f.BytesReceived, old.BytesReceived)
		f.BytesSent = max(f.BytesSent, old.BytesSent)
		if old.State == extapi.StateClosed {
			f.State = old.State
		}
	}
	l.flows[id] = f
}

// refresh reads the counters of every connection.
func (l *ledger) refresh() {
	l.mu.Lock()
	conns := make(map[extapi.ConnID]extapi.Control, len(l.conns))
	for id, c := range l.conns {
		conns[id] = c
	}
	l.mu.Unlock()
	for id, c := range conns {
		for _, f := range c.Subflows() {
			l.note(id, f)
		}
	}
}

// pathTotal is what went over one way between the machines, whatever the number of subflows.
type pathTotal struct {
	Name     string `json:"path"`
	Sent     int64  `json:"sent_bytes"`
	Received int64  `json:"received_bytes"`
	live     int    // subflows that carry data
}

// paths groups the subflows by name, in alphabetical order.
func (l *ledger) paths(name func(extapi.SubflowInfo) string) []pathTotal {
	l.refresh()
	l.mu.Lock()
	defer l.mu.Unlock()
	byName := make(map[string]*pathTotal)
	var list []*pathTotal
	for _, f := range l.flows {
		n := name(f)
		p := byName[n]
		if p == nil {
			p = &pathTotal{Name: n}
			byName[n], list = p, append(list, p)
		}
		p.Sent += int64(f.BytesSent)
		p.Received += int64(f.BytesReceived)
		if f.State == extapi.StateActive {
			p.live++
		}
	}
	slices.SortFunc(list, func(a, b *pathTotal) int { return cmp.Compare(a.Name, b.Name) })
	out := make([]pathTotal, len(list))
	for i, p := range list {
		out[i] = *p
	}
	return out
}

// carriedBy is how the newest connection went.
func (l *ledger) carriedBy() extapi.Carrier {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.carrier
}

// endpoints names a path by its interface and its two addresses, without the ephemeral port.
func endpoints(f extapi.SubflowInfo) string {
	s := f.Local.Addr().String() + " > " + f.Remote.String()
	if f.Interface != "" {
		s = f.Interface + " " + s
	}
	return s
}
