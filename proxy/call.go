package proxy

import (
	"errors"
	"net/http"
	"os"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// maxTokenBody is the longest body of a token call, in bytes (413).
const maxTokenBody = 64 << 10

// tokenCall returns the call of a served token API that a request makes and the
// gateway answers; nil for a request to pass on. In account mode every call of
// the API is about the gateway's user and answered here; in pass-through only
// those that begin and end sessions are, and those whose proof is a refresh token
// of the gateway's. What looks like a call of the backend's API and is none of
// ours goes no further.
func (p *Proxy) tokenCall(x *exchange) (*dialect.Call, *Served, error) {
	rt := x.route
	wrongMethod := false
	for i := range rt.Serve {
		s := &rt.Serve[i]
		call, known := s.Dialect.Match(x.r)
		if call != nil && rt.answers(s, call) {
			return call, s, nil
		}
		wrongMethod = wrongMethod || call == nil && known
	}
	return nil, nil, rt.guard(x.r.URL.Path, wrongMethod)
}

// answers reports whether the gateway answers a call itself.
func (ps *passage) answers(s *Served, call *dialect.Call) bool {
	switch call.Op {
	case token.OpLogin, token.OpRefresh, token.OpRenew, token.OpLogout, token.OpApplicationToken,
		token.OpPoll, token.OpAuthorize, token.OpVerify, token.OpRevoke, token.OpIntrospect, token.OpKeys, token.OpDiscovery:
		return true // about tokens of ours
	case token.OpVersion:
		// A backend of the same vendor knows its own version best.
		return ps.Spoken == nil || ps.Spoken.Name != s.Dialect.Name
	}
	return ps.account()
}

// guard keeps calls of the backend's token API from the backend, in whatever
// spelling: in account mode they would act for the service account.
func (ps *passage) guard(path string, wrongMethod bool) error {
	for _, d := range ps.guards {
		op, guarded := d.Guards(path)
		if !guarded || !ps.account() && !beginsOrEnds(op) {
			continue
		}
		if wrongMethod {
			return token.Fail(token.MethodNotAllowed, "this call of the token API takes another method", nil)
		}
		return token.Fail(token.NotFound, "this call of the token API is not served under this path", nil)
	}
	return nil
}

func beginsOrEnds(op token.Op) bool {
	switch op {
	case token.OpLogin, token.OpRefresh, token.OpRenew, token.OpLogout, token.OpAuthorize, token.OpRevoke:
		return true
	}
	return false
}

// exchange answers one call of a token API.
func (p *Proxy) exchange(x *exchange, s *Served, call *dialect.Call) error {
	x.served = s
	if err := p.guardTokenCall(x, s); err != nil {
		return err
	}
	x.r.Body = http.MaxBytesReader(x.w, x.r.Body, maxTokenBody)
	grant, err := call.ReadRequest(x.r)
	if err != nil {
		return malformed(err)
	}
	if grant.Address = x.from; grant.Op == "" {
		grant.Op = call.Op
	}
	grant.Origin = p.o.Edge.origin(x.r).String()
	set, err := p.perform(x, s, grant)
	if grant.Username != "" {
		x.login = set.Identity.Name
	}
	if err != nil {
		x.attempted(s.Issuer, grant.Username)
		return err
	}
	set.Op, set.Factor = grant.Op, grant.Factor != nil
	x.decorate()
	if err := call.WriteResponse(x.w, set); err != nil {
		return token.Fail(token.Internal, "", err)
	}
	return nil
}

// guardTokenCall refuses a call that sets or is authenticated by cookies and
// comes from another origin's page, and bodies in a coding nobody sends.
func (p *Proxy) guardTokenCall(x *exchange, s *Served) error {
	if x.r.Header.Get("Content-Encoding") != "" {
		return token.Fail(token.UnsupportedMedia, "a compressed body is not taken here; send it plain", nil)
	}
	if s.Dialect.Tokens.Cookies {
		return p.o.Edge.sameOrigin(x.r)
	}
	return nil
}

// malformed classifies what a dialect says of a body it cannot read.
func malformed(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return token.Fail(token.TooLarge, "the body of a token call is over 64 KiB", err)
	}
	if _, ok := errors.AsType[*token.Error](err); ok {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return token.Fail(token.Malformed, "the body did not arrive within 10 s", err)
	}
	return token.Fail(token.Malformed, strings.TrimPrefix(err.Error(), "dialect: "), err)
}

// perform does what a grant asks for.
func (p *Proxy) perform(x *exchange, s *Served, g token.Grant) (token.Set, error) {
	ctx, m := x.r.Context(), p.o.Sessions
	if x.session == nil && !g.Op.ProvesItself() && g.Op != token.OpVersion {
		// A rule of the policy may let everybody pass, but this is about the caller.
		return token.Set{}, errNobody
	}
	switch g.Op {
	case token.OpLogin:
		return m.Login(ctx, s.Issuer, session.KindLogin, g)
	case token.OpRenew:
		return m.Renew(ctx, s.Issuer, g)
	case token.OpRefresh:
		return m.Refresh(ctx, s.Issuer, g)
	case token.OpApplicationToken:
		return m.ApplicationToken(ctx, s.Issuer, g)
	case token.OpLogout:
		if x.session.Kind == session.KindAPIToken {
			return token.Set{}, nil // it was not logged in, and is revoked by deleting it
		}
		return token.Set{}, m.Logout(ctx, s.Issuer, x.session.SID)
	case token.OpWhoAmI:
		return token.Set{Identity: x.session.Identity}, nil
	case token.OpListAPITokens:
		list, err := m.ListAPITokens(ctx, s.Issuer, x.session)
		return token.Set{APITokens: list, Identity: x.session.Identity}, err
	case token.OpCreateAPIToken:
		made, err := m.CreateAPIToken(ctx, s.Issuer, x.session, *g.APIToken)
		return token.Set{APITokens: []token.APIToken{made}, Identity: x.session.Identity}, err
	case token.OpDeleteAPIToken:
		return token.Set{}, m.DeleteAPIToken(ctx, s.Issuer, x.session, g.APIToken.ID)
	case token.OpVersion, token.OpVersions:
		return token.Set{}, nil
	}
	return p.performOAuth(x, s, g)
}

// attempted notes for the log who failed to log in; an empty name is nobody.
func (x *exchange) attempted(iss *session.Issuer, name string) {
	if name != "" {
		x.login = iss.KnownName(name)
	}
}

// decorate puts the vendor's headers on an answer of the gateway's own.
func (x *exchange) decorate() { x.decorateTo(x.w.Header()) }

func (x *exchange) decorateTo(h http.Header) {
	if x.served != nil && x.served.Dialect.Decorate != nil {
		x.served.Dialect.Decorate(x.r, h)
	}
}
