package dialect_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// stage is one served vector on its way: the dialect as the switches made it,
// and what was captured.
type stage struct {
	*testing.T
	d          *dialect.Dialect
	file       vectorFile
	vars       map[string]string
	generation uint32
	sid        token.SID
}

func runServed(t *testing.T, name string, file vectorFile, v servedVector, touched map[token.Op]bool) {
	s := &stage{T: t, d: mustOpen(t, name, dialect.Settings{}), file: file, vars: map[string]string{}, sid: token.NewSID()}
	for i, step := range v.Steps {
		if step.Control != nil {
			if step.Control.Set != nil {
				s.d = mustOpen(t, name, switched(t, step.Control.Set))
			}
			continue
		}
		if c := s.step(fmt.Sprintf("step %d", i), step.Request, step.Response); c != nil {
			touched[c.Op] = true
			if step.Example != nil {
				s.example(c, step.Example.Body)
			}
		}
	}
}

func switched(t *testing.T, set map[string]any) (s dialect.Settings) {
	t.Helper()
	for name, value := range set {
		switch seconds, _ := value.(float64); name {
		case "access_ttl":
			s.AccessTTL = time.Duration(seconds) * time.Second
		case "refresh_ttl":
			s.RefreshTTL = time.Duration(seconds) * time.Second
		case "missing":
			s.MissingTokenCode = fmt.Sprint(value)
		case "local":
			s.LocalAuthOff = value == "false"
		default:
			t.Fatalf("no switch %q", name)
		}
	}
	return s
}

