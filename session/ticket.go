package session

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// ticket says that somebody proved his password on the sign-in page, and what
// was then asked of him. The browser carries it, sealed, to the next page. It
// opens nothing: without the second factor it is worth as much as the password.
type ticket struct {
	Identity token.Identity `json:"identity"`
	Username string         `json:"username"` // as it was entered, for the throttle
	Method   string         `json:"method"`
	Session  string         `json:"session,omitempty"` // names a request for approval
	Until    time.Time      `json:"until"`
	Proved   time.Time      `json:"proved,omitzero"` // see Origin.Proved
}

func ticketPlace(iss *Issuer) seal.Place {
	return seal.Place{Owner: "ticket", Backend: iss.Source, Field: iss.Name}
}

// halfProved does what a second factor that is missing or wrong asks for, and
// returns the error for the caller. t says who has proved his password, and when.
func (m *Manager) halfProved(ctx context.Context, iss *Issuer, kind Kind, t ticket, g token.Grant, err error) error {
	if isKind(err, token.BadCredentials) {
		account, address := m.failureKeys(iss, g)
		m.countFailure(ctx, account, address)
	}
	e, ok := errors.AsType[*token.Error](err)
	if !ok || e.Challenge == nil || kind != KindPortal {
		return err
	}
	t.Username, t.Method, t.Session, t.Until = g.Username, e.Challenge.Method, e.Challenge.Session, m.clock().Add(ChallengeLife)
	// On the roll, so that an operator who ends all that the user has finds him.
	if lost := m.enlist(ctx, &Record{Identity: t.Identity, Origin: Origin{Source: iss.Source}}, t.Until); lost != nil {
		return lost
	}
	text, jerr := json.Marshal(t)
	if jerr != nil {
		return token.Fail(token.Internal, "", jerr)
	}
	e.Challenge.Ticket = token.NewSecret(m.o.Keyring.Seal(ticketPlace(iss), text))
	return e
}

// openTicket reads a ticket of ours; who it was made for may be gone by now.
func (m *Manager) openTicket(iss *Issuer, sealed token.Secret) (ticket, error) {
	var t ticket
	text, err := m.o.Keyring.Open(ticketPlace(iss), sealed.Reveal())
	if err != nil || json.Unmarshal(text, &t) != nil {
		return t, errBadTicket
	}
	id, there := m.current(&Record{Identity: t.Identity, Origin: Origin{Source: iss.Source}})
	if !there || !m.clock().Before(t.Until) {
		return t, errOldTicket
	}
	t.Identity = id
	return t, nil
}

// Resume goes on with a sign-in whose Login asked for a second factor. g has
// the answer as Factor.Response, or none: then an approval that has come opens
// the session, and one that has not is FactorNeeded with the Challenge again.
//
// Errors are *token.Error: BadCredentials with the Challenge for an answer that
// is not right; Denied, InvalidAccess and ExpiredAccess when the sign-in has to
// begin again; FactorNeeded, Throttled and Unavailable.
func (m *Manager) Resume(ctx context.Context, iss *Issuer, sealed token.Secret, g token.Grant) (token.Set, error) {
	t, err := m.openTicket(iss, sealed)
	if err != nil {
		return token.Set{}, err
	}
	set, err := m.resume(ctx, iss, t, g)
	if !isKind(err, token.FactorNeeded) { // that was told when it was asked for
		m.o.Recorder.Login(iss.Dialect, loginOutcome(err))
	}
	return set, err
}

func (m *Manager) resume(ctx context.Context, iss *Issuer, t ticket, g token.Grant) (token.Set, error) {
	g.Username = t.Username
	account, address := m.failureKeys(iss, g)
	if _, err := m.allowed(ctx, account, address); err != nil {
		return token.Set{}, err
	}
	if err := m.resumeFactor(ctx, iss, t, g); err != nil {
		if isKind(err, token.BadCredentials) {
			m.countFailure(ctx, account, address)
		}
		return token.Set{}, err
	}
	rec, err := m.create(ctx, Record{
		SID: token.NewSID(), Identity: t.Identity,
		Origin: Origin{Kind: KindPortal, Issuer: iss.Name, Source: iss.Source, AMR: []string{amrPassword, amrFactor}, Proved: t.Proved},
	}, lifeOf(iss, KindPortal))
	if err != nil {
		return token.Set{}, err
	}
	set, err := m.handOut(ctx, iss, rec)
	if errors.Is(err, ErrOutdated) {
		err = errOldTicket
	}
	return set, err
}

// resumeFactor returns nil if the second factor is proved.
func (m *Manager) resumeFactor(ctx context.Context, iss *Issuer, t ticket, g token.Grant) error {
	p := party{iss: iss, id: t.Identity, user: owner(iss.Source, t.Identity.ID), grant: g}
	if m.o.Factors != nil {
		p.methods, _ = m.o.Factors.Factor(t.Identity.ID)
	}
	if len(p.methods) == 0 {
		return errOldTicket // taken from him since: he needs none any more
	}
	asked := token.Challenge{Challenge: challenge, Method: t.Method, Session: t.Session, Status: string(PushPending)}
	if g.Factor == nil || g.Factor.Response.IsZero() {
		if t.Method != methodPush {
			return factorNeeded(asked)
		}
		return m.resumePush(ctx, p, asked)
	}
	answer := *g.Factor
	answer.Challenge, answer.Method = challenge, t.Method
	if t.Method == methodPush {
		answer.Method = methodApp
	}
	p.grant.Factor = &answer
	passed, err := m.tryFactor(ctx, p)
	if err == nil && !passed {
		err = &token.Error{Kind: token.BadCredentials, Msg: errBadCredentials.Msg, Challenge: &asked}
	}
	return err
}

// resumePush uses up the approval of the ticket's own request, if it has come.
func (m *Manager) resumePush(ctx context.Context, p party, asked token.Challenge) error {
	push, err := m.lookPush(ctx, asked.Session)
	switch {
	case errors.Is(err, ErrNotFound):
		return errNotApproved
	case err != nil:
		return err
	case push.Status == PushPending:
		return factorNeeded(asked)
	case push.Status != PushApproved || push.User != p.user || !slices.Contains(p.methods, methodPush):
		return errNotApproved
	}
	used, err := m.settlePush(ctx, push.ID, PushApproved, PushClosed)
	if err != nil {
		return err
	}
	if !used {
		return errNotApproved
	}
	v, err := m.judge(ctx, p, Try{User: p.user, Proved: true, Within: ChallengeLife})
	if err == nil && v != TryPassed {
		err = errNotApproved
	}
	return err
}
