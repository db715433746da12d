// Package upstreamtest holds the contract that every upstream.Store, upstream.Pins,
// upstream.Duties and upstream.Challenges passes, a store in memory for tests of other packages, and
// Fabric, a small IP Fabric to put behind the gateway.
package upstreamtest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// Memory is an upstream.Store, upstream.Pins, upstream.Duties and
// upstream.Challenges in memory. Its clock is time.Now, so it may be used inside a synctest bubble. It is safe for
// concurrent use.
type Memory struct {
	mu       sync.Mutex
	records  map[upstream.Ref]*kept // guarded by mu
	sessions map[string]session     // guarded by mu, by owner
	follows  func(token.SID) (ends time.Time, revoked, known bool)
	due      map[[2]string]map[string]time.Time // guarded by mu, by backend and pool
	asked    map[[2]string]challenge            // guarded by mu, by backend and id
	broken   map[string]error                   // guarded by mu, by operation
}

// session is a client session as far as backend sessions care.
type session struct {
	ends    time.Time
	revoked bool
}

// kept is one backend session.
type kept struct {
	rec        upstream.Record
	expires    time.Time
	commits    []string // attempts that were taken, the newest first
	state      string   // "", "dead", "ended"
	holder     string
	lease      time.Time
	call       time.Time // when the holder's call has ended at the latest
	doubt      time.Time // the same of holders whose lease was taken over
	notBefore  time.Time
	failedWith string
	opening    time.Time
	out        string
	outLease   time.Time
	gone       time.Time // the record is forgotten then; zero: never
	tries      tries
}

// keptAttempts is how many attempts of commits are known again.
const keptAttempts = 4

// tries are the counted login attempts of one credential.
type tries struct {
	digest string
	places [upstream.MaxAttempts]try
}

// try is one of them; its zero value is a free place.
type try struct {
	id       string
	till     time.Time
	rejected bool
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{
		records: map[upstream.Ref]*kept{}, sessions: map[string]session{},
		due: map[[2]string]map[string]time.Time{}, asked: map[[2]string]challenge{}, broken: map[string]error{},
	}
}

// Follow has the client sessions be those of another store, instead of what
// OpenSession and the like say. It is called before use; lookup answers when a
// session ends, whether it was revoked, and whether there is a trace of it.
func (m *Memory) Follow(lookup func(token.SID) (ends time.Time, revoked, known bool)) {
	m.follows = lookup
}

// session returns the client session of an owner. The caller holds mu.
func (m *Memory) session(owner string) (session, bool) {
	if m.follows == nil {
		s, ok := m.sessions[owner]
		return s, ok
	}
	sid, err := token.ParseSID(owner)
	if err != nil {
		return session{}, false
	}
	ends, revoked, known := m.follows(sid)
	return session{ends: ends, revoked: revoked}, known
}

// OpenSession has a client session live for ttl.
func (m *Memory) OpenSession(sid token.SID, ttl time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[sid.String()] = session{ends: time.Now().Add(ttl)}
}

// RevokeSession leaves a revoked session behind, as a logout does.
func (m *Memory) RevokeSession(sid token.SID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[sid.String()] = session{revoked: true}
}

// DropSession has a client session be gone without a trace.
func (m *Memory) DropSession(sid token.SID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, sid.String())
}

// Break has an operation ("Acquire", "Commit", "Release", "End", "Attempt",
// "Pin", "Add", "Due", "Remove", "Keep", "Find", "Drop") fail with err until it is nil again.
func (m *Memory) Break(op string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken[op] = err
}

// Dump returns every value that is stored, for tests that look for secrets.
func (m *Memory) Dump() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for ref, k := range m.records {
		all = append(all, ref.Owner, ref.Backend, k.rec.Access, k.rec.Refresh, k.tries.digest)
	}
	for at, c := range m.asked {
		all = append(all, at[0], at[1], c.sealed)
	}
	for pool, owners := range m.due {
		all = append(all, pool[0], pool[1])
		for owner := range owners {
			all = append(all, owner)
		}
	}
	return all
}

// at returns the record of r, a new one if there is none. The caller holds mu.
func (m *Memory) at(r upstream.Ref) *kept {
	k := m.records[r]
	if k == nil || !k.gone.IsZero() && time.Now().After(k.gone) {
		k = &kept{}
		m.records[r] = k
	}
	return k
}

// gone reports whether the session that owns r is over, revoked or missing. The
// caller holds mu.
func (m *Memory) gone(r upstream.Ref) (over, missing bool) {
	if !r.OfSession() {
		return false, false
	}
	s, ok := m.session(r.Owner)
	return !ok || s.revoked || time.Now().After(s.ends), !ok
}

func (k *kept) record(now time.Time) upstream.Record {
	rec := k.rec
	if rec.Life > 0 {
		rec.Left = k.expires.Sub(now)
	}
	return rec
}

