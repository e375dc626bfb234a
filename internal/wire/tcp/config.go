package tcp

import (
	"io"
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/congestion"
)

// Config is how one connection is to be. The zero value of a field means what its comment says; Local,
// Remote, MTU and Controller have no default.
type Config struct {
	Local, Remote netip.AddrPort
	ISN           uint32                // of our direction; ISN makes one
	TSOffset      uint32                // of our timestamps; TSOffset makes one
	MTU           int                   // of the route, in bytes of IP packet
	Controller    congestion.Controller // of this subflow
	Extension     Extension             // nil: plain TCP
	Rand          io.Reader             // spreads timers; nil: they are not spread

	RecvBuffer   int  // the largest receive window that is ever announced; 0: 4 MiB
	SendBuffer   int  // bytes of payload that Room lets wait in the queue; 0: 4 MiB
	NoDelay      bool // send short segments at once (Nagle's algorithm off)
	NoTimestamps bool // do not ask for timestamps (RFC 7323)
	NoSACK       bool // do not ask for SACK (RFC 2018)
	NoScale      bool // do not ask for window scale (RFC 7323)
	Pacing       bool // spread a window over the round trip even where the controller names no rate
	ECN          bool // ask for, and answer to, explicit congestion notification (RFC 3168)
	ECNAnswer    bool // answer to it alone: a box on the way that drops SYNs that ask for it is the peer's affair
	NoPMTUD      bool // keep to MTU, whatever is lost (ICMP still counts)

	SYNRetries  int           // retransmissions of SYN or SYN/ACK before giving up; 0: 6
	Retries     int           // retransmission timeouts in a row before giving up; 0: 15 (RFC 9293 section 3.8.3: R2 of at least 100 s)
	MinRTO      time.Duration // 0: 200 ms
	UserTimeout time.Duration // how long data may stay unacknowledged (RFC 5482, kept local); 0: Retries alone says
	KeepAlive   KeepAlive
	TimeWait    time.Duration // 2 MSL; 0: 60 s
	FinWait2    time.Duration // how long FIN-WAIT-2 may last when nobody reads any more; 0: 60 s
}

// KeepAlive is RFC 9293 section 3.8.4's. The zero value is off.
type KeepAlive struct {
	Off      bool          // whatever the rest says
	Idle     time.Duration // silence before the first probe; 0: off
	Interval time.Duration // between probes; 0: 75 s
	Count    int           // unanswered probes before giving up; 0: 9
}

const (
	defaultBuffer     = 4 << 20
	defaultSYNRetries = 6
	defaultRetries    = 15
	defaultTimeWait   = 60 * time.Second
	maxBuffer         = 1 << 30 // the largest window that scaling can express (RFC 7323 section 2.3)
)

func (c Config) withDefaults() Config {
	set(&c.RecvBuffer, defaultBuffer)
	set(&c.SendBuffer, defaultBuffer)
	set(&c.SYNRetries, defaultSYNRetries)
	set(&c.Retries, defaultRetries)
	set(&c.MinRTO, 200*time.Millisecond)
	set(&c.TimeWait, defaultTimeWait)
	set(&c.FinWait2, defaultTimeWait)
	set(&c.KeepAlive.Interval, 75*time.Second)
	set(&c.KeepAlive.Count, 9)
	c.RecvBuffer = min(c.RecvBuffer, maxBuffer)
	c.MTU = max(c.MTU, c.minMTU())
	return c
}

func set[T int | time.Duration](v *T, byDefault T) {
	if *v <= 0 {
		*v = byDefault
	}
}

// headers is the length of the IP and TCP headers without options: what an MSS leaves out (RFC 6691).
func (c *Config) headers() int {
	if c.Remote.Addr().Is4() {
		return 20 + 20
	}
	return 40 + 20
}

// minMTU is what every path carries. For IPv4 it is not the 68 bytes of RFC 791, with which an ICMP
// message could ruin a connection, but what Linux takes for the least that is plausible.
func (c *Config) minMTU() int {
	if c.Remote.Addr().Is4() {
		return 552
	}
	return 1280 // RFC 8200 section 5
}
