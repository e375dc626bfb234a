package httpx

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// maxPools bounds the pools of a PolicyTransport: a program that makes up keys without end does not
// fill its memory. The pool that was not used for the longest time goes first.
const maxPools = 64

// PolicyTransport keeps one http.Transport, hence one pool, per path policy: a pooled connection opened
// under one policy never serves a request made under another. Key says under which policy a request
// goes, and names it: requests with equal keys share connections. The zero value is ready to use and
// sends everything under the Dialer's own policy. What mptcp.WithPathPolicy put into a request's context
// does not count here: it would say nothing of the pooled connections.
type PolicyTransport struct {
	Dialer *mptcp.Dialer                                         // nil: a zero mptcp.Dialer
	Base   *http.Transport                                       // nil: http.DefaultTransport; cloned, never changed
	Key    func(*http.Request) (key string, p extapi.PathPolicy) // nil, or key "": the Dialer's own policy

	mu    sync.Mutex
	pools map[string]*policyPool
	clock uint64
}

type policyPool struct {
	t       *http.Transport
	used    uint64
	evicted atomic.Bool
}

var _ http.RoundTripper = (*PolicyTransport)(nil)

// RoundTrip implements http.RoundTripper.
func (t *PolicyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.pool(r).roundTrip(r)
}

// roundTrip keeps no connection alive when the pool was evicted while r was on its way to it: nobody
// would close it.
func (p *policyPool) roundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.t.RoundTrip(r)
	if p.evicted.Load() {
		p.t.CloseIdleConnections() // those that get idle later too
	}
	return resp, err
}

// CloseIdleConnections closes the idle connections of every pool.
func (t *PolicyTransport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.pools {
		p.t.CloseIdleConnections()
	}
}

func (t *PolicyTransport) pool(r *http.Request) *policyPool {
	var key string
	var policy extapi.PathPolicy
	if t.Key != nil {
		key, policy = t.Key(r)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock++
	if p, ok := t.pools[key]; ok {
		p.used = t.clock
		return p
	}
	if len(t.pools) >= maxPools {
		t.evict()
	}
	d := &mptcp.Dialer{}
	if t.Dialer != nil {
		d = t.Dialer.Clone()
	}
	if key != "" {
		d.Paths = policy
	}
	p := &policyPool{t: NewTransport(d, t.Base), used: t.clock}
	p.t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return d.DialContext(mptcp.WithPathPolicy(ctx, d.Paths), network, address)
	}
	if t.pools == nil {
		t.pools = make(map[string]*policyPool)
	}
	t.pools[key] = p
	return p
}

// evict drops the pool that was not used for the longest time. Requests under way on it finish.
func (t *PolicyTransport) evict() {
	var oldest string
	first := true
	for k, p := range t.pools {
		if first || p.used < t.pools[oldest].used {
			oldest, first = k, false
		}
	}
	p := t.pools[oldest]
	delete(t.pools, oldest)
	p.evicted.Store(true)
	p.t.CloseIdleConnections()
}
