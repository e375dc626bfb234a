package mptcp

import (
	"context"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/scheduler"
)

type (
	policyKey    struct{}
	schedulerKey struct{}
)

// WithPathPolicy returns a context under which a dial uses p instead of Config.Paths: for code that
// only sees a context (http.Transport.DialContext).
func WithPathPolicy(ctx context.Context, p extapi.PathPolicy) context.Context {
	c := Config{Paths: p}
	return context.WithValue(ctx, policyKey{}, c.Clone().Paths)
}

// WithScheduler returns a context under which a dial uses f instead of Config.Scheduler.
func WithScheduler(ctx context.Context, f scheduler.Factory) context.Context {
	return context.WithValue(ctx, schedulerKey{}, f)
}

// override applies what ctx says to s, which nobody else has seen yet.
func (s *settings) override(ctx context.Context) {
	if p, ok := ctx.Value(policyKey{}).(extapi.PathPolicy); ok {
		s.Paths = p
	}
	if f, ok := ctx.Value(schedulerKey{}).(scheduler.Factory); ok && f != nil {
		s.Scheduler = f
	}
}
