package session

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	// ceiling is how long a session is believed after its read began.
	ceiling = 15 * time.Second
	// rereadAfter is when a busy session is read again in the background, early
	// enough that no request has to wait for it.
	rereadAfter = 10 * time.Second
)

// errRevoked says that the record is there and says that the session was ended.
var errRevoked = errors.New("session: revoked")

// live is what this replica knows of one session.
type live struct {
	belief  atomic.Pointer[belief] // nil: nothing that may be used
	used    atomic.Int64           // when last used, monotonic; 0: not by a check
	uses    atomic.Int64           // not yet written
	touched atomic.Int64           // when uses were last written, monotonic
	idle    atomic.Int64           // what a written use restarts, a Duration; 0: nothing
}

// belief is one read of a record. It never changes.
type belief struct {
	rec Record
	at  int64 // when the read began, monotonic
	end int64 // rec.End in Unix nanoseconds
}

// believed reports whether a belief may be used without asking.
func (m *Manager) believed(b *belief, now int64) bool {
	return now-b.at <= int64(ceiling) && b.at >= m.contact.trust.Load() && m.contact.live(now)
}

// bearable reports whether a belief may be used because the store cannot be
// asked. Both bounds hold: since it was read, and since the store told all.
func (m *Manager) bearable(b *belief, now int64) bool {
	d := int64(m.o.DegradedFor)
	return d > 0 && now-b.at <= int64(ceiling)+d && now-m.contact.last() <= d
}

// learn returns what is known of a session for a token of the given generation:
// from memory if that may be believed, else from the store. Errors: ErrNotFound,
// errRevoked, or Unavailable.
func (m *Manager) learn(ctx context.Context, sid token.SID, generation uint32) (*live, *belief, error) {
	now := m.now()
	if m.denied.has(sid, now) {
		return nil, nil, errRevoked
	}
	if l, ok := m.lives.get(sid); ok {
		// A generation above the one in memory was made since, by another replica.
		if b := l.belief.Load(); b != nil && generation <= b.rec.Generation && m.believed(b, now) {
			return l, b, nil
		}
	}
	return m.reread(ctx, sid)
}

// reread asks the store, one caller at a time for a session.
func (m *Manager) reread(ctx context.Context, sid token.SID) (*live, *belief, error) {
	v, err, _ := m.reads.Do(string(sid[:]), func() (any, error) { return m.read(ctx, sid) })
	if err != nil {
		return nil, nil, err
	}
	l, _ := v.(*live) // read returns nothing else
	b := l.belief.Load()
	if b == nil { // revoked while it was read
		return nil, nil, errRevoked
	}
	return l, b, nil
}

func (m *Manager) read(ctx context.Context, sid token.SID) (*live, error) {
	begun := m.now()
	var rec Record
	err := m.ask(ctx, "read", func(ctx context.Context) (err error) {
		rec, err = m.o.Store.Lookup(ctx, sid)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		m.lives.remove(sid)
		return nil, ErrNotFound
	case err != nil:
		if l, ok := m.lives.get(sid); ok {
			if b := l.belief.Load(); b != nil && m.bearable(b, m.now()) {
				return l, nil
			}
		}
		return nil, err
	case rec.Revoked != "":
		m.drop(sid)
		return nil, errRevoked
	}
	return m.remember(rec, begun), nil
}

// remember keeps a record whose read began at begun, unless a later one is kept
// already or the session was revoked meanwhile.
func (m *Manager) remember(rec Record, begun int64) *live {
	b := &belief{rec: rec, at: begun, end: rec.End().UnixNano()}
	return m.lives.update(rec.SID, func(l *live, ok bool) *live {
		if !ok {
			l = &live{}
			l.touched.Store(begun)
		}
		if old := l.belief.Load(); old == nil || old.at <= begun {
			l.belief.Store(b)
		}
		// The order is the point: drop first denies and then clears, so whichever
		// comes second here sees the other.
		if m.denied.has(rec.SID, m.now()) {
			l.belief.Store(nil)
		}
		return l
	})
}

// drop forgets a session and believes no read of it that is still under way.
func (m *Manager) drop(sid token.SID) {
	m.denied.add(sid, m.now()+int64(ceiling+m.o.DegradedFor))
	m.lives.remove(sid)
	m.watched.end(sid)
}

// denied holds the sessions known to be revoked for as long as a read from
// before might be believed; then their tombstones speak.
type denied struct {
	mu    sync.RWMutex
	until map[token.SID]int64 // guarded by mu
}

func (d *denied) has(sid token.SID, now int64) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.until[sid] > now
}

func (d *denied) add(sid token.SID, until int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.until == nil {
		d.until = map[token.SID]int64{}
	}
	d.until[sid] = until
}

func (d *denied) sweep(now int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for sid, until := range d.until {
		if until <= now {
			delete(d.until, sid)
		}
	}
}

// same reports whether two identities say the same. Strings that share their
// bytes compare at once, which they do as long as the directory is unchanged.
func same(a, b *token.Identity) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Admin == b.Admin && a.Email == b.Email &&
		a.Realm == b.Realm && a.Kind == b.Kind && slices.Equal(a.Permissions, b.Permissions) &&
		slices.Equal(a.Groups, b.Groups) && slices.Equal(a.Scopes, b.Scopes)
}
