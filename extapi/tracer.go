package extapi

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Tracer receives events of one connection, in order, from one goroutine at a time; now counts from
// ConnInfo.Established. It must not block and must not call into the connection.
type Tracer interface {
	Trace(now time.Duration, ev Event)
	// Close follows the last event.
	Close() error
}

// SlogTracer writes each event as one record: its name is the message, its fields the attributes,
// and "at" the time since the connection was established. A nil logger discards them.
func SlogTracer(l *slog.Logger, level slog.Level) Tracer {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return slogTracer{l, level}
}

type slogTracer struct {
	logger *slog.Logger
	level  slog.Level
}

func (t slogTracer) Trace(now time.Duration, ev Event) {
	ctx := context.Background()
	if !t.logger.Enabled(ctx, t.level) {
		return
	}
	fields := ev.LogValue().Resolve()
	attrs := make([]slog.Attr, 1, 16)
	attrs[0] = slog.Duration("at", now)
	if fields.Kind() == slog.KindGroup {
		attrs = append(attrs, fields.Group()...)
	} else {
		attrs = append(attrs, slog.Attr{Key: "event", Value: fields})
	}
	t.logger.LogAttrs(ctx, t.level, ev.Name(), attrs...)
}

func (slogTracer) Close() error { return nil }

// MultiTracer passes every event to each tracer in turn. Nil ones are left out. Its Close closes all
// and joins their errors.
func MultiTracer(tracers ...Tracer) Tracer {
	m := make(multiTracer, 0, len(tracers))
	for _, t := range tracers {
		if t != nil {
			m = append(m, t)
		}
	}
	return m
}

type multiTracer []Tracer

func (m multiTracer) Trace(now time.Duration, ev Event) {
	for _, t := range m {
		t.Trace(now, ev)
	}
}

func (m multiTracer) Close() error {
	var errs []error
	for _, t := range m {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}
