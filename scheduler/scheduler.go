package scheduler

import (
	"github.com/mptcp-go/mptcp/extapi"
	"time"
)

type PathID = extapi.PathID

// View is what a scheduler may look at: values, no pointers into the engine. The engine reuses it
// between calls; do not keep it.
type View struct {
	Now        time.Duration
	Unsent     int64 // bytes queued and not yet mapped to any path
	PeerWindow int64 // data-level receive window left
	Reinject   bool  // the chunk was already sent on some path
	SentOn     []PathID
	Paths      []Path // usable paths, ordered by id
}

type Path struct {
	ID           PathID
	Room         int64 // bytes the path accepts now (congestion and receive window, or send buffer)
	SRTT, RTTVar time.Duration
	CWnd         int64
	InFlight     int64
	Rate         int64 // delivery rate estimate, bytes per second
	Backup       bool
	Prefer       int // +1 prefer, 0, -1 avoid
	Cost         int
	LossRate     float64
}

// Decision says where the next chunk goes. Dup lists further paths for a redundant copy.
type Decision struct {
	Path PathID
	Len  int
	Dup  []PathID
	Wait time.Duration // with Path==0: ask again after Wait, or on the next event if zero
}

// Scheduler picks a path for the next chunk. Pure with respect to View apart from its own state.
type Scheduler interface {
	Next(v *View) Decision
	OnPathChange(v *View)
}

type Factory interface {
	Name() string
	New() Scheduler
}
