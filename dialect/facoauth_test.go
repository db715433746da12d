package dialect_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func facCall(t testing.TB, op token.Op) *dialect.Call {
	t.Helper()
	return mustOpen(t, "fac-oauth", dialect.Settings{}).Call(op)
}

// asked makes a request with a body, given as its media type and its text.
func asked(t testing.TB, media, body string, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/oauth/token/", strings.NewReader(body))
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

const (
	facJSON = "application/json"
	facForm = "application/x-www-form-urlencoded"
)

func basicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestTokenRequestIsRead(t *testing.T) {
	app := &token.Client{ID: "app", Secret: token.NewSecret("s")}
	alice := token.Grant{Op: token.OpLogin, Username: "alice", Password: token.NewSecret("p w"), Client: app}
	with := func(g token.Grant, change func(*token.Grant)) token.Grant { change(&g); return g }
	for _, c := range []struct {
		name string
		r    *http.Request
		want token.Grant
	}{
		{"JSON", asked(t, facJSON, `{"grant_type":"password","username":"alice","password":"p w","client_id":"app","client_secret":"s"}`), alice},
		{"JSON without a media type", asked(t, "", `{"grant_type":"password","username":"alice","password":"p w","client_id":"app","client_secret":"s"}`), alice},
		{"a form", asked(t, facForm+"; charset=utf-8", "grant_type=password&username=alice&password=p+w&client_id=app&client_secret=s"), alice},
		{"a form and Basic", asked(t, facForm, "grant_type=password&username=alice&password=p+w", "Authorization", basicAuth("app", "s")), alice},
		{"Basic and the same id", asked(t, facForm, "grant_type=password&username=alice&password=p+w&client_id=app", "Authorization", basicAuth("app", "s")), alice},
		{
			"Basic, encoded", asked(t, facForm, "grant_type=password&username=alice&password=p+w", "Authorization", basicAuth("a%20b", "%3A+%2B")),
			with(alice, func(g *token.Grant) { g.Client = &token.Client{ID: "a b", Secret: token.NewSecret(": +")} }),
		},
		{"a query does not count", func() *http.Request {
			r := asked(t, facForm, "grant_type=password&username=alice&password=p+w&client_id=app&client_secret=s")
			r.URL.RawQuery = "username=mallory&format=json"
			return r
		}(), alice},
		{
			"scopes and a realm", asked(t, facJSON, `{"grant_type":"password","username":"alice","password":"p w","client_id":"app","client_secret":"s","scope":" read  write ","realm":"corp"}`),
			with(alice, func(g *token.Grant) { g.Realm, g.Scopes = "corp", []string{"read", "write"} }),
		},
		{
			"an answer to a challenge", asked(t, facJSON, `{"grant_type":"password","username":"alice","password":"p w","client_id":"app","client_secret":"s","challenge":"otp","challenge_response":"123","method":"ftm","session":""}`),
			with(alice, func(g *token.Grant) {
				g.Factor = &token.Factor{Challenge: "otp", Method: "ftm", Response: token.NewSecret("123")}
			}),
		},
		{"empty challenge fields are none", asked(t, facJSON, `{"grant_type":"password","username":"alice","password":"p w","client_id":"app","client_secret":"s","challenge":"","challenge_response":"","method":"ftm"}`), alice},
		{
			"refresh", asked(t, facJSON, `{"grant_type":"refresh_token","refresh_token":"RT","client_id":"app","client_secret":"s","username":"x"}`),
			token.Grant{Op: token.OpRefresh, Refresh: token.NewSecret("RT"), Client: app},
		},
		{
			"code", asked(t, facForm, "grant_type=authorization_code&code=C&redirect_uri=https%3A%2F%2Fx%2Fcb&code_verifier=V&client_id=app&client_secret=s"),
			token.Grant{Op: token.OpCode, Client: app, Code: &token.CodeRequest{RedirectURI: "https://x/cb", Code: token.NewSecret("C"), Verifier: token.NewSecret("V")}},
		},
		{"no client", asked(t, facJSON, `{"grant_type":"refresh_token","refresh_token":"RT"}`), token.Grant{Op: token.OpRefresh, Refresh: token.NewSecret("RT")}},
	} {
		got, err := facCall(t, token.OpLogin).ReadRequest(c.r)
		if diff := gocmp.Diff(c.want, got, revealed); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
	}
}

func TestTokenRequestIsRefused(t *testing.T) {
	good := "grant_type=password&username=a&password=b&client_id=app&client_secret=s"
	for _, c := range []struct {
		name string
		r    *http.Request
		want token.Kind // Internal: a plain error, which is answered 400
	}{
		{"Basic and a secret in the body", asked(t, facForm, good, "Authorization", basicAuth("app", "s")), token.Internal},
		{"Basic and another id in the body", asked(t, facForm, "grant_type=password&username=a&password=b&client_id=other", "Authorization", basicAuth("app", "s")), token.Internal},
		{"Basic that cannot be read", asked(t, facForm, "grant_type=password&username=a&password=b", "Authorization", "Basic x"), token.InvalidClient},
		{"Basic with a broken escape", asked(t, facForm, "grant_type=password&username=a&password=b", "Authorization", basicAuth("a%zz", "s")), token.InvalidClient},
		{"a parameter twice", asked(t, facForm, good+"&client_id=other"), token.Internal},
		{"a parameter twice, alike", asked(t, facForm, good+"&username=a"), token.Internal},
		{"a key twice", asked(t, facJSON, `{"grant_type":"password","grant_type":"password"}`), token.Internal},
		{"a password that is not UTF-8", asked(t, facForm, "grant_type=password&username=a&password=%ff"), token.Internal},
		{"a semicolon", asked(t, facForm, good+";x=y"), token.Internal},
		{"a number for a string", asked(t, facJSON, `{"grant_type":"password","username":1,"password":"b"}`), token.Internal},
		{"a number for a client", asked(t, facJSON, `{"grant_type":"password","username":"a","password":"b","client_id":1}`), token.Internal},
		{"a number for a scope", asked(t, facJSON, `{"grant_type":"password","username":"a","password":"b","scope":1}`), token.Internal},
		{"multipart", asked(t, "multipart/form-data; boundary=x", "--x--"), token.UnsupportedMedia},
		{"text", asked(t, "text/plain", "{}"), token.UnsupportedMedia},
		{"a coding", asked(t, facForm, good, "Content-Encoding", "gzip"), token.UnsupportedMedia},
		{"nothing", asked(t, facForm, ""), token.Internal},
		{"a JSON array", asked(t, facJSON, `[]`), token.Internal},
		{"no grant type", asked(t, facForm, "username=a&password=b"), token.Internal},
		{"client_credentials", asked(t, facForm, "grant_type=client_credentials&client_id=app&client_secret=s"), token.UnsupportedGrant},
		{"no user name", asked(t, facForm, "grant_type=password&password=b"), token.Internal},
		{"no password", asked(t, facForm, "grant_type=password&username=a&password="), token.Internal},
		{"no refresh token", asked(t, facForm, "grant_type=refresh_token"), token.Internal},
		{"no code", asked(t, facForm, "grant_type=authorization_code"), token.Internal},
	} {
		if _, err := facCall(t, token.OpLogin).ReadRequest(c.r); err == nil || token.KindOf(err) != c.want {
			t.Errorf("%s: %v; want %s", c.name, err, c.want)
		}
	}
}

func TestTokenAnswerIsReadStrictly(t *testing.T) {
	for _, c := range []struct {
		name, body string
		life       time.Duration
		ok         bool
	}{
		{"never", `{"access_token":"A","expires_in":0,"refresh_token":"R","token_type":"Bearer","status":"success"}`, 0, true},
		{"not told", `{"access_token":"A","refresh_token":"R","token_type":"Bearer"}`, 0, true},
		{"lower case", `{"access_token":"A","expires_in":14400,"refresh_token":"R","token_type":"bearer"}`, 4 * time.Hour, true},
		{"the longest", `{"access_token":"A","expires_in":2147483647,"refresh_token":"R","token_type":"Bearer"}`, 2147483647 * time.Second, true},
		{"no refresh token", `{"access_token":"A","expires_in":1,"refresh_token":null,"token_type":"Bearer"}`, time.Second, true},
		{"longer", `{"access_token":"A","expires_in":2147483648,"token_type":"Bearer"}`, 0, false},
		{"huge", `{"access_token":"A","expires_in":1e30,"token_type":"Bearer"}`, 0, false},
		{"negative", `{"access_token":"A","expires_in":-1,"token_type":"Bearer"}`, 0, false},
		{"a string", `{"access_token":"A","expires_in":"3600","token_type":"Bearer"}`, 0, false},
		{"a fraction", `{"access_token":"A","expires_in":1.5,"token_type":"Bearer"}`, 0, false},
		{"status failed", `{"access_token":"A","token_type":"Bearer","status":"failed"}`, 0, false},
		{"another type", `{"access_token":"A","token_type":"MAC"}`, 0, false},
		{"no type", `{"access_token":"A"}`, 0, false},
		{"no access token", `{"token_type":"Bearer"}`, 0, false},
		{"an empty access token", `{"access_token":"","token_type":"Bearer"}`, 0, false},
		{"an access token with a line end", `{"access_token":"a\n","token_type":"Bearer"}`, 0, false},
		{"a refresh token that is a number", `{"access_token":"A","refresh_token":1,"token_type":"Bearer"}`, 0, false},
		{"HTML", `<html>`, 0, false},
	} {
		set, err := facCall(t, token.OpLogin).ReadResponse(answered(http.StatusOK, nil, c.body))
		if (err == nil) != c.ok || set.ExpiresIn != c.life {
			t.Errorf("%s: %s, %v; want %s, ok %t", c.name, set.ExpiresIn, err, c.life, c.ok)
		}
	}
}

func TestNeverIsToldAsTheClientNeedsIt(t *testing.T) {
	for as, want := range map[time.Duration]any{0: 0.0, -1: nil, 7200 * time.Second: 7200.0} {
		rec := httptest.NewRecorder()
		set := token.Set{Op: token.OpLogin, Access: token.NewSecret("A"), NeverAs: as}
		if err := facCall(t, token.OpLogin).WriteResponse(rec, set); err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got["expires_in"] != want || got["refresh_token"] != "" {
			t.Errorf("NeverAs %s: %s; want expires_in %v and an empty refresh_token", as, rec.Body, want)
		}
	}
}

// TestEveryKindHasAnOAuthAnswer: a code, both forms of the message, and no token.
func TestEveryKindHasAnOAuthAnswer(t *testing.T) {
	d := mustOpen(t, "fac-oauth", dialect.Settings{})
	for _, kind := range token.Kinds() {
		rec := written(t, d, http.MethodGet, token.Fail(kind, "", nil))
		var body map[string]string
		if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || rec.Code < 400 {
			t.Fatalf("%s: %d %s", kind, rec.Code, rec.Body)
		}
		if body["error"] == "" || body["error_description"] == "" || body["message"] != body["error_description"] || body["status"] != "failed" || len(body) != 4 {
			t.Errorf("%s: %s", kind, rec.Body)
		}
		h := rec.Header()
		if h.Get("Cache-Control") != "no-store" || h.Get("Pragma") != "no-cache" || (rec.Code == 401) != (h.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %d with headers %v", kind, rec.Code, h)
		}
		if e := d.Errors.Read(rec.Code, h, rec.Body.Bytes()); e.Kind == token.Internal || rec.Code >= 500 && e.Kind != token.Unavailable {
			t.Errorf("%s: read back it is %s", kind, e.Kind)
		}
	}
}

func TestOAuthErrorsAreTheVendors(t *testing.T) {
	d := mustOpen(t, "fac-oauth", dialect.Settings{})
	for _, c := range []struct {
		kind   token.Kind
		status int
		code   string
	}{
		{token.BadCredentials, 401, "invalid_grant"},
		{token.InvalidRefresh, 400, "invalid_grant"},
		{token.InvalidClient, 401, "invalid_client"},
		{token.UnauthorizedClient, 400, "unauthorized_client"},
		{token.UnsupportedGrant, 400, "unsupported_grant_type"},
		{token.InvalidScope, 400, "invalid_scope"},
		{token.Malformed, 400, "invalid_request"},
		{token.UnsupportedMedia, 400, "invalid_request"},
		{token.InvalidAccess, 401, "invalid_token"},
		{token.FactorNeeded, 401, "invalid_grant"}, // without a challenge
	} {
		rec := written(t, d, http.MethodPost, token.Fail(c.kind, "said", nil))
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), `"error":"`+c.code+`"`) {
			t.Errorf("%s: %d %s; want %d %s", c.kind, rec.Code, rec.Body, c.status, c.code)
		}
	}
	// What a client presented is never told apart.
	for _, kind := range []token.Kind{token.BadCredentials, token.InvalidClient, token.InvalidAccess, token.ExpiredAccess, token.Missing} {
		if rec := written(t, d, http.MethodPost, token.Fail(kind, "said", nil)); strings.Contains(rec.Body.String(), "said") {
			t.Errorf("%s tells its cause: %s", kind, rec.Body)
		}
	}
}

