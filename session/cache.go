package session

import (
	"hash/maphash"
	"sync"

	"github.com/gatehouse-gateway/gatehouse/token"
)

const shardCount = 64

var seed = maphash.MakeSeed()

// tail hashes the end of a token text, where every shape is random. The seed is
// drawn at start, so nobody can choose texts that share a shard.
func tail(text string) uint64 { return maphash.String(seed, text[max(0, len(text)-24):]) }

func sidHash(sid token.SID) uint64 { return maphash.Bytes(seed, sid[:]) }

// cache is a bounded map in shards. A full shard loses an arbitrary member for
// a new one. It is safe for concurrent use.
type cache[K comparable, V any] struct {
	hash   func(K) uint64
	evict  func(V) // under the shard's lock; nil: nothing to do
	max    int     // of one shard
	shards [shardCount]shard[K, V]
}

type shard[K comparable, V any] struct {
	mu sync.RWMutex
	m  map[K]V // guarded by mu
}

func newCache[K comparable, V any](size int, hash func(K) uint64, evict func(V)) *cache[K, V] {
	c := &cache[K, V]{hash: hash, evict: evict, max: max(1, size/shardCount)}
	for i := range c.shards {
		c.shards[i].m = map[K]V{}
	}
	return c
}

func (c *cache[K, V]) shard(k K) *shard[K, V] { return &c.shards[c.hash(k)%shardCount] }

func (c *cache[K, V]) get(k K) (V, bool) {
	s := c.shard(k)
	s.mu.RLock()
	v, ok := s.m[k]
	s.mu.RUnlock()
	return v, ok
}

func (c *cache[K, V]) put(k K, v V) {
	c.update(k, func(V, bool) V { return v })
}

// update replaces the value of k by what change makes of it, under the lock.
func (c *cache[K, V]) update(k K, change func(old V, ok bool) V) V {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.m[k]
	if !ok && len(s.m) >= c.max {
		c.dropAny(s)
	}
	v := change(old, ok)
	s.m[k] = v
	return v
}

func (c *cache[K, V]) dropAny(s *shard[K, V]) {
	for k, v := range s.m {
		delete(s.m, k)
		if c.evict != nil {
			c.evict(v)
		}
		return
	}
}

func (c *cache[K, V]) remove(k K) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.m[k]
	delete(s.m, k)
	if ok && c.evict != nil {
		c.evict(v)
	}
}

// each calls f for every member, holding one shard at a time, until f is false.
func (c *cache[K, V]) each(f func(K, V) bool) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		for k, v := range s.m {
			if !f(k, v) {
				s.mu.RUnlock()
				return
			}
		}
		s.mu.RUnlock()
	}
}

// sweep removes the members of shard i (modulo their number) that are stale.
func (c *cache[K, V]) sweep(i int, stale func(V) bool) {
	s := &c.shards[i%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, v := range s.m {
		if stale(v) {
			delete(s.m, k)
			if c.evict != nil {
				c.evict(v)
			}
		}
	}
}
