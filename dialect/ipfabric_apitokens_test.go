package dialect_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestCreateAPITokenIsRead(t *testing.T) {
	for _, c := range []struct {
		name, profile, body string
		good                bool
	}{
		{"plain", "7.0", `{"description":"ci","expires":null,"scope":["read"]}`, true},
		{"empty", "7.0", `{}`, true},
		{"no body", "7.0", ``, false},
		{"with an expiry", "7.0", `{"expires":1900000000000}`, true},
		{"last expiry", "7.0", `{"expires":253402300799000}`, true},
		{"later expiry", "7.0", `{"expires":253402300799001}`, false},
		{"expiry zero", "7.0", `{"expires":0}`, false},
		{"expiry a text", "7.0", `{"expires":"2030"}`, false},
		{"expiry a fraction", "7.0", `{"expires":1.5}`, false},
		{"scope a text", "7.0", `{"scope":"read"}`, false},
		{"scope with null", "7.0", `{"scope":[null]}`, false},
		{"longest description", "7.0", `{"description":"` + strings.Repeat("d", 1024) + `"}`, true},
		{"longer description", "7.0", `{"description":"` + strings.Repeat("d", 1025) + `"}`, false},
		{"most scopes", "7.0", `{"scope":["s"` + strings.Repeat(`,"s"`, 99) + `]}`, true},
		{"more scopes", "7.0", `{"scope":["s"` + strings.Repeat(`,"s"`, 100) + `]}`, false},
		{"chosen in 7.0", "7.0", `{"token":"mychosentoken"}`, false},
		{"chosen in 7.5", "7.5", `{"token":"mychosentoken"}`, false},
		{"chosen null", "7.0", `{"token":null}`, true},
		{"chosen in 6.1", "6.1", `{"token":"12345678"}`, true},
		{"chosen too short", "6.1", `{"token":"1234567"}`, false},
		{"chosen longest", "5.0", `{"token":"` + strings.Repeat("t", 256) + `"}`, true},
		{"chosen longer", "5.0", `{"token":"` + strings.Repeat("t", 257) + `"}`, false},
		{"chosen with a space", "5.0", `{"token":"1234 5678"}`, false},
		{"chosen a number", "5.0", `{"token":12345678}`, false},
	} {
		_, err := ipfCall(t, c.profile, token.OpCreateAPIToken).ReadRequest(posted(t, c.body))
		if (err == nil) != c.good {
			t.Errorf("%s: %v; want good = %v", c.name, err, c.good)
		}
	}
	g, err := ipfCall(t, "6.1", token.OpCreateAPIToken).ReadRequest(
		posted(t, `{"description":"ci","expires":1900000000123,"scope":["read","write"],"token":"mychosentoken"}`))
	want := &token.APITokenRequest{
		Description: "ci", Scopes: []string{"read", "write"}, Expires: time.UnixMilli(1900000000123), Chosen: token.NewSecret("mychosentoken"),
	}
	if diff := cmp.Diff(want, g.APIToken, revealed); err != nil || diff != "" {
		t.Errorf("ReadRequest: %v (-want +got):\n%s", err, diff)
	}
}

func TestAPITokensAreListedWithoutTheirText(t *testing.T) {
	used := time.UnixMilli(1700000000123)
	item := token.APIToken{
		ID: "1", Text: token.NewSecret("the-secret-text"), Description: "d", Scopes: []string{"read"}, MaxScopes: []string{"read", "write"},
		Expires: used.Add(time.Hour), Expired: true, LastUsed: used, Usage: 3, UserID: "11", Username: "a",
	}
	rec := httptest.NewRecorder()
	if err := ipfCall(t, "7.0", token.OpListAPITokens).WriteResponse(rec, token.Set{APITokens: []token.APIToken{item, {ID: "2"}}}); err != nil {
		t.Fatal(err)
	}
	const want = `[{"id":"1","description":"d","expires":1700003600123,"isExpired":true,"lastUsed":1700000000123,"scope":["read"],` +
		`"maxScope":["read","write"],"usage":3,"userId":"11","username":"a"},` +
		`{"id":"2","description":"","expires":null,"isExpired":false,"lastUsed":null,"scope":[],"maxScope":[],"usage":0,"userId":"","username":""}]`
	if got := rec.Body.String(); got != want {
		t.Errorf("list = %s\nwant %s", got, want)
	}
	rec = httptest.NewRecorder()
	if err := ipfCall(t, "7.0", token.OpListAPITokens).WriteResponse(rec, token.Set{}); err != nil || rec.Body.String() != "[]" {
		t.Errorf("no tokens = %s, %v; want an empty array", rec.Body, err)
	}
	rec = httptest.NewRecorder()
	if err := ipfCall(t, "7.0", token.OpCreateAPIToken).WriteResponse(rec, token.Set{APITokens: []token.APIToken{item}}); err != nil {
		t.Fatal(err)
	}
	var created map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &created); err != nil || created["token"] != "the-secret-text" || len(created) != 11 {
		t.Errorf("created = %v, %v; want the fields of the list and the text", created, err)
	}
	if err := ipfCall(t, "7.0", token.OpCreateAPIToken).WriteResponse(httptest.NewRecorder(), token.Set{}); err == nil {
		t.Error("an answer without an API token was written")
	}
}

func FuzzReadCreate(f *testing.F) {
	f.Add(`{"description":"ci","expires":1900000000000,"scope":["read"],"token":"12345678"}`)
	f.Add(`{"expires":-1}`)
	call := ipfCall(f, "6.1", token.OpCreateAPIToken)
	f.Fuzz(func(t *testing.T, body string) {
		g, err := call.ReadRequest(posted(t, body))
		if err != nil {
			return
		}
		if n := len(g.APIToken.Chosen.Reveal()); n != 0 && n < 8 || len(g.APIToken.Scopes) > 100 || len(g.APIToken.Description) > 1024 {
			t.Errorf("%q is read as %v", body, g.APIToken)
		}
	})
}
