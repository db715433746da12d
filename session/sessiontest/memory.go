// Package sessiontest holds the contract of session's stores, which every store
// passes, and Memory, a store for the tests of other packages.
package sessiontest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// ErrDown is what every call answers while a Memory is down, and what a call
// answers whose reply is lost.
var ErrDown = errors.New("sessiontest: the store is down")

const (
	tombstone  = 24 * time.Hour
	closedKeep = 10 * time.Minute
)

// Memory is session's Store, Index, Roll, Throttle, KeyStore, Replicas, Codes, Feed,
// Tries and Pushes in memory. Its clock is time.Now, so it works inside testing/synctest. It is safe for
// concurrent use.
type Memory struct {
	mu       sync.Mutex
	rows     map[token.SID]*row                  // guarded by mu, as all below
	lists    map[string]map[token.SID]membership // by owner
	epochs   map[string]time.Time                // by owner
	roll     map[session.Owner]time.Time         // the end of each
	failures map[string][]time.Time              // by account or address
	factors  factors
	codes    map[string]*codeRow // by digest
	keeping  keeping
	follow   map[chan session.Event]struct{}
	down     bool
	lose     map[string]bool // calls whose next reply is lost
	calls    int
}

// row is a record with what the store keeps besides.
type row struct {
	rec       session.Record
	graceFrom uint32 // the oldest generation that the grace covers
	until     time.Time
	created   session.Attempt
	touched   session.Attempt
	revoked   session.Attempt
	turns     [4]note // the last changes of generation
	other     note    // the last answer that changed no generation
}

// note is an answer with the attempt that got it.
type note struct {
	attempt session.Attempt
	turn    session.Turn
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{
		rows: map[token.SID]*row{}, lists: map[string]map[token.SID]membership{}, epochs: map[string]time.Time{},
		roll: map[session.Owner]time.Time{}, failures: map[string][]time.Time{}, codes: map[string]*codeRow{},
		factors: factors{users: map[string]*factorRow{}, pushes: map[string]*pushRow{}}, follow: map[chan session.Event]struct{}{}, lose: map[string]bool{},
	}
}

// SetDown makes every call fail with ErrDown, and silences the feed, or ends that.
func (m *Memory) SetDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// LoseReplies makes the next changing call of each method do its work and then
// answer ErrDown, as if the reply had been lost.
func (m *Memory) LoseReplies() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, method := range []string{
		"create", "rotate", "touch", "revoke", "add", "outdate", "enlist", "settle", "swap", "beat", "leave", "put code", "take code",
		"issue", "try", "open push", "settle push", "close pushes",
	} {
		m.lose[method] = true
	}
}

// Calls returns how many calls to the store there were, failed ones too.
func (m *Memory) Calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// begin locks and counts a call. The caller unlocks, also on error.
func (m *Memory) begin() error {
	m.mu.Lock()
	m.calls++
	if m.down {
		return ErrDown
	}
	return nil
}

func (m *Memory) lost(method string) error {
	if m.lose[method] {
		m.lose[method] = false
		return ErrDown
	}
	return nil
}

// clock is now, in the whole milliseconds that stores keep.
func clock() time.Time { return time.UnixMilli(time.Now().UnixMilli()) }

func (m *Memory) row(sid token.SID, now time.Time) *row {
	r := m.rows[sid]
	if r != nil && !now.Before(r.until) {
		delete(m.rows, sid)
		return nil
	}
	return r
}

// Create implements session.Store.
func (m *Memory) Create(_ context.Context, a session.Attempt, rec session.Record, l session.Life) (session.Record, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return session.Record{}, err
	}
	now := clock()
	if r := m.row(rec.SID, now); r != nil {
		if r.created == a {
			return r.rec, nil
		}
		return session.Record{}, session.ErrExists
	}
	r := &row{rec: rec, graceFrom: rec.Generation, created: a}
	r.start(now, l)
	m.rows[rec.SID] = r
	return r.rec, m.lost("create")
}

// start begins the lives anew.
func (r *row) start(now time.Time, l session.Life) {
	r.rec.Made, r.rec.Ends, r.rec.AccessEnds = now, now.Add(l.Idle.Truncate(time.Millisecond)), time.Time{}
	if l.Access > 0 {
		r.rec.AccessEnds = now.Add(l.Access.Truncate(time.Millisecond))
	}
	r.until = r.rec.End().Add(l.Keep)
}

// Lookup implements session.Store.
func (m *Memory) Lookup(_ context.Context, sid token.SID) (session.Record, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return session.Record{}, err
	}
	r := m.row(sid, clock())
	if r == nil {
		return session.Record{}, session.ErrNotFound
	}
	return r.rec, nil
}

// Rotate implements session.Store.
func (m *Memory) Rotate(_ context.Context, a session.Attempt, q session.Rotation) (session.Turn, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return session.Turn{}, err
	}
	now := clock()
	r := m.row(q.SID, now)
	if r == nil {
		return session.Turn{Outcome: session.Gone, Now: now}, nil
	}
	for _, n := range append(r.turns[:], r.other) {
		if n.attempt == a {
			return n.turn, nil
		}
	}
	t := session.Turn{Outcome: r.rotate(q, now), Now: now}
	t.Record = r.rec
	switch t.Outcome {
	case session.Rotated, session.Healed:
		r.turns[r.rec.Generation%4] = note{a, t}
	case session.Grace, session.Reused, session.Ended:
		r.other = note{a, t}
	}
	return t, m.lost("rotate")
}

