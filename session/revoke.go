package session

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Reasons for which a session ends, the closed list of Recorder.Ended.
const (
	reasonLogout      = "logout"
	reasonReuse       = "reuse"
	reasonRevoked     = "revoked"
	reasonEvicted     = "evicted"
	reasonUserGone    = "user_gone"
	reasonBackendDead = "backend_dead"
)

// Logout ends a session at once or, where iss.VendorLogout says so, closes it
// for refreshing only; its backend session then ends with the last access
// token. A session that is gone already is no error.
func (m *Manager) Logout(ctx context.Context, iss *Issuer, sid token.SID) error {
	m.house.backends.know(iss)
	if !iss.VendorLogout {
		return m.End(ctx, sid, reasonLogout)
	}
	closing := Revocation{SID: sid, Reason: reasonLogout, KeepAccess: true}
	rec, err := m.revoke(ctx, closing)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if rec.Revoked == "" && !rec.Closed {
		m.house.revoked(closing)
		m.o.Recorder.Ended(reasonLogout)
		m.close(ctx, &rec)
		if iss.Backend != nil {
			m.house.later(due{at: rec.AccessEnds, sid: sid, source: iss.Source, backend: iss.Backend})
		}
	}
	return nil
}

// close moves a session from the list of its owner to that of the closed ones,
// which do not count as his but whose access tokens an operator can still end.
func (m *Manager) close(ctx context.Context, rec *Record) {
	err := m.addTo(ctx, ownerOf(rec)+closedSuffix, Member{SID: rec.SID, End: rec.AccessEnds})
	if err != nil {
		m.o.Log.WarnContext(ctx, "closed session stays in the list of the open ones", "session", rec.SID.Short(), "error", err)
		return
	}
	m.unlist(ctx, ownerOf(rec), rec.SID)
}

// End revokes a session at once on every replica, and ends its backend session.
// reason is one that Recorder.Ended knows. A session that is gone already is no
// error; Unavailable means that it has not ended.
func (m *Manager) End(ctx context.Context, sid token.SID, reason string) error {
	_, err := m.end(ctx, sid, reason)
	return err
}

// end is End and says whether it was this call that ended the session.
func (m *Manager) end(ctx context.Context, sid token.SID, reason string) (ended bool, err error) {
	rec, err := m.revoke(ctx, Revocation{SID: sid, Reason: reason})
	switch {
	case errors.Is(err, ErrNotFound), err == nil && rec.Revoked != "":
		m.drop(sid)
		m.announce(ctx, sid, reason)
		return false, nil
	case err != nil:
		return false, err
	}
	m.ended(ctx, &rec, reason)
	return true, nil
}

func (m *Manager) revoke(ctx context.Context, r Revocation) (Record, error) {
	var rec Record
	a := NewAttempt()
	err := m.tell(ctx, "revoke", func(ctx context.Context) (err error) {
		rec, err = m.o.Store.Revoke(ctx, a, r)
		return err
	})
	return rec, err
}

// ended does what follows once the store has ended a session.
func (m *Manager) ended(ctx context.Context, rec *Record, reason string) {
	m.drop(rec.SID)
	m.doors.chosen.remove(rec.SID)
	m.house.revoked(Revocation{SID: rec.SID, Reason: reason})
	m.announce(ctx, rec.SID, reason)
	m.unlist(ctx, ownerOf(rec), rec.SID)
	if rec.Closed {
		m.unlist(ctx, ownerOf(rec)+closedSuffix, rec.SID)
	}
	if rec.API != nil && rec.API.Digest != "" {
		m.unlist(ctx, chosenOwner, rec.SID)
	}
	m.endBackend(rec)
	m.o.Recorder.Ended(reason)
	m.o.Log.InfoContext(ctx, "session ended", "session", rec.SID.Short(), "reason", reason)
}

// endBackend ends what a session holds at backends.
func (m *Manager) endBackend(rec *Record) {
	if m.o.OnEnd != nil {
		m.o.OnEnd(rec.SID)
	}
	if b := m.house.backends.of(rec.Origin.Source); b != nil {
		b.End(rec.SID)
	}
}

// announce tells all replicas. A failure only lengthens the wait: they read the
// tombstone within the ceiling.
func (m *Manager) announce(ctx context.Context, sid token.SID, reason string) {
	m.publish(ctx, Event{Kind: EventRevoked, SID: sid, Reason: reason})
}

func (m *Manager) publish(ctx context.Context, e Event) {
	if m.o.Feed == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	if err := m.o.Feed.Announce(ctx, e); err != nil {
		m.o.Log.WarnContext(ctx, "event was not announced", "kind", string(e.Kind), "session", e.SID.Short(), "error", err)
	}
}

func (m *Manager) unlist(ctx context.Context, owner string, sid token.SID) {
	err := m.ask(ctx, "unlist", func(ctx context.Context) error { return m.o.Index.Remove(ctx, owner, sid) })
	if err != nil {
		m.o.Log.WarnContext(ctx, "ended session stays listed", "session", sid.Short(), "error", err)
	}
}

// heard takes an event of the feed.
func (m *Manager) heard(e Event) {
	switch e.Kind {
	case EventRevoked:
		m.drop(e.SID)
		m.doors.chosen.remove(e.SID)
	case EventChosen:
		m.doors.chosen.add(e.SID)
	case EventKeys:
		m.o.OnKeys()
	case EventAlive:
		now := time.Now()
		m.contact.alive(m.mono(now), now.Sub(e.At))
	case EventReset, EventFailover:
		m.missed()
	}
}

// missed: from here on memory counts as unread, until pings return. Whoever
// answers then may be another server.
func (m *Manager) missed() {
	m.contact.reset.Store(m.now())
	m.contact.lost.Store(true)
	m.doors.chosen.forget()
	m.house.reassert.Store(true)
}
