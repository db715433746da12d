package session

import (
	"context"
	"errors"
	"slices"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// applicationKind is the kind of user who may have application tokens.
const applicationKind = "application"

// ApplicationToken trades a refresh token for an access token that never
// expires: an API token, a session of its own with the scopes of its user, which
// outlives the login it was made from. The refresh token stays good. The text is
// a self-proving one that names the session, in the answer and nowhere else.
//
// Errors are *token.Error: those of Refresh, and Denied for users of another
// kind, over 200 tokens, and in pass-through mode, where the backend has no
// session for such a token.
func (m *Manager) ApplicationToken(ctx context.Context, iss *Issuer, g token.Grant) (token.Set, error) {
	if iss.Backend != nil {
		return token.Set{}, errPassedThrough
	}
	id, err := m.holder(ctx, iss, g.Refresh)
	if err != nil {
		return token.Set{}, err
	}
	if id.Kind != applicationKind {
		return token.Set{}, errNotApplication
	}
	rec, err := m.enrol(ctx, Record{
		SID: token.NewSID(), Identity: id,
		Origin: Origin{Kind: KindAPIToken, Issuer: iss.Name, Source: iss.Source},
		API:    &TokenData{Description: "application token", Scopes: slices.Clone(id.Scopes)},
	})
	if err != nil {
		return token.Set{}, err
	}
	text, err := iss.Shape.MintAccess(token.Access{Identity: id, SID: rec.SID, IssuedAt: rec.Made}, token.Core{})
	if err != nil {
		return token.Set{}, m.abandon(ctx, &rec, token.Fail(token.Internal, "", err))
	}
	m.o.Recorder.Opened()
	return token.Set{Access: text, Identity: id}, nil
}

// holder returns whose a refresh token is, without using it up.
func (m *Manager) holder(ctx context.Context, iss *Issuer, refresh token.Secret) (token.Identity, error) {
	sid, generation, err := m.codes.openRefresh(iss, refresh)
	if err != nil {
		return token.Identity{}, err
	}
	var rec Record
	err = m.ask(ctx, "read", func(ctx context.Context) (err error) {
		rec, err = m.o.Store.Lookup(ctx, sid)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return token.Identity{}, errInvalidRefresh
	}
	if err != nil {
		return token.Identity{}, err
	}
	if rec.Origin.Kind != KindLogin || rec.Revoked != "" || rec.Closed || generation != rec.Generation || !m.clock().Before(rec.Ends) {
		return token.Identity{}, errInvalidRefresh
	}
	id, ok := m.current(&rec)
	if !ok {
		if err := m.End(ctx, sid, reasonUserGone); err != nil {
			return token.Identity{}, err
		}
		return token.Identity{}, errInvalidRefresh
	}
	return id, nil
}
