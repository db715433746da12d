package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	appSecret = "app-secret-2kQzV9rXw1"
	appURI    = "http://127.0.0.1/cb?from=gate"
	oauthPath = "/api/v1/oauth"
)

// oauthGateway serves FortiAuthenticator's OAuth API before a backend that is not
// logged in to and answers what it was sent.
func oauthGateway(t testing.TB, more ...string) (*gateway, *client) {
	t.Helper()
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "authorization=%q", r.Header.Get("Authorization"))
	}))
	t.Cleanup(b.Close)
	conf := writeFile(t, "gate.yaml", `
clients:
  - {id: app, secret_env: APP_SECRET, grants: [password, authorization_code, refresh_token], redirect_uris: ["`+appURI+`"], access_ttl: 1h, scopes: [read, write]}
  - {id: brief, secret_env: APP_SECRET, grants: [password, refresh_token], access_ttl: 2s}
  - {id: forever, secret_env: APP_SECRET, grants: [password], access_ttl: 0s, never_as: omitted}
  - {id: spa, type: public, redirect_uris: ["`+appURI+`"]}
`)
	s := settings{
		"BACKEND_URL": b.URL, "BACKEND_SPEAK": "none", "SERVE": "fac-oauth", "USERS_FILE": usersFile(t), "CONFIG": conf, "REFRESH_GRACE": "0s",
	}.withPlain("APP_SECRET", appSecret)
	g := start(t, s.with(more...))
	return g, g.client(t)
}

// tokenCall posts a form to one of the calls.
func (c *client) tokenCall(t testing.TB, call string, fields url.Values, headers ...string) (answer, map[string]any) {
	t.Helper()
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	a := c.must(t, request{method: http.MethodPost, path: oauthPath + call, body: fields.Encode(), header: h})
	var body map[string]any
	_ = json.Unmarshal([]byte(a.body), &body) // what is not JSON has no members
	return a, body
}

func clientFields(id string, more ...string) url.Values {
	v := url.Values{"client_id": {id}, "client_secret": {appSecret}}
	if id == "spa" {
		v.Del("client_secret")
	}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v
}

func passwordGrant(id string) url.Values {
	return clientFields(id, "grant_type", "password", "username", "alice", "password", userPassword)
}