func TestClientIsAskedByTheSchemeItUsed(t *testing.T) {
	d := mustOpen(t, "fac-oauth", dialect.Settings{})
	for header, want := range map[string]string{basicAuth("a", "b"): `Basic realm="api"`, "": `Bearer realm="api", error="invalid_client"`} {
		r := asked(t, facForm, "")
		r.Header.Set("Authorization", header)
		rec := httptest.NewRecorder()
		d.Errors.Write(rec, r, token.Fail(token.InvalidClient, "", nil))
		if got := rec.Header().Get("WWW-Authenticate"); got != want {
			t.Errorf("WWW-Authenticate = %q; want %q", got, want)
		}
	}
}

func TestChallengePassesAsItIs(t *testing.T) {
	d := mustOpen(t, "fac-oauth", dialect.Settings{})
	body := `{"challenge":"radius","method":"any","session":"not hex","status":"whatever"}`
	e := d.Errors.Read(http.StatusNotAcceptable, http.Header{}, []byte(body))
	want := &token.Challenge{Challenge: "radius", Method: "any", Session: "not hex", Status: "whatever"}
	if diff := gocmp.Diff(want, e.Challenge, revealed); e.Kind != token.FactorNeeded || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", e, diff)
	}
	rec := written(t, d, http.MethodPost, e)
	if rec.Code != http.StatusNotAcceptable || strings.TrimSpace(rec.Body.String()) != body {
		t.Errorf("written: %d %s; want the same again", rec.Code, rec.Body)
	}
	for _, other := range []string{`{}`, `{"challenge":1}`, `[]`, ``} {
		if e := d.Errors.Read(http.StatusNotAcceptable, http.Header{}, []byte(other)); e.Kind != token.NotAcceptable || e.Challenge != nil {
			t.Errorf("406 %s: %v; want not acceptable", other, e)
		}
	}
}

