package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// ListenConfig is how a Listener is to be.
type ListenConfig struct {
	Conn      Config    // what connections will be made with; its MTU, and what it wants negotiated, go into cookies
	Secret    Secret    // of the process
	SYNs      int       // handshakes under way before cookies are sent; 0: 256
	Backlog   int       // connections that nobody has accepted yet; 0: 128
	NoCookies bool      // drop SYNs rather than answer with cookies
	Stateless Stateless // the extension's part of a cookie; nil: plain TCP
}

// Stateless is how an Extension takes part in a handshake of which this side remembers nothing. The third
// segment has to bring back all that it needs: of Multipath TCP's MP_CAPABLE it has both keys, and ours is
// derived from the addresses with a keyed hash.
type Stateless interface {
	// Offer appends the options for the SYN/ACK, at most budget bytes. False: this SYN can't be answered
	// without state, and is dropped.
	Offer(now time.Duration, syn *packet.Segment, dst []byte, budget int) ([]byte, bool)
}

// Verdict is what a Listener says of a segment that belongs to no connection.
type Verdict uint8

const (
	Ignore  Verdict = iota // it was dropped
	Reply                  // send what is in out
	Admit                  // a SYN to make a connection of, with Accept; it has taken one of the SYNs
	Restore                // the third segment after a cookie: make a connection of it, with Resume
)

// Listener decides about the segments that come to a port and belong to no connection: it limits how many
// handshakes are under way, and answers with cookies beyond (RFC 4987). It keeps nothing for each of them.
type Listener struct {
	cfg      ListenConfig
	syns     int           // handshakes under way
	waiting  int           // connections not accepted yet
	baked    time.Duration // when the last cookie was sent, with everBaked
	ever     bool
	resets   Bucket
	Counters extapi.ListenCounters
}

// NewListener makes a listener.
func NewListener(cfg ListenConfig) *Listener {
	if cfg.SYNs <= 0 {
		cfg.SYNs = 256
	}
	if cfg.Backlog <= 0 {
		cfg.Backlog = 128
	}
	return &Listener{cfg: cfg, resets: NewBucket(time.Millisecond, 1000)}
}

// SetMTU sets what answers with cookies say of the size of packets.
func (l *Listener) SetMTU(mtu int) { l.cfg.Conn.MTU = mtu }

// HandleSegment is RFC 9293 section 3.10.7.2. out, whose Options need a capacity of packet.MaxOptions, has
// the answer with Reply. The Cookie is that of Restore.
func (l *Listener) HandleSegment(now time.Duration, s, out *packet.Segment) (Verdict, Cookie) {
	switch {
	case s.Flags.Has(packet.RST):
		return Ignore, Cookie{}
	case s.Flags.Has(packet.ACK):
		return l.ack(now, s, out)
	case s.Flags&(packet.SYN|packet.FIN) == packet.SYN:
		return l.syn(now, s, out), Cookie{}
	}
	return Ignore, Cookie{}
}

func (l *Listener) syn(now time.Duration, s, out *packet.Segment) Verdict {
	if l.waiting >= l.cfg.Backlog {
		l.Counters.ListenOverflows++
		return Ignore // the peer tries again
	}
	if l.syns < l.cfg.SYNs {
		l.syns++
		l.Counters.Admitted++
		return Admit
	}
	if l.cfg.NoCookies || !l.stateless(now, s, out) {
		l.Counters.ListenDrops++
		return Ignore
	}
	l.baked, l.ever = now, true
	l.Counters.CookiesSent++
	return Reply
}

// ack takes a segment with ACK: the end of a handshake with a cookie, or a stray.
func (l *Listener) ack(now time.Duration, s, out *packet.Segment) (Verdict, Cookie) {
	if !s.Flags.Has(packet.SYN) && l.ever && now-l.baked <= (cookieLife+1)*cookieTick {
		if k, ok := l.taste(now, s); ok {
			l.Counters.CookiesRecv++
			if l.waiting >= l.cfg.Backlog {
				l.Counters.ListenOverflows++
				return Ignore, Cookie{}
			}
			l.waiting++
			return Restore, k
		}
		l.Counters.CookiesFailed++
	}
	if !l.resets.Take(now) {
		return Ignore, Cookie{}
	}
	r, _ := Reset(s)
	r.Options = out.Options[:0]
	*out = r
	l.Counters.Resets++
	return Reply, Cookie{}
}

// Established tells that a connection that was admitted has finished its handshake: it waits for Accepted.
func (l *Listener) Established() { l.syns, l.waiting = max(0, l.syns-1), l.waiting+1 }

// Failed tells that a connection that was admitted has ended before its handshake had.
func (l *Listener) Failed() { l.syns = max(0, l.syns-1) }

// Accepted tells that a connection that waited waits no longer: the program has it, or it has ended.
func (l *Listener) Accepted() { l.waiting = max(0, l.waiting-1) }

// Pending is how many handshakes are under way, and how many connections wait to be accepted.
func (l *Listener) Pending() (syns, waiting int) { return l.syns, l.waiting }
