package portal

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// sessions is a Sessions with one user, alice, and real tokens of the Shape.
type sessions struct {
	live   map[token.SID]bool
	ended  []token.SID
	logins []token.Grant
	down   bool         // nothing can be asked
	deny   *token.Error // what every login answers
	// Of the second factor: what is asked for; none: nothing.
	method string
	status string // of an approval
	resume []token.Grant
}

func newSessions() *sessions { return &sessions{live: map[token.SID]bool{}} }

func (f *sessions) open() (token.SID, string) {
	sid := token.NewSID()
	f.live[sid] = true
	var core token.Core
	copy(core[:], sid[:])
	access, _ := Shape{}.MintAccess(token.Access{}, core)
	return sid, access.Reveal()
}

var errDown = token.Fail(token.Unavailable, "The store does not answer.", fmt.Errorf("dial: refused"))

func (f *sessions) Login(_ context.Context, _ *session.Issuer, kind session.Kind, g token.Grant) (token.Set, error) {
	f.logins = append(f.logins, g)
	switch {
	case f.down:
		return token.Set{}, errDown
	case f.deny != nil:
		return token.Set{}, f.deny
	case kind != session.KindPortal || g.Op != token.OpLogin:
		return token.Set{}, token.Fail(token.Internal, "wrong kind", nil)
	case g.Username != "alice" || g.Password.Reveal() != "secret":
		return token.Set{}, token.Fail(token.BadCredentials, "No.", nil)
	case f.method != "":
		return token.Set{}, f.asks()
	}
	_, access := f.open()
	return token.Set{Access: token.NewSecret(access)}, nil
}

func (f *sessions) asks() *token.Error {
	return &token.Error{Kind: token.FactorNeeded, Challenge: &token.Challenge{
		Challenge: "otp", Method: f.method, Status: "pending", Ticket: token.NewSecret("TICKET"),
	}}
}

func (f *sessions) Resume(_ context.Context, _ *session.Issuer, ticket token.Secret, g token.Grant) (token.Set, error) {
	f.resume = append(f.resume, g)
	e := f.asks()
	switch {
	case f.down:
		return token.Set{}, errDown
	case f.deny != nil:
		return token.Set{}, f.deny
	case ticket.Reveal() != "TICKET":
		return token.Set{}, token.Fail(token.InvalidAccess, "No.", nil)
	case g.Factor == nil || g.Factor.Response.IsZero():
		switch f.status {
		case "success":
		case "denied":
			return token.Set{}, token.Fail(token.Denied, "No.", nil)
		default:
			return token.Set{}, e
		}
	case g.Factor.Response.Reveal() != "123456":
		e.Kind = token.BadCredentials
		return token.Set{}, e
	}
	_, access := f.open()
	return token.Set{Access: token.NewSecret(access)}, nil
}

func (f *sessions) Check(_ context.Context, issuers []*session.Issuer, access token.Secret) (*session.Session, error) {
	a, _, err := issuers[0].Shape.ParseAccess(access)
	switch {
	case err != nil:
		return nil, err
	case f.down:
		return nil, errDown
	case !f.live[a.SID]:
		return nil, token.Fail(token.InvalidAccess, "It has ended.", nil)
	}
	return &session.Session{SID: a.SID, Issuer: issuers[0].Name}, nil
}

func (f *sessions) End(_ context.Context, sid token.SID, _ string) error {
	if f.down {
		return errDown
	}
	delete(f.live, sid)
	f.ended = append(f.ended, sid)
	return nil
}

// gate is a portal over the fake, with the handler of one route.
type gate struct {
	*Portal
	http.Handler
	sessions *sessions
	issuer   *session.Issuer
}

func newGate(t *testing.T, change ...func(*Options)) *gate {
	t.Helper()
	g := &gate{sessions: newSessions(), issuer: &session.Issuer{Name: "portal", Dialect: "portal", Shape: Shape{}}}
	o := Options{Sessions: g.sessions}
	for _, c := range change {
		c(&o)
	}
	g.Portal = New(o)
	g.Handler = g.Portal.Handler(g.issuer, "Fabric <1>")
	return g
}

func (g *gate) get(t *testing.T, target string, cookies ...string) *http.Response {
	t.Helper()
	return g.do(httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil), cookies...)
}

func (g *gate) post(t *testing.T, target string, fields url.Values, cookies ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return g.do(r, cookies...)
}

func (g *gate) do(r *http.Request, cookies ...string) *http.Response {
	for _, c := range cookies {
		r.Header.Add("Cookie", CookieName+"="+c)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Result()
}

func alice(password string) url.Values {
	return url.Values{"username": {"alice"}, "password": {password}, "return_to": {"/api/x?y=1"}}
}

// text returns the status and the body.
func text(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// want checks status, one header and whether the body says something.
func want(t *testing.T, res *http.Response, status int, says string) {
	t.Helper()
	if res.StatusCode != status {
		t.Errorf("status = %d; want %d", res.StatusCode, status)
	}
	if body := text(t, res); !strings.Contains(body, says) {
		t.Errorf("body lacks %q:\n%s", says, body)
	}
}

func wantHeader(t *testing.T, res *http.Response, name, value string) {
	t.Helper()
	if got := res.Header.Get(name); got != value {
		t.Errorf("%s = %q; want %q", name, got, value)
	}
}
