package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/portal"
	"github.com/gatehouse-gateway/gatehouse/proxy"
	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// people is a Verifier of two users whose password is their name.
type people struct{}

func (people) Verify(_ context.Context, _ token.SID, g token.Grant) (token.Identity, error) {
	if g.Username != g.Password.Reveal() || g.Username != "alice" && g.Username != "bob" {
		return token.Identity{}, token.Fail(token.BadCredentials, "user name or password is wrong", nil)
	}
	return token.Identity{Name: g.Username, ID: "10000000" + string('0'+g.Username[0]%10), Scopes: []string{"read"}}, nil
}

// injecting stands for the backend side: it says whom it injects for.
type injecting struct{ next http.RoundTripper }

func (t injecting) RoundTrip(r *http.Request) (*http.Response, error) {
	if c, ok := token.CallerFrom(r.Context()); ok {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer backend-token-for-"+c.Identity.Name)
	}
	return t.next.RoundTrip(r)
}

type meter struct{}

func (meter) Begin()                          {}
func (meter) Done(string, int, time.Duration) {}

// decisions is a Recorder.
type decisions struct {
	mu  sync.Mutex
	all []string
}

func (*decisions) Route(string, string) proxy.Meter { return meter{} }

func (d *decisions) Decision(rule, outcome string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, rule+" "+outcome)
}

// house is a front door under test.
type house struct {
	*proxy.Proxy
	log     *bytes.Buffer
	told    *decisions
	served  *dialect.Dialect
	manager *session.Manager
}

type setup struct {
	transport http.RoundTripper // towards the backend
	rules     policy.Rules
	change    func(*proxy.Route)
	signedIn  bool                            // rules are those of an absent policy
	more      func(*proxy.Route) *proxy.Route // a second route made of the first
}

func open(t testing.TB, s setup) *house {
	t.Helper()
	mem, ring := sessiontest.NewMemory(), seal.Random()
	h := &house{log: &bytes.Buffer{}, told: &decisions{}}
	h.manager = session.NewManager(session.Options{Store: mem, Index: mem, Throttle: mem, Keyring: ring})
	keys, err := session.LoadKeys(t.Context(), mem, ring)
	if err != nil {
		t.Fatal(err)
	}
	if h.served, err = dialect.Open("ipfabric/7.0", dialect.Settings{}); err != nil {
		t.Fatal(err)
	}
	base := session.Issuer{Source: "users", Verifier: people{}}
	iss := base
	iss.Name, iss.Dialect, iss.Rotates = h.served.ID(), h.served.Name, true
	iss.AccessTTL, iss.RefreshTTL, iss.Shape = h.served.Tokens.AccessTTL, h.served.Tokens.RefreshTTL, h.served.Shape(keys)
	browser := base
	browser.Name, browser.Dialect, browser.Shape, browser.RefreshTTL = "portal", "portal", portal.Shape{}, time.Hour
	edge := proxy.NewEdge(nil, nil)
	pages := portal.New(portal.Options{Sessions: h.manager, ClientIP: edge.ClientIP, Insecure: edge.Insecure})
	spoken, err := dialect.Open("ipfabric/7.0", dialect.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	rt := &proxy.Route{
		Name: "fabric", Path: "/", Backend: "fabric", Target: &url.URL{Scheme: "http", Host: "fabric.test"},
		Serve: []proxy.Served{{Dialect: h.served, Issuer: &iss}}, Portal: &browser, Pages: pages.Handler(&browser, "fabric"),
		Transport: injecting{s.transport}, Spoken: spoken,
	}
	if s.change != nil {
		s.change(rt)
	}
	routes := []*proxy.Route{rt}
	if s.more != nil {
		routes = append(routes, s.more(rt))
	}
	rules := s.rules
	if s.signedIn {
		rules = policy.SignedIn()
	}
	h.Proxy = proxy.New(proxy.Options{
		Routes: routes, Sessions: h.manager, Policy: rules, Pages: pages, Edge: edge, Recorder: h.told,
		Log: slog.New(slog.NewJSONHandler(h.log, nil)),
	})
	return h
}

// do sends a request with headers given as name, value pairs.
func (h *house) do(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	r.Host = "gateway.test"
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// login returns the access token of a user.
func (h *house) login(t testing.TB, name string) string {
	t.Helper()
	rec := h.do("POST", "/api/auth/login", `{"username":"`+name+`","password":"`+name+`"}`, "Content-Type", "application/json")
	for _, c := range rec.Result().Cookies() {
		if c.Name == "accessToken" {
			return c.Value
		}
	}
	t.Fatalf("log in as %s: %d %s", name, rec.Code, rec.Body)
	return ""
}

// recording is a backend that keeps the requests it got.
type recording struct {
	mu     sync.Mutex
	got    []*http.Request
	bodies []string
	answer func(*http.Request) *http.Response
}

func (b *recording) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		body = string(text)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got, b.bodies = append(b.got, r), append(b.bodies, body)
	if b.answer != nil {
		return b.answer(r), nil
	}
	return respond(r, http.Header{"Content-Type": {"application/json"}}, "[]"), nil
}

func (b *recording) last(t *testing.T) *http.Request {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.got) == 0 {
		t.Fatal("the backend got no request")
	}
	return b.got[len(b.got)-1]
}

