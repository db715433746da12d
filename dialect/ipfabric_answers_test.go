package dialect_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestReadTokensTakesBothForms(t *testing.T) {
	cookies := func(lines ...string) http.Header { return http.Header{"Set-Cookie": lines} }
	const atMost = 400 * 24 * time.Hour
	for _, c := range []struct {
		name, body string
		h          http.Header
		want       token.Set
	}{
		{
			"cookies", "{}", cookies("accessToken=A; Max-Age=60", "refreshToken=R; Max-Age=120; Path=/api/auth/token"),
			token.Set{Access: token.NewSecret("A"), Refresh: token.NewSecret("R"), ExpiresIn: time.Minute, RefreshExpiresIn: 2 * time.Minute},
		}, {
			"cookies and no body", "", cookies("accessToken=A; Max-Age=60"),
			token.Set{Access: token.NewSecret("A"), ExpiresIn: time.Minute, RefreshExpiresIn: 24 * time.Hour},
		}, {
			"cookie with Expires alone", "",
			http.Header{
				"Set-Cookie": {"accessToken=A; Expires=Thu, 06 Jun 2024 12:17:09 GMT"}, "Date": {"Thu, 06 Jun 2024 12:07:09 GMT"},
			},
			token.Set{Access: token.NewSecret("A"), ExpiresIn: 10 * time.Minute, RefreshExpiresIn: 24 * time.Hour},
		}, {
			"cookie without a life", "", cookies("accessToken=A"),
			token.Set{Access: token.NewSecret("A"), ExpiresIn: 30 * time.Minute, RefreshExpiresIn: 24 * time.Hour},
		}, {
			"cookie with an absurd life", "", cookies("accessToken=A; Max-Age=9223372036854775807"),
			token.Set{Access: token.NewSecret("A"), ExpiresIn: atMost, RefreshExpiresIn: 24 * time.Hour},
		}, {
			"an old cookie expired beside the new one", "", cookies("accessToken=; Path=/api", "accessToken=old; Max-Age=0", "accessToken=A"),
			token.Set{Access: token.NewSecret("A"), ExpiresIn: 30 * time.Minute, RefreshExpiresIn: 24 * time.Hour},
		}, {
			"body", `{"accessToken":"A","refreshToken":"R","eula":true}`, nil,
			token.Set{Access: token.NewSecret("A"), Refresh: token.NewSecret("R"), ExpiresIn: 30 * time.Minute, RefreshExpiresIn: 24 * time.Hour},
		}, {
			"body without a refresh token keeps the old one", `{"accessToken":"A"}`, nil,
			token.Set{Access: token.NewSecret("A"), ExpiresIn: 30 * time.Minute, RefreshExpiresIn: 24 * time.Hour},
		}, {
			"body with a null refresh token keeps the old one", `{"accessToken":"A","refreshToken":null}`, nil,
			token.Set{Access: token.NewSecret("A"), ExpiresIn: 30 * time.Minute, RefreshExpiresIn: 24 * time.Hour},
		},
	} {
		for _, profile := range profilesOf(t, "ipfabric") {
			got, err := ipfCall(t, profile, token.OpRefresh).ReadResponse(answered(http.StatusOK, c.h, c.body))
			if err != nil {
				t.Errorf("%s (%s): %v", c.name, profile, err)
			}
			if diff := cmp.Diff(c.want, got, revealed); diff != "" {
				t.Errorf("%s (%s) (-want +got):\n%s", c.name, profile, diff)
			}
		}
	}
}

func TestReadTokensRefusesBadAnswers(t *testing.T) {
	cookies := func(lines ...string) http.Header { return http.Header{"Set-Cookie": lines} }
	for _, c := range []struct {
		name, body string
		h          http.Header
	}{
		{"empty", "", nil},
		{"null", "null", nil},
		{"array", `[{"accessToken":"A"}]`, nil},
		{"HTML", "<!doctype html><html>", nil},
		{"HTML by its type", `{"accessToken":"A"}`, http.Header{"Content-Type": {"text/html; charset=utf-8"}}},
		{"no token", `{}`, nil},
		{"token null", `{"accessToken":null}`, nil},
		{"token empty", `{"accessToken":""}`, nil},
		{"token a number", `{"accessToken":1}`, nil},
		{"token in other case", `{"ACCESSTOKEN":"A","accesstoken":"A"}`, nil},
		{"token twice", `{"accessToken":"A","accessToken":"B"}`, nil},
		{"line end in the token", `{"accessToken":"A\r\nX-Admin: 1"}`, nil},
		{"control character", `{"accessToken":"A\u0000"}`, nil},
		{"space", `{"accessToken":"A B"}`, nil},
		{"semicolon", `{"accessToken":"A;B"}`, nil},
		{"not ASCII", `{"accessToken":"é"}`, nil},
		{"refresh token empty", `{"accessToken":"A","refreshToken":""}`, nil},
		{"refresh token with a line end", `{"accessToken":"A","refreshToken":"R\n"}`, nil},
		{"cut off", `{"accessToken":"A"`, nil},
		{"two access cookies", "", cookies("accessToken=A", "accessToken=B")},
		{"two refresh cookies", "", cookies("accessToken=A", "refreshToken=R", "refreshToken=S")},
		{"only a refresh cookie", "{}", cookies("refreshToken=R")},
		{"empty access cookie", "{}", cookies("accessToken=; Path=/")},
		{"access cookie expired at once", "{}", cookies("accessToken=A; Max-Age=0")},
	} {
		set, err := ipfCall(t, "7.0", token.OpLogin).ReadResponse(answered(http.StatusOK, c.h, c.body))
		if err == nil {
			t.Errorf("%s: ReadResponse = %q; want an error", c.name, set.Access.Reveal())
		}
		if err != nil && !set.Access.IsZero() {
			t.Errorf("%s: an error and a token", c.name)
		}
	}
}

