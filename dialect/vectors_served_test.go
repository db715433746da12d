package dialect_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/dialect/vectors"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// stage is one served vector on its way: the dialect as the switches made it,
// and what was captured.
type stage struct {
	*testing.T
	d          *dialect.Dialect
	settings   dialect.Settings
	fixtures   vectors.Fixtures
	vars       vectors.Scope
	user       string // who logged in last
	generation uint32
	sid        token.SID
	client     string // the OAuth client that asked last
	nonce      string // of the last request for a code
	challenge  string // what became of the pending challenge; empty: nothing yet
}

func runServed(t *testing.T, name string, fixtures vectors.Fixtures, v vectors.Served, touched map[token.Op]bool) {
	s := &stage{T: t, d: mustOpen(t, name, dialect.Settings{}), fixtures: fixtures, vars: vectors.Scope{}, sid: token.NewSID()}
	for i, step := range v.Steps {
		if step.Offline != nil {
			if err := step.Offline.Check(); err != nil {
				t.Error(err)
			}
			continue
		}
		if step.Control != nil {
			if step.Control.Set != nil {
				step.Control.Set.Apply(&s.settings)
				s.d = mustOpen(t, name, s.settings)
				s.decide(*step.Control.Set)
			}
			continue
		}
		if c := s.step(fmt.Sprintf("step %d", i), *step.Request, step.Response); c != nil {
			touched[c.Op] = true
			if step.Example != nil {
				s.example(c, step.Response.Status[0], *step.Example)
			}
		}
	}
}

// step runs one request and the answer to it, and returns the call.
func (s *stage) step(name string, req vectors.Request, want vectors.Response) *dialect.Call {
	s.Helper()
	r := s.vars.NewRequest(s, req)
	call, _ := s.d.Match(r)
	if call == nil {
		s.noCall(name, r, want)
		return nil
	}
	grant, err := call.ReadRequest(r)
	if err != nil {
		e := token.Fail(token.Malformed, "x", err)
		if token.KindOf(err) != token.Internal {
			e.Kind = token.KindOf(err)
		}
		s.answer(name, r, want, func(w http.ResponseWriter) error { s.d.Errors.Write(w, r, e); return nil })
		return call
	}
	if grant.Op != call.Op && !slices.Contains(call.Also, grant.Op) {
		s.Errorf("%s: the grant is for %s; want %s or one of %s", name, grant.Op, call.Op, call.Also)
	}
	s.roundTripRequest(name, call, grant)
	if isGone(want) {
		s.Errorf("%s: %s %s is served by %s", name, req.Method, req.Path, s.d.ID())
	}
	if !s.succeeds(want) {
		s.failure(name, r, want)
		return call
	}
	set := s.set(grant)
	resp := s.answer(name, r, want, func(w http.ResponseWriter) error { return call.WriteResponse(w, set) })
	s.readBack(name, call, set, resp)
	return call
}

// noCall is for a request that is none of the token API: a resource, or a call
// that the dialect refuses to serve.
func (s *stage) noCall(name string, r *http.Request, want vectors.Response) {
	s.Helper()
	if s.d.Admit == nil {
		return // it is answered behind the gateway, or by its error for no credential
	}
	if e := s.d.Admit(r); e != nil {
		s.answer(name, r, want, func(w http.ResponseWriter) error { s.d.Errors.Write(w, r, e); return nil })
	} else if _, guarded := s.d.Guards(r.URL.Path); guarded {
		s.Errorf("%s: %s %s is no call of %s and not refused", name, r.Method, r.URL.Path, s.d.ID())
	}
}

// roundTripRequest checks that the grant survives being spoken and served again.
func (s *stage) roundTripRequest(name string, call *dialect.Call, grant token.Grant) {
	s.Helper()
	if call.WriteRequest == nil {
		return
	}
	r := httptest.NewRequestWithContext(s.Context(), call.Method, call.SpokenPath(s.d.Profile, grant), nil)
	if err := call.WriteRequest(r, grant); err != nil {
		if !grant.Access.IsZero() || grant.APIToken != nil || grant.Op == token.OpLogin || grant.Op == token.OpRefresh {
			s.Errorf("%s: WriteRequest(%s): %v", name, grant.Op, err)
		}
		return
	}
	again, _ := s.d.Match(r)
	if again != call {
		s.Errorf("%s: the spoken %s %s is not served as %s", name, r.Method, r.URL.Path, call.Op)
		return
	}
	back, err := again.ReadRequest(r)
	if err != nil {
		s.Errorf("%s: ReadRequest(WriteRequest(grant)): %v", name, err)
	}
	if diff := gocmp.Diff(grant, back, revealed); diff != "" {
		s.Errorf("%s: the grant changed on the way (-read +read back):\n%s", name, diff)
	}
}

