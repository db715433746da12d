package session

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// calmAfter is how long after a reconnect reuse does not revoke: another server
// may answer now that lacks the last rotations, or has lost those that healed, and
// honest tokens look old to it.
const calmAfter = time.Minute

// Refresh trades a refresh token for new tokens. With rotation the set holds
// the successor, without it no refresh token: the old one stays good. A repeat
// within the grace gets the very same tokens and what is left of their life.
//
// In pass-through mode the backend's tokens are renewed first; if the backend
// could not be asked, the client's token is not used up.
//
// Errors are *token.Error: InvalidRefresh, WrongToken, or Unavailable.
func (m *Manager) Refresh(ctx context.Context, iss *Issuer, g token.Grant) (token.Set, error) {
	set, outcome, err := m.refresh(ctx, iss, g)
	if isKind(err, token.WrongToken) {
		outcome = refreshOutcome(Refused)
	} else if err != nil && token.KindOf(err) != token.InvalidRefresh && !clientFault(err) {
		outcome = "unavailable"
	}
	m.o.Recorder.Refresh(iss.Dialect, outcome)
	return set, err
}

func (m *Manager) refresh(ctx context.Context, iss *Issuer, g token.Grant) (token.Set, string, error) {
	iss, err := iss.forGrant(g, GrantRefresh)
	if err != nil {
		return token.Set{}, refreshOutcome(Refused), err
	}
	sid, generation, err := m.codes.openRefresh(iss, g.Refresh)
	if err != nil {
		return token.Set{}, refreshOutcome(Refused), err
	}
	if err := m.widens(ctx, iss, sid, g); err != nil {
		return token.Set{}, refreshOutcome(Refused), err
	}
	m.house.backends.know(iss)
	if iss.Backend != nil {
		arrived := time.Now()
		one, leave, err := m.doors.turns.enter(ctx, sid, 1, 0)
		if err != nil {
			return token.Set{}, "", unavailable(err)
		}
		defer leave()
		if m.breaker.failedSince(arrived) {
			return token.Set{}, "", unavailable(errQueued)
		}
		if err := m.renewBackend(ctx, iss, turn{arrived, &one.state}, sid, generation); err != nil {
			return token.Set{}, refreshOutcome(Gone), err
		}
	}
	begun := m.now()
	turn, err := m.rotate(ctx, iss, sid, generation)
	if err != nil {
		return token.Set{}, "", err
	}
	set, err := m.answer(ctx, iss, turn, begun)
	return set, refreshOutcome(turn.Outcome), err
}

func (m *Manager) rotate(ctx context.Context, iss *Issuer, sid token.SID, generation uint32) (Turn, error) {
	r := Rotation{
		SID: sid, Presented: generation, Client: iss.clientID(), Rotates: iss.Rotates,
		Grace: min(max(iss.Grace, 0), time.Minute), RefuseReuse: iss.RefuseReuse || m.calming(), Life: lifeOf(iss, KindLogin),
	}
	var t Turn
	a := NewAttempt()
	err := m.ask(ctx, "rotate", func(ctx context.Context) (err error) {
		t, err = m.o.Store.Rotate(ctx, a, r)
		return err
	})
	return t, err
}

// widens refuses a refresh that names a scope which was not granted (RFC 6749
// section 6). Fewer may be named, and all come back.
func (m *Manager) widens(ctx context.Context, iss *Issuer, sid token.SID, g token.Grant) error {
	if iss.client == nil || g.Scopes == nil {
		return nil
	}
	_, b, err := m.learn(ctx, sid, 0)
	switch {
	case isKind(err, token.Unavailable):
		return err
	case err == nil && len(common(g.Scopes, b.rec.Origin.Scopes)) != len(g.Scopes):
		return errInvalidScope
	}
	return nil // the rotation says what is wrong with the token
}

func (m *Manager) calming() bool {
	at := m.contact.reset.Load()
	return at != 0 && m.now()-at < int64(calmAfter)
}

// answer does what the outcome of a rotation asks for.
func (m *Manager) answer(ctx context.Context, iss *Issuer, t Turn, begun int64) (token.Set, error) {
	rec := &t.Record
	switch t.Outcome {
	case Rotated, Grace, Healed:
		id, ok := m.current(rec)
		if !ok {
			if err := m.End(ctx, rec.SID, reasonUserGone); err != nil {
				return token.Set{}, err
			}
			return token.Set{}, errInvalidRefresh
		}
		m.remember(*rec, begun)
		m.house.used(rec)
		set, err := m.mint(iss, rec, id, t.Now)
		if !iss.Rotates {
			set.Refresh = token.Secret{}
		}
		return set, err
	case Reused:
		m.o.Log.WarnContext(ctx, "refresh token was used again", "session", rec.SID.Short(), "revoked", rec.Revoked != "")
		if rec.Revoked != "" {
			m.ended(ctx, rec, reasonReuse)
		}
	case Ended:
		m.ended(ctx, rec, reasonRevoked)
	case Gone:
		if rec.Revoked != "" { // said again: whoever missed the first word hears it now
			m.announce(ctx, rec.SID, rec.Revoked)
		}
	case Expired:
		m.endBackend(rec)
	}
	return token.Set{}, errInvalidRefresh
}

// turn is one of the pass-through refreshes of a session, which go one after the
// other, so that one renewal of the backend serves all that wait for it.
type turn struct {
	arrived time.Time
	renewed *time.Time // when one of those there last renewed the backend
}

// renewBackend renews the backend session if this refresh would move the client
// session on. The answer of a rotation repeated is not a reason to renew again,
// and neither is a call that waited while another one renewed.
func (m *Manager) renewBackend(ctx context.Context, iss *Issuer, t turn, sid token.SID, generation uint32) error {
	var rec Record
	err := m.ask(ctx, "read", func(ctx context.Context) (err error) {
		rec, err = m.o.Store.Lookup(ctx, sid)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return errInvalidRefresh
	}
	if err != nil {
		return err
	}
	if !m.movesOn(&rec, generation) || t.arrived.Before(*t.renewed) {
		return nil
	}
	err = iss.Backend.Renew(ctx, sid, token.Grant{Op: token.OpRefresh})
	if err == nil {
		*t.renewed = time.Now()
		return nil
	}
	if token.KindOf(err) != token.InvalidRefresh {
		return err
	}
	if err := m.End(ctx, sid, reasonBackendDead); err != nil {
		return err
	}
	return errInvalidRefresh
}

// movesOn foretells whether a rotation would be Rotated or Healed. It may be
// wrong about the last moments of a life; the store then decides.
func (m *Manager) movesOn(r *Record, presented uint32) bool {
	return r.Revoked == "" && !r.Closed && m.clock().Before(r.Ends) &&
		presented >= r.Generation && presented <= r.Generation+HealAhead
}

func refreshOutcome(o Outcome) string {
	switch o {
	case Rotated, Grace, Reused, Healed, Expired:
		return string(o)
	}
	return "refused"
}
