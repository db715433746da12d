package upstream

import (
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Journal keeps what a backend gave on this machine's disk until the store has
// it, so that it outlives this process. A slot is the room for one record.
type Journal interface {
	// Reserve finds room for one record, before a call is begun that may need it.
	Reserve() (slot uint64, err error)
	// Append writes the record. Without an error it is on the disk; with one it is
	// written as soon as it can be, unless it is done before.
	Append(slot uint64, record []byte) error
	// Done gives a slot back, written or not.
	Done(slot uint64)
}

// note is a Commit as the journal has it. The tokens are sealed, and the time
// that the store counts from its own now is absolute, by this machine's clock.
// Opening is not in it: a login that its process did not come to the end of has
// answered nobody, so its session will never be opened.
type note struct {
	Owner   string        `json:"owner"`
	Backend string        `json:"backend"`
	Attempt string        `json:"attempt"`
	Holder  string        `json:"holder,omitempty"` // its lease ends with the commit
	Version uint64        `json:"version"`
	Access  string        `json:"access"`
	Refresh string        `json:"refresh,omitempty"`
	Life    time.Duration `json:"life,omitempty"`
	Expires time.Time     `json:"expires,omitzero"`
	Pinned  bool          `json:"pinned,omitempty"`
}

func noteOf(c Commit, now time.Time) note {
	n := note{
		Owner: c.Ref.Owner, Backend: c.Ref.Backend, Attempt: c.Attempt, Holder: c.Holder,
		Version: c.Record.Version, Access: c.Record.Access, Refresh: c.Record.Refresh, Life: c.Record.Life, Pinned: c.Record.Pinned,
	}
	if n.Life > 0 {
		n.Expires = now.Add(c.Record.Left).UTC()
	}
	return n
}

// commit is the note as it is offered to the store now. A clock that was set back
// gives no token more than its life.
func (n note) commit(now time.Time) Commit {
	c := Commit{Ref: Ref{Owner: n.Owner, Backend: n.Backend}, Attempt: n.Attempt, Holder: n.Holder}
	c.Record = Record{Version: n.Version, Access: n.Access, Refresh: n.Refresh, Life: n.Life, Pinned: n.Pinned}
	if n.Life > 0 {
		c.Record.Left = min(n.Expires.Sub(now), n.Life)
	}
	return c
}

// slotKey names one change of tokens under way: there is one at a time for a
// backend session and holder.
type slotKey struct {
	ref    Ref
	holder string
}

type slot struct {
	id      uint64
	written bool // guarded by book.mu
}

// book knows which change of tokens has which slot of the journal. Its methods do
// nothing where there is no journal.
type book struct {
	journal Journal
	log     *slog.Logger

	mu    sync.Mutex
	slots map[slotKey]*slot // guarded by mu
}

// reserve finds room for the tokens that a change may bring. leave gives it back
// if none were written.
func (k *book) reserve(key slotKey) (leave func(), err error) {
	if k.journal == nil {
		return func() {}, nil
	}
	id, err := k.journal.Reserve()
	if err != nil {
		return nil, err
	}
	s := &slot{id: id}
	k.mu.Lock()
	k.slots[key] = s
	k.mu.Unlock()
	return func() {
		k.mu.Lock()
		open := s.written
		if !open && k.slots[key] == s {
			delete(k.slots, key)
		}
		k.mu.Unlock()
		if !open {
			k.journal.Done(id)
		}
	}, nil
}

// write has a commit outlive this process, the first time that it is made.
func (k *book) write(c Commit) {
	k.mu.Lock()
	s := k.slots[slotKey{c.Ref, c.Holder}]
	if s == nil || s.written {
		k.mu.Unlock()
		return
	}
	s.written = true
	k.mu.Unlock()
	text, err := json.Marshal(noteOf(c, time.Now()))
	if err == nil {
		err = k.journal.Append(s.id, text)
	}
	if err != nil {
		k.log.Error("new tokens are in memory only until the store has them: the journal does not take them", "error", err)
	}
}

// done ends what write began: the store answered, or nobody wants the tokens.
func (k *book) done(c Commit) {
	key := slotKey{c.Ref, c.Holder}
	k.mu.Lock()
	s := k.slots[key]
	if s != nil && s.written {
		delete(k.slots, key)
	} else {
		s = nil
	}
	k.mu.Unlock()
	if s != nil {
		k.journal.Done(s.id)
	}
}

// room finds room in the journal before a call to the backend that may need it. The
// error is a *token.Error, Unavailable.
func (b *Backend) room(key slotKey) (leave func(), err error) {
	leave, err = b.book.reserve(key)
	if err == nil {
		return leave, nil
	}
	if b.alarm.due() {
		b.log.Error("no login or renewal is begun", "error", err)
	}
	return nil, unavailable(msgJournal, err, 0)
}

// reserve is room under the lease, which is given back if there is none.
func (b *Backend) reserve(n *turn) (leave func(), err error) {
	leave, err = b.room(slotKey{n.h.ref, n.holder})
	if e, ok := errors.AsType[*token.Error](err); ok {
		b.release(Release{Ref: n.h.ref, Holder: n.holder, With: b.with})
		n.h.rest(e.RetryAfter, e)
	}
	return leave, err
}

// Journals reports whether the backend gives tokens that a journal should keep.
func (b *Backend) Journals() bool { return b.mode() >= modeShared }
