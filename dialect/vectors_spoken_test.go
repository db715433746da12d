package dialect_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/dialect/vectors"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func answered(status int, h http.Header, body string) *http.Response {
	if h == nil {
		h = http.Header{"Content-Type": {"application/json"}}
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// runSpoken runs the exchanges of a spoken vector that are calls of the token
// API: what the gateway would send, and what the backend answers.
func runSpoken(t *testing.T, name string, v vectors.Spoken, touched map[token.Op]bool) {
	d := mustOpen(t, name, dialect.Settings{})
	for i, item := range v.Timeline {
		for _, x := range item.Exchanges {
			h, body := x.Reply.Header(), x.Reply.Text()
			if x.Reply.Status >= 400 {
				failsBothWays(t, d, x.Reply.Status, h, body)
			}
			call, op := spokenCall(t, d, x.Expect, grantFor(d, v, x.Expect))
			if call == nil {
				continue // a resource of the backend
			}
			touched[op] = true
			if x.Reply.Status < 300 && call.ReadResponse != nil && !refuses(call, item, answered(x.Reply.Status, h, body)) {
				answersBothWays(t, d, call, op, answered(x.Reply.Status, h, body), fmt.Sprintf("item %d: %s", i, op))
			}
		}
	}
}

// refuses reports whether an answer in the shape of a success is a refusal. Only
// where the client gets an error may it be one.
func refuses(call *dialect.Call, item vectors.Item, resp *http.Response) bool {
	got := item.ClientGets.Status
	if len(got) == 0 || slices.ContainsFunc(got, func(code int) bool { return code < 400 }) {
		return false
	}
	_, err := call.ReadResponse(resp)
	_, refused := errors.AsType[*token.Error](err)
	return refused
}

// grantFor is what the gateway would present in order to send what the vector
// expects.
func grantFor(d *dialect.Dialect, v vectors.Spoken, want vectors.Expect) token.Grant {
	said := map[string]string{}
	fields, _ := want.Body.JSON.(map[string]any)
	for key, value := range fields {
		if text, ok := value.(string); ok && !strings.HasPrefix(text, "$") {
			said[key] = text
		}
	}
	header, _ := want.Headers["Authorization"].(string)
	bearer, _ := strings.CutPrefix(header, "Bearer ")
	access := cmp.Or(want.AccessToken, want.BodyToken, said["token"], bearer, carriedIn(d, want))
	_, poll, _ := strings.Cut(want.Path, "?s=")
	g := token.Grant{
		Username: v.Upstream.Username, Password: token.NewSecret(v.Upstream.Password),
		Refresh: token.NewSecret(cmp.Or(want.RefreshToken, said["refresh_token"], bearer, "not-told")),
		Access:  token.NewSecret(access),
	}
	if v.Upstream.ClientID != "" {
		g.Client = &token.Client{ID: v.Upstream.ClientID, Secret: token.NewSecret(v.Upstream.ClientSecret)}
	}
	if session := cmp.Or(poll, said["session"]); said["challenge"] != "" || session != "" {
		g.Factor = &token.Factor{
			Challenge: said["challenge"], Method: said["method"], Session: session,
			Response: token.NewSecret(cmp.Or(said["challenge_response"], "123456")),
		}
	}
	return g
}

// carriedIn returns the access token that the expected headers hold in a place of
// the dialect's own.
func carriedIn(d *dialect.Dialect, want vectors.Expect) string {
	r := &http.Request{Header: http.Header{}}
	for name, value := range want.Headers {
		if text, ok := value.(string); ok && !strings.HasPrefix(text, "$") {
			r.Header.Set(name, text)
		}
	}
	for _, c := range d.Carriers {
		if text, ok := c.Get(r); ok && c.Use == dialect.UseAccess {
			return text.Reveal()
		}
	}
	return ""
}

// spokenCall returns the call and operation that send what is expected; nil if
// it is none of the token API.
func spokenCall(t *testing.T, d *dialect.Dialect, want vectors.Expect, g token.Grant) (*dialect.Call, token.Op) {
	t.Helper()
	var fault error
	for i := range d.Calls {
		c := &d.Calls[i]
		for _, op := range append([]token.Op{c.Op}, c.Also...) {
			g.Op = op
			if c.Method != want.Method || c.WriteRequest == nil {
				continue
			}
			r, err := spoken(t, d, c, g)
			if path, _, _ := strings.Cut(want.Path, "?"); (vectors.Scope{}).Match("path", path, r.URL.Path) != nil {
				continue
			}
			if err == nil {
				err = carries(t, g, r, want)
			}
			if err == nil {
				return c, op
			}
			fault = errors.Join(fault, err)
		}
	}
	if fault != nil {
		t.Error(fault)
	}
	return nil, ""
}

// spokenVersion is the version of the API that a dialect speaks first.
func spokenVersion(d *dialect.Dialect) string {
	if len(d.Versions) > 0 {
		return d.Versions[0]
	}
	return d.Profile
}

// spoken returns what the gateway sends for a grant.
func spoken(t *testing.T, d *dialect.Dialect, call *dialect.Call, g token.Grant) (*http.Request, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), call.Method, call.SpokenPath(spokenVersion(d), g), nil)
	if err := call.WriteRequest(r, g); err != nil {
		return r, fmt.Errorf("WriteRequest(%s): %w", g.Op, err)
	}
	return r, nil
}