// Only exact words say something about what was presented.
func TestOAuthFailureIsRead(t *testing.T) {
	d := mustOpen(t, "fac-oauth", dialect.Settings{})
	for _, c := range []struct {
		status int
		body   string
		want   token.Kind
	}{
		{400, `{"error":"invalid_grant"}`, token.BadCredentials},
		{401, `{"error":"invalid_grant"}`, token.BadCredentials},
		{401, `{"error":"invalid_client"}`, token.InvalidClient},
		{400, `{"error":"invalid_client"}`, token.InvalidClient},
		{401, `{"error":"invalid_token"}`, token.InvalidAccess},
		{401, `{"status":"failed","message":"x"}`, token.InvalidAccess},
		{401, ``, token.InvalidAccess},
		{401, `{"error":{"code":1}}`, token.InvalidAccess},
		{400, `{"error":"x"}`, token.Malformed},
		{403, ``, token.Denied},
		{404, ``, token.NotFound},
		{418, ``, token.BadGateway},
		{401, `<html>`, token.BadGateway},
		{500, `{"error":"invalid_grant"}`, token.Unavailable},
		{429, `{"error":"invalid_grant"}`, token.Throttled},
	} {
		if e := d.Errors.Read(c.status, http.Header{}, []byte(c.body)); e.Kind != c.want {
			t.Errorf("%d %s: %s; want %s", c.status, c.body, e.Kind, c.want)
		}
	}
}