// set makes what the gateway would answer to a grant.
func (s *stage) set(g token.Grant) token.Set {
	s.Helper()
	if g.Username != "" {
		s.user = g.Username
	}
	id := s.identity()
	switch g.Op {
	case token.OpLogin, token.OpRefresh, token.OpRenew:
		set := s.tokens(id)
		set.Op = g.Op
		s.granted(g, &set)
		return set
	case token.OpApplicationToken:
		access, err := s.d.Shape(testKeys()).MintAccess(token.Access{Identity: id, SID: s.sid, IssuedAt: time.Now()}, token.Core{})
		if err != nil {
			s.Fatal(err)
		}
		return token.Set{Access: access, Op: g.Op}
	case token.OpWhoAmI:
		return token.Set{Identity: token.Identity{Name: id.Name, ID: cmp.Or(id.ID, "2")}}
	case token.OpListAPITokens, token.OpCreateAPIToken:
		fixture := s.fixtures.APITokens[0]
		item := token.APIToken{ID: fixture.ID, UserID: id.ID, Username: id.Name, Scopes: id.Scopes}
		if g.Op == token.OpCreateAPIToken {
			item.Text = token.NewSecret(fixture.Token)
		}
		return token.Set{APITokens: []token.APIToken{item}}
	}
	return s.oauth(g)
}

// identity is that of the user who logged in last, or of the first there is.
func (s *stage) identity() token.Identity {
	user := s.fixtures.Users[0]
	for _, u := range s.fixtures.Users {
		if u.Username == s.user {
			user = u
		}
	}
	return token.Identity{Name: user.Username, ID: user.ID, Scopes: user.Scope, Admin: user.Class == "admin", Kind: user.Type}
}

func (s *stage) tokens(id token.Identity) token.Set {
	s.Helper()
	shape := s.d.Shape(testKeys())
	s.generation++
	core := token.Core{20: byte(s.generation)}
	now := time.Now()
	access, err := shape.MintAccess(token.Access{
		Identity: id, SID: s.sid, Generation: s.generation, IssuedAt: now, ExpiresAt: now.Add(s.d.Tokens.AccessTTL),
	}, core)
	if err != nil {
		s.Fatal(err)
	}
	refresh, err := shape.MintRefresh(token.Access{
		Identity: id, SID: s.sid, Generation: s.generation, IssuedAt: now, ExpiresAt: now.Add(s.d.Tokens.RefreshTTL),
	}, core)
	if err != nil {
		s.Fatal(err)
	}
	return token.Set{
		Access: access, Refresh: refresh,
		ExpiresIn: s.d.Tokens.AccessTTL, RefreshExpiresIn: s.d.Tokens.RefreshTTL,
	}
}

func (s *stage) succeeds(want vectors.Response) bool {
	return slices.ContainsFunc(want.Status, func(code int) bool { return code < 400 })
}

// isGone reports whether the vector says that there is no such call.
func isGone(want vectors.Response) bool {
	return !slices.ContainsFunc(want.Status, func(code int) bool { return code != 404 && code != 405 && code != 410 })
}

// failure reads the failure that the vector states, in the vendor's form, and
// writes it again. A vector that states a status alone says too little for that.
func (s *stage) failure(name string, r *http.Request, want vectors.Response) {
	s.Helper()
	h, body := s.stated(want)
	if body == "" {
		return
	}
	e := s.d.Errors.Read(want.Status[0], h, []byte(body))
	if e.Kind == token.BadGateway || e.Kind == token.Internal {
		s.Errorf("%s: a failure that the vector states is read as %s", name, e.Kind)
	}
	s.answer(name, r, want, func(w http.ResponseWriter) error { s.d.Errors.Write(w, r, e); return nil })
}

