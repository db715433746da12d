package session

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	touchPortal  = time.Minute      // how often use of a portal session is written
	touchRest    = time.Hour        // and of everything else
	forgetUnused = time.Hour        // a session that nobody used leaves memory
	reassertFor  = 10 * time.Minute // revocations younger than this are said again after a reconnect
	maxNotes     = 10_000           // of each list of things to do later
	hands        = 16               // calls to the store at once, for chores
)

// house is what is kept for later: uses to write, ends to say again, backend
// sessions to end. It is safe for concurrent use.
type house struct {
	backends backends
	reassert atomic.Bool // revocations are to be said again

	mu    sync.Mutex
	dues  []due                // guarded by mu
	moved map[token.SID]Record // guarded by mu: refreshed, to be noted in the index
	ends  []ending             // guarded by mu: the oldest first
}

// due is a backend session that ends later.
type due struct {
	at      time.Time
	sid     token.SID
	source  string // the identity source of the session
	backend Backend
}

// ending is an end to say again: of a session, or of all that a user had.
type ending struct {
	Revocation

	owner string    // whose epoch began; empty: a session ended
	epoch time.Time // when it did
	at    time.Time
}

func newHouse() *house { return &house{moved: map[token.SID]Record{}} }

func (h *house) later(d due) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dues = append(h.dues, d)
}

func (h *house) used(r *Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.moved) < maxNotes {
		h.moved[r.SID] = *r
	}
}

// revoked notes an end. Of too many it keeps the last ones, which a failover is
// the most likely to lose.
func (h *house) revoked(r Revocation) { h.note(ending{Revocation: r}) }

func (h *house) note(e ending) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ends) >= maxNotes {
		h.ends = h.ends[1:]
	}
	e.at = time.Now()
	h.ends = append(h.ends, e)
}

// takeDue removes and returns what is due at now.
func (h *house) takeDue(now time.Time) []due {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ripe []due
	rest := h.dues[:0]
	for _, d := range h.dues {
		if d.at.After(now) {
			rest = append(rest, d)
		} else {
			ripe = append(ripe, d)
		}
	}
	h.dues = rest
	return ripe
}

func (h *house) takeMoved() map[token.SID]Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.moved
	h.moved = map[token.SID]Record{}
	return m
}

// recentEnds forgets the old ends and returns the rest.
func (h *house) recentEnds(now time.Time) []ending {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.ends) > 0 && now.Sub(h.ends[0].at) > reassertFor {
		h.ends = h.ends[1:]
	}
	return append([]ending(nil), h.ends...)
}

// keepHouse does the chores once a second until ctx ends.
func (m *Manager) keepHouse(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		m.sayAgain(ctx)
		m.rereadBusy(ctx)
		if n%int(watchEvery/tick) == 0 {
			m.lookAfter(ctx)
		}
		m.writeUses(ctx, false)
		m.noteMoved(ctx)
		for _, d := range m.house.takeDue(m.clock()) {
			d.backend.End(d.sid)
		}
		m.sweep(n)
	}
}

// sayAgain repeats the recent revocations after a reconnect: a failover may have
// lost their tombstones, and others may have missed the events.
func (m *Manager) sayAgain(ctx context.Context) {
	ends := m.house.recentEnds(time.Now())
	if !m.house.reassert.Load() || !m.contact.live(m.now()) {
		return
	}
	m.house.reassert.Store(false)
	for _, e := range ends {
		if e.owner != "" {
			if _, err := m.outdate(ctx, e.owner, e.epoch); err != nil {
				m.house.reassert.Store(true)
				return
			}
			continue
		}
		_, err := m.revoke(ctx, e.Revocation)
		if err != nil && !errors.Is(err, ErrNotFound) {
			m.house.reassert.Store(true)
			return
		}
		if !e.KeepAccess {
			m.announce(ctx, e.SID, e.Reason)
		}
	}
}

// rereadBusy reads the sessions in use again before they are too old to be
// believed, and settles those whose time is over.
func (m *Manager) rereadBusy(ctx context.Context) {
	now, wall := m.now(), m.clock().UnixNano()
	var busy, over []token.SID
	m.lives.each(func(sid token.SID, l *live) bool {
		b := l.belief.Load()
		switch used := l.used.Load(); {
		case b == nil:
		case b.end <= wall:
			over = append(over, sid)
		case used != 0 && now-used <= int64(ceiling) && now-b.at >= int64(rereadAfter):
			busy = append(busy, sid)
		}
		return true
	})
	m.together(busy, func(sid token.SID) { _, _, _ = m.reread(ctx, sid) }) // who fails is asked for on request
	m.together(over, func(sid token.SID) { m.settle(ctx, sid) })
}

