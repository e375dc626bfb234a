// Package scheduler decides which path carries the next bytes of a connection. A scheduler sees
// values and returns a value: it owns no socket, no clock and no lock, so that it can be tested with
// tables and replaced by a program's own.
package scheduler

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

// PathID names a subflow within its connection; 0 is no path.
type PathID = extapi.PathID

// View is what a scheduler may look at: values, no pointers into the engine. The engine reuses it
// between calls; do not keep it.
type View struct {
	Now        time.Duration // since the connection's epoch
	Unsent     int64         // bytes queued and not yet mapped to any path
	PeerWindow int64         // data-level receive window left, in bytes; does not bind a Reinject
	Reinject   bool          // the chunk was already sent on some path
	SentOn     []PathID      // with Reinject: the paths that carried it
	Paths      []Path        // usable paths, ordered by id; those without room are among them
}

// Path is one usable path as a scheduler sees it.
type Path struct {
	ID           PathID
	Room         int64         // bytes the path accepts now (congestion and receive window, or send buffer)
	SRTT, RTTVar time.Duration // negative: unknown
	CWnd         int64         // bytes; negative: unknown
	InFlight     int64         // bytes; negative: unknown
	Rate         int64         // delivery rate estimate, bytes per second; not positive: unknown
	Backup       bool          // either side asked to use it only when no regular path works
	Prefer       int           // +1 prefer, 0, -1 avoid
	Cost         int           // per byte, relative to other paths
	LossRate     float64       // 0 to 1
}

// Decision says where the next chunk goes. Dup lists further paths for a redundant copy; it may be
// memory of the scheduler's, valid until the next call.
type Decision struct {
	Path PathID        // 0: wait
	Len  int           // bytes at most, from 1 to the Room of Path and of every path in Dup
	Dup  []PathID      // never holds Path
	Wait time.Duration // with Path==0: ask again after Wait, or on the next event if zero
}

// Scheduler picks a path for the next chunk. Pure with respect to View apart from its own state. The
// engine calls it under the connection's lock, one call at a time, and so often that Next should not
// allocate.
type Scheduler interface {
	// Next is asked, again and again, while data waits and some path has room.
	Next(v *View) Decision
	// OnPathChange tells of paths that came, went or changed their priority.
	OnPathChange(v *View)
}

// Factory makes one Scheduler for each connection.
type Factory interface {
	// Name is short and stable: what ByName accepts and ConnInfo.Scheduler shows.
	Name() string
	New() Scheduler
}

// factory is the Factory of the schedulers of this package.
type factory struct {
	name string
	make func() Scheduler
}

func (f factory) Name() string   { return f.name }
func (f factory) New() Scheduler { return f.make() }
