package proxy

import (
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// performOAuth does what a grant of an OAuth server's own asks for.
func (p *Proxy) performOAuth(x *exchange, s *Served, g token.Grant) (token.Set, error) {
	ctx, m := x.r.Context(), p.o.Sessions
	switch g.Op {
	case token.OpAuthorize:
		return m.Authorize(ctx, s.Issuer, x.session, g)
	case token.OpCode:
		return m.Redeem(ctx, s.Issuer, g)
	case token.OpVerify:
		return verified(x.session, g)
	case token.OpRevoke:
		return token.Set{}, m.RevokeToken(ctx, s.Issuer, g)
	case token.OpIntrospect:
		return m.Introspect(ctx, s.Issuer, g)
	case token.OpPoll:
		c, err := m.Poll(ctx, s.Issuer, g.Factor.Session)
		return token.Set{Challenge: &c}, err
	case token.OpKeys:
		return token.Set{Keys: p.o.Keys.JWKS()}, nil
	case token.OpDiscovery:
		return token.Set{Origin: g.Origin}, nil
	}
	return token.Set{}, token.Fail(token.NotFound, "this call of the token API is not answered here", nil)
}

// verified says whose a client's access token is. To any other client it is not
// valid.
func verified(s *session.Session, g token.Grant) (token.Set, error) {
	if s.Client == "" || s.Client != g.Client.ID {
		return token.Set{}, token.Fail(token.InvalidAccess, "the access token is not this client's", nil)
	}
	set := token.Set{Identity: s.Identity}
	if !s.Expires.IsZero() {
		set.ExpiresIn = time.Until(s.Expires)
	}
	return set, nil
}