// stated makes an answer of what a vector says of its body: literal values as
// they are, x where anything will do.
func (s *stage) stated(want vectors.Response) (http.Header, string) {
	literal := func(v any) string {
		text, ok := v.(string)
		if name, is := strings.CutPrefix(text, "$var:"); is {
			return s.vars[name]
		}
		switch {
		case strings.HasSuffix(text, "^[0-9a-f]{32}$"):
			return "480dccc0f6bf4ed69ba484320ef92781"
		case !ok || strings.HasPrefix(text, "$"):
			return "x"
		}
		return text
	}
	if message, ok := want.Body.XML["response/messages/errorMessage"]; ok {
		return http.Header{"Content-Type": {"application/xml"}}, "<response><data/><messages><errorMessage>" + literal(message) + "</errorMessage></messages><links/></response>"
	}
	fields, _ := want.Body.JSON.(map[string]any)
	said := map[string]string{}
	for key, v := range fields {
		if text, ok := v.(string); ok && text != "$absent" && !strings.HasPrefix(text, "$opt:") && key != "$closed" {
			said[key] = literal(v)
		}
	}
	if len(said) == 0 {
		return nil, ""
	}
	b, err := json.Marshal(said)
	if err != nil {
		s.Fatal(err)
	}
	return http.Header{"Content-Type": {"application/json"}}, string(b)
}

// answer lets write answer r and holds the answer, with what the dialect adds to
// every one, against the vector.
func (s *stage) answer(name string, r *http.Request, want vectors.Response, write func(http.ResponseWriter) error) *http.Response {
	s.Helper()
	rec := httptest.NewRecorder()
	if s.d.Decorate != nil {
		s.d.Decorate(r, rec.Header())
	}
	if err := write(rec); err != nil {
		s.Errorf("%s: WriteResponse: %v", name, err)
	}
	resp := rec.Result()
	if err := s.vars.Check(want, resp); err != nil {
		s.Errorf("%s: %v\n%s", name, err, rec.Body)
	}
	return resp
}

func (s *stage) readBack(name string, call *dialect.Call, want token.Set, resp *http.Response) {
	s.Helper()
	if call.ReadResponse == nil {
		return
	}
	got, err := call.ReadResponse(resp)
	if err != nil {
		s.Errorf("%s: ReadResponse(WriteResponse(set)): %v", name, err)
	}
	if !s.d.Tokens.Cookies && !want.Access.IsZero() {
		// A body does not say how long its tokens live; the vendor's default holds.
		want.ExpiresIn, want.RefreshExpiresIn = got.ExpiresIn, got.RefreshExpiresIn
	}
	if want.Op == token.OpRefresh && !s.d.Tokens.Rotates {
		want.Refresh = token.Secret{} // not told again
	}
	want.Op, want.Factor = "", false // not told either
	if want.Identity.Name == "" {
		want.Identity = got.Identity // what an answer tells of a user by being given
	}
	if diff := gocmp.Diff(want, got, revealed, emptyIsNil); diff != "" {
		s.Errorf("%s: the set changed on the way (-written +read):\n%s", name, diff)
	}
}

// example reads the answer that the vendor's page shows, word for word but for
// the dots where it shortens a token.
func (s *stage) example(call *dialect.Call, status int, page vectors.Example) {
	s.Helper()
	h := http.Header{"Content-Type": {"application/json"}}
	if page.Headers != nil {
		h = http.Header{}
	}
	for name, value := range page.Headers {
		h.Set(name, value)
	}
	text := strings.ReplaceAll(page.Text(), " ... ", "")
	if status >= 400 {
		if e := s.d.Errors.Read(status, h, []byte(text)); e.Kind == token.Internal || e.Kind == token.BadGateway {
			s.Errorf("the page's example is read as %s", e.Kind)
		}
		return
	}
	if call.ReadResponse == nil {
		return // the gateway never asks
	}
	set, err := call.ReadResponse(answered(status, h, text))
	if err != nil || set.Access.IsZero() && set.Challenge == nil {
		s.Errorf("the page's example is not read: %v", err)
	}
}
