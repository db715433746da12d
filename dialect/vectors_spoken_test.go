package dialect_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
			grant := token.Grant{
				Username: v.Upstream.Username, Password: token.NewSecret(v.Upstream.Password),
				Refresh: token.NewSecret(x.Expect.RefreshToken), Access: token.NewSecret(x.Expect.AccessToken),
			}
			h, body := x.Reply.Header(), x.Reply.Text()
			if x.Reply.Status >= 400 {
				failsBothWays(t, d, x.Reply.Status, h, body)
			}
			call := spokenCall(d, x.Expect, grant)
			if call == nil {
				continue // a resource of the backend
			}
			touched[call.Op] = true
			sent := speaks(t, d, call, grant, x.Expect)
			if sent && x.Reply.Status < 300 {
				answersBothWays(t, call, answered(x.Reply.Status, h, body), fmt.Sprintf("item %d: %s", i, call.Op))
			}
		}
	}
}

func spokenCall(d *dialect.Dialect, want vectors.Expect, g token.Grant) *dialect.Call {
	for i := range d.Calls {
		c := &d.Calls[i]
		err := vectors.Scope{}.Match("path", want.Path, c.SpokenPath(d.Profile, g))
		if c.Method == want.Method && c.WriteRequest != nil && err == nil {
			return c
		}
	}
	return nil
}

// speaks checks what the gateway sends for a grant.
func speaks(t *testing.T, d *dialect.Dialect, call *dialect.Call, g token.Grant, want vectors.Expect) bool {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), call.Method, call.SpokenPath(d.Profile, g), nil)
	if err := call.WriteRequest(r, g); err != nil {
		t.Errorf("WriteRequest(%s): %v", call.Op, err)
		return false
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := want.Check(r, b); err != nil {
		t.Errorf("%s: %v", call.Op, err)
	}
	// A backend takes more carriers than these, which are the ones we speak.
	if s := want.RefreshToken; s != "" && !bytes.Contains(b, []byte(`"`+s+`"`)) {
		t.Errorf("%s does not carry the refresh token %s in its body: %s", call.Op, s, b)
	}
	if s := want.AccessToken; s != "" && r.Header.Get("Authorization") != "Bearer "+s {
		t.Errorf("%s does not carry the access token %s in its header", call.Op, s)
	}
	return true
}

// answersBothWays checks that a backend's answer, read, written by the served
// side and read again, is the same.
func answersBothWays(t *testing.T, call *dialect.Call, resp *http.Response, name string) {
	t.Helper()
	set, err := call.ReadResponse(resp)
	if err != nil {
		t.Errorf("%s: ReadResponse: %v", name, err)
		return
	}
	if (call.Op == token.OpLogin || call.Op == token.OpRefresh) && set.Access.IsZero() {
		t.Errorf("%s: no access token in the answer", name)
	}
	rec := httptest.NewRecorder()
	if err := call.WriteResponse(rec, set); err != nil {
		t.Errorf("%s: WriteResponse: %v", name, err)
	}
	again, err := call.ReadResponse(rec.Result())
	if err != nil {
		t.Errorf("%s: ReadResponse(WriteResponse(set)): %v", name, err)
	}
	if diff := cmp.Diff(set, again, revealed, emptyIsNil); diff != "" {
		t.Errorf("%s: the set changed on the way (-read +read back):\n%s", name, diff)
	}
}

func failsBothWays(t *testing.T, d *dialect.Dialect, status int, h http.Header, body string) {
	t.Helper()
	e := d.Errors.Read(status, h, []byte(body))
	if e.Kind == token.Internal || e.Kind == token.BadGateway {
		t.Errorf("%d %s is read as %s", status, body, e.Kind)
	}
	rec := httptest.NewRecorder()
	d.Errors.Write(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), e)
	if again := d.Errors.Read(rec.Code, rec.Header(), rec.Body.Bytes()); again.Kind != e.Kind {
		t.Errorf("%s written and read again is %s", e.Kind, again.Kind)
	}
}
