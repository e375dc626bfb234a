package tcp

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

// RFC 2018 section 4: what the blocks report, and in which order.
func TestSACKReportsTheNewestBlockFirst(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.peer("A seq=501 len=100 ack=1")
	s.want("A ack=1 sack=501-601", "one block")
	s.peer("A seq=1501 len=100 ack=1")
	s.want("A ack=1 sack=1501-1601,501-601", "the newest first")
	s.peer("A seq=1001 len=100 ack=1")
	s.want("A ack=1 sack=1001-1101,1501-1601,501-601", "then those before")
	s.peer("A seq=601 len=100 ack=1")
	s.want("A ack=1 sack=501-701,1001-1101,1501-1601", "a block that grows is the newest")
	s.peer("A seq=2001 len=100 ack=1")
	s.want("A ack=1 sack=2001-2101,501-701,1001-1101,1501-1601", "four fit without timestamps")
	s.peer("A seq=2501 len=100 ack=1")
	s.want("A ack=1 sack=2501-2601,2001-2101,501-701,1001-1101", "the oldest is left out")
	s.peer("A seq=1 len=500 ack=1")
	s.want("A ack=701 sack=2501-2601,2001-2101,1001-1101,1501-1601", "what is acknowledged is no block any more")
	s.peer("A seq=701 len=2000 ack=1")
	s.want("A ack=2701", "everything")
}

func TestSACKLeavesRoomForTimestamps(t *testing.T) {
	s := dialed(t, "mss=1460 sackok ts=9,0", withTimestamps)
	for _, l := range []string{"501", "1001", "1501", "2001"} {
		s.peer("A len=100 ack=1 ts=10,0 seq=" + l)
	}
	s.outs = s.outs[3:]
	s.want("A ack=1 sack=2001-2101,1501-1601,1001-1101", "three fit beside timestamps")
}

// narrow is an Extension whose options leave room for one block.
type narrow struct{ noExtension }

func (narrow) Append(_ time.Duration, _ *Outgoing, dst []byte, budget int) []byte {
	for range min(budget, 24) {
		dst = append(dst, options.KindNOP)
	}
	return dst
}

// Segments of one batch share an ACK, but what it has no room to report must be heard of, too.
func TestEveryChangeIsReportedThoughOneBlockFits(t *testing.T) {
	s := dialed(t, "mss=1460 sackok", func(c *Config) { c.Extension = narrow{} })
	for _, l := range []string{"501", "1001", "1501", "1601"} {
		seg := s.build("A len=100 ack=1 seq=" + l)
		s.c.HandleSegment(s.now, &seg, pool.Ref{})
	}
	s.drain()
	s.want("A ack=1 sack=1501-1701", "the newest first")
	s.want("A ack=1 sack=1001-1101", "then what the peer does not know of")
	s.want("A ack=1 sack=501-601", "and the rest")
	s.quiet("each once")
	s.peer("A seq=2001 len=100 ack=1")
	s.want("A ack=1 sack=2001-2101", "and from then on what is new")
	s.quiet("and nothing else")
}

// A full segment has no room for blocks. It must not take their ACK along.
func TestDataDoesNotSwallowTheReport(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.c.Queue(s.now, payloadRef(1, 2920))
	s.peer("A seq=501 len=100 ack=1")
	s.want("A seq=1 len=0 ack=1 sack=501-601", "an ACK of its own, before the data")
	s.want("A seq=1 len=1460 ack=1", "then the data")
	s.want("A seq=1461 len=1460 ack=1", "all of it")
	s.quiet("it was told")
}

// RFC 2883 section 4, the examples.
func TestDSACKOfAFullDuplicate(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.peer("A seq=1 len=500 ack=1")
	s.want("A ack=501", "new")
	s.peer("A seq=1 len=500 ack=1")
	s.want("A ack=501 sack=1-501", "4.1.1: the duplicate is reported")
	s.peer("A seq=501 len=500 ack=1")
	s.want("A ack=1001 len=0", "once")
	s.after(delayedAck)
	s.quiet("once")
}

func TestDSACKBesideAHole(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.peer("A seq=1 len=500 ack=1")
	s.peer("A seq=1001 len=500 ack=1")
	s.outs = nil
	s.peer("A seq=1 len=500 ack=1")
	s.want("A ack=501 sack=1-501,1001-1501", "4.1.2: the duplicate first, then the block above the hole")
}

func TestDSACKAboveTheHole(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.peer("A seq=501 len=500 ack=1")
	s.peer("A seq=1001 len=500 ack=1")
	s.outs = nil
	s.peer("A seq=501 len=500 ack=1")
	s.want("A ack=1 sack=501-1001,501-1501", "4.2.1: the duplicate within its block")
}

func TestDSACKOfAPartialDuplicate(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.peer("A seq=1 len=500 ack=1")
	s.outs = nil
	s.peer("A seq=1 len=1000 ack=1")
	s.want("A ack=1001 sack=1-501", "4.3: only what was there before")
}

func TestNoSACKUnlessAgreed(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.peer("A seq=501 len=100 ack=1")
	if out := s.want("A ack=1", "a plain duplicate"); len(out.Options) != 0 {
		t.Fatalf("options % x", out.Options)
	}
}

// Blocks that lie outside what was sent say nothing, and break nothing.
func TestWildSACKBlocksAreIgnored(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.send(2920)
	s.outs = nil
	s.peer("A seq=1 ack=1 sack=5000-9000,100000-50,-7-3,2921-2999")
	s.quiet("nothing is lost")
	s.peer("A seq=1 ack=2921 sack=1-1461")
	s.happened("acked 2921")
}
