package simtest

import (
	"errors"
	"io"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/simnet"
	"github.com/mptcp-go/mptcp/internal/stream"
)

// leg is one end of a subflow: a flow and its socket.
type leg struct {
	e    *end
	path *path
	sock *simnet.Socket
	flow *stream.Flow
	id   engine.PathID

	shake   func(b []byte) (rest []byte, done bool, err error) // while the handshake lasts
	first   []byte                                             // leaves before the flow's records
	blocked bool
	finSent bool
	eof     bool
	gone    bool

	stats   engine.FlowStats
	statsAt time.Duration
	rate    int64
	lowat   int64
	grain   int
	wasFull bool
}

// What internal/driver and internal/stream choose for a kernel's socket.
const (
	measureEvery = 10 * ms
	firstLowat   = 128 << 10
	firstCap     = 128 << 10
	socketTime   = 4 * ms
	grainTime    = 3 * ms
	queueTime    = 16 * ms
)

func newLeg(e *end, p *path, sock *simnet.Socket) *leg {
	l := &leg{e: e, path: p, sock: sock}
	if !e.w.setup.portable {
		l.setLowat(firstLowat)
	}
	sock.OnReadable(func(b []byte) { e.act(func(now time.Duration) { l.feed(now, b) }) })
	sock.OnWritable(func() {
		e.w.sim.After(0, func() {
			if !l.gone {
				e.act(func(now time.Duration) { l.drain(now) })
			}
		})
	})
	sock.OnClosed(func(err error) { e.act(func(now time.Duration) { l.closed(now, err) }) })
	return l
}

func (l *leg) setLowat(n int64) {
	l.lowat = n
	l.sock.SetLowat(n)
}

// attach puts the leg under the engine.
func (l *leg) attach(now time.Duration, f *stream.Flow, p engine.FlowParams) {
	p.Local, p.Remote = l.path.client, l.path.server
	if l.e == l.e.w.server {
		p.Local, p.Remote = p.Remote, p.Local
	}
	l.flow, p.Blind = f, l.e.w.setup.portable
	if l.id = l.e.eng.AddFlow(now, f, p); l.id == 0 {
		l.sock.Abort()
		return
	}
	f.Bind(l.e.eng, l.id)
	l.e.legs = append(l.e.legs, l)
	l.measure(now)
}

func (l *leg) config() stream.FlowConfig {
	return stream.FlowConfig{Local: l.e.key, Cap: firstCap, EstimateStats: l.e.w.setup.portable}
}

func (l *leg) feed(now time.Duration, b []byte) {
	if l.shake != nil {
		rest, done, err := l.shake(b)
		if err != nil {
			l.e.failed = append(l.e.failed, err)
			l.shake = nil
			l.sock.Abort()
			return
		}
		if !done {
			return
		}
		b, l.shake = rest, nil
	}
	if l.gone || l.flow == nil || len(b) == 0 {
		return
	}
	if err := l.flow.Feed(now, b); err != nil {
		l.e.eng.HandleClosed(now, l.id, err)
	}
}

// serve writes what the flow has queued, as far as the socket takes it.
func (l *leg) serve() (busy bool) {
	now := l.e.w.sim.Now()
	if _, aborted := l.flow.Aborted(); aborted {
		if !l.blocked {
			l.write(now)
		}
		l.sock.Abort()
		l.drop()
		return true
	}
	for !l.blocked && l.queued() {
		if l.write(now) {
			l.e.eng.HandleRoom(now, l.id)
		} else {
			l.blocked, l.wasFull = true, true
			l.flow.SetBlocked(now, !l.e.w.setup.portable)
		}
		busy = true
		l.measure(now)
	}
	if !l.finSent && l.flow.FINQueued() && !l.queued() {
		l.finSent = true
		l.sock.CloseWrite()
		l.finished(now)
		return true
	}
	return busy
}

func (l *leg) queued() bool { return len(l.first) > 0 || l.flow.Pending() > 0 }

// write is one writev. It says whether everything left.
func (l *leg) write(now time.Duration) bool {
	if n := l.sock.Write(l.first); n < len(l.first) {
		l.first = l.first[n:]
		return false
	}
	l.first = nil
	whole := true
	n := 0
	for _, b := range l.flow.Gather(nil) {
		m := l.sock.Write(b)
		n += m
		if whole = m == len(b); !whole {
			break
		}
	}
	l.flow.Wrote(now, n)
	return whole
}

// drain is the writer goroutine, when the socket takes more.
func (l *leg) drain(now time.Duration) {
	for l.blocked && !l.gone {
		if _, aborted := l.flow.Aborted(); aborted {
			l.blocked = false
			return
		}
		whole := l.write(now)
		l.measure(now)
		l.e.eng.HandleRoom(now, l.id)
		if !whole {
			return
		}
		if !l.queued() {
			l.blocked = false
			l.flow.SetBlocked(now, false)
			l.e.eng.HandleRoom(now, l.id)
		}
	}
}

// closed takes the end of the peer's direction, or of the socket.
func (l *leg) closed(now time.Duration, err error) {
	switch {
	case l.gone:
	case l.flow == nil:
		l.e.failed = append(l.e.failed, err)
	case errors.Is(err, io.EOF):
		l.eof = true
		if err := l.flow.FeedEOF(now); err != nil {
			l.e.eng.HandleClosed(now, l.id, err)
		}
		l.finished(now)
	default:
		l.drop()
		l.e.eng.HandleClosed(now, l.id, err)
	}
}

func (l *leg) finished(now time.Duration) {
	if l.eof && l.finSent && !l.gone {
		l.drop()
		l.e.eng.HandleClosed(now, l.id, nil)
	}
}

// drop forgets the leg.
func (l *leg) drop() {
	if l.gone {
		return
	}
	l.gone = true
	l.flow.Release()
	for i, x := range l.e.legs {
		if x == l {
			l.e.legs = append(l.e.legs[:i], l.e.legs[i+1:]...)
			break
		}
	}
}

// measure reads what TCP_INFO would say, as seldom as the driver does.
func (l *leg) measure(now time.Duration) {
	if l.e.w.setup.portable || l.gone || l.statsAt != 0 && now-l.statsAt < measureEvery {
		return
	}
	acked := l.stats.Acked
	s := l.sock.Stats()
	l.statsAt = now
	l.stats = engine.FlowStats{
		SRTT: s.SRTT, RTTVar: s.RTTVar, MinRTT: s.MinRTT, CWnd: s.CWnd, InFlight: s.InFlight + s.Lost, Unsent: s.Unsent,
		DeliveryRate: s.Rate, Acked: s.Acked, Retransmitted: s.Retransmitted, Congestion: "kernel:reno",
		LastProgress: s.LastAck,
	}
	l.adapt(now)
	l.stats.Grain = l.grain
	l.flow.SetStats(l.stats)
	if s.Acked > acked {
		l.e.eng.HandleAcked(now, l.id)
	}
}

// adapt follows the path's rate, as the driver does.
func (l *leg) adapt(now time.Duration) {
	full := l.wasFull || l.blocked
	l.wasFull = false
	rate := l.stats.DeliveryRate
	if rate <= 0 || rate <= l.rate && !full || rate > l.rate-l.rate/4 && rate < l.rate+l.rate/4 {
		return
	}
	l.rate = rate
	over := func(d time.Duration) int64 { return int64(float64(rate) * d.Seconds()) }
	l.grain = int(min(max(over(grainTime), 8<<10), 1<<16))
	l.flow.SetCap(now, int(min(max(over(queueTime), 64<<10), 1<<20)))
	l.setLowat(min(max(over(socketTime), 16<<10), 256<<10))
}
