package proxy_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/proxy"
)

func TestBackendGetsWhatPolicySawAndNothingOfTheClientsCredentials(t *testing.T) {
	b := &recording{}
	h := open(t, setup{transport: b, signedIn: true, change: func(rt *proxy.Route) { rt.Target.Path = "/base/" }})
	at := h.login(t, "alice")
	rec := h.do("POST", "/api/%61/x%20y?a=1;b=%zz&c", "payload",
		"Authorization", "Bearer "+at, "Cookie", "accessToken=CLIENT; other=1; refreshToken=CLIENT; __Host-gatehouse=CLIENT",
		"X-Forwarded-User", "root", "X_Forwarded_User", "root", "Connection", "Authorization, X-Forwarded-For", "Te", "trailers",
		"Forwarded", "for=1.2.3.4", "X-Request-Id", "CLIENT")
	if rec.Code != http.StatusOK {
		t.Fatalf("status = %d %s", rec.Code, rec.Body)
	}
	r := b.last(t)
	if got, want := r.URL.RequestURI(), "/base/api/a/x%20y?a=1;b=%zz&c"; got != want {
		t.Errorf("request target = %s; want %s", got, want)
	}
	if got := r.Header.Get("Authorization"); got != "Bearer backend-token-for-alice" {
		t.Errorf("Authorization = %q", got)
	}
	if got := r.Header.Get("Cookie"); got != "other=1" {
		t.Errorf("Cookie = %q; want only what is not a credential", got)
	}
	for name, values := range r.Header {
		if strings.Contains(strings.Join(values, " "), "CLIENT") || strings.Contains(strings.Join(values, " "), "root") {
			t.Errorf("%s: %q came from the client", name, values)
		}
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "gateway.test", "X-Forwarded-Proto": "http", "Te": "", "Forwarded": "",
		"X-Request-Id": rec.Header().Get("X-Request-Id"),
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s = %q; want %q", name, got, want)
		}
	}
	if b.bodies[0] != "payload" {
		t.Errorf("body = %q", b.bodies[0])
	}
}

func TestCredentialCallsNeverReachTheBackendInAccountMode(t *testing.T) {
	b := &recording{}
	h := open(t, setup{transport: b, signedIn: true})
	auth := []string{"Authorization", "Bearer " + h.login(t, "alice"), "Content-Type", "application/json"}
	for _, call := range []struct{ method, path, body string }{
		{"GET", "/api/v7.0/users/me", ""},
		{"GET", "/api/v7.0/api-tokens", ""},
		{"POST", "/api/v7.0/api-tokens", `{"description":"x","expires":null,"scope":["read"]}`},
		{"POST", "/api/v7.0/auth/token", `{"refreshToken":"x"}`},
		{"POST", "/api/v99.9/auth/token", `{}`},
		{"PUT", "/api/v7.0/api-tokens", `{}`},
		{"GET", "/api/v7.0/API-Tokens", ""},
		{"GET", "/api/v7.0/api-tokens/", ""},
		{"GET", "/api/v7.0/%61pi-tokens", ""},
		{"GET", "/api/v9.99/users/me", ""},
		{"POST", "/api/v3/auth/login/", `{}`},
		{"GET", "/api/v7.0/api-tokens/12/", ""},
		{"GET", "/API/v7.0/api-tokens", ""},
	} {
		if rec := h.do(call.method, call.path, call.body, auth...); rec.Code >= 500 {
			t.Errorf("%s %s = %d %s", call.method, call.path, rec.Code, rec.Body)
		}
	}
	for _, r := range b.got {
		t.Errorf("the backend got %s %s", r.Method, r.URL)
	}
}

