package dialect_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	generation uint32
	sid        token.SID
}

func runServed(t *testing.T, name string, fixtures vectors.Fixtures, v vectors.Served, touched map[token.Op]bool) {
	s := &stage{T: t, d: mustOpen(t, name, dialect.Settings{}), fixtures: fixtures, vars: vectors.Scope{}, sid: token.NewSID()}
	for i, step := range v.Steps {
		if step.Offline != nil {
			continue
		}
		if step.Control != nil {
			if step.Control.Set != nil {
				step.Control.Set.Apply(&s.settings)
				s.d = mustOpen(t, name, s.settings)
			}
			continue
		}
		if c := s.step(fmt.Sprintf("step %d", i), *step.Request, step.Response); c != nil {
			touched[c.Op] = true
			if step.Example != nil {
				s.example(c, step.Example.Body)
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
		e := s.d.Admit(r)
		if _, guarded := s.d.Guards(r.URL.Path); e == nil || !guarded {
			s.Errorf("%s: %s %s is no call of %s and not refused", name, req.Method, req.Path, s.d.ID())
			return nil
		}
		s.answer(name, r, want, func(w http.ResponseWriter) error { s.d.Errors.Write(w, r, e); return nil })
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
	if grant.Op != call.Op {
		s.Errorf("%s: the grant is for %s; want %s", name, grant.Op, call.Op)
	}
	s.roundTripRequest(name, call, grant)
	if isGone(want) {
		s.Errorf("%s: %s %s is served by %s", name, req.Method, req.Path, s.d.ID())
	}
	if !s.succeeds(want) {
		s.failure(name, r, want)
		return call
	}
	set := s.set(call.Op)
	resp := s.answer(name, r, want, func(w http.ResponseWriter) error { return call.WriteResponse(w, set) })
	s.readBack(name, call, set, resp)
	return call
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
	if again == nil || again.Op != call.Op {
		s.Errorf("%s: the spoken %s %s is not served as %s", name, r.Method, r.URL.Path, call.Op)
		return
	}
	back, err := again.ReadRequest(r)
	if err != nil {
		s.Errorf("%s: ReadRequest(WriteRequest(grant)): %v", name, err)
	}
	if diff := cmp.Diff(grant, back, revealed); diff != "" {
		s.Errorf("%s: the grant changed on the way (-read +read back):\n%s", name, diff)
	}
}

// set makes what the gateway would answer to a call.
func (s *stage) set(op token.Op) token.Set {
	s.Helper()
	user := s.fixtures.Users[0]
	id := token.Identity{Name: user.Username, ID: user.ID, Scopes: user.Scope}
	switch op {
	case token.OpLogin, token.OpRefresh:
		return s.tokens(id)
	case token.OpWhoAmI:
		return token.Set{Identity: token.Identity{Name: id.Name, ID: id.ID}}
	case token.OpListAPITokens, token.OpCreateAPIToken:
		fixture := s.fixtures.APITokens[0]
		item := token.APIToken{ID: fixture.ID, UserID: id.ID, Username: id.Name, Scopes: id.Scopes}
		if op == token.OpCreateAPIToken {
			item.Text = token.NewSecret(fixture.Token)
		}
		return token.Set{APITokens: []token.APIToken{item}}
	}
	return token.Set{}
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
	return token.Set{
		Access: access, Refresh: shape.MintRefresh(core, id),
		ExpiresIn: s.d.Tokens.AccessTTL, RefreshExpiresIn: s.d.Tokens.RefreshTTL,
	}
}

func (s *stage) succeeds(want vectors.Response) bool {
	return slices.ContainsFunc(want.Status, func(code int) bool { return code < 300 })
}

// isGone reports whether the vector says that there is no such call.
func isGone(want vectors.Response) bool {
	return !slices.ContainsFunc(want.Status, func(code int) bool { return code != 404 && code != 405 && code != 410 })
}

// failure reads the failure that the vector states and writes it again.
func (s *stage) failure(name string, r *http.Request, want vectors.Response) {
	s.Helper()
	fields, _ := want.Body.JSON.(map[string]any)
	code, _ := fields["code"].(string)
	if strings.HasPrefix(code, "$var:") {
		code = s.vars[strings.TrimPrefix(code, "$var:")]
	}
	body := fmt.Sprintf(`{"code":%q,"message":"x"}`, code)
	e := s.d.Errors.Read(want.Status[0], http.Header{}, []byte(body))
	if e.Kind == token.BadGateway || e.Kind == token.Internal {
		s.Errorf("%s: a failure that the vector states is read as %s", name, e.Kind)
	}
	s.answer(name, r, want, func(w http.ResponseWriter) error { s.d.Errors.Write(w, r, e); return nil })
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
	if call.Op == token.OpRefresh && !s.d.Tokens.Rotates {
		want.Refresh = token.Secret{} // not told again
	}
	if diff := cmp.Diff(want, got, revealed, emptyIsNil); diff != "" {
		s.Errorf("%s: the set changed on the way (-written +read):\n%s", name, diff)
	}
}

// example reads the answer that the vendor's page shows, word for word.
func (s *stage) example(call *dialect.Call, body json.RawMessage) {
	s.Helper()
	set, err := call.ReadResponse(answered(http.StatusOK, nil, string(body)))
	if err != nil || set.Access.IsZero() {
		s.Errorf("the page's example is not read: %v", err)
	}
}