func (r *row) rotate(q session.Rotation, now time.Time) session.Outcome {
	g, p := r.rec.Generation, q.Presented
	switch {
	case r.rec.Revoked != "" || r.rec.Closed:
		return session.Gone
	case !now.Before(r.rec.Ends):
		return session.Expired
	case q.Client != r.rec.Origin.Client || p > g+session.HealAhead:
		return session.Refused
	case p >= g:
		return r.move(q, now)
	case p >= r.graceFrom && now.Sub(r.rec.Made) < q.Grace:
		return session.Grace
	}
	if !q.RefuseReuse {
		r.revoke("reuse", now)
	}
	return session.Reused
}

// move makes the successor of the generation presented.
func (r *row) move(q session.Rotation, now time.Time) session.Outcome {
	g, next, outcome := r.rec.Generation, q.Presented, session.Rotated
	if q.Presented > g {
		outcome = session.Healed
	}
	if q.Rotates {
		next++
	}
	if next > session.MaxGeneration {
		r.revoke("revoked", now)
		return session.Ended
	}
	r.rec.Generation, r.graceFrom = next, g
	r.start(now, q.Life)
	return outcome
}

func (r *row) revoke(reason string, now time.Time) {
	r.rec.Revoked = reason
	r.until = now.Add(tombstone)
}

// Touch implements session.Store.
func (m *Memory) Touch(_ context.Context, a session.Attempt, u session.Use) error {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return err
	}
	now := clock()
	r := m.row(u.SID, now)
	switch {
	case r == nil:
		return session.ErrNotFound
	case r.touched == a:
		return nil
	case r.rec.Revoked != "" || !now.Before(r.rec.End()):
		return session.ErrNotFound
	}
	r.touched, r.rec.LastUsed = a, now
	r.rec.Uses += u.Uses
	if ends := now.Add(u.Idle); u.Idle > 0 && now.Before(r.rec.Ends) && ends.After(r.rec.Ends) {
		r.rec.Ends = ends
		r.until = r.rec.End().Add(u.Keep)
	}
	return m.lost("touch")
}

// Revoke implements session.Store.
func (m *Memory) Revoke(_ context.Context, a session.Attempt, q session.Revocation) (session.Record, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return session.Record{}, err
	}
	now := clock()
	r := m.row(q.SID, now)
	if r == nil {
		return session.Record{}, session.ErrNotFound
	}
	before := r.rec
	switch {
	case r.revoked == a:
		before.Revoked, before.Closed = "", false
		return before, nil
	case before.Revoked != "" || (before.Closed && q.KeepAccess):
		return before, nil
	case q.KeepAccess && now.Before(before.AccessEnds):
		r.rec.Closed = true
		if now.Before(r.rec.Ends) {
			r.rec.Ends = now
		}
		r.until = r.rec.AccessEnds.Add(closedKeep)
	default:
		r.revoke(q.Reason, now)
	}
	r.revoked = a
	return before, m.lost("revoke")
}

// membership is what the index keeps of a session.
type membership struct {
	used int // the larger, the later
	end  time.Time
}

// Add implements session.Index.
func (m *Memory) Add(_ context.Context, owner string, s session.Member, limit int) ([]token.SID, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return nil, err
	}
	if epoch, ok := m.epochs[owner]; ok && !s.Proved.IsZero() && !epoch.Before(s.Proved) {
		return nil, session.ErrOutdated
	}
	l, now := m.lists[owner], clock()
	if l == nil {
		l = map[token.SID]membership{}
		m.lists[owner] = l
	}
	last := 0
	for sid, x := range l {
		last = max(last, x.used)
		if !now.Before(x.end) {
			delete(l, sid)
		}
	}
	end := s.End
	if old := l[s.SID]; old.end.After(end) {
		end = old.end
	}
	l[s.SID] = membership{used: last + 1, end: end}
	if limit == 0 || len(l) <= limit {
		return nil, m.lost("add")
	}
	return byUse(l)[:len(l)-limit], m.lost("add")
}

func byUse(l map[token.SID]membership) []token.SID {
	sids := make([]token.SID, 0, len(l))
	for sid := range l {
		sids = append(sids, sid)
	}
	slices.SortFunc(sids, func(a, b token.SID) int { return l[a].used - l[b].used })
	return sids
}

// List implements session.Index.
func (m *Memory) List(_ context.Context, owner string) ([]token.SID, error) {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return nil, err
	}
	now := clock()
	return slices.DeleteFunc(byUse(m.lists[owner]), func(sid token.SID) bool {
		return !now.Before(m.lists[owner][sid].end)
	}), nil
}

// Remove implements session.Index.
func (m *Memory) Remove(_ context.Context, owner string, sid token.SID) error {
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return err
	}
	delete(m.lists[owner], sid)
	return nil
}
