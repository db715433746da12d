package session

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Renew trades user name, password and an access token that is still good for
// the access token that follows it. The session stays the same, and with it
// whatever hangs on it at the backend. A repeat within the grace gets the very
// same token. Since the password is proved, an older token is refused but never
// taken for a stolen one.
//
// In pass-through mode it is the backend that proves the password, by renewing
// with it, so it is asked for every renewal.
//
// Errors are *token.Error: InvalidAccess for a token that is none of ours or
// whose session has ended, expired or moved on; BadCredentials for a password
// that is wrong or a token that is somebody else's; those of Login besides.
func (m *Manager) Renew(ctx context.Context, iss *Issuer, g token.Grant) (token.Set, error) {
	set, outcome, err := m.renew(ctx, iss, g)
	if err != nil && outcome == "" {
		outcome = renewOutcome(err)
	}
	m.o.Recorder.Refresh(iss.Dialect, outcome)
	return set, err
}

// renew returns no outcome where the error says all.
func (m *Manager) renew(ctx context.Context, iss *Issuer, g token.Grant) (token.Set, string, error) {
	sid, generation, ok := m.codes.openAccess(iss, g.Access)
	if !ok {
		return token.Set{}, "", errInvalidAccess
	}
	m.house.backends.know(iss)
	if iss.Backend != nil { // one after the other, so that each finds the record as the one before left it
		arrived := time.Now()
		_, leave, err := m.doors.turns.enter(ctx, sid, 1, 0)
		if err != nil {
			return token.Set{}, "", unavailable(err)
		}
		defer leave()
		if m.breaker.failedSince(arrived) {
			return token.Set{}, "", unavailable(errQueued)
		}
	}
	rec, outcome, err := m.renewable(ctx, iss, sid, generation)
	if err != nil {
		return token.Set{}, outcome, err
	}
	if err := m.proveOwner(ctx, iss, &rec, g); err != nil {
		return token.Set{}, "", err
	}
	begun := m.now()
	proved := *iss
	proved.Rotates, proved.RefuseReuse = true, true
	turn, err := m.rotate(ctx, &proved, sid, generation)
	if err != nil {
		return token.Set{}, "", err
	}
	set, err := m.answer(ctx, &proved, turn, begun)
	if isKind(err, token.InvalidRefresh) {
		err = errInvalidAccess // there is no refresh token to speak of
	}
	return set, refreshOutcome(turn.Outcome), err
}

// renewable reads the session of a token and foretells whether it can be renewed,
// so that no password is asked about and no backend troubled for one that cannot.
// It may be wrong about the last moments of a life or a grace; the store decides.
func (m *Manager) renewable(ctx context.Context, iss *Issuer, sid token.SID, generation uint32) (Record, string, error) {
	var rec Record
	err := m.ask(ctx, "read", func(ctx context.Context) (err error) {
		rec, err = m.o.Store.Lookup(ctx, sid)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return rec, "", errInvalidAccess
	case err != nil:
		return rec, "", err
	case rec.Origin.Kind != KindLogin || rec.Origin.Issuer != iss.Name || rec.Origin.Source != iss.Source:
		return rec, "", errInvalidAccess
	case rec.Revoked != "" || rec.Closed || generation > rec.Generation+HealAhead:
		return rec, "", errInvalidAccess
	case !m.clock().Before(rec.Ends):
		return rec, refreshOutcome(Expired), errInvalidAccess
	case generation < rec.Generation && time.Since(rec.Made) >= iss.Grace:
		return rec, refreshOutcome(Reused), errInvalidAccess
	}
	return rec, "", nil
}

// proveOwner checks the password of a renewal as that of a login, by the same
// throttle, and that it is the password of the session's own user. His is the
// only backend session that a password is tried on.
func (m *Manager) proveOwner(ctx context.Context, iss *Issuer, rec *Record, g token.Grant) error {
	if iss.Backend == nil {
		id, _, err := m.prove(ctx, iss, token.NewSID(), KindBasic, g)
		if err == nil && id.ID != rec.Identity.ID {
			return errBadCredentials
		}
		return err
	}
	if g.Username != rec.Identity.Name {
		return errBadCredentials
	}
	by := *iss
	by.Verifier, by.Backend = renewal{iss.Backend, rec.Identity}, nil // what fails here ends no backend session
	_, _, err := m.prove(ctx, &by, rec.SID, KindBasic, g)
	if !isKind(err, token.InvalidRefresh) {
		return err
	}
	if err := m.End(ctx, rec.SID, reasonBackendDead); err != nil {
		return err
	}
	return errInvalidAccess
}

// renewal is the Verifier of a renewal in pass-through mode.
type renewal struct {
	backend Backend
	owner   token.Identity
}

// Verify implements Verifier.
func (r renewal) Verify(ctx context.Context, sid token.SID, g token.Grant) (token.Identity, error) {
	return r.owner, r.backend.Renew(ctx, sid, g)
}

func renewOutcome(err error) string {
	switch token.KindOf(err) {
	case token.Unavailable, token.BadGateway, token.GatewayTimeout, token.Internal:
		return "unavailable"
	}
	return refreshOutcome(Refused)
}
