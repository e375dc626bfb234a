// Package driver runs engine connections against the real world: it is the only place that reads the
// clock and owns timers and goroutines.
//
// One mutex per connection guards its engine and its flows. Whoever brings an event (a caller of Read
// or Write, the timer, a background goroutine) takes it, feeds the engine, drains what the engine has
// to say (settle), writes what the flows have queued (flush) and leaves. System calls, tracing and
// channel sends happen while the mutex is free.
//
// Bytes move without hand-offs between goroutines wherever the socket can be tried without blocking
// (Raw): a caller of Read has the reader role and reads the sockets itself, a caller of Write writes
// what the scheduler gave to the flows. Where it can't (other systems, foreign net.Conns), each flow
// has a reader and a writer goroutine.
package driver
