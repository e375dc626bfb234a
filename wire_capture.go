package mptcp

import (
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// captureBufs hold packets while they are shown to a Transport.Capture.
var captureBufs = sync.Pool{New: func() any { return new([]byte) }}

// capturing shows segments to show as whole packets: a super-segment as what it is split into on its way.
func capturing(epoch time.Time, show func(time.Time, bool, []byte)) link.Onlooker {
	return func(now time.Duration, sent bool, s *packet.Segment) bool {
		at := epoch.Add(now)
		if n := s.PayloadLen(); s.SegSize > 0 && n > s.SegSize {
			for from := 0; from < n; from += s.SegSize {
				part := s.Cut(from, min(s.SegSize, n-from))
				showPacket(at, sent, &part, show)
			}
		} else {
			showPacket(at, sent, s, show)
		}
		return true
	}
}

func showPacket(at time.Time, sent bool, s *packet.Segment, show func(time.Time, bool, []byte)) {
	buf := captureBufs.Get().(*[]byte)
	defer captureBufs.Put(buf)
	b, err := s.Append((*buf)[:0], packet.FullChecksum)
	if err != nil {
		return // it cannot be sent either
	}
	*buf = b[:0]
	show(at, sent, b)
}