// carries checks what the gateway sends for a grant.
func carries(t *testing.T, g token.Grant, r *http.Request, want vectors.Expect) error {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	errs := []error{}
	if err := want.Check(r, b); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", g.Op, err))
	}
	// A backend takes more carriers than these, which are the ones we speak.
	if s := want.RefreshToken; s != "" && !bytes.Contains(b, []byte(`"`+s+`"`)) {
		errs = append(errs, fmt.Errorf("%s does not carry the refresh token %s in its body: %s", g.Op, s, b))
	}
	if s := want.AccessToken; s != "" && r.Header.Get("Authorization") != "Bearer "+s {
		errs = append(errs, fmt.Errorf("%s does not carry the access token %s in its header", g.Op, s))
	}
	return errors.Join(errs...)
}

// answersBothWays checks that a backend's answer, read, written by the served
// side and read again, is the same, a refusal in it too.
func answersBothWays(t *testing.T, d *dialect.Dialect, call *dialect.Call, op token.Op, resp *http.Response, name string) {
	t.Helper()
	set, err := call.ReadResponse(resp)
	if said, ok := errors.AsType[*token.Error](err); ok {
		sameKindBothWays(t, d, said)
		return
	}
	if err != nil {
		t.Errorf("%s: ReadResponse: %v", name, err)
		return
	}
	if (op == token.OpLogin || op == token.OpRefresh || op == token.OpRenew) && set.Access.IsZero() {
		t.Errorf("%s: no access token in the answer", name)
	}
	set.Op = op
	rec := httptest.NewRecorder()
	if err := call.WriteResponse(rec, set); err != nil {
		t.Errorf("%s: WriteResponse: %v", name, err)
	}
	again, err := call.ReadResponse(rec.Result())
	if err != nil {
		t.Errorf("%s: ReadResponse(WriteResponse(set)): %v", name, err)
	}
	again.Op = op
	if diff := gocmp.Diff(set, again, revealed, emptyIsNil); diff != "" {
		t.Errorf("%s: the set changed on the way (-read +read back):\n%s", name, diff)
	}
}

func failsBothWays(t *testing.T, d *dialect.Dialect, status int, h http.Header, body string) {
	t.Helper()
	e := d.Errors.Read(status, h, []byte(body))
	if e.Kind == token.Internal || e.Kind == token.BadGateway {
		t.Errorf("%d %s is read as %s", status, body, e.Kind)
	}
	sameKindBothWays(t, d, e)
}

func sameKindBothWays(t *testing.T, d *dialect.Dialect, e *token.Error) {
	t.Helper()
	rec := httptest.NewRecorder()
	d.Errors.Write(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), e)
	if again := d.Errors.Read(rec.Code, rec.Header(), rec.Body.Bytes()); again.Kind != e.Kind {
		t.Errorf("%s written and read again is %s", e.Kind, again.Kind)
	}
}
