package tests

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
)

// plainBackend records requests and knows no token API.
type plainBackend struct {
	*httptest.Server
	handler http.HandlerFunc // nil: 200

	mu   sync.Mutex
	seen []seen // guarded by mu
}

func newPlainBackend(t testing.TB) *plainBackend {
	t.Helper()
	b := &plainBackend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, seen{method: r.Method, uri: r.RequestURI, header: r.Header.Clone()})
		b.mu.Unlock()
		if b.handler != nil {
			b.handler(w, r)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// last returns the header of the newest request.
func (b *plainBackend) last(t testing.TB) http.Header {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) == 0 {
		t.Fatal("the backend saw no request")
	}
	return b.seen[len(b.seen)-1].header
}

// speaks makes the settings of a gateway with one route to the backend, whose
// clients use the IP Fabric calls. keys are the backend's besides url.
func (b *plainBackend) speaks(t testing.TB, keys string) settings {
	t.Helper()
	return settings{
		"USERS_FILE": usersFile(t), "PUBLIC_URL": "https://gate.example.com",
		"CONFIG": writeFile(t, "gate.yaml", `backends:
  wiki: {url: "`+b.URL+`", `+keys+`}
routes:
  - {path: /, backend: wiki, serve: [ipfabric/7.0]}
policy:
  - {path: /public/**, public: true}
  - {path: /greet/**, public: true, inject: true}
  - {path: /**}
`),
	}
}

// jwks fetches the public keys as a backend does, without a credential.
func (g *gateway) jwks(t testing.TB) map[string]*rsa.PublicKey {
	t.Helper()
	a := g.client(t).must(t, request{path: "/.gatehouse/jwks.json"})
	wantStatus(t, "jwks.json", a, http.StatusOK)
	if !strings.HasPrefix(a.header.Get("Cache-Control"), "public, max-age=") {
		t.Errorf("Cache-Control = %q", a.header.Get("Cache-Control"))
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal([]byte(a.body), &set); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	keys := map[string]*rsa.PublicKey{}
	for _, k := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if _, there := k[private]; there {
				t.Errorf("the key has the private member %q", private)
			}
		}
		if k["kty"] != "RSA" || k["use"] != "sig" || k["alg"] != "RS256" {
			t.Errorf("key = %v", k)
		}
		n, errN := base64.RawURLEncoding.DecodeString(k["n"])
		e, errE := base64.RawURLEncoding.DecodeString(k["e"])
		if errN != nil || errE != nil {
			t.Fatal(errN, errE)
		}
		keys[k["kid"]] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	return keys
}

// verify reads a JWT as a backend does that knows issuer and audience.
func verify(t testing.TB, keys map[string]*rsa.PublicKey, authorization string) jwt.MapClaims {
	t.Helper()
	text, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok {
		t.Fatalf("Authorization = %q; want a Bearer token", authorization)
	}
	claims := jwt.MapClaims{}
	parsed, err := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer("https://gate.example.com"), jwt.WithAudience("wiki"),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt()).ParseWithClaims(text, claims, func(parsed *jwt.Token) (any, error) {
		kid, _ := parsed.Header["kid"].(string)
		return keys[kid], nil
	})
	if err != nil || !parsed.Valid {
		t.Fatalf("the JWT does not verify: %v", err)
	}
	return claims
}

