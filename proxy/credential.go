package proxy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// portalCookie is the browser session's cookie. The prefix makes browsers hold
// it to Secure, Path=/ and no Domain.
var portalCookie = dialect.Cookie{Name: "__Host-gatehouse"}

// factorCookie is the cookie of a browser sign-in that is not complete. It is no
// credential, and no business of a backend's.
var factorCookie = dialect.Cookie{Name: "__Host-gatehouse-factor"}

// carried is a carrier with the issuer whose credentials it holds.
type carried struct {
	dialect.Carried
	issuer *session.Issuer
}

// precedence orders carriers: Authorization, API token header, cookies of a
// dialect, the portal's cookie.
func precedence(c carried) int {
	switch {
	case c.Carrier == portalCookie:
		return 3
	case c.Cookie:
		return 2
	case c.Use == dialect.UseAPIToken:
		return 1
	}
	return 0
}

// A credential is what a request presented, and where.
type credential struct {
	carried
	text token.Secret
}

// credentials returns what a request presents, in order of precedence. Two
// dialects that share a carrier present it once.
func (ps *passage) credentials(r *http.Request) []credential {
	var found []credential
	for _, c := range ps.carriers {
		if slices.ContainsFunc(found, func(f credential) bool { return f.Carrier == c.Carrier }) {
			continue
		}
		if text, ok := c.Get(r); ok {
			found = append(found, credential{c, text})
		}
	}
	return found
}

var errNobody = token.Fail(token.Missing, "this call needs a credential; log in first", nil)

// identify finds out who is calling. The first credential present decides, also
// when it fails; a second live one of somebody else is refused, since nobody
// can know which of the two was meant.
func (p *Proxy) identify(x *exchange) error {
	creds := x.route.credentials(x.r)
	if len(creds) == 0 {
		return errNobody
	}
	if err := p.guardCookie(x, creds[0]); err != nil {
		return err
	}
	s, caller, err := p.check(x, creds[0])
	if err != nil {
		x.failed = creds[0]
		return err
	}
	for _, c := range creds[1:] {
		other, _, err := p.check(x, c)
		if err == nil && (other.Identity.ID != s.Identity.ID || other.Source != s.Source) {
			return token.Fail(token.Malformed, "two credentials of different users; send one", nil)
		}
	}
	x.session, x.caller = s, caller
	return nil
}

// guardCookie holds calls that a browser authenticates by itself to its own
// origin.
func (p *Proxy) guardCookie(x *exchange, c credential) error {
	switch {
	case !c.Cookie:
		return nil
	case x.r.Header.Get("Upgrade") != "":
		return p.o.Edge.sameOriginStrict(x.r)
	}
	return p.o.Edge.sameOrigin(x.r)
}

// check proves one credential.
func (p *Proxy) check(x *exchange, c credential) (*session.Session, token.Caller, error) {
	s, err := p.checkSession(x, c)
	if err != nil {
		return nil, token.Caller{}, err
	}
	caller := token.Caller{SID: s.SID, Identity: s.Identity, Scopes: s.Scopes}
	if c.Use == dialect.UseAPIToken && x.route.Own != nil {
		caller.Own = c.text
	}
	return s, caller, nil
}

func (p *Proxy) checkSession(x *exchange, c credential) (*session.Session, error) {
	ctx := x.r.Context()
	switch c.Use {
	case dialect.UseAPIToken:
		if x.route.Own != nil {
			return p.checkOwn(ctx, x.route, c.text)
		}
		return p.o.Sessions.CheckAPIToken(ctx, x.route.issuers, c.text)
	case dialect.UseBasic:
		user, password, ok := strings.Cut(c.text.Reveal(), ":")
		if !ok {
			return nil, token.Fail(token.BadCredentials, "the Basic credential is not user:password in base64", nil)
		}
		s, err := p.o.Sessions.Basic(ctx, c.issuer, token.Grant{
			Op: token.OpLogin, Username: user, Password: token.NewSecret(password), Address: x.from,
		})
		if err != nil {
			x.attempted(c.issuer, user)
		}
		return s, err
	}
	if c.issuer == x.route.Portal {
		return p.o.Sessions.Check(ctx, []*session.Issuer{c.issuer}, c.text)
	}
	return p.o.Sessions.Check(ctx, x.route.issuers, c.text)
}

// checkOwn asks the backend whose a credential of its own making is.
func (p *Proxy) checkOwn(ctx context.Context, rt *passage, text token.Secret) (*session.Session, error) {
	id, err := rt.Own(ctx, text)
	if err != nil {
		return nil, err
	}
	return &session.Session{Kind: session.KindAPIToken, Source: rt.source(), Identity: id, Scopes: id.Scopes}, nil
}

// source is the identity source of a route's sessions.
func (rt *Route) source() string { return rt.Portal.Source }

// authorize finds out who is calling and asks policy. Logging in and refreshing
// are for callers who are nobody yet, and logging out is nobody's to forbid; of
// everything else policy decides. A rule that lets anonymous requests through
// does not mind a credential that fails.
func (p *Proxy) authorize(x *exchange, call *dialect.Call) error {
	if call != nil && call.Op.ProvesItself() {
		return nil
	}
	who := p.identify(x)
	if call != nil && call.Op == token.OpLogout {
		return who
	}
	if who != nil && !forgivable(who) {
		return who
	}
	answer := p.o.Policy.Decide(p.question(x))
	if !answer.Allowed && answer.Rule == "" && isOpenCall(x) {
		answer = policy.Answer{Allowed: true, Rule: VendorRule, Public: true}
	}
	x.rule, x.inject = answer.Rule, !answer.Public || answer.Inject
	switch {
	case answer.Allowed && (answer.Public || x.session != nil):
		p.o.Recorder.Decision(answer.Rule, "allowed")
		return nil
	case x.session == nil:
		p.o.Recorder.Decision(answer.Rule, "anonymous")
		return who
	}
	p.o.Recorder.Decision(answer.Rule, "denied")
	return token.Fail(token.Denied, "policy does not allow you this call", errors.New(answer.Reason))
}

// forgivable tells a credential that is no good from a request that must not go
// on: one that is malformed, or made by another origin's page.
func forgivable(err error) bool {
	k := token.KindOf(err)
	return k != token.Malformed && k != token.CrossOrigin
}

// isOpenCall reports whether a request makes the vendor's unauthenticated call,
// whoever answers it. It is asked only where no rule of the policy decides.
func isOpenCall(x *exchange) bool {
	return slices.ContainsFunc(x.route.Serve, func(s Served) bool {
		call, _ := s.Dialect.Match(x.r)
		return call != nil && call.Public
	})
}

func (p *Proxy) question(x *exchange) policy.Question {
	q := policy.Question{
		Host: x.r.Host, Method: x.r.Method, Path: x.r.URL.RawPath,
		IP: p.o.Edge.ClientAddr(x.r),
	}
	if s := x.session; s != nil {
		q.User = &policy.User{
			Name: s.Identity.Name, ID: s.Identity.ID, Email: s.Identity.Email, Realm: s.Identity.Realm,
			Groups: s.Identity.Groups, Scopes: s.Scopes, Admin: s.Identity.Admin,
			AMR: s.AMR,
		}
	}
	return q
}
