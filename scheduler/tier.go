package scheduler

import "slices"

// maxRun is the longest run that one decision gives to a path. Long runs are what makes several
// flows nearly as cheap as one; beyond this there is nothing left to gain.
const maxRun = 1 << 20

// tier is the set of paths that may be picked at all, whether they have room or not: the rules that
// all schedulers share.
type tier struct {
	backup bool // backups, since there is no regular path
	fresh  bool // only those that have not carried the chunk
}

// tierOf finds the tier of v. A backup is used only when no regular path is usable (RFC 8684 section
// 3.3.8), and a regular path that merely has no room now is usable. A chunk that is sent once more
// prefers a path that has not carried it, and waits for one that has no room now: a second copy on
// the path of the first rarely arrives before it.
func tierOf(v *View) tier {
	t := tier{backup: true}
	for i := range v.Paths {
		if !v.Paths[i].Backup {
			t.backup = false
			break
		}
	}
	if v.Reinject {
		for i := range v.Paths {
			if p := &v.Paths[i]; p.Backup == t.backup && !v.sentOn(p.ID) {
				t.fresh = true
				break
			}
		}
	}
	return t
}

// admits reports whether p belongs to the tier and has room.
func (t tier) admits(v *View, p *Path) bool {
	return p.Room > 0 && p.Backup == t.backup && (!t.fresh || !v.sentOn(p.ID))
}

// topPreference returns the highest preference among the paths that may be picked now; false when
// there is none: wait.
func (t tier) topPreference(v *View) (pref int, ok bool) {
	for i := range v.Paths {
		if p := &v.Paths[i]; t.admits(v, p) && (!ok || p.preference() > pref) {
			pref, ok = p.preference(), true
		}
	}
	return pref, ok
}

// preference clamps Prefer to its three values.
func (p *Path) preference() int { return max(-1, min(p.Prefer, 1)) }

func (v *View) sentOn(id PathID) bool { return slices.Contains(v.SentOn, id) }

// length returns how much a path with this room gets at most: new data is limited by what there is
// and by the peer's window, a chunk sent once more lies within that window already.
func (v *View) length(room, limit int64) int {
	n := min(room, limit)
	if !v.Reinject {
		n = min(n, v.Unsent, v.PeerWindow)
	}
	return int(max(n, 0))
}

// decide gives path p up to limit bytes. Without a byte to give, the answer is to wait.
func (v *View) decide(p *Path, limit int64) Decision {
	n := v.length(p.Room, limit)
	if n == 0 {
		return Decision{}
	}
	return Decision{Path: p.ID, Len: n}
}

// has reports whether id is among the usable paths.
func (v *View) has(id PathID) bool {
	for i := range v.Paths {
		if v.Paths[i].ID == id {
			return true
		}
	}
	return false
}