func TestAnswerLimits(t *testing.T) {
	read := ipfCall(t, "5.0", token.OpLogin).ReadResponse
	for _, c := range []struct {
		name string
		h    http.Header
		body string
		good bool
	}{
		{"longest token", nil, `{"accessToken":"` + strings.Repeat("a", 8<<10) + `"}`, true},
		{"longer token", nil, `{"accessToken":"` + strings.Repeat("a", 8<<10+1) + `"}`, false},
		{"longest cookie", http.Header{"Set-Cookie": {"accessToken=" + strings.Repeat("a", 8<<10)}}, "", true},
		{"longer cookie", http.Header{"Set-Cookie": {"accessToken=" + strings.Repeat("a", 8<<10+1)}}, "", false},
		{"longest answer", nil, padded(1 << 20), true},
		{"longer answer", nil, padded(1<<20 + 1), false},
	} {
		if _, err := read(answered(http.StatusOK, c.h, c.body)); (err == nil) != c.good {
			t.Errorf("%s: %v; want good = %v", c.name, err, c.good)
		}
	}
}

func padded(size int) string {
	const answer = `{"accessToken":"A"}`
	return answer + strings.Repeat(" ", size-len(answer))
}

func TestWhoAmIReadsTheUser(t *testing.T) {
	read := ipfCall(t, "7.0", token.OpWhoAmI).ReadResponse
	got, err := read(answered(http.StatusOK, nil, `{"id":"11","username":"a","email":null,"roleNames":["r","s"],"isLocal":true,"timezone":"UTC"}`))
	if want := (token.Identity{ID: "11", Name: "a", Groups: []string{"r", "s"}}); err != nil || !cmp.Equal(want, got.Identity) {
		t.Errorf("ReadResponse = %v, %v; want %v", got.Identity, err, want)
	}
	for _, body := range []string{`{}`, `{"id":"11"}`, `{"username":"a"}`, `{"id":11,"username":"a"}`, `{"id":"11","username":"a","roleNames":"r"}`, `[]`, ``} {
		if set, err := read(answered(http.StatusOK, nil, body)); err == nil {
			t.Errorf("%s: ReadResponse = %v; want an error", body, set.Identity)
		}
	}
}

func TestWhoAmIIsAskedWithTheRightToken(t *testing.T) {
	write := ipfCall(t, "7.0", token.OpWhoAmI).WriteRequest
	for _, c := range []struct {
		name string
		g    token.Grant
		want http.Header
	}{
		{"access", token.Grant{Access: token.NewSecret("A")}, http.Header{"Authorization": {"Bearer A"}}},
		{"API token", token.Grant{APIToken: &token.APITokenRequest{Chosen: token.NewSecret("K")}}, http.Header{"X-Api-Token": {"K"}}},
		{"both", token.Grant{Access: token.NewSecret("A"), APIToken: &token.APITokenRequest{Chosen: token.NewSecret("K")}}, http.Header{"X-Api-Token": {"K"}}},
		{"an API token without a text", token.Grant{Access: token.NewSecret("A"), APIToken: &token.APITokenRequest{ID: "1"}}, http.Header{"Authorization": {"Bearer A"}}},
		{"none", token.Grant{}, nil},
	} {
		r := requestWith(t, http.Header{})
		err := write(r, c.g)
		if (err == nil) != (c.want != nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want != nil && !cmp.Equal(c.want, r.Header) {
			t.Errorf("%s: headers %v; want %v", c.name, r.Header, c.want)
		}
	}
}

func TestSpokenBodyCanBeSentAgain(t *testing.T) {
	r := requestWith(t, http.Header{})
	if err := ipfCall(t, "7.0", token.OpLogin).WriteRequest(r, token.Grant{Username: "u", Password: token.NewSecret("p")}); err != nil {
		t.Fatal(err)
	}
	const want = `{"username":"u","password":"p"}`
	again, err := r.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b := make([]byte, 64)
		n, _ := again.Read(b)
		if string(b[:n]) != want || r.ContentLength != int64(len(want)) {
			t.Errorf("body %q of %d; want %q", b[:n], r.ContentLength, want)
		}
		again = r.Body
	}
}

// FuzzReadTokens: a token out of a backend's answer fits in a header line and a
// cookie.
func FuzzReadTokens(f *testing.F) {
	f.Add(`{"accessToken":"A","refreshToken":"R"}`, "accessToken=A; Max-Age=1")
	f.Add(`null`, "accessToken=")
	f.Add(`<html>`, "refreshToken=\"x\"; Expires=0")
	call := ipfCall(f, "7.0", token.OpRefresh)
	f.Fuzz(func(t *testing.T, body, cookie string) {
		set, err := call.ReadResponse(answered(http.StatusOK, http.Header{"Set-Cookie": {cookie}}, body))
		if err != nil {
			return
		}
		for _, s := range []string{set.Access.Reveal(), set.Refresh.Reveal()} {
			if strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == ';' || c == ',' }) {
				t.Errorf("token %q", s)
			}
		}
		if set.Access.IsZero() || set.ExpiresIn <= 0 || set.RefreshExpiresIn <= 0 {
			t.Errorf("%q, %q: %v, %s, %s", body, cookie, set.Access, set.ExpiresIn, set.RefreshExpiresIn)
		}
	})
}