func TestAuthorizationRequestIsRead(t *testing.T) {
	read := func(query string) (token.Grant, error) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/oauth/authorize/?"+query, nil)
		return facCall(t, token.OpAuthorize).ReadRequest(r)
	}
	got, err := read("response_type=code&client_id=app&redirect_uri=https%3A%2F%2Fx%2Fcb%3Fa%3Db&scope=openid+read&state=s%26t&nonce=n&code_challenge=c&code_challenge_method=S256")
	want := token.Grant{Op: token.OpAuthorize, Client: &token.Client{ID: "app"}, Scopes: []string{"openid", "read"}, Code: &token.CodeRequest{
		ResponseType: "code", RedirectURI: "https://x/cb?a=b", State: "s&t", Nonce: "n", Challenge: "c", ChallengeMethod: "S256",
	}}
	if diff := gocmp.Diff(want, got, revealed); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{
		"", "response_type=code", "client_id=a&client_id=b", "client_id=a&redirect_uri=x&redirect_uri=y", "client_id=a&state=1&state=1", "client_id=a;b",
	} {
		if g, err := read(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, g)
		}
	}
}

func TestRedirectCarriesNothingButParameters(t *testing.T) {
	write := func(to token.Redirect) *url.URL {
		t.Helper()
		rec := httptest.NewRecorder()
		if err := facCall(t, token.OpAuthorize).WriteResponse(rec, token.Set{Redirect: &to}); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(rec.Header().Get("Location"))
		if err != nil || rec.Code != http.StatusFound || rec.Body.Len() != 0 || rec.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v %q, %v; want a plain redirect", rec.Code, rec.Header(), rec.Body, err)
		}
		return u
	}
	if u := write(token.Redirect{URI: "com.example.app:/cb?b&a=%2f", Code: token.NewSecret("C")}); u.String() != "com.example.app:/cb?b&a=%2f&code=C" {
		t.Errorf("%s; want the registered address as it is", u)
	}
	const nasty = "\"><script>alert(1)</script>\r\nSet-Cookie: a=b"
	u := write(token.Redirect{URI: "https://x/cb?keep=1", State: nasty, Code: token.NewSecret("C")})
	if q := u.Query(); u.Host != "x" || q.Get("keep") != "1" || q.Get("code") != "C" || q.Get("state") != nasty || len(q) != 3 {
		t.Errorf("%s", u)
	}
	for kind, want := range map[token.Kind]string{
		token.Malformed: "invalid_request", token.InvalidScope: "invalid_scope", token.UnsupportedGrant: "unsupported_response_type",
		token.UnauthorizedClient: "unauthorized_client", token.Unavailable: "temporarily_unavailable", token.Internal: "server_error",
	} {
		u := write(token.Redirect{URI: "https://x/cb", State: "s", Err: token.Fail(kind, "", nil)})
		if q := u.Query(); q.Get("error") != want || q.Get("error_description") == "" || q.Get("state") != "s" || q.Has("code") {
			t.Errorf("%s: %s; want error %s", kind, u, want)
		}
	}
}

