package session

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// RevokeToken ends the session of a token, access or refresh, at the wish of the
// client that has it (RFC 7009). A token that is none of ours, or whose session
// has ended, is no error. Errors are *token.Error: InvalidClient, also for a token
// of another client, and Unavailable, after which nothing has ended.
func (m *Manager) RevokeToken(ctx context.Context, iss *Issuer, g token.Grant) error {
	c, err := iss.provenClient(g)
	if err != nil {
		return err
	}
	m.house.backends.know(iss)
	sid, _, err := m.codes.openRefresh(iss, g.Access)
	if err != nil {
		var ok bool
		if sid, _, ok = m.codes.openAccess(iss, g.Access); !ok {
			return nil
		}
	}
	var rec Record
	err = m.ask(ctx, "read", func(ctx context.Context) (err error) {
		rec, err = m.o.Store.Lookup(ctx, sid)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case rec.Origin.Kind != KindLogin || rec.Origin.Client != c.ID:
		return errInvalidClient
	}
	return m.End(ctx, sid, reasonLogout)
}

// provenClient returns the client of a grant, whatever it may use.
func (i *Issuer) provenClient(g token.Grant) (*Client, error) {
	if i.Clients == nil {
		return nil, errInvalidClient
	}
	return i.Clients.prove(g.Client)
}

// Introspect says what a token is good for, to the client it was given to (RFC
// 7662). Any other token is not active, and neither is any token to another
// client. A public client may not ask: anybody could in its name. Errors are
// *token.Error: InvalidClient and Unavailable.
func (m *Manager) Introspect(ctx context.Context, iss *Issuer, g token.Grant) (token.Set, error) {
	c, err := iss.provenClient(g)
	if err != nil || c.Public {
		return token.Set{}, errInvalidClient
	}
	rec, expires, err := m.liveAccess(ctx, iss, g.Access)
	if rec == nil && err == nil {
		rec, err = m.liveRefresh(ctx, iss, g.Access)
	}
	if err != nil {
		return token.Set{}, err
	}
	if rec == nil || rec.Origin.Client != c.ID {
		return token.Set{}, nil
	}
	id, ok := m.current(rec)
	if !ok {
		return token.Set{}, nil
	}
	set := token.Set{Active: true, Identity: id, Client: c.ID, Scopes: rec.Origin.Scopes}
	if !expires.IsZero() {
		set.ExpiresIn = time.Until(expires)
	}
	return set, nil
}

// liveAccess returns the record of an access token that is good, and when the
// token ends, zero for not by itself; nil for any other text. The only error is
// Unavailable.
func (m *Manager) liveAccess(ctx context.Context, iss *Issuer, text token.Secret) (*Record, time.Time, error) {
	issuers := []*Issuer{iss}
	claim, err := m.parse(issuers, text)
	if err != nil {
		return nil, time.Time{}, outage(err)
	}
	_, b, err := m.learn(ctx, claim.access.SID, claim.access.Generation)
	if err != nil {
		return nil, time.Time{}, outage(err)
	}
	e, err := m.admit(issuers, claim, b)
	switch {
	case err != nil:
		return nil, time.Time{}, outage(err)
	case e.expires == 0:
		return &b.rec, time.Time{}, nil
	}
	return &b.rec, time.Unix(0, e.expires), nil
}

// liveRefresh is liveAccess for a refresh token.
func (m *Manager) liveRefresh(ctx context.Context, iss *Issuer, text token.Secret) (*Record, error) {
	sid, generation, err := m.codes.openRefresh(iss, text)
	if err != nil {
		return nil, nil //nolint:nilerr // junk is no live token
	}
	_, b, err := m.learn(ctx, sid, generation)
	if err != nil {
		return nil, outage(err)
	}
	if !m.movesOn(&b.rec, generation) {
		return nil, nil
	}
	return &b.rec, nil
}

// outage returns an error that says that it could not be asked, and nothing for
// any other.
func outage(err error) error {
	if isKind(err, token.Unavailable) {
		return err
	}
	return nil
}
