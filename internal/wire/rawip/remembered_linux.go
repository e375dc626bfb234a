package rawip

import (
	"container/list"
	"sync"
	"time"
)

// How many answers of a kind are remembered, and how long. The kernel tells of changes of links, addresses, routes and
// rules; of what it learns of a path by ICMP it does not, so that no answer holds for long.
const (
	maxRemembered  = 1024
	rememberedLife = time.Second
)

// remembered are the kernel's answers to questions of one kind, least recently used ones go first. It is safe for
// concurrent use.
type remembered[K comparable, V any] struct {
	mu     sync.Mutex
	byKey  map[K]*list.Element
	recent list.List // of *answer, most recently used first
}

// answer was given at a version of the network.
type answer[K comparable, V any] struct {
	key     K
	value   V
	version uint64
	until   time.Duration
}

// ask returns the answer to the question k, of now and of this version of the network. It calls find without a lock
// where there is none.
func (r *remembered[K, V]) ask(k K, version uint64, now time.Duration, find func() (V, error)) (V, error) {
	r.mu.Lock()
	if e := r.byKey[k]; e != nil {
		if a := e.Value.(*answer[K, V]); a.version == version && now < a.until {
			r.recent.MoveToFront(e)
			r.mu.Unlock()
			return a.value, nil
		}
	}
	r.mu.Unlock()
	v, err := find()
	if err == nil {
		r.put(&answer[K, V]{k, v, version, now + rememberedLife})
	}
	return v, err
}

func (r *remembered[K, V]) put(a *answer[K, V]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.byKey[a.key]; e != nil {
		e.Value = a
		r.recent.MoveToFront(e)
		return
	}
	if r.byKey == nil {
		r.byKey = make(map[K]*list.Element)
	}
	r.byKey[a.key] = r.recent.PushFront(a)
	if r.recent.Len() > maxRemembered {
		oldest := r.recent.Remove(r.recent.Back()).(*answer[K, V])
		delete(r.byKey, oldest.key)
	}
}
