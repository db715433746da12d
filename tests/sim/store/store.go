// Package store is a small Redis inside the process, for simulations. It runs
// the very scripts of the product, in Lua, over hashes, lists, sorted sets and
// streams in memory, and is spoken to over a net.Conn of its own making, in RESP
// 2. Time is time.Now, so that in a testing/synctest bubble it is the bubble's.
//
// What a simulation needs beyond that: every message goes through a Wire, which
// may delay it or lose it; the data can be copied, and a server can come back with
// a copy; and the text of scripts can be edited before they are run.
package store

import (
	"slices"
	"sync"
	"time"
)

// Store is one server. It is safe for concurrent use.
type Store struct {
	// Edit is given the text of every script that is loaded and returns the one to
	// run. Nil: the same. Set before use.
	Edit func(text string) string
	// After is told of every command that was run, with the reply, before anything
	// else is. It may use Hash, and nothing else that waits for the store. Nil:
	// nobody is told. Set before use.
	After func(c *Conn, args []string, reply any)

	lua *Engine

	mu      sync.Mutex
	skew    time.Duration      // guarded by mu: how far its clock is ahead
	data    Data               // guarded by mu
	runID   string             // guarded by mu
	scripts map[string]bool    // guarded by mu: digests of those loaded since the start
	conns   []*Conn            // guarded by mu, in the order they were made
	waiters []*waiter          // guarded by mu, as above
	heard   map[string][]*Conn // guarded by mu: subscribers by channel
	texts   map[string]string  // guarded by mu: digests of the texts as they are run, by those as they came
}

// New returns an empty store. No other may use the engine at the same time.
func New(e *Engine, runID string) *Store {
	s := &Store{
		lua: e, data: Data{keys: map[string]*value{}}, runID: runID,
		scripts: map[string]bool{}, heard: map[string][]*Conn{}, texts: map[string]string{},
	}
	e.do = s.command
	return s
}

// Copy returns a copy of all that is stored now.
func (s *Store) Copy() Data {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data.clone()
}

// Restart cuts all connections and goes on as another server that has d.
func (s *Store) Restart(d Data, runID string) {
	s.mu.Lock()
	s.data, s.runID = d.clone(), runID
	clear(s.scripts)
	conns := s.conns
	s.conns, s.waiters = nil, nil
	clear(s.heard)
	s.mu.Unlock()
	for _, c := range conns {
		c.Cut()
	}
}

// Do runs one command by itself.
func (s *Store) Do(args ...string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run(nil, args)
}

// Hash returns a field of a hash, "" if there is none. Only After may call it.
func (s *Store) Hash(key, field string) string {
	v := s.data.keys[key]
	if v == nil || v.kind != aHash {
		return ""
	}
	text, _ := v.field(field)
	return text
}

// Advance sets the server's clock forward, or back.
func (s *Store) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew += d
}

// Now returns the time by the server's clock.
func (s *Store) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

func (s *Store) now() time.Time { return time.Now().Add(s.skew) }

func (s *Store) ms() int64 { return s.now().UnixMilli() }

// kind is the type of a value.
type kind uint8

const (
	aString kind = iota + 1
	aHash
	aList
	aSortedSet
	aStream
)

// Data is all that a store holds.
type Data struct{ keys map[string]*value }

func (d Data) clone() Data {
	out := Data{keys: make(map[string]*value, len(d.keys))}
	for k, v := range d.keys {
		c := *v
		c.hash, c.list = slices.Clone(v.hash), slices.Clone(v.list)
		c.members, c.entries = slices.Clone(v.members), slices.Clone(v.entries)
		out.keys[k] = &c
	}
	return out
}

// value is what a key holds. Fields keep the order in which they were set.
type value struct {
	kind    kind
	expires int64 // Unix ms; 0: never
	text    string
	hash    []field
	list    []string
	members []member // by score, then by name
	entries []entry
	last    entryID
}

type field struct{ name, text string }

type member struct {
	name  string
	score float64
}

type entryID struct{ ms, seq int64 }

type entry struct {
	id     entryID
	fields []string
}

func (v *value) field(name string) (string, bool) {
	for i := range v.hash {
		if v.hash[i].name == name {
			return v.hash[i].text, true
		}
	}
	return "", false
}

func (v *value) empty() bool {
	switch v.kind {
	case aHash:
		return len(v.hash) == 0
	case aList:
		return len(v.list) == 0
	case aSortedSet:
		return len(v.members) == 0
	}
	return false
}

// find returns what a key holds, nil for nothing.
func (s *Store) find(key string, k kind) (*value, error) {
	v := s.data.keys[key]
	if v == nil {
		return nil, nil
	}
	if v.expires != 0 && v.expires <= s.ms() {
		delete(s.data.keys, key)
		return nil, nil
	}
	if k != 0 && v.kind != k {
		return nil, failure("WRONGTYPE Operation against a key holding the wrong kind of value")
	}
	return v, nil
}

// make is find, and makes an empty one.
func (s *Store) make(key string, k kind) (*value, error) {
	v, err := s.find(key, k)
	if v == nil && err == nil {
		v = &value{kind: k}
		s.data.keys[key] = v
	}
	return v, err
}

// tidy removes a key that holds nothing any more.
func (s *Store) tidy(key string, v *value) {
	if v != nil && v.empty() {
		delete(s.data.keys, key)
	}
}
