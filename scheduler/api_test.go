package scheduler_test

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/scheduler"
)

// The public names that schedulers outside this repository compile against.

var (
	_ extapi.PathID = scheduler.PathID(0)

	_ = scheduler.View{
		Now: time.Duration(0), Unsent: int64(0), PeerWindow: int64(0), Reinject: bool(false),
		SentOn: []extapi.PathID(nil), Paths: []scheduler.Path(nil),
	}
	_ = scheduler.Path{
		ID: extapi.PathID(0), Room: int64(0), SRTT: time.Duration(0), RTTVar: time.Duration(0), CWnd: int64(0), InFlight: int64(0),
		Rate: int64(0), Backup: bool(false), Prefer: int(0), Cost: int(0), LossRate: float64(0),
	}
	_ = scheduler.Decision{Path: extapi.PathID(0), Len: int(0), Dup: []extapi.PathID(nil), Wait: time.Duration(0)}

	_ []scheduler.Factory = []scheduler.Factory{scheduler.MinRTT, scheduler.RoundRobin, scheduler.Redundant, scheduler.Weighted}

	_ func(func(scheduler.Path) int) scheduler.Factory = scheduler.NewWeighted
)

// The interfaces have these methods and no other, since programs implement them.
type (
	asked interface {
		Next(v *scheduler.View) scheduler.Decision
		OnPathChange(v *scheduler.View)
	}
	maker interface {
		Name() string
		New() scheduler.Scheduler
	}
)

var (
	_ asked               = scheduler.Scheduler(nil)
	_ scheduler.Scheduler = asked(nil)
	_ maker               = scheduler.Factory(nil)
	_ scheduler.Factory   = maker(nil)
)
