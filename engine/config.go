package engine

import (
	"io"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/scheduler"
)

// Config is what an engine connection is built from. Durations and sizes are resolved: the root
// package fills in the defaults, so that zero here means zero.
type Config struct {
	Client     bool      // this side dialled: it opens subflows
	Rand       io.Reader // the one source of randomness
	Memory     Memory    // the budget that all connections share; nil: unlimited
	Policy     extapi.PathPolicy
	Scheduler  scheduler.Scheduler
	SchedName  string
	SendBuffer int // bytes
	RecvBuffer int // bytes
	Checksum   bool
	Secret     []byte

	JoinDelay time.Duration // the second subflow waits until the connection has lived this long ...
	JoinBytes int64         // ... or moved this many bytes

	StallTimeout    time.Duration // 0: adaptive from the path's RTT
	IdlePathTimeout time.Duration // 0: keep; <0: close idle extra subflows at once
	NoPathTimeout   time.Duration // <0: fail at once
	CloseTimeout    time.Duration
	Counters        *mib.Tally // where the connection counts; nil: nowhere
	Loopback        bool       // the first subflow is on loopback
	Tracing         bool       // produce the per-chunk events too
}

// kept is what a connection goes on needing of its Config, under the same names.
type kept struct {
	Client, Tracing bool
	Memory          Memory
	Counters        *mib.Tally
	RecvBuffer      int

	StallTimeout, IdlePathTimeout, NoPathTimeout, CloseTimeout time.Duration
}

func (c *Config) kept() kept {
	return kept{
		Client: c.Client, Tracing: c.Tracing, Memory: c.Memory, Counters: c.Counters, RecvBuffer: c.RecvBuffer,
		StallTimeout: c.StallTimeout, IdlePathTimeout: c.IdlePathTimeout, NoPathTimeout: c.NoPathTimeout, CloseTimeout: c.CloseTimeout,
	}
}

// Memory is the budget of bytes that connections share.
type Memory interface {
	Grab(n int64) bool // false: over the limit
	Free(n int64)
}