func TestAPITokenOfTheGatewayIsGoodForCalls(t *testing.T) {
	b := &recording{}
	h := open(t, setup{transport: b, signedIn: true})
	rec := h.do("POST", "/api/v7.0/api-tokens", `{"description":"ci","expires":null,"scope":["read"]}`,
		"Authorization", "Bearer "+h.login(t, "alice"), "Content-Type", "application/json")
	var made struct{ Token string }
	if err := json.Unmarshal(rec.Body.Bytes(), &made); err != nil || made.Token == "" {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if rec := h.do("GET", "/api/v7.0/snapshots", "", "X-API-Token", made.Token); rec.Code != http.StatusOK {
		t.Errorf("call with the API token = %d %s", rec.Code, rec.Body)
	}
	if got := b.last(t).Header.Get("X-Api-Token"); got != "" {
		t.Errorf("the backend got the API token %q", got)
	}
}

func TestTwoCredentialsOfDifferentUsersAreRefused(t *testing.T) {
	h := open(t, setup{transport: &recording{}, signedIn: true})
	alice, bob := h.login(t, "alice"), h.login(t, "bob")
	if rec := h.do("GET", "/x", "", "Authorization", "Bearer "+alice, "Cookie", "accessToken="+bob); rec.Code != http.StatusBadRequest {
		t.Errorf("two users = %d; want 400", rec.Code)
	}
	if rec := h.do("GET", "/x", "", "Authorization", "Bearer "+alice, "Cookie", "accessToken="+h.login(t, "alice")); rec.Code != http.StatusOK {
		t.Errorf("one user twice = %d; want 200", rec.Code)
	}
	if rec := h.do("GET", "/x", "", "Authorization", "Bearer junk", "Cookie", "accessToken="+bob); rec.Code != http.StatusUnauthorized {
		t.Errorf("a bad credential before a good one = %d; want 401, the first decides", rec.Code)
	}
}

func TestErrorsComeInTheFormTheCallerExpects(t *testing.T) {
	h := open(t, setup{transport: &recording{}, signedIn: true})
	if rec := h.do("GET", "/x", ""); rec.Code != 401 || code(rec) != "API_EXPIRED_ACCESS_TOKEN" {
		t.Errorf("a script = %d %s; want the vendor's form", rec.Code, rec.Body)
	}
	rec := h.do("GET", "/x?q=1", "", "Sec-Fetch-Mode", "navigate", "Accept", "text/html")
	loc, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || rec.Code != 302 || loc.Path != "/.gatehouse/sign-in" || loc.Query().Get("return_to") != "/x?q=1" {
		t.Errorf("a browser = %d %s; want it sent to sign in and back", rec.Code, rec.Header().Get("Location"))
	}
	rec = h.do("TRACE", "/x", "")
	if rec.Code != 405 || rec.Header().Get("Content-Type") != "application/problem+json" || rec.Header().Get("Allow") == "" {
		t.Errorf("the edge = %d %v; want problem+json", rec.Code, rec.Header())
	}
	var problem struct {
		Status    int
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &problem); err != nil || problem.Status != 405 || problem.RequestID != rec.Header().Get("X-Request-Id") {
		t.Errorf("problem = %+v, %v", problem, err)
	}
	none := open(t, setup{transport: &recording{}, signedIn: true, change: func(rt *proxy.Route) { rt.Serve = nil }})
	if rec := none.do("GET", "/x", ""); rec.Code != 401 || rec.Header().Get("Www-Authenticate") == "" || rec.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("a route without a dialect = %d %v", rec.Code, rec.Header())
	}
}

func TestBrowserSignsInAndLandsWhereItWanted(t *testing.T) {
	b := &recording{}
	h := open(t, setup{transport: b, signedIn: true})
	rec := h.do("POST", "http://localhost/.gatehouse/sign-in", "username=alice&password=alice&return_to=%2Fx", "Content-Type", "application/x-www-form-urlencoded")
	// httptest gives the host of an absolute target to Host only through r.Host.
	if rec.Code == http.StatusSeeOther {
		t.Fatalf("over plain http to gateway.test the sign-in must explain itself, not redirect: %d", rec.Code)
	}
	r := httptest.NewRequest("POST", "/.gatehouse/sign-in", strings.NewReader("username=alice&password=alice&return_to=%2Fx"))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	signed := httptest.NewRecorder()
	h.ServeHTTP(signed, r)
	cookies := signed.Result().Cookies()
	if signed.Code != http.StatusSeeOther || signed.Header().Get("Location") != "/x" || len(cookies) != 1 {
		t.Fatalf("sign-in = %d %v", signed.Code, signed.Header())
	}
	if rec := h.do("GET", "/x", "", "Cookie", cookies[0].Name+"="+cookies[0].Value, "Sec-Fetch-Mode", "navigate"); rec.Code != 200 {
		t.Errorf("with the cookie = %d %s", rec.Code, rec.Body)
	}
	if rec := h.do("POST", "/x", "", "Cookie", cookies[0].Name+"="+cookies[0].Value, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"); rec.Code != 403 {
		t.Errorf("a post of another origin's page = %d; want 403", rec.Code)
	}
	if rec := h.do("GET", "/x", "", "Cookie", "__Host-gatehouse=junk", "Sec-Fetch-Mode", "navigate"); rec.Code != 302 {
		t.Errorf("a browser whose session has ended = %d; want it sent to sign in", rec.Code)
	}
}

