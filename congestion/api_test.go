package congestion_test

import (
	"time"

	"github.com/mptcp-go/mptcp/congestion"
)

// The public names that controllers outside this repository compile against.

var (
	_ time.Duration = congestion.Time(0)

	_ = congestion.Ack{
		Bytes: int64(0), InFlight: int64(0), SentAt: congestion.Time(0), RTT: time.Duration(0), SRTT: time.Duration(0), MinRTT: time.Duration(0),
		AppLimited: bool(false), ECE: bool(false), DeliveryRate: int64(0),
	}
	_ = congestion.Loss{
		Bytes: int64(0), InFlight: int64(0), SentAt: congestion.Time(0), Timeout: bool(false), ECN: bool(false), Persistent: bool(false),
	}
	_ = congestion.Metrics{Window: int64(0), SSThresh: int64(0), PacingRate: int64(0), State: string("")}
	_ = congestion.Subflow{MSS: int(0), InitialWindow: int64(0), RTT: time.Duration(0)}

	_ []congestion.Factory = []congestion.Factory{congestion.Reno, congestion.Cubic}
)

// The interfaces have these methods and no other, since programs implement them.
type (
	controller interface {
		OnSent(now congestion.Time, bytes, inFlight int64)
		OnAck(now congestion.Time, a congestion.Ack)
		OnLoss(now congestion.Time, l congestion.Loss)
		OnSpuriousLoss(now congestion.Time)
		OnMSS(mss int)
		Window() int64
		PacingRate() int64
		Metrics() congestion.Metrics
	}
	group interface {
		New(now congestion.Time, s congestion.Subflow) congestion.Controller
		Remove(congestion.Controller)
	}
	factory interface {
		Name() string
		NewGroup() congestion.Group
	}
)

var (
	_ controller            = congestion.Controller(nil)
	_ congestion.Controller = controller(nil)
	_ group                 = congestion.Group(nil)
	_ congestion.Group      = group(nil)
	_ factory               = congestion.Factory(nil)
	_ congestion.Factory    = factory(nil)
)