func basic(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

func text(body map[string]any, key string) string {
	s, _ := body[key].(string)
	return s
}

// signedIn returns the cookie of alice's browser session.
func signedIn(t testing.TB, g *gateway, c *client) string {
	t.Helper()
	cookie := c.must(t, form(g.URL, "/.gatehouse/sign-in", "", credentials("/"))).cookie("__Host-gatehouse")
	if cookie == "" {
		t.Fatal("signing in gave no cookie")
	}
	return cookie
}

// authorize asks for a code as a signed-in browser and returns where it is sent.
func authorize(t testing.TB, c *client, cookie string, query url.Values) *url.URL {
	t.Helper()
	a := c.must(t, navigation(oauthPath+"/authorize/?"+query.Encode(), cookie))
	wantStatus(t, "authorize", a, http.StatusFound)
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestOAuthLibraryWorksUnchanged: golang.org/x/oauth2 logs in by password,
// refreshes by itself, and goes the way of codes with PKCE.
func TestOAuthLibraryWorksUnchanged(t *testing.T) {
	t.Parallel()
	g, c := oauthGateway(t)
	conf := oauth2.Config{ClientID: "brief", ClientSecret: appSecret, Endpoint: oauth2.Endpoint{
		TokenURL: g.URL + oauthPath + "/token/", AuthURL: g.URL + oauthPath + "/authorize/",
	}}
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleAutoDetect, oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		conf.Endpoint.AuthStyle = style
		tok, err := conf.PasswordCredentialsToken(t.Context(), "alice", userPassword)
		if err != nil || !tok.Valid() && time.Until(tok.Expiry) > 2*time.Second {
			t.Fatalf("style %d: %v, %v", style, tok, err)
		}
		// A token of two seconds is due at once by the library's own margin, so each
		// call refreshes.
		resp, err := conf.Client(t.Context(), tok).Get(g.URL + "/things")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("style %d: a call: %v, %v", style, resp, err)
		}
		resp.Body.Close()
		a := c.must(t, request{path: "/things", header: http.Header{"Authorization": {"Bearer " + tok.AccessToken}}})
		wantStatus(t, "the access token before the refresh", a, http.StatusUnauthorized)
	}

	conf.ClientID, conf.RedirectURL, conf.Scopes, conf.Endpoint.AuthStyle = "app", appURI, []string{"openid", "read"}, oauth2.AuthStyleInHeader
	verifier := oauth2.GenerateVerifier()
	to, err := url.Parse(conf.AuthCodeURL("state-1", oauth2.S256ChallengeOption(verifier)))
	if err != nil {
		t.Fatal(err)
	}
	back := authorize(t, c, signedIn(t, g, c), to.Query())
	if back.Host != "127.0.0.1" || back.Query().Get("state") != "state-1" || back.Query().Get("from") != "gate" {
		t.Fatalf("sent to %s", back)
	}
	tok, err := conf.Exchange(t.Context(), back.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil || tok.RefreshToken == "" || time.Until(tok.Expiry) < 59*time.Minute {
		t.Fatalf("Exchange = %v, %v", tok, err)
	}
	if next, err := conf.TokenSource(t.Context(), &oauth2.Token{RefreshToken: tok.RefreshToken}).Token(); err != nil || next.AccessToken == tok.AccessToken {
		t.Errorf("refresh: %v, %v", next, err)
	}
}

// TestOpenIDLibraryWorksUnchanged: go-oidc finds everything by discovery, checks
// the id_token and reads the user.
func TestOpenIDLibraryWorksUnchanged(t *testing.T) {
	t.Parallel()
	g, c := oauthGateway(t)
	provider, err := oidc.NewProvider(t.Context(), g.URL+oauthPath)
	if err != nil {
		t.Fatal(err)
	}
	conf := oauth2.Config{ClientID: "app", ClientSecret: appSecret, Endpoint: provider.Endpoint(), RedirectURL: appURI, Scopes: []string{oidc.ScopeOpenID}}
	to, err := url.Parse(conf.AuthCodeURL("s", oidc.Nonce("nonce-1")))
	if err != nil {
		t.Fatal(err)
	}
	back := authorize(t, c, signedIn(t, g, c), to.Query())
	tok, err := conf.Exchange(t.Context(), back.Query().Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := tok.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: "app"}).Verify(t.Context(), raw)
	if err != nil || id.Nonce != "nonce-1" || id.VerifyAccessToken(tok.AccessToken) != nil {
		t.Fatalf("id_token: %+v, %v", id, err)
	}
	info, err := provider.UserInfo(t.Context(), oauth2.StaticTokenSource(tok))
	if err != nil || info.Subject != id.Subject {
		t.Fatalf("userinfo: %+v, %v; want subject %s", info, err, id.Subject)
	}
	var claims struct{ Username string }
	if err := info.Claims(&claims); err != nil || claims.Username != "alice" {
		t.Errorf("userinfo: %+v, %v; want alice", claims, err)
	}
	if _, err := provider.Verifier(&oidc.Config{ClientID: "spa"}).Verify(t.Context(), raw); err == nil {
		t.Error("the id_token is good for another client")
	}
}

