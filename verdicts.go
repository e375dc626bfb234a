package mptcp

import (
	"container/list"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// How long a verdict holds, and how many are kept.
const (
	positiveVerdict = 24 * time.Hour
	negativeVerdict = time.Hour
	maxVerdicts     = 4096
)

// peerKey names a peer as seen from one local network.
type peerKey struct {
	remote  netip.AddrPort
	through string // interface that the path policy chose; "": the routing table's choice
	network uint64 // fingerprint of the local networks
}

type verdict uint8

const (
	verdictUnknown verdict = iota
	verdictYes             // the peer speaks it
	verdictNo
)

// verdicts remembers who speaks a way to carry subflows and who does not: least recently used ones go first.
type verdicts struct {
	mu      sync.Mutex
	byPeer  map[peerKey]*list.Element
	recent  *list.List // of verdictEntry, most recently used first
	probes  map[peerKey]*probe
	version int // counts flushes: a probe that began before one tells nothing about now
}

type verdictEntry struct {
	key   peerKey
	yes   bool
	until time.Time
}

// probe is one question in flight. Whoever else wants to know waits for done.
type probe struct {
	key     peerKey
	version int
	done    chan struct{}
	answer  verdict // valid once done is closed
}

func newVerdicts() *verdicts {
	return &verdicts{byPeer: make(map[peerKey]*list.Element), recent: list.New(), probes: make(map[peerKey]*probe)}
}

// lookup returns the verdict on k at the time now.
func (v *verdicts) lookup(k peerKey, now time.Time) verdict {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.byPeer[k]
	if e == nil {
		return verdictUnknown
	}
	entry := e.Value.(verdictEntry)
	if !now.Before(entry.until) {
		v.recent.Remove(e)
		delete(v.byPeer, k)
		return verdictUnknown
	}
	v.recent.MoveToFront(e)
	if entry.yes {
		return verdictYes
	}
	return verdictNo
}

// record remembers a verdict. Negative ones get a jitter of a tenth either way, so that clients that
// started together do not ask again together.
func (v *verdicts) record(k peerKey, yes bool, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.put(k, yes, now)
}

func (v *verdicts) put(k peerKey, yes bool, now time.Time) {
	life := positiveVerdict
	if !yes {
		life = negativeVerdict*9/10 + rand.N(negativeVerdict/5)
	}
	entry := verdictEntry{key: k, yes: yes, until: now.Add(life)}
	if e := v.byPeer[k]; e != nil {
		e.Value = entry
		v.recent.MoveToFront(e)
		return
	}
	v.byPeer[k] = v.recent.PushFront(entry)
	if v.recent.Len() > maxVerdicts {
		oldest := v.recent.Back()
		v.recent.Remove(oldest)
		delete(v.byPeer, oldest.Value.(verdictEntry).key)
	}
}

// begin starts the question about k. mine is false when somebody else is asking already.
func (v *verdicts) begin(k peerKey) (p *probe, mine bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p := v.probes[k]; p != nil {
		return p, false
	}
	p = &probe{key: k, version: v.version, done: make(chan struct{})}
	v.probes[k] = p
	return p, true
}

// finish answers p's question; verdictUnknown leaves it open for the next dial.
func (v *verdicts) finish(p *probe, answer verdict, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.probes[p.key] == p {
		delete(v.probes, p.key)
	}
	if answer != verdictUnknown && p.version == v.version {
		v.put(p.key, answer == verdictYes, now)
	}
	p.answer = answer
	close(p.done)
}

// flush forgets everything: the network has changed.
func (v *verdicts) flush() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.version++
	clear(v.byPeer)
	v.recent.Init()
	clear(v.probes)
}