func TestPolicyDecides(t *testing.T) {
	rules, errs := policy.Compile([]policy.Rule{
		{Name: "open", Path: "/public/**", Public: true},
		{Name: "bobs", Path: "/bob/**", Users: []string{"bob"}},
		{Name: "no", Path: "/api/version", Deny: true},
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	b := &recording{}
	h := open(t, setup{transport: b, rules: rules})
	alice, bob := "Bearer "+h.login(t, "alice"), "Bearer "+h.login(t, "bob")
	for _, tt := range []struct {
		path, auth string
		want       int
	}{
		{"/public/x", "", 200},
		{"/public/x", "Bearer junk", 200},
		{"/bob/x", "", 401},
		{"/bob/x", alice, 403},
		{"/bob/x", bob, 200},
		{"/other", bob, 403},
		{"/other", "", 401},
		{"/api/version", "", 401},
		{"/api/version", bob, 403},
	} {
		headers := []string{}
		if tt.auth != "" {
			headers = []string{"Authorization", tt.auth}
		}
		if rec := h.do("GET", tt.path, "", headers...); rec.Code != tt.want {
			t.Errorf("GET %s with %.10q = %d; want %d", tt.path, tt.auth, rec.Code, tt.want)
		}
	}
	h.log.Reset()
	rec := h.do("GET", "/api/version", "", "Authorization", bob)
	if !strings.Contains(h.log.String(), `refused by rule \"no\"`) || strings.Contains(rec.Body.String(), "refused by rule") {
		t.Errorf("the log must say why, and the answer must not: %s\n%s", h.log, rec.Body)
	}
	h.do("GET", "/public/x", "", "Authorization", bob)
	if got := b.last(t).Header.Get("Authorization"); got != "" {
		t.Errorf("a public rule injected %q", got)
	}
	if got := strings.Join(h.told.all[:2], ","); got != "open allowed,open allowed" {
		t.Errorf("decisions = %s", got)
	}
}

func TestVendorsOpenCallPassesWithoutACredential(t *testing.T) {
	b := &recording{}
	h := open(t, setup{transport: b, signedIn: true})
	if rec := h.do("GET", "/api/version", ""); rec.Code != 200 {
		t.Errorf("GET /api/version = %d %s", rec.Code, rec.Body)
	}
	if r := b.last(t); r.URL.Path != "/api/version" || r.Header.Get("Authorization") != "" {
		t.Errorf("the backend got %s with %q", r.URL, r.Header.Get("Authorization"))
	}
}

func TestLoggingOutByAnAPITokenLeavesIt(t *testing.T) {
	h := open(t, setup{transport: &recording{}, signedIn: true})
	rec := h.do("POST", "/api/v7.0/api-tokens", `{"description":"ci","expires":null,"scope":["read"]}`,
		"Authorization", "Bearer "+h.login(t, "alice"), "Content-Type", "application/json")
	var made struct{ Token string }
	if err := json.Unmarshal(rec.Body.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	if rec := h.do("POST", "/api/auth/logout", "", "X-API-Token", made.Token); rec.Code != 204 {
		t.Errorf("logout = %d", rec.Code)
	}
	if rec := h.do("GET", "/x", "", "X-API-Token", made.Token); rec.Code != 200 {
		t.Errorf("the API token afterwards = %d; want it as good as before", rec.Code)
	}
}

func TestCredentialsInOtherSpellingsStayAtTheGate(t *testing.T) {
	b := &recording{}
	h := open(t, setup{transport: b, signedIn: true})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/x", nil)
	r.Host = "gateway.test"
	r.Header.Set("Authorization", "Bearer "+h.login(t, "alice"))
	r.Header["X_Api_Token"] = []string{"CLIENT"}
	r.Header["x-api_token"] = []string{"CLIENT"}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	for name, v := range b.last(t).Header {
		if strings.Contains(strings.Join(v, ""), "CLIENT") {
			t.Errorf("%s reached the backend", name)
		}
	}
	if ids := rec.Header().Values("X-Request-Id"); len(ids) != 1 {
		t.Errorf("X-Request-Id = %q; want one", ids)
	}
}

func TestBodyThatBreaksOffIsTheClientsFault(t *testing.T) {
	h := open(t, setup{transport: &recording{}, signedIn: true})
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/x", io.MultiReader(strings.NewReader("part"), broken{}))
	r.Host, r.ContentLength = "gateway.test", -1
	r.Header.Set("Authorization", "Bearer "+h.login(t, "alice"))
	rec := httptest.NewRecorder()
	if h.ServeHTTP(rec, r); rec.Code != 400 {
		t.Errorf("= %d %s; want 400", rec.Code, rec.Body)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("invalid byte in chunk length") }

// A rule that lets anybody through gives nobody an identity.
func TestPublicRuleAnswersNobodyAboutHimself(t *testing.T) {
	rules, errs := policy.Compile([]policy.Rule{{Name: "open", Path: "/**", Public: true}})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	h := open(t, setup{transport: &recording{}, rules: rules})
	for _, path := range []string{"/api/v7.0/users/me", "/api/v7.0/api-tokens"} {
		for _, auth := range []string{"", "Bearer junk"} {
			if rec := h.do("GET", path, "", "Authorization", auth); rec.Code != 401 {
				t.Errorf("GET %s with %q = %d; want 401", path, auth, rec.Code)
			}
		}
	}
}
