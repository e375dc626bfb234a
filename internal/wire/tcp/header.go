package tcp

import (
	"encoding/binary"

	"github.com/mptcp-go/mptcp/options"
)

// maxScale is the largest window shift: "If a Window Scale option is received with a shift.cnt value
// larger than 14, the TCP SHOULD log the error but MUST use 14 instead" (RFC 7323 section 2.3).
const maxScale = 14

// header is what TCP itself reads in a segment's options.
type header struct {
	mss      int // 0: none
	scale    uint8
	hasScale bool
	sackOK   bool
	hasTS    bool
	tsVal    uint32
	tsEcr    uint32
	sack     options.SACK // N is 0: none
}

// parse reads the options in b. MSS, window scale and SACK-permitted count on a SYN alone. What is
// malformed is not there, and nothing after it: its length can't be trusted.
func (h *header) parse(b []byte, syn bool) {
	*h = header{}
	if len(b) == 12 && binary.BigEndian.Uint32(b) == noppedTimestamps {
		h.timestamps(b[2:]) // nearly every segment looks like this
		return
	}
	for len(b) > 0 {
		o, rest, err := options.Next(b)
		if err != nil {
			return
		}
		b = rest
		switch o.Kind() {
		case options.KindTimestamps:
			h.timestamps(o)
		case options.KindSACK:
			if s, err := options.ParseSACK(o); err == nil {
				h.sack = s
			}
		case options.KindMSS, options.KindWindowScale, options.KindSACKPermitted:
			if syn {
				h.synOption(o)
			}
		}
	}
}

func (h *header) timestamps(o options.Raw) {
	if t, err := options.ParseTimestamps(o); err == nil {
		h.hasTS, h.tsVal, h.tsEcr = true, t.Value, t.Echo
	}
}

func (h *header) synOption(o options.Raw) {
	switch o.Kind() {
	case options.KindMSS:
		if m, err := options.ParseMSS(o); err == nil {
			h.mss = int(m.Size)
		}
	case options.KindWindowScale:
		if w, err := options.ParseWindowScale(o); err == nil {
			h.scale, h.hasScale = min(w.Shift, maxScale), true
		}
	case options.KindSACKPermitted:
		h.sackOK = len(o) == 2
	}
}

// noppedTimestamps is how the timestamps option begins where it stands alone: NOP, NOP, kind, length
// (RFC 7323 appendix A).
const noppedTimestamps = options.KindNOP<<24 | options.KindNOP<<16 | options.KindTimestamps<<8 | 10

// timestampsLen is the length of the option with its padding.
const timestampsLen = 12

func appendTimestamps(dst []byte, val, ecr uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, noppedTimestamps)
	dst = binary.BigEndian.AppendUint32(dst, val)
	return binary.BigEndian.AppendUint32(dst, ecr)
}

// pad fills up with NOPs to a multiple of four: the receiver goes on reading options behind them.
func pad(dst []byte) []byte {
	for len(dst)%4 != 0 {
		dst = append(dst, options.KindNOP)
	}
	return dst
}