func TestIDTokenIsThePages(t *testing.T) {
	for vendor, iss := range map[bool]string{false: "https://gate.example.com/api/v1/oauth", true: "/api/v1/oauth"} {
		d := mustOpen(t, "fac-oauth", dialect.Settings{VendorDiscovery: vendor})
		issued := time.Unix(1635885052, 0)
		text, err := d.Tokens.MintID(testKeys(), token.IDToken{
			Origin: "https://gate.example.com", Subject: "2", Client: "app", IssuedAt: issued,
			Access: token.NewSecret("nCKp5jGTfPGuk2Rv98chYUrBYqlhxZ"),
		})
		if err != nil {
			t.Fatal(err)
		}
		part, err := base64.RawURLEncoding.DecodeString(strings.Split(text.Reveal(), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		var claims map[string]any
		if err := json.Unmarshal(part, &claims); err != nil {
			t.Fatal(err)
		}
		if id, _ := claims["jti"].(string); !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
			t.Errorf("jti = %q; want a UUID of version 4", id)
		}
		delete(claims, "jti")
		want := map[string]any{
			"aud": "app", "iat": 1635885052.0, "exp": 1635921052.0, "at_hash": "mHzOuIXZojuSMeDFy_BKXA", "sub": "2", "iss": iss,
		}
		if diff := gocmp.Diff(want, claims); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}
	}
}

func TestVendorDiscoveryIsThePages(t *testing.T) {
	d := mustOpen(t, "fac-oauth", dialect.Settings{VendorDiscovery: true})
	rec := httptest.NewRecorder()
	if err := d.Call(token.OpDiscovery).WriteResponse(rec, token.Set{Origin: "https://gate.example.com"}); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"issuer": "/api/v1/oauth", "token_endpoint": "/api/v1/oauth/api/v1/oauth/token/",
		"jwks_uri": "/api/v1/oauth/api/v1/oauth/.well-known/keys/",
	} {
		if got[key] != want {
			t.Errorf("%s = %v; want %s", key, got[key], want)
		}
	}
}