func respond(r *http.Request, h http.Header, body string) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)), Request: r,
	}
}

func code(rec *httptest.ResponseRecorder) string {
	var v struct{ Code string }
	if json.Unmarshal(rec.Body.Bytes(), &v) != nil {
		return ""
	}
	return v.Code
}

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

func TestPassThroughForwardsTheBackendsOwnAPITokenAsItCame(t *testing.T) {
	b := &recording{}
	asked := 0
	h := open(t, setup{transport: b, signedIn: true, change: func(rt *proxy.Route) {
		rt.Own = func(_ context.Context, own token.Secret) (token.Identity, error) {
			asked++
			if own.Reveal() != "backend-issued" {
				return token.Identity{}, token.Fail(token.InvalidAPIToken, "the API token is not known", nil)
			}
			return token.Identity{Name: "carol", ID: "1"}, nil
		}
	}})
	if rec := h.do("GET", "/x", "", "X-API-Token", "junk"); rec.Code != 401 || code(rec) != "API_INVALID_API_TOKEN" {
		t.Errorf("an unknown API token = %d %s", rec.Code, rec.Body)
	}
	if rec := h.do("GET", "/x", "", "X-API-Token", "backend-issued"); rec.Code != 200 || asked != 2 {
		t.Errorf("a backend's API token = %d after %d questions", rec.Code, asked)
	}
}

func TestDeadBackendSessionEndsThePassThroughSession(t *testing.T) {
	dead := roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, token.Fail(token.InvalidAccess, "the session at the backend has ended; log in again", nil)
	})
	h := open(t, setup{transport: dead, signedIn: true, change: func(rt *proxy.Route) {
		rt.Own = func(context.Context, token.Secret) (token.Identity, error) {
			return token.Identity{}, errors.New("not asked")
		}
	}})
	auth := "Bearer " + h.login(t, "alice")
	for range 2 {
		if rec := h.do("GET", "/x", "", "Authorization", auth); rec.Code != 401 || code(rec) != "API_INVALID_ACCESS_TOKEN" {
			t.Errorf("= %d %s; want 401 in the vendor's form", rec.Code, rec.Body)
		}
	}
	if rec := h.do("GET", "/api/v7.0/users/me", "", "Authorization", auth); rec.Code != 401 {
		t.Errorf("the session lives on: %d", rec.Code)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestEarlyHintsAndTrailersOfABackendEndAtTheGateway(t *testing.T) {
	hostile := roundTrip(func(r *http.Request) (*http.Response, error) {
		if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(103, textproto.MIMEHeader{"Set-Cookie": {"__Host-gatehouse=EVIL"}}); err != nil {
				return nil, err
			}
		}
		if len(r.Trailer) > 0 {
			t.Errorf("the backend was told of trailers %v", r.Trailer)
		}
		res := respond(r, http.Header{"Set-Cookie": {"accessToken=LEAK", "__Host-gatehouse=EVIL; Path=/", "lang=en"}}, "x")
		res.Trailer = http.Header{"Set-Cookie": {"__Host-gatehouse=EVIL"}}
		return res, nil
	})
	h := open(t, setup{transport: hostile, signedIn: true})
	rec := h.do("GET", "/x", "", "Authorization", "Bearer "+h.login(t, "alice"))
	res := rec.Result()
	if got := strings.Join(res.Header["Set-Cookie"], "|"); got != "lang=en" || len(res.Trailer) > 0 {
		t.Errorf("Set-Cookie = %q, trailer = %v", got, res.Trailer)
	}
	if rec.Code != 200 || rec.Header().Get("X-Request-Id") == "" {
		t.Errorf("the gateway's own headers are gone: %d %v", rec.Code, rec.Header())
	}
	if got := rec.Header().Get("Cache-Control"); got != "private, no-cache" {
		t.Errorf("Cache-Control = %q", got)
	}
}