// Acquire implements upstream.Store.
func (m *Memory) Acquire(_ context.Context, c upstream.Claim) (upstream.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["Acquire"]; err != nil {
		return upstream.Answer{}, err
	}
	k, now := m.at(c.Ref), time.Now()
	if over, missing := m.gone(c.Ref); over && (!missing || !now.Before(k.opening)) {
		return upstream.Answer{State: upstream.Gone}, nil
	}
	if c.Ref.OfSession() && (k.state == "ended" || !c.Opens && (k.state != "" || k.rec.Access == "")) {
		return upstream.Answer{State: upstream.Dead}, nil
	}
	mine := k.holder == c.Holder
	switch {
	case k.rec.Access != "" && k.rec.Version > c.Seen:
		return upstream.Answer{State: upstream.Fresh, Record: k.record(now)}, nil
	case c.Lease == 0:
		return upstream.Answer{State: upstream.Dead}, nil
	case c.Renew && !mine:
		return upstream.Answer{State: upstream.Wait}, nil
	case k.holder != "" && !mine && now.Before(k.lease):
		return upstream.Answer{State: upstream.Wait, Wait: k.lease.Sub(now)}, nil
	case !mine && k.failedWith == c.With && now.Before(k.notBefore):
		return upstream.Answer{State: upstream.BackOff, Wait: k.notBefore.Sub(now)}, nil
	}
	return k.lead(c, mine, now), nil
}

// lead gives the lease, unless a strict claim has to wait for another's call.
func (k *kept) lead(c upstream.Claim, mine bool, now time.Time) upstream.Answer {
	doubt := k.doubt
	if k.holder != "" && !mine && k.call.After(doubt) {
		doubt = k.call
	}
	wait := max(0, doubt.Sub(now))
	if wait > 0 && !mine && c.Strict {
		return upstream.Answer{State: upstream.Doubt, Wait: wait}
	}
	if !mine {
		k.call = time.Time{}
	}
	k.holder, k.lease, k.doubt = c.Holder, now.Add(c.Lease), doubt
	if c.Call > 0 {
		k.call = now.Add(c.Call)
	}
	return upstream.Answer{State: upstream.Lead, Record: k.record(now), Wait: wait}
}

// Commit implements upstream.Store.
func (m *Memory) Commit(_ context.Context, c upstream.Commit) (upstream.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["Commit"]; err != nil {
		return upstream.Answer{}, err
	}
	k, now := m.at(c.Ref), time.Now()
	switch slices.Index(k.commits, c.Attempt) {
	case -1:
	case 0:
		return upstream.Answer{State: upstream.Done}, nil
	default:
		return upstream.Answer{State: upstream.Fresh, Record: k.record(now)}, nil
	}
	over, missing := m.gone(c.Ref)
	opens := missing && (c.Opening > 0 && k.rec.Version == 0 || now.Before(k.opening))
	if over && !opens || k.state == "ended" {
		return upstream.Answer{State: upstream.Gone}, nil
	}
	if c.Record.Version != k.rec.Version+1 {
		return upstream.Answer{State: upstream.Stale, Record: k.record(now)}, nil
	}
	c.Record.Pinned = k.rec.Pinned
	k.rec, k.state = c.Record, ""
	k.commits = append([]string{c.Attempt}, k.commits[:min(len(k.commits), keptAttempts-1)]...)
	k.expires, k.notBefore, k.tries, k.doubt = now.Add(c.Record.Left), time.Time{}, tries{}, time.Time{}
	if k.holder == c.Holder {
		k.holder, k.call = "", time.Time{}
	}
	if c.Opening > 0 {
		k.opening = now.Add(c.Opening)
	}
	return upstream.Answer{State: upstream.Done}, nil
}

// wipe drops the tokens.
func (k *kept) wipe() {
	k.rec.Access, k.rec.Refresh, k.rec.Life, k.rec.Left, k.rec.Pinned = "", "", 0, 0, false
}

// Release implements upstream.Store.
func (m *Memory) Release(_ context.Context, r upstream.Release) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["Release"]; err != nil {
		return err
	}
	k := m.at(r.Ref)
	same := k.rec.Version == r.Version
	if r.Outcome == upstream.LoggedOut {
		if k.out == r.Holder && same {
			k.wipe()
		}
		if k.out == r.Holder {
			k.out = ""
		}
		return nil
	}
	if k.holder != r.Holder {
		return nil
	}
	k.holder, k.call = "", time.Time{}
	switch {
	case r.Outcome == upstream.Failed:
		k.rec.Failures++
		k.notBefore, k.failedWith = time.Now().Add(r.BackOff), r.With
	case same:
		k.wipe()
		if r.Ref.OfSession() {
			k.state = "dead"
		}
	}
	return nil
}