// settle makes sure that a session is over, and then ends its backend session.
func (m *Manager) settle(ctx context.Context, sid token.SID) {
	l, ok := m.lives.get(sid)
	if !ok {
		return
	}
	old := l.belief.Load()
	_, b, err := m.reread(ctx, sid)
	if old == nil || errors.Is(err, errRevoked) || (err != nil && !errors.Is(err, ErrNotFound)) {
		return
	}
	if err == nil && b.end > m.clock().UnixNano() {
		return
	}
	m.lives.remove(sid)
	m.endBackend(&old.rec)
}

// writeUses writes what was used and not yet written; all of it when stopping.
func (m *Manager) writeUses(ctx context.Context, all bool) {
	now := m.now()
	var sids []token.SID
	m.lives.each(func(sid token.SID, l *live) bool {
		if b := l.belief.Load(); b != nil && l.owes(b, now, all) {
			sids = append(sids, sid)
		}
		return true
	})
	m.together(sids, func(sid token.SID) { m.writeUse(ctx, sid) })
}

// owes reports whether a use of a session is to be written now.
func (l *live) owes(b *belief, now int64, all bool) bool {
	touched, api := l.touched.Load(), b.rec.API != nil
	if l.used.Load() <= touched && !(api && l.uses.Load() > 0) {
		return false
	}
	idle := time.Duration(l.idle.Load())
	if !api && idle == 0 {
		return false
	}
	every := touchRest
	if b.rec.Origin.Kind == KindPortal {
		every = min(touchPortal, idle/4)
	}
	return all || (api && b.rec.LastUsed.IsZero()) || now-touched >= int64(every)
}

func (m *Manager) writeUse(ctx context.Context, sid token.SID) {
	l, ok := m.lives.get(sid)
	if !ok {
		return
	}
	n := l.uses.Swap(0)
	u := Use{SID: sid, Idle: time.Duration(l.idle.Load()), Keep: keepEnded, Uses: n}
	if b := l.belief.Load(); b != nil && b.rec.API != nil {
		u.Keep = keepEndedToken
	}
	a, began := NewAttempt(), m.now()
	err := m.ask(ctx, "touch", func(ctx context.Context) error { return m.o.Store.Touch(ctx, a, u) })
	switch {
	case errors.Is(err, ErrNotFound):
		m.lives.remove(sid)
		return
	case err != nil:
		l.uses.Add(n)
		return
	}
	l.touched.Store(began)
	if _, b, err := m.reread(ctx, sid); err == nil {
		m.house.used(&b.rec)
	}
}

// noteMoved tells the index which sessions were used, so that the least
// recently used one is known.
func (m *Manager) noteMoved(ctx context.Context) {
	moved := m.house.takeMoved()
	for _, sid := range slices.SortedFunc(maps.Keys(moved), func(a, b token.SID) int { return bytes.Compare(a[:], b[:]) }) {
		rec := moved[sid]
		if m.denied.has(sid, m.now()) {
			continue
		}
		err := m.ask(ctx, "index", func(ctx context.Context) error {
			_, err := m.o.Index.Add(ctx, ownerOf(&rec), Member{SID: sid, End: rec.End(), Proved: rec.Origin.Proved}, 0)
			return err
		})
		if errors.Is(err, ErrOutdated) { // it was in no list when all of them were ended
			err = m.End(ctx, sid, reasonRevoked)
			if err == nil {
				continue
			}
		}
		if err == nil {
			err = m.enlist(ctx, &rec, rec.End())
		}
		if err != nil {
			return // the order of eviction is a nicety
		}
	}
}

// sweep removes what is over from one shard of each cache.
func (m *Manager) sweep(n int) {
	now, wall := m.now(), m.clock().UnixNano()
	m.denied.sweep(now)
	m.texts.sweep(n, func(e *entry) bool {
		return e.live.belief.Load() == nil || (e.expires != 0 && wall >= e.expires)
	})
	m.lives.sweep(n, func(l *live) bool {
		b := l.belief.Load()
		return b == nil || (now-max(l.used.Load(), b.at) > int64(forgetUnused) && m.house.backends.of(b.rec.Origin.Source) == nil)
	})
	m.doors.basic.sweep(n, func(b *basic) bool { return now >= b.until })
}

// together runs do for each session, a few at a time, and waits.
func (m *Manager) together(sids []token.SID, do func(token.SID)) {
	var g errgroup.Group
	g.SetLimit(hands)
	for _, sid := range sids {
		g.Go(func() error { do(sid); return nil })
	}
	_ = g.Wait() // do returns no error
}