func TestGRPCTrailersPassAndOnlyThose(t *testing.T) {
	b := roundTrip(func(r *http.Request) (*http.Response, error) {
		res := respond(r, http.Header{"Content-Type": {"application/grpc"}}, "msg")
		res.Trailer = http.Header{"Grpc-Status": {"0"}, "Set-Cookie": {"EVIL"}}
		return res, nil
	})
	h := open(t, setup{transport: b, signedIn: true})
	res := h.do("POST", "/svc/Call", "x", "Authorization", "Bearer "+h.login(t, "alice"), "Content-Type", "application/grpc", "Te", "trailers").Result()
	if res.Trailer.Get("Grpc-Status") != "0" || res.Trailer.Get("Set-Cookie") != "" {
		t.Errorf("trailer = %v", res.Trailer)
	}
}

func TestOtherUpgradesAreNotTunnelled(t *testing.T) {
	b := &recording{}
	h := open(t, setup{transport: b, signedIn: true})
	h.do("GET", "/x", "", "Authorization", "Bearer "+h.login(t, "alice"), "Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c", "HTTP2-Settings", "AAMAAABk")
	r := b.last(t)
	for _, name := range []string{"Upgrade", "Connection", "Http2-Settings"} {
		if got := r.Header.Get(name); got != "" {
			t.Errorf("%s = %q reached the backend", name, got)
		}
	}
}

func TestBodiesHaveTheirLimits(t *testing.T) {
	b := &recording{}
	h := open(t, setup{transport: b, signedIn: true, change: func(rt *proxy.Route) { rt.Forwarding.MaxBody = 10 }})
	auth := "Bearer " + h.login(t, "alice")
	for n, want := range map[int]int{10: 200, 11: 413} {
		if rec := h.do("POST", "/x", strings.Repeat("a", n), "Authorization", auth); rec.Code != want {
			t.Errorf("a body of %d bytes = %d; want %d", n, rec.Code, want)
		}
	}
	pad := func(n int) string {
		head, tail := `{"username":"alice","password":"alice"`, "}"
		return head + strings.Repeat(" ", n-len(head)-len(tail)) + tail
	}
	for n, want := range map[int]int{64 << 10: 200, 64<<10 + 1: 413} {
		if rec := h.do("POST", "/api/auth/login", pad(n), "Content-Type", "application/json"); rec.Code != want {
			t.Errorf("a login of %d bytes = %d; want %d", n, rec.Code, want)
		}
	}
	if rec := h.do("POST", "/api/auth/login", "x", "Content-Encoding", "gzip"); rec.Code != 415 {
		t.Errorf("a compressed login = %d; want 415", rec.Code)
	}
}