// End implements upstream.Store.
func (m *Memory) End(_ context.Context, f upstream.Farewell) (upstream.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["End"]; err != nil {
		return upstream.Answer{}, err
	}
	k, now := m.at(f.Ref), time.Now()
	owned := f.Ref.OfSession()
	if k.rec.Access == "" {
		if owned && !f.IfGone {
			k.state, k.gone = "ended", now.Add(upstream.KeepEnded)
		}
		return upstream.Answer{State: upstream.Dead}, nil
	}
	if f.IfGone {
		if a, ok := m.alive(f.Ref, k); ok {
			return a, nil
		}
	}
	if k.out != "" && k.out != f.Holder && now.Before(k.outLease) {
		return upstream.Answer{State: upstream.Wait, Wait: k.outLease.Sub(now)}, nil
	}
	if till := k.renewing(); now.Before(till) {
		return upstream.Answer{State: upstream.Wait, Wait: till.Sub(now)}, nil
	}
	k.out, k.outLease = f.Holder, now.Add(f.Lease)
	if owned {
		k.state, k.gone = "ended", now.Add(upstream.KeepEnded)
	}
	return upstream.Answer{State: upstream.Done, Record: k.record(now)}, nil
}

// renewing returns until when the tokens may be being renewed.
func (k *kept) renewing() time.Time {
	till := k.doubt
	if k.holder == "" {
		return till
	}
	for _, t := range []time.Time{k.lease, k.call} {
		if t.After(till) {
			till = t
		}
	}
	return till
}

// alive answers for an owner that lives, or is about to be opened.
func (m *Memory) alive(r upstream.Ref, k *kept) (upstream.Answer, bool) {
	over, missing := m.gone(r)
	switch {
	case missing && time.Now().Before(k.opening):
		return upstream.Answer{State: upstream.Alive, Wait: time.Until(k.opening), Record: k.record(time.Now())}, true
	case over:
		return upstream.Answer{}, false
	}
	if !r.OfSession() {
		return upstream.Answer{State: upstream.Alive, Record: k.record(time.Now())}, true
	}
	s, _ := m.session(r.Owner)
	return upstream.Answer{State: upstream.Alive, Wait: time.Until(s.ends), Record: k.record(time.Now())}, true
}

// Pin implements upstream.Pins.
func (m *Memory) Pin(_ context.Context, r upstream.Ref, pinned bool) (upstream.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["Pin"]; err != nil {
		return upstream.Answer{}, err
	}
	k := m.at(r)
	switch over, missing := m.gone(r); {
	case k.state == "ended", over && (!missing || !time.Now().Before(k.opening)):
		return upstream.Answer{State: upstream.Gone}, nil
	case k.rec.Access == "":
		return upstream.Answer{State: upstream.Dead}, nil
	}
	k.rec.Pinned = pinned
	return upstream.Answer{State: upstream.Done}, nil
}

// Attempt implements upstream.Store.
func (m *Memory) Attempt(_ context.Context, a upstream.Attempt) (upstream.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.broken["Attempt"]; err != nil {
		return upstream.Answer{}, err
	}
	k := m.at(a.Ref)
	switch a.Trial {
	case upstream.Begin:
		return k.tries.begin(a), nil
	case upstream.Forgiven:
		k.tries, k.notBefore, k.failedWith, k.rec.Failures = tries{}, time.Time{}, "", 0
		return upstream.Answer{State: upstream.Done}, nil
	}
	if k.tries.digest == a.Digest {
		k.tries.conclude(a)
	}
	return upstream.Answer{State: upstream.Done}, nil
}

func (t *tries) conclude(a upstream.Attempt) {
	if a.Trial == upstream.Accepted {
		*t = tries{}
		return
	}
	for i := range t.places {
		if p := &t.places[i]; p.id == a.ID {
			*p = try{rejected: a.Trial == upstream.Rejected}
		}
	}
}

func (t *tries) begin(a upstream.Attempt) upstream.Answer {
	if t.digest != a.Digest {
		*t = tries{digest: a.Digest}
	}
	now, free, wait := time.Now(), -1, time.Duration(0)
	for i, p := range t.places {
		switch {
		case p.id == a.ID:
			return upstream.Answer{State: upstream.Done}
		case p == try{}:
			free = i
		case p.id != "":
			wait = max(wait, p.till.Sub(now))
		}
	}
	switch {
	case free >= 0:
		t.places[free] = try{id: a.ID, till: now.Add(a.Window)}
		return upstream.Answer{State: upstream.Done}
	case wait > 0:
		return upstream.Answer{State: upstream.Wait, Wait: wait}
	}
	return upstream.Answer{State: upstream.Stopped}
}

// Clear loses everything, as FLUSHALL does.
func (m *Memory) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.records)
	clear(m.sessions)
	clear(m.due)
	clear(m.asked)
}
