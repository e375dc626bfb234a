package tcp

import (
	"math"
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
)

// sender is the sending half, but for what package recovery knows.
type sender struct {
	iss      uint32
	una, nxt uint64 // SND.UNA and SND.NXT
	end      uint64 // offset after the last byte queued, which is the FIN's
	fin      bool   // Close: a FIN follows the last byte
	finSent  bool   // it has left once
	q        sendQueue

	wnd    int64  // SND.WND, from una on
	wl1    uint64 // SND.WL1
	wl2    uint64 // SND.WL2
	maxWnd int64  // the largest wnd so far
	scale  uint8  // shift of the windows that the peer announces
	sack   bool   // SACK is negotiated, in both directions

	mss      int    // TCP options and payload of a segment: what the peer and the path take
	peerMSS  int    // what the peer takes
	super    int    // largest payload of a super-segment; 0: none
	limit    int64  // cap on what is in flight; 0: none
	shortEnd uint64 // end of the last segment sent that was not full (Minshall's modification of Nagle)
	cork     bool   // more is likely to be queued soon: see Cork
	corked   bool   // something waits for that
	probe    bool   // a loss probe is due
	force    bool   // the persist timer has run out: send what the window takes, however little
	hungry   bool   // Room was too small to be worth something when the owner last asked, or after what he last queued
}

func defaultMSS(cfg *Config) int {
	if cfg.Remote.Addr().Is4() {
		return 536
	}
	return 1220 // RFC 9293 section 3.7.1, for IPv6
}

// minMSS is the least that a peer may talk us down to: with less, nearly nothing but headers would leave.
const minMSS = 88

// setMSS takes what the peer's MSS option and the path allow.
func (s *sender) setMSS(peer, path int) {
	s.peerMSS = max(peer, minMSS)
	s.mss = min(s.peerMSS, path)
}

// payload is the most payload in a segment that carries no options but timestamps.
func (s *sender) payload(c *Conn) int {
	if c.ts.on {
		return s.mss - timestampsLen
	}
	return s.mss
}

// fullPayload is the payload of a full segment that the peer sends, if it does not know better than we.
func (c *Conn) fullPayload() int {
	if c.ts.on {
		return c.mtu.mss() - timestampsLen
	}
	return c.mtu.mss()
}

// offset of a sequence number of ours. It is negative for one before the SYN.
func (s *sender) offset(seq uint32) int64 {
	return int64(s.nxt) + int64(int32(seq-(s.iss+uint32(s.nxt))))
}

func (s *sender) sequence(off uint64) uint32 { return s.iss + uint32(off) }

// unsent is how many bytes wait that have never left.
func (s *sender) unsent() int64 { return int64(s.end) - int64(min(s.nxt, s.end)) }

// window takes the window of a segment: "If (SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =<
// SEG.ACK)), set SND.WND <- SEG.WND" (RFC 9293 section 3.10.7.4), and says whether it is another one. A window that shrinks is
// taken as it is: what lies beyond it stays sent, and nothing new leaves.
func (s *sender) window(seq, ack uint64, wnd int64) bool {
	if seq < s.wl1 || seq == s.wl1 && ack < s.wl2 {
		return false
	}
	changed := wnd != s.wnd
	s.wnd, s.wl1, s.wl2 = wnd, seq, ack
	s.maxWnd = max(s.maxWnd, wnd)
	return changed
}

// usable is how many bytes the peer's window takes beyond SND.NXT. Negative: it has shrunk.
func (s *sender) usable() int64 { return int64(s.una) + s.wnd - int64(s.nxt) }

// finAcked says that our FIN has been acknowledged.
func (s *sender) finAcked() bool { return s.finSent && s.una > s.end }

func (s *sender) drop() {
	s.q.drop()
	s.probe, s.force = false, false
}

// Queue appends p to what is to be sent, and takes over the reference. After Close, or before there can be
// data, it is thrown away.
func (c *Conn) Queue(now time.Duration, p pool.Ref) {
	if c.snd.fin || c.state == Closed || c.state >= FinWait1 && c.state != CloseWait {
		p.Release()
		return
	}
	if c.snd.unsent() == 0 && c.snd.una == c.snd.nxt {
		c.startUserTimer(now)
	}
	c.snd.q.add(c.snd.end, p)
	c.snd.end += uint64(len(p.B))
	if c.rtx != nil {
		c.snd.hungry = c.room() < int64(c.Worthwhile()) // who fills the room need not ask whether he has
	}
}