func TestFailuresOfTheBackendAreToldApart(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want int
	}{
		"refused":     {errors.New("connection refused: secret-host:443"), 502},
		"timeout":     {context.DeadlineExceeded, 504},
		"unavailable": {token.Fail(token.Unavailable, "the backend login is being renewed; try again", nil), 503},
	} {
		h := open(t, setup{signedIn: true, transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, tt.err })})
		rec := h.do("GET", "/x", "", "Authorization", "Bearer "+h.login(t, "alice"))
		if rec.Code != tt.want || strings.Contains(rec.Body.String(), "secret-host") {
			t.Errorf("%s = %d %s; want %d", name, rec.Code, rec.Body, tt.want)
		}
		if tt.want == 503 && rec.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", name)
		}
	}
}

func TestPanicIsAPlain500WithARequestID(t *testing.T) {
	h := open(t, setup{signedIn: true, transport: roundTrip(func(*http.Request) (*http.Response, error) { panic("CANARY") })})
	rec := h.do("GET", "/x", "", "Authorization", "Bearer "+h.login(t, "alice"))
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "CANARY") || rec.Header().Get("X-Request-Id") == "" {
		t.Errorf("= %d %s", rec.Code, rec.Body)
	}
	if !strings.Contains(h.log.String(), "CANARY") {
		t.Error("the log does not say what happened")
	}
}

func TestLogHasOneLineARequestAndNoSecret(t *testing.T) {
	h := open(t, setup{transport: &recording{}, signedIn: true})
	at := h.login(t, "alice")
	h.do("GET", "/x?password=in-a-query", "", "Authorization", "Bearer "+at)
	lines := strings.Split(strings.TrimSpace(h.log.String()), "\n")
	if len(lines) != 2 {
		t.Errorf("%d lines; want one for each of 2 requests", len(lines))
	}
	for _, secret := range []string{at, at[len(at)-20:], "in-a-query"} {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("the log has %.12s…", secret)
		}
	}
	var last map[string]any
	if err := json.Unmarshal([]byte(lines[1]), &last); err != nil || last["user"] != "alice" || last["route"] != "fabric" || last["status"] != float64(200) {
		t.Errorf("line = %v, %v", last, err)
	}
}

func TestUnknownHostIsMisdirected(t *testing.T) {
	h := open(t, setup{transport: &recording{}, signedIn: true, change: func(rt *proxy.Route) { rt.Host = "fabric.example.com" }})
	if rec := h.do("GET", "/x", ""); rec.Code != 421 {
		t.Errorf("= %d; want 421", rec.Code)
	}
}

func BenchmarkForward(b *testing.B) {
	empty := roundTrip(func(r *http.Request) (*http.Response, error) {
		return respond(r, http.Header{"Content-Type": {"application/json"}}, "[]"), nil
	})
	h := open(b, setup{transport: empty, signedIn: true})
	auth := "Bearer " + h.login(b, "alice")
	h.log.Reset()
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("GET", "/api/v7.0/snapshots", nil)
		r.Header.Set("Authorization", auth)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != 200 {
			b.Fatal(rec.Code)
		}
		h.log.Reset()
	}
}

func TestBrowserIsNotSentToAPageThatCannotHelp(t *testing.T) {
	h := open(t, setup{transport: &recording{}, signedIn: true, change: func(rt *proxy.Route) { rt.Path = "/api" }})
	if rec := h.do("GET", "/.gatehouse/signed-out", ""); rec.Code != 200 {
		t.Errorf("the pages of a host without a route for / = %d; want 200", rec.Code)
	}
	if rec := h.do("GET", "/api/x", "", "Sec-Fetch-Mode", "navigate"); rec.Code != 302 {
		t.Errorf("a navigation = %d; want 302", rec.Code)
	}
	other := open(t, setup{transport: &recording{}, signedIn: true, more: func(rt *proxy.Route) *proxy.Route {
		second := *rt
		portal := *rt.Portal
		portal.Source = "backend:other"
		second.Name, second.Path, second.Portal = "other", "/other", &portal
		return &second
	}})
	if rec := other.do("GET", "/other/x", "", "Sec-Fetch-Mode", "navigate"); rec.Code != 401 {
		t.Errorf("where the sign-in page asks another identity source = %d; want 401, no redirect", rec.Code)
	}
}