func TestTokensAreThirtyCharacters(t *testing.T) {
	d := mustOpen(t, "fac-oauth", dialect.Settings{})
	form := regexp.MustCompile(`^[A-Za-z0-9]{30}$`)
	for range 200 {
		core := randomCore()
		access, err := d.Tokens.MintAccess(testKeys(), token.Access{}, core)
		if err != nil || !form.MatchString(access.Reveal()) || d.Tokens.MintRefresh(core, token.Identity{}).Reveal() != access.Reveal() {
			t.Fatalf("MintAccess = %q, %v", access.Reveal(), err)
		}
		_, got, err := d.Tokens.ParseAccess(testKeys(), access)
		if err != nil || *got != core {
			t.Fatalf("ParseAccess = %v, %v", got, err)
		}
	}
	for _, junk := range []string{"", strings.Repeat("0", 29), strings.Repeat("0", 31), strings.Repeat("z", 30), strings.Repeat("0", 29) + "-"} {
		if _, _, err := d.Tokens.ParseAccess(testKeys(), token.NewSecret(junk)); err == nil || token.KindOf(err) != token.InvalidAccess {
			t.Errorf("%q is taken: %v", junk, err)
		}
	}
}

func TestPathsHaveASlashOrNone(t *testing.T) {
	d := mustOpen(t, "fac-oauth", dialect.Settings{})
	for _, c := range d.Calls {
		for i, p := range c.Paths {
			for path, want := range map[string]bool{p: true, p + "x": false, p + "//": false} {
				r := httptest.NewRequestWithContext(t.Context(), c.Method, "/", nil)
				r.URL.Path = path
				if got, _ := d.Match(r); (got != nil && got.Op == c.Op) != want {
					t.Errorf("%s %s is matched: %t; want %t", c.Method, path, !want, want)
				}
			}
			if i == 0 && !strings.HasSuffix(p, "/") {
				t.Errorf("%s is spoken without its slash", p)
			}
			if op, ok := d.Guards(p); !ok || op != c.Op {
				t.Errorf("Guards(%s) = %s, %t; want %s", p, op, ok, c.Op)
			}
		}
	}
}

// FuzzReadToken: what is read of a login can be spoken and is read again as the
// same, and nothing panics.
func FuzzReadToken(f *testing.F) {
	f.Add(facJSON, `{"grant_type":"password","username":"a","password":"b","client_id":"c","client_secret":""}`, "")
	f.Add(facForm, "grant_type=refresh_token&refresh_token=a&scope=b+c", basicAuth("a", "b"))
	f.Add(facForm, "grant_type=password&username=%00&password=%ff", "Basic x")
	f.Add("", `{"grant_type":"authorization_code","code":"x"}`, "")
	call := facCall(f, token.OpLogin)
	f.Fuzz(func(t *testing.T, media, body, auth string) {
		g, err := call.ReadRequest(asked(t, media, body, "Authorization", auth))
		if err != nil || g.Op == token.OpCode {
			return
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/oauth/token/", nil)
		if err := call.WriteRequest(r, g); err != nil {
			t.Fatal(err)
		}
		again, err := call.ReadRequest(r)
		if diff := gocmp.Diff(g, again, revealed); err != nil || diff != "" {
			t.Errorf("%q %q: %v\n%s", body, auth, err, diff)
		}
	})
}

// FuzzReadTokenAnswer: no answer panics, and what is taken can be used.
func FuzzReadTokenAnswer(f *testing.F) {
	f.Add(`{"access_token":"A","expires_in":0,"refresh_token":"R","token_type":"Bearer","status":"success","scope":"read"}`)
	f.Add(`{"access_token":"A","expires_in":"1","token_type":"Bearer"}`)
	f.Add(`{"challenge":"otp","method":"ftm","status":"pending"}`)
	d := mustOpen(f, "fac-oauth", dialect.Settings{})
	f.Fuzz(func(t *testing.T, body string) {
		set, err := d.Call(token.OpLogin).ReadResponse(answered(http.StatusOK, nil, body))
		if err == nil && (set.Access.IsZero() || set.ExpiresIn < 0 || strings.ContainsAny(set.Access.Reveal(), " \r\n\x00")) {
			t.Errorf("%q is taken: %v", body, set)
		}
		if e := d.Errors.Read(http.StatusNotAcceptable, http.Header{}, []byte(body)); (e.Kind == token.FactorNeeded) != (e.Challenge != nil) {
			t.Errorf("%q: %v with challenge %v", body, e, e.Challenge)
		}
	})
}
