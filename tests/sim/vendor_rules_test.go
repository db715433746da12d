package sim_test

import (
	"encoding/json"
	"time"
)

// present notes that a refresh token arrives at the backend, and judges whether it
// may: none may come twice, unless the rules for calls in doubt say so. Those are:
//   - a call that the backend turned away, without looking at the token, is none;
//   - once the answer to a call is lost, or the one who made it is gone before he
//     stored what it brought, the token may be presented again when that call has
//     ended or its deadline has passed;
//   - what was stored, and is still there, must never be asked for again; and if a
//     failover lost it, only when he who got it is gone too.
func (v *vendor) present(c *call, deadline time.Time) *presentation {
	var in struct{ RefreshToken string }
	_ = json.Unmarshal(c.body, &in) // what cannot be read is refused as unknown
	v.mu.Lock()
	defer v.mu.Unlock()
	c.token = in.RefreshToken
	t := v.refresh[in.RefreshToken]
	shown := &presentation{by: c.p, began: time.Now(), deadline: deadline, unused: c.mood == moodBusy}
	if t == nil {
		return shown
	}
	c.w.note("%s: presents %s %s", c.p.name, c.mode, t.refresh)
	for _, before := range t.shown {
		if why, open := v.twice(t, before); why != "" {
			c.w.violateAs(open, "%s presents %s of %s a second time: %s", c.p.name, t.refresh, t.family.user, why)
		}
	}
	if t.void {
		shown.why = v.beyond(t.family)
		t.family.again, t.family.againAt = shown.why, time.Now()
	}
	t.shown, t.family.calls = append(t.shown, shown), append(t.family.calls, shown)
	return shown
}

// twice says why a token must not be presented again after a call; empty: it may.
// open names the gap of the product that this belongs to, if it is a known one.
func (v *vendor) twice(t *pair, before *presentation) (why, open string) {
	past := !time.Now().Before(before.deadline)
	if v.w.lostBetween(before.began.Add(-100*time.Millisecond), before.began) {
		open = openLease
	}
	switch {
	case before.unused:
		return "", ""
	case !before.over && !before.by.crashed.Load():
		return "the renewal of " + before.by.name + " is under way", open
	case !before.over && !past:
		return "the call of " + before.by.name + ", which has crashed, may be under way", open
	case !before.rotated:
		return "", ""
	}
	next := t.next
	cutOff := past && !v.w.clean(before.deadline.Add(-v.w.plan.limits.Call), next.to.replica)
	switch {
	case next.stored && cutOff && time.Since(next.storedAt) < time.Second:
		return "", "" // it came back when the lease had just been given to another
	case next.stored:
		return "what it was traded for is stored", open
	case !next.delivered:
		return "", ""
	case next.to.crashed.Load() && (past || !next.lostAt.IsZero()):
		return "", ""
	case next.to.crashed.Load():
		return "the call of " + next.to.name + ", which has crashed, may be under way", open
	case !next.lostAt.IsZero():
		return next.to.name + " still has what it was traded for, which a failover lost", openCommit
	case cutOff:
		return "", ""
	}
	return next.to.name + " has what it was traded for and is about to store it", open
}

// beyond says why a family's newest tokens are out of the gateway's reach, so that
// its end can be excused; empty: they are not. The caller holds mu.
func (v *vendor) beyond(f *family) string {
	switch last := f.last; {
	case last.stored:
		return ""
	case !last.delivered:
		return "the backend's answer was lost"
	case last.to.crashed.Load() && !last.lostAt.IsZero():
		return "a failover lost the commit, and the one who made it crashed"
	case last.to.crashed.Load():
		return "the replica crashed between the backend's rotation and the commit"
	case last.lostAt.IsZero() && !v.w.clean(time.Now().Add(-2*v.w.plan.limits.Call-4*time.Second), last.to.replica):
		return "the one who has the new tokens was cut off from the store beyond the call's deadline"
	}
	return ""
}

// stored notes that the store took a pair.
func (v *vendor) stored(refresh string) *family {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.refresh[refresh]
	if t == nil {
		return nil
	}
	t.stored, t.storedAt, t.lostAt = true, time.Now(), time.Time{}
	return t.family
}

// failover notes that the store lost what it took since a time.
func (v *vendor) failover(since time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, t := range v.refresh {
		if t.stored && !t.storedAt.Before(since) {
			t.stored, t.lostAt = false, time.Now()
		}
	}
}

// leaves notes that a family is about to be logged out.
func (v *vendor) leaves(f *family) {
	if f == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	f.leaving = true
}

// truth says why a family's end can be excused.
func (v *vendor) truth(f *family) string {
	if f == nil {
		return ""
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch why := v.beyond(f); {
	case f.ended:
		return f.why
	case why == "" && time.Since(f.againAt) < 2*v.w.plan.limits.Call:
		return f.again // what was out of reach came back after the backend's refusal
	default:
		return why
	}
}