func TestBackendVerifiesTheJWTOfEveryUser(t *testing.T) {
	t.Parallel()
	b := newPlainBackend(t)
	g := start(t, b.speaks(t, "speak: jwt"))
	c := g.client(t)
	keys := g.jwks(t)
	alice, rita := c.login(t, "alice", userPassword), c.login(t, "rita", userPassword)

	before := time.Now().Add(-time.Second).Unix()
	wantStatus(t, "call", c.must(t, request{path: "/page", header: http.Header{
		"Authorization": {"Bearer " + alice.access}, "Cookie": {"accessToken=" + alice.access + "; theme=dark"}, "X-Api-Token": {""},
	}}), http.StatusOK)
	got := b.last(t)
	first := got.Get("Authorization")
	claims := verify(t, keys, first)
	for name, want := range map[string]string{"sub": "1001", "preferred_username": "alice", "scope": "read write"} {
		if claims[name] != want {
			t.Errorf("%s = %v; want %s", name, claims[name], want)
		}
	}
	if groups, _ := claims["groups"].([]any); len(groups) != 1 || groups[0] != "network" {
		t.Errorf("groups = %v; want network", claims["groups"])
	}
	iat, nbf, exp := claims["iat"].(float64), claims["nbf"].(float64), claims["exp"].(float64)
	if int64(iat) < before || nbf != iat || exp-iat < 300 || exp-iat > 301 {
		t.Errorf("iat, nbf, exp = %v, %v, %v; want now, and 5 minutes", iat, nbf, exp)
	}
	for name, values := range got {
		if strings.Contains(strings.Join(values, ""), alice.access) {
			t.Errorf("the client's token reached the backend in %s", name)
		}
	}

	c.get(t, "/page", alice.access)
	if b.last(t).Get("Authorization") != first {
		t.Error("the second call has another JWT; want the first kept")
	}
	c.get(t, "/page", rita.access)
	if hers := verify(t, keys, b.last(t).Get("Authorization")); hers["sub"] != "1002" || hers["scope"] != "read" || hers["jti"] == claims["jti"] {
		t.Errorf("rita's JWT = %v", hers)
	}
	wantStatus(t, "the backend's JWT at the gateway", c.get(t, "/page", strings.TrimPrefix(first, "Bearer ")), http.StatusUnauthorized)

	for _, path := range []string{"/public/a", "/greet/a"} {
		wantStatus(t, "anonymous "+path, c.get(t, path, ""), http.StatusOK)
		if got := b.last(t)["Authorization"]; got != nil {
			t.Errorf("anonymous %s carried %q", path, got)
		}
	}
	c.get(t, "/public/a", alice.access)
	if got := b.last(t)["Authorization"]; got != nil {
		t.Errorf("where nothing is injected the backend got %q", got)
	}
	c.get(t, "/greet/a", alice.access)
	if got := b.last(t).Get("Authorization"); got != first {
		t.Errorf("where all is injected the backend got %q", got)
	}
}

// An API token may have fewer scopes than its owner, and so has the JWT.
func TestJWTHasTheScopesOfTheCredential(t *testing.T) {
	t.Parallel()
	b := newPlainBackend(t)
	g := start(t, b.speaks(t, "speak: jwt"))
	c := g.client(t)
	alice := c.login(t, "alice", userPassword)
	a := c.must(t, request{
		method: http.MethodPost, path: "/api/v7.0/api-tokens", header: bearer(alice.access),
		body: `{"description":"report","expires":null,"scope":["read"]}`,
	})
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(a.body), &made); err != nil || made.Token == "" {
		t.Fatalf("POST api-tokens = %d %s", a.status, a.body)
	}
	c.must(t, request{path: "/page", header: http.Header{"X-Api-Token": {made.Token}}})
	if claims := verify(t, g.jwks(t), b.last(t).Get("Authorization")); claims["scope"] != "read" || claims["sub"] != "1001" {
		t.Errorf("claims = %v; want alice with the scope read", claims)
	}
}

func TestJWTIsReplacedBeforeItEnds(t *testing.T) {
	b := newPlainBackend(t)
	g := start(t, b.speaks(t, "speak: jwt, jwt: {ttl: 2s}"))
	c := g.client(t)
	keys := g.jwks(t)
	alice := c.login(t, "alice", userPassword)
	jwts := map[string]bool{}
	eventually(t, 20*time.Second, "there was a third JWT", func() bool {
		c.get(t, "/page", alice.access)
		verify(t, keys, b.last(t).Get("Authorization")) // never one that has ended
		jwts[b.last(t).Get("Authorization")] = true
		return len(jwts) == 3
	})
}