// step runs one request and the answer to it, and returns the call.
func (s *stage) step(name string, req *wireRequest, want *wireResponse) *dialect.Call {
	s.Helper()
	r := s.request(req)
	call, _ := s.d.Match(r)
	if call == nil {
		e := s.d.Admit(r)
		if _, guarded := s.d.Guards(r.URL.Path); e == nil || !guarded {
			s.Errorf("%s: %s %s is no call of %s and not refused", name, req.Method, req.Path, s.d.ID())
			return nil
		}
		s.answer(name, want, func(w http.ResponseWriter) error { s.d.Errors.Write(w, r, e); return nil })
		return nil
	}
	grant, err := call.ReadRequest(r)
	if err != nil {
		e := token.Fail(token.Malformed, "x", err)
		if token.KindOf(err) != token.Internal {
			e.Kind = token.KindOf(err)
		}
		s.answer(name, want, func(w http.ResponseWriter) error { s.d.Errors.Write(w, r, e); return nil })
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
	resp := s.answer(name, want, func(w http.ResponseWriter) error { return call.WriteResponse(w, set) })
	s.readBack(name, call, set, resp)
	return call
}

func (s *stage) request(req *wireRequest) *http.Request {
	s.Helper()
	var body io.Reader
	headers := http.Header{}
	switch {
	case req.Body.JSON != nil:
		b, err := json.Marshal(req.Body.JSON)
		if err != nil {
			s.Fatal(err)
		}
		body = strings.NewReader(s.fill(string(b)))
		headers.Set("Content-Type", "application/json")
	case req.Body.Raw != "":
		body = strings.NewReader(s.fill(req.Body.Raw))
	}
	r := httptest.NewRequestWithContext(s.Context(), req.Method, req.Path, body)
	r.Header = headers
	for name, value := range req.Headers {
		r.Header.Del(name)
		if value != nil {
			r.Header.Set(name, s.fill(*value))
		}
	}
	for name, value := range req.Cookies {
		dialect.Cookie{Name: name}.Set(r, token.NewSecret(s.fill(value)))
	}
	return r
}

var insert = regexp.MustCompile(`\{\{(?:(\w+)\()?([^})]*)\)?\}\}`)

// fill inserts captured values. A forged JWT needs only to be another text here:
// the step expects a refusal, which the whole gateway's run proves.
func (s *stage) fill(text string) string {
	return insert.ReplaceAllStringFunc(text, func(m string) string {
		parts := insert.FindStringSubmatch(m)
		switch parts[1] {
		case "":
			return s.vars[parts[2]]
		case "b64":
			return base64.StdEncoding.EncodeToString([]byte(parts[2]))
		}
		return s.vars[parts[2]] + parts[1]
	})
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
	user := s.file.Fixtures.Users[0]
	id := token.Identity{Name: user.Username, ID: user.ID, Scopes: user.Scope}
	switch op {
	case token.OpLogin, token.OpRefresh:
		return s.tokens(id)
	case token.OpWhoAmI:
		return token.Set{Identity: token.Identity{Name: id.Name, ID: id.ID}}
	case token.OpListAPITokens, token.OpCreateAPIToken:
		fixture := s.file.Fixtures.APITokens[0]
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

func (s *stage) succeeds(want *wireResponse) bool {
	return slices.ContainsFunc(statuses(want.Status), func(code int) bool { return code < 300 })
}

// isGone reports whether the vector says that there is no such call.
func isGone(want *wireResponse) bool {
	return !slices.ContainsFunc(statuses(want.Status), func(code int) bool { return code != 404 && code != 405 && code != 410 })
}

// failure reads the failure that the vector states and writes it again.
func (s *stage) failure(name string, r *http.Request, want *wireResponse) {
	s.Helper()
	fields, _ := want.Body.JSON.(map[string]any)
	code, _ := fields["code"].(string)
	if strings.HasPrefix(code, "$var:") {
		code = s.vars[strings.TrimPrefix(code, "$var:")]
	}
	body := fmt.Sprintf(`{"code":%q,"message":"x"}`, code)
	e := s.d.Errors.Read(statuses(want.Status)[0], http.Header{}, []byte(body))
	if e.Kind == token.BadGateway || e.Kind == token.Internal {
		s.Errorf("%s: a failure that the vector states is read as %s", name, e.Kind)
	}
	s.answer(name, want, func(w http.ResponseWriter) error { s.d.Errors.Write(w, r, e); return nil })
}

// answer lets write answer and holds the answer against the vector.
func (s *stage) answer(name string, want *wireResponse, write func(http.ResponseWriter) error) *http.Response {
	s.Helper()
	rec := httptest.NewRecorder()
	if err := write(rec); err != nil {
		s.Errorf("%s: WriteResponse: %v", name, err)
	}
	if !slices.Contains(statuses(want.Status), rec.Code) {
		s.Errorf("%s: status %d; want %v", name, rec.Code, want.Status)
	}
	m := matcher{vars: s.vars}
	resp := rec.Result()
	for cookie, expect := range want.Cookies {
		m.match(name+" cookie "+cookie, expect, cookieFacts(resp, cookie))
	}
	if want.Body.JSON != nil {
		var got any
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
			s.Errorf("%s: body: %v", name, err)
		}
		m.match(name+" body", want.Body.JSON, got)
	}
	for _, secret := range want.Body.NotContains {
		if strings.Contains(rec.Body.String(), secret) {
			s.Errorf("%s: the body contains %q", name, secret)
		}
	}
	for _, fault := range m.faults {
		s.Error(fault)
	}
	return resp
}

// cookieFacts is a cookie in the words of the vectors; nil for none.
func cookieFacts(resp *http.Response, name string) any {
	for _, c := range resp.Cookies() {
		if c.Name == name {
			facts := map[string]any{
				"value": c.Value, "path": c.Path, "secure": c.Secure, "http_only": c.HttpOnly,
				"same_site": "Strict", "has_expires": !c.Expires.IsZero(),
			}
			if c.SameSite != http.SameSiteStrictMode {
				facts["same_site"] = "other"
			}
			if c.MaxAge != 0 {
				facts["max_age"] = float64(max(c.MaxAge, 0)) // net/http has -1 for Max-Age=0
			}
			return facts
		}
	}
	return nil
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