func TestBrowserIsSentToSignInAndBack(t *testing.T) {
	t.Parallel()
	g, c := oauthGateway(t)
	query := url.Values{"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {appURI}, "state": {"a&b"}}
	path := oauthPath + "/authorize/?" + query.Encode()
	away := c.must(t, navigation(path, ""))
	wantStatus(t, "authorize, signed out", away, http.StatusFound)
	signIn, err := url.Parse(away.header.Get("Location"))
	if err != nil || signIn.Path != "/.gatehouse/sign-in" || signIn.Query().Get("return_to") != path {
		t.Fatalf("Location = %s, %v; want the sign-in page, and back", away.header.Get("Location"), err)
	}
	in := c.must(t, form(g.URL, "/.gatehouse/sign-in", "", credentials(path)))
	wantStatus(t, "signing in", in, http.StatusOK) // a redirect that left the site would be refused by browsers
	if got := in.header.Get("Refresh"); got != "0; url="+path {
		t.Errorf("Refresh = %q; want back to where he came from", got)
	}
	back := c.must(t, navigation(path, in.cookie("__Host-gatehouse")))
	u, err := url.Parse(back.header.Get("Location"))
	if err != nil || back.status != http.StatusFound || u.Query().Get("state") != "a&b" || u.Query().Get("code") == "" {
		t.Errorf("authorize, signed in: %d %v", back.status, back.header)
	}
	plain := c.must(t, request{path: path})
	wantStatus(t, "authorize by no browser", plain, http.StatusUnauthorized)
}

// TestRequestsForCodesThatAreWrong: nothing ever goes to an address that is not
// registered, and what goes to one that is carries the error.
func TestRequestsForCodesThatAreWrong(t *testing.T) {
	t.Parallel()
	g, c := oauthGateway(t)
	cookie := signedIn(t, g, c)
	good := func(more ...string) url.Values {
		v := url.Values{"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {appURI}, "state": {"s"}}
		for i := 0; i+1 < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	for name, query := range map[string]string{
		"another host":    good("redirect_uri", "https://evil.example/cb").Encode(),
		"another port":    good("redirect_uri", "http://127.0.0.1:81/cb?from=gate").Encode(),
		"further query":   good("redirect_uri", appURI+"&x=1").Encode(),
		"unknown client":  good("client_id", "<script>alert(1)</script>").Encode(),
		"no client":       good("client_id", "").Encode(),
		"two addresses":   good().Encode() + "&redirect_uri=https%3A%2F%2Fevil.example%2Fcb",
		"two clients":     good().Encode() + "&client_id=spa",
		"a fragment":      good("redirect_uri", appURI+"#x").Encode(),
		"a line end":      good("redirect_uri", appURI+"\r\nX: y").Encode(),
		"a local path":    good("redirect_uri", "/cb").Encode(),
		"a script":        good("redirect_uri", "javascript:alert(1)").Encode(),
		"userinfo before": good("redirect_uri", "http://127.0.0.1@evil.example/cb").Encode(),
	} {
		for _, by := range []request{navigation(oauthPath+"/authorize/?"+query, cookie), {path: oauthPath + "/authorize/?" + query, header: http.Header{"Cookie": {"__Host-gatehouse=" + cookie}}}} {
			a := c.must(t, by)
			if a.status != http.StatusBadRequest || a.header.Get("Location") != "" || strings.Contains(a.body, "<script>alert") {
				t.Errorf("%s: %d, Location %q\n%s", name, a.status, a.header.Get("Location"), a.body)
			}
		}
	}
	for want, query := range map[string]url.Values{
		"unsupported_response_type": good("response_type", "token"),
		"invalid_scope":             good("scope", "openid admin"),
		"invalid_request":           good("code_challenge", "x", "code_challenge_method", "plain"),
	} {
		u := authorize(t, c, cookie, query)
		if q := u.Query(); u.Host != "127.0.0.1" || q.Get("error") != want || q.Get("state") != "s" || q.Has("code") {
			t.Errorf("%s: sent to %s", want, u)
		}
	}
	if u := authorize(t, c, cookie, good("client_id", "spa")); u.Query().Get("error") != "invalid_request" {
		t.Errorf("a public client without a challenge: sent to %s", u)
	}
	a := c.must(t, navigation(oauthPath+"/authorize/?"+good("state", strings.Repeat("s", 64<<10)).Encode(), cookie))
	if a.status != http.StatusRequestURITooLong && a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a state of 64 KiB: %d", a.status)
	}
}

// TestTokenEndpointRefuses: OAuth's code, no token, nothing for a cache to keep.
func TestTokenEndpointRefuses(t *testing.T) {
	t.Parallel()
	_, c := oauthGateway(t)
	with := func(v url.Values, more ...string) url.Values {
		for i := 0; i+1 < len(more); i += 2 {
			if v.Del(more[i]); more[i+1] != "" {
				v.Set(more[i], more[i+1])
			}
		}
		return v
	}
	for _, tt := range []struct {
		name    string
		fields  url.Values
		headers []string
		status  int
		code    string
	}{
		{"Basic and body", passwordGrant("app"), []string{"Authorization", basic("app", appSecret)}, 400, "invalid_request"},
		{"two clients", with(passwordGrant("brief"), "client_secret", ""), []string{"Authorization", basic("app", appSecret)}, 400, "invalid_request"},
		{"wrong secret", with(passwordGrant("app"), "client_secret", "x"), nil, 401, "invalid_client"},
		{"wrong secret by Basic", with(passwordGrant("app"), "client_id", "", "client_secret", ""), []string{"Authorization", basic("app", "x")}, 401, "invalid_client"},
		{"unknown client", with(passwordGrant("app"), "client_id", "ghost"), nil, 401, "invalid_client"},
		{"no client", with(passwordGrant("app"), "client_id", "", "client_secret", ""), nil, 401, "invalid_client"},
		{"a client without the grant", with(passwordGrant("spa"), "client_secret", ""), nil, 400, "unauthorized_client"},
		{"wrong password", with(passwordGrant("app"), "password", "x"), nil, 401, "invalid_grant"},
		{"unknown user", with(passwordGrant("app"), "username", "ghost"), nil, 401, "invalid_grant"},
		{"unknown realm", with(passwordGrant("app"), "realm", "nowhere"), nil, 401, "invalid_grant"},
		{"a scope too many", with(passwordGrant("app"), "scope", "read admin"), nil, 400, "invalid_scope"},
		{"client_credentials", with(passwordGrant("app"), "grant_type", "client_credentials"), nil, 400, "unsupported_grant_type"},
		{"no grant", with(passwordGrant("app"), "grant_type", ""), nil, 400, "invalid_request"},
		{"a parameter twice", url.Values{"grant_type": {"password", "password"}}, nil, 400, "invalid_request"},
		{"multipart", passwordGrant("app"), []string{"Content-Type", "multipart/form-data; boundary=x"}, 400, "invalid_request"},
		{"a junk refresh token", clientFields("app", "grant_type", "refresh_token", "refresh_token", strings.Repeat("0", 30)), nil, 400, "invalid_grant"},
		{"a junk code", clientFields("app", "grant_type", "authorization_code", "code", strings.Repeat("A", 30)), nil, 400, "invalid_grant"},
	} {
		a, body := c.tokenCall(t, "/token/", tt.fields, tt.headers...)
		if a.status != tt.status || text(body, "error") != tt.code || text(body, "error_description") == "" || text(body, "status") != "failed" {
			t.Errorf("%s: %d %s; want %d %s", tt.name, a.status, a.body, tt.status, tt.code)
		}
		if strings.Contains(a.body, "access_token") || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" ||
			(a.status == 401) != (a.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %v\n%s", tt.name, a.header, a.body)
		}
	}
	get := c.must(t, request{path: oauthPath + "/token/?" + passwordGrant("app").Encode()})
	wantStatus(t, "GET", get, http.StatusMethodNotAllowed)
	if strings.Contains(get.body, "access_token") {
		t.Error("a GET got a token")
	}
}

func TestCodeIsGoodOnce(t *testing.T) {
	g, c := oauthGateway(t)
	back := authorize(t, c, signedIn(t, g, c), url.Values{"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {appURI}})
	fields := clientFields("app", "grant_type", "authorization_code", "code", back.Query().Get("code"), "redirect_uri", appURI)
	var mu sync.Mutex
	var access []string
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			a, body := c.tokenCall(t, "/token/", fields)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.status == http.StatusOK:
				access = append(access, text(body, "access_token"))
			case a.status != http.StatusBadRequest || text(body, "error") != "invalid_grant":
				t.Errorf("a replay: %d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	if len(access) != 1 {
		t.Fatalf("%d of 50 parallel redemptions got tokens; want exactly 1", len(access))
	}
	a := c.must(t, request{path: "/things", header: http.Header{"Authorization": {"Bearer " + access[0]}}})
	wantStatus(t, "the tokens of a code that was used again", a, http.StatusUnauthorized)
}

func TestTokensOfAClient(t *testing.T) {
	t.Parallel()
	_, c := oauthGateway(t)
	a, body := c.tokenCall(t, "/token", passwordGrant("app"))
	wantStatus(t, "login", a, http.StatusOK)
	if body["expires_in"] != 3600.0 || text(body, "scope") != "read write" || text(body, "message") != "successfully authenticated" {
		t.Errorf("login: %s", a.body)
	}
	bearer := http.Header{"Authorization": {"Bearer " + text(body, "access_token")}}
	call := c.must(t, request{path: "/things", header: bearer})
	if call.status != http.StatusOK || call.body != `authorization=""` {
		t.Errorf("a call: %d %s; want the token kept from the backend", call.status, call.body)
	}
	for path, want := range map[string]int{
		"/verify_token/?client_id=app": 200, "/verify_token?client_id=app": 200, "/verify_token/?client_id=brief": 401, "/verify_token/": 400,
		"/userinfo/": 200, "/userinfo": 200,
	} {
		wantStatus(t, path, c.must(t, request{path: oauthPath + path, header: bearer}), want)
	}
	for _, tt := range []struct {
		name, client string
		active       bool
	}{{"its client", "app", true}, {"another client", "brief", false}} {
		a, said := c.tokenCall(t, "/introspect/", clientFields(tt.client, "token", text(body, "access_token")))
		if a.status != http.StatusOK || said["active"] != tt.active || tt.active != (text(said, "username") == "alice") {
			t.Errorf("introspection by %s: %d %s", tt.name, a.status, a.body)
		}
	}
	for name, fields := range map[string]url.Values{
		"nobody":          {"token": {text(body, "access_token")}},
		"a public client": clientFields("spa", "token", text(body, "access_token")),
		"a wrong secret":  {"client_id": {"app"}, "client_secret": {"x"}, "token": {text(body, "access_token")}},
	} {
		a, said := c.tokenCall(t, "/introspect/", fields)
		if a.status != http.StatusUnauthorized || text(said, "error") != "invalid_client" {
			t.Errorf("introspection by %s: %d %s", name, a.status, a.body)
		}
	}
	for _, tt := range []struct {
		name   string
		fields url.Values
		want   int
	}{
		{"empty", clientFields("app", "token", ""), 400},
		{"unknown", clientFields("app", "token", "zGSaz2yqfjco7qWLQW2ctZXlhbRRJ"), 200},
		{"another client's", clientFields("brief", "token", text(body, "refresh_token")), 401},
		{"a wrong secret", url.Values{"client_id": {"app"}, "client_secret": {"x"}, "token": {"x"}}, 401},
	} {
		a, _ := c.tokenCall(t, "/revoke_token/", tt.fields)
		wantStatus(t, "revoking: "+tt.name, a, tt.want)
		wantStatus(t, "a call after it", c.must(t, request{path: "/things", header: bearer}), http.StatusOK)
	}
	a, _ = c.tokenCall(t, "/revoke_token/", clientFields("app", "token", text(body, "refresh_token"), "token_type_hint", "refresh_token"))
	wantStatus(t, "revoking", a, http.StatusOK)
	wantStatus(t, "a call after it", c.must(t, request{path: "/things", header: bearer}), http.StatusUnauthorized)
}

func TestNeverIsToldAsTheOperatorSays(t *testing.T) {
	t.Parallel()
	_, c := oauthGateway(t)
	a, body := c.tokenCall(t, "/token/", passwordGrant("forever"))
	if _, told := body["expires_in"]; a.status != http.StatusOK || told {
		t.Errorf("%d %s; want no expires_in", a.status, a.body)
	}
}

func TestPublicKeysAndDiscovery(t *testing.T) {
	t.Parallel()
	g, c := oauthGateway(t, "PUBLIC_URL", "https://gate.example.com")
	keys := c.must(t, request{path: oauthPath + "/.well-known/keys/"})
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(keys.body), &set); err != nil || len(set.Keys) == 0 {
		t.Fatalf("keys: %d %s", keys.status, keys.body)
	}
	for _, k := range set.Keys {
		if len(k) != 6 || k["kty"] != "RSA" || k["alg"] != "RS256" || k["use"] != "sig" || k["kid"] == "" || k["n"] == "" || k["e"] == "" {
			t.Errorf("a key with the members %v; want the public ones and no other", k)
		}
	}
	for host, want := range map[string]string{"gate.example.com": "https://gate.example.com" + oauthPath, strings.TrimPrefix(g.URL, "http://"): "https://" + strings.TrimPrefix(g.URL, "http://") + oauthPath} {
		for _, doc := range []string{"openid-configuration", "oauth-authorization-server/"} {
			a := c.must(t, request{path: oauthPath + "/.well-known/" + doc, host: host})
			var said map[string]any
			if err := json.Unmarshal([]byte(a.body), &said); err != nil || said["issuer"] != want || said["token_endpoint"] != want+"/token/" {
				t.Errorf("%s at %s: %d %s; want issuer %s", doc, host, a.status, a.body, want)
			}
		}
	}
}

// TestOAuthPassThrough: before an appliance that speaks the same, clients log in
// there by the gateway, which is a client of the appliance's itself.
func TestOAuthPassThrough(t *testing.T) {
	t.Parallel()
	appliance, direct := oauthGateway(t)
	conf := writeFile(t, "gate.yaml", `
clients: [{id: mine, secret_env: MY_SECRET, grants: [password, refresh_token], access_ttl: 1h}]
`)
	g := start(t, settings{
		"BACKEND_URL": appliance.URL, "BACKEND_SPEAK": "fac-oauth", "BACKEND_CLIENT_ID": "app", "BACKEND_CLIENT_SECRET": appSecret, "CONFIG": conf,
	}.withPlain("MY_SECRET", "my-own-secret-of-16"))
	c := g.client(t)
	mine := url.Values{"client_id": {"mine"}, "client_secret": {"my-own-secret-of-16"}}
	login := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {userPassword}}
	for k, v := range mine {
		login[k] = v
	}
	a, body := c.tokenCall(t, "/token/", login)
	wantStatus(t, "login", a, http.StatusOK)
	bearer := http.Header{"Authorization": {"Bearer " + text(body, "access_token")}}
	wantStatus(t, "the gateway's token at the appliance", direct.must(t, request{path: "/things", header: bearer}), http.StatusUnauthorized)
	wantStatus(t, "a call", c.must(t, request{path: "/things", header: bearer}), http.StatusOK)
	info := c.must(t, request{path: oauthPath + "/userinfo/", header: bearer})
	if info.status != http.StatusOK || !strings.Contains(info.body, `"username":"alice"`) {
		t.Errorf("userinfo: %d %s", info.status, info.body)
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text(body, "refresh_token")}}
	for k, v := range mine {
		refresh[k] = v
	}
	a, body = c.tokenCall(t, "/token/", refresh)
	wantStatus(t, "refresh", a, http.StatusOK)
	bearer.Set("Authorization", "Bearer "+text(body, "access_token"))
	wantStatus(t, "a call after it", c.must(t, request{path: "/things", header: bearer}), http.StatusOK)
	login.Set("password", "x")
	a, body = c.tokenCall(t, "/token/", login)
	if a.status != http.StatusUnauthorized || text(body, "error") != "invalid_grant" {
		t.Errorf("a wrong password: %d %s", a.status, a.body)
	}
	mine.Set("token", strings.TrimPrefix(bearer.Get("Authorization"), "Bearer "))
	a, _ = c.tokenCall(t, "/revoke_token/", mine)
	wantStatus(t, "revoking", a, http.StatusOK)
	wantStatus(t, "a call after revoking", c.must(t, request{path: "/things", header: bearer}), http.StatusUnauthorized)
}