func TestJWTVerifiesAfterARestart(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	b := newPlainBackend(t)
	g := start(t, b.speaks(t, "speak: jwt").with(r.store()...))
	alice := g.client(t).login(t, "alice", userPassword)
	g.client(t).get(t, "/page", alice.access)
	before := b.last(t).Get("Authorization")

	g.kill(t)
	g.restart(t)
	keys := g.jwks(t)
	verify(t, keys, before)
	wantStatus(t, "call after the restart", g.client(t).get(t, "/page", alice.access), http.StatusOK)
	verify(t, keys, b.last(t).Get("Authorization"))
}

func TestStaticCredentialGoesExactlyAsConfigured(t *testing.T) {
	t.Parallel()
	secret := writeFile(t, "secret", "s3cret-Vq8\n")
	for _, tt := range []struct{ name, keys, header, value string }{
		{"header", "static: {header: X-Backend-Key, value_file: " + secret + "}", "X-Backend-Key", "s3cret-Vq8"},
		{"basic", "static: {username: svc, password_file: " + secret + "}", "Authorization", "Basic c3ZjOnMzY3JldC1WcTg="},
		{"bearer", "static: {bearer_file: " + secret + "}", "Authorization", "Bearer s3cret-Vq8"},
	} {
		b := newPlainBackend(t)
		g := start(t, b.speaks(t, "speak: static, "+tt.keys))
		c := g.client(t)
		alice := c.login(t, "alice", userPassword)
		spoof := http.Header{"Cookie": {"accessToken=" + alice.access}, "Connection": {tt.header}}
		if tt.header != "Authorization" {
			for _, spelling := range []string{"X-Backend-Key", "x-backend-key", "X_Backend_Key", "X-Backend_key", "X_BACKEND-KEY", "x_backend_key"} {
				spoof[spelling] = []string{"EVIL"}
			}
		}
		for _, call := range []struct{ path, auth, value string }{
			{"/page", "Bearer " + alice.access, tt.value},
			{"/page", "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+userPassword)), tt.value},
			{"/greet/a", "", tt.value},
			{"/public/a", "", ""},
		} {
			h := spoof.Clone()
			if call.auth != "" {
				h["Authorization"] = []string{call.auth}
			} else {
				delete(h, "Cookie")
			}
			wantStatus(t, tt.name+" "+call.path, c.must(t, request{path: call.path, header: h}), http.StatusOK)
			got := b.last(t)
			if v := got.Get(tt.header); v != call.value || len(got[tt.header]) > 1 {
				t.Errorf("%s %s: %s = %q; want %q", tt.name, call.path, tt.header, got[tt.header], call.value)
			}
			for name, values := range got {
				v := strings.Join(values, "|")
				if strings.Contains(v, "EVIL") || strings.Contains(v, alice.access) || strings.Contains(v, userPassword) || name == "Authorization" && v != call.value {
					t.Errorf("%s %s: %s = %q came from the client", tt.name, call.path, name, v)
				}
			}
		}
		if strings.Contains(g.log.String(), "s3cret") {
			t.Errorf("%s: the secret is in the log", tt.name)
		}
	}
}

// A 401 about our credential must not reach a browser, which would ask for the
// backend's password, nor a client, which would log in again and again.
func TestRefusedStaticCredentialIsABadGateway(t *testing.T) {
	t.Parallel()
	b := newPlainBackend(t)
	b.handler = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="wiki"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	users := usersFile(t)
	g := start(t, settings{"BACKEND_URL": b.URL, "BACKEND_SPEAK": "static", "BACKEND_USERNAME": "svc", "BACKEND_PASSWORD": "old", "SERVE": "ipfabric/7.0", "USERS_FILE": users})
	c := g.client(t)
	alice := c.login(t, "alice", userPassword)
	for range 3 {
		a := c.get(t, "/page", alice.access)
		wantStatus(t, "call", a, http.StatusBadGateway)
		if h := a.header.Get("WWW-Authenticate"); h != "" {
			t.Errorf("WWW-Authenticate = %q reached the client", h)
		}
	}
	if got := b.last(t).Get("Authorization"); got != "Basic c3ZjOm9sZA==" {
		t.Errorf("Authorization = %q", got)
	}
	if n := strings.Count(g.log.String(), "the backend refuses the gateway's credential"); n != 1 {
		t.Errorf("three refusals are told %d times; want once", n)
	}
}

func TestIdentityHeadersForEveryWayToSpeak(t *testing.T) {
	t.Parallel()
	const names = "identity_headers: {user: X-Legacy-Login, id: X-Legacy-Id, email: X-Legacy-Email, groups: X-Legacy-Groups, scopes: X-Legacy-Scopes}"
	secret := writeFile(t, "secret", "key")
	for _, way := range []string{"speak: none", "speak: jwt", "speak: static, static: {bearer_file: " + secret + "}", "speak: ipfabric/7.0, account: {api_token_file: " + secret + "}"} {
		b := newPlainBackend(t)
		b.handler = func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") != "" {
				echo(w, r)
			}
		}
		g := start(t, b.speaks(t, way+", "+names))
		c := g.client(t)
		alice := c.login(t, "alice", userPassword)
		want := http.Header{"X-Legacy-Login": {"alice"}, "X-Legacy-Id": {"1001"}, "X-Legacy-Groups": {"network"}, "X-Legacy-Scopes": {"read write"}}
		spoof := http.Header{"Connection": {"X-Legacy-Login, X-Legacy-Email"}}
		for _, spelling := range []string{"X-Legacy-Login", "x-legacy-login", "X-LEGACY-LOGIN", "X_Legacy_Login", "x_legacy-login", "X-Legacy_LOGIN"} {
			spoof[spelling] = []string{"root"}
			spoof[strings.NewReplacer("Login", "Email", "login", "email", "LOGIN", "EMAIL").Replace(spelling)] = []string{"root"}
		}
		check := func(what string, want http.Header) {
			t.Helper()
			got := http.Header{}
			for name, values := range b.last(t) {
				if strings.Contains(strings.ToLower(strings.ReplaceAll(name, "_", "-")), "x-legacy-") {
					got[name] = values
				}
			}
			for name := range want {
				if !slices.Equal(got[name], want[name]) {
					t.Errorf("%s: %s: %s = %q; want %q", way, what, name, got[name], want[name])
				}
			}
			if len(got) != len(want) {
				t.Errorf("%s: %s: the backend got %v; want %v", way, what, got, want)
			}
		}
		signed := spoof.Clone()
		signed["Authorization"] = []string{"Bearer " + alice.access}
		wantStatus(t, way, c.must(t, request{path: "/page", header: signed}), http.StatusOK)
		check("signed in", want)
		c.must(t, request{path: "/page", method: http.MethodOptions, header: signed})
		check("OPTIONS", want)
		c.must(t, request{path: "/public/a", header: spoof})
		check("public", nil)
		c.must(t, request{path: "/greet/a", header: spoof})
		check("public with inject", nil)
		handshake := signed.Clone()
		delete(handshake, "Connection")
		dialWebSocket(t, g, handshake)
		check("WebSocket handshake", want)
	}
}

// No rule is asked about the public keys, and no backend sees the request.
func TestPublicKeysMoveWithThePages(t *testing.T) {
	t.Parallel()
	b := newPlainBackend(t)
	g := start(t, b.speaks(t, "speak: jwt").with("PAGES_PATH", "/gate"))
	c := g.client(t)
	wantStatus(t, "moved", c.get(t, "/gate/jwks.json", ""), http.StatusOK)
	wantStatus(t, "the old place", c.get(t, "/.gatehouse/jwks.json", ""), http.StatusUnauthorized)
	wantStatus(t, "POST", c.must(t, request{method: http.MethodPost, path: "/gate/jwks.json", body: "{}"}), http.StatusMethodNotAllowed)
	if _, _, err := websocket.Dial(t.Context(), g.URL+"/gate/jwks.json", nil); err == nil {
		t.Error("a WebSocket was opened there")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.seen {
		t.Errorf("the backend saw %s %s", r.method, r.uri)
	}
}