// Room is how many bytes Queue should get now: what may be in flight and is not, less what waits already;
// with super-segments some more, so that the next one is complete when an acknowledgment opens the window.
// Queue does not refuse more.
func (c *Conn) Room() int {
	if c.rtx == nil || c.snd.fin || !c.state.maySend() {
		return 0
	}
	room := c.room()
	if room < int64(c.Worthwhile()) {
		c.snd.hungry = true // and who asks and finds enough need not be who waits for it: Queue tells that it is used
	}
	return int(max(0, min(room, math.MaxInt32)))
}

// ShutOut says that the peer's window is closed, and that nothing is queued or in flight with which TCP would
// probe it.
func (c *Conn) ShutOut() bool {
	return c.rtx != nil && !c.snd.fin && c.state.maySend() && c.snd.una == c.snd.nxt && c.snd.unsent() == 0 && c.snd.usable() <= 0
}

func (c *Conn) room() int64 {
	window := c.rtx.Window()
	if c.snd.limit > 0 {
		window = min(window, c.snd.limit)
	}
	flight := c.rtx.InFlight()
	ahead := int64(min(c.snd.super, int(min(window/4, math.MaxInt32))))
	room := min(window-flight, max(0, c.snd.usable())) - c.snd.unsent() + ahead
	return min(room, int64(c.cfg.SendBuffer)-c.snd.unsent())
}

// Worthwhile is the room that fills a segment well: less had better wait, while anything is in flight.
func (c *Conn) Worthwhile() int {
	full := c.FullPayload()
	if c.rtx == nil || c.snd.super <= full {
		return full
	}
	window := min(c.rtx.Window(), c.snd.wnd)
	if c.snd.limit > 0 {
		window = min(window, c.snd.limit)
	}
	return max(full, min(c.snd.super, int(min(window/4, math.MaxInt32))))
}

// FullPayload is the payload of a full segment at the end of what is queued.
func (c *Conn) FullPayload() int { return c.segmentPayload(c.snd.end) }

// offerRoom calls Handler.Room when there is room again for an owner that had too little, or none, and nothing
// that would find out when there is.
func (c *Conn) offerRoom(now time.Duration) {
	if !c.snd.hungry || c.rtx == nil || c.snd.fin || !c.state.maySend() {
		return
	}
	room := c.room()
	if room >= int64(c.Worthwhile()) || room > 0 && c.snd.una == c.snd.nxt && c.snd.unsent() == 0 || c.ShutOut() {
		c.snd.hungry = false
		c.h.Room(now)
	}
}

// Limit caps the bytes in flight below what congestion control allows. 0 lifts the cap.
func (c *Conn) Limit(bytes int64) { c.snd.limit = max(0, bytes) }

// SetSuper lets segments leave that somebody below splits, with up to this many bytes of payload. 0: every
// segment leaves as the network will see it.
func (c *Conn) SetSuper(bytes int) { c.snd.super = max(0, bytes) }

// Cork says whether more is likely to be queued soon. Then the end of what is queued waits for it, while anything
// is in flight and as long as that makes a larger segment: the owner has to say in time that no more comes.
func (c *Conn) Cork(on bool) { c.snd.cork, c.snd.corked = on, false }

// Corked says whether something has waited since the last Cork.
func (c *Conn) Corked() bool { return c.snd.corked }

// Rate is the congestion window's, in bytes per second; 0: unknown.
func (c *Conn) Rate() int64 {
	if c.rtx == nil {
		return 0
	}
	return c.rtx.Rate()
}

// LastingRate is how fast data has arrived of late, in bytes per second, over no less than 256 KiB and a round trip: no more
// than there was to send; 0: nothing is known yet.
func (c *Conn) LastingRate() int64 {
	if c.rtx == nil {
		return 0
	}
	return c.rtx.LastingRate()
}

// Sequence is the sequence number of an offset of ours, as it stands in headers.
func (c *Conn) Sequence(off uint64) uint32 { return c.snd.sequence(off) }
