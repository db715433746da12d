package main

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/argon2"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/demo"
	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/dialect/vectors"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/metrics"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream/upstreamtest"
)

var vectorsDir = flag.String("vectors", "dialect/testdata", "folder of wire vectors (wire-vectors/1)")

func loadVectors(t *testing.T) []vectors.File {
	t.Helper()
	files, err := vectors.Load(*vectorsDir)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestServedVectors(t *testing.T) {
	for _, f := range loadVectors(t) {
		keys := sessiontest.NewMemory()
		warmKeys(t, keys)
		for _, v := range f.Served {
			for _, profile := range v.Profiles {
				t.Run(v.ID+"/"+profile, func(t *testing.T) {
					t.Parallel() // each has a gateway and a clock of its own
					synctest.Test(t, func(t *testing.T) { runServed(t, f, v, profile, keys) })
				})
			}
		}
	}
}

const vectorSecret = "a secret of the vector tests, long enough for a key"

// warmKeys makes the signing key once for all vectors.
func warmKeys(t *testing.T, keys session.KeyStore) {
	t.Helper()
	ring, err := keyring(&config.Config{Secrets: []token.Secret{token.NewSecret(vectorSecret)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.LoadKeys(t.Context(), keys, ring); err != nil {
		t.Fatal(err)
	}
}

// issuer is a gateway under test that can be built anew with other settings
// over the same stores, as a restart with a changed configuration would.
type issuer struct {
	t       *testing.T
	file    vectors.File
	set     dialect.Settings
	cookies map[string]string // browser sessions by user, of spoken vectors
	cfg     *config.Config
	outside outside
	gateway *gateway
	stop    context.CancelFunc
	wait    sync.WaitGroup
}

func (s *issuer) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.outside.metrics = metrics.New(prometheus.NewRegistry(), metrics.BuildInfo{})
	g, err := build(ctx, s.cfg, s.outside)
	if err != nil {
		s.t.Fatal(err)
	}
	s.gateway, s.stop = g, cancel
	s.wait.Go(func() { g.run(ctx, s.outside.log) })
	synctest.Wait()
}

func (s *issuer) halt() {
	s.stop()
	s.wait.Wait()
}

func memoryOutside(t *testing.T, f vectors.File, keys session.KeyStore, transport http.RoundTripper) outside {
	t.Helper()
	mem, up := sessiontest.NewMemory(), upstreamtest.NewMemory()
	up.Follow(func(sid token.SID) (time.Time, bool, bool) {
		rec, err := mem.Lookup(context.WithoutCancel(t.Context()), sid)
		return rec.End(), rec.Revoked != "", err == nil
	})
	o := outside{
		stores: stores{
			sessions: mem, index: mem, throttle: mem, keys: keys, codes: mem, feed: mem, tries: mem, pushes: mem,
			backends: up, pins: up, duties: up, asked: up,
		},
		log:        slog.New(slog.DiscardHandler),
		transports: map[string]http.RoundTripper{"backend": transport},
	}
	o.users = fixtureUsers(t, f)
	o.factors = fixtureFactors(t, f, o.users)
	return o
}

// fixedFactors are the second factors of fixtures: one code a user, good for
// every method but ftm-push.
type fixedFactors map[string]fixedFactor // by user id

type fixedFactor struct {
	first string
	code  token.Secret
}

func fixtureFactors(t *testing.T, f vectors.File, users *identity.Users) fixedFactors {
	t.Helper()
	all := fixedFactors{}
	for _, u := range f.Fixtures.Users {
		if u.OTP == "" {
			continue
		}
		id, ok := users.Find(u.Username)
		if !ok {
			t.Fatalf("fixture names no user %s", u.Username)
		}
		all[id.ID] = fixedFactor{u.MFA, token.NewSecret(u.OTP)}
	}
	return all
}

func (f fixedFactors) Factor(id string) (methods, without []string) {
	u, ok := f[id]
	if !ok {
		return nil, nil
	}
	return []string{u.first, "ftm", "ftk", "sms", "email", "dual"}, nil
}

func (f fixedFactors) Step(id, _ string, code token.Secret) int64 {
	if u, ok := f[id]; !ok || u.code != code {
		return 0
	}
	return time.Now().Unix() / 30
}

func (fixedFactors) Send(context.Context, string, string, token.Secret) error { return nil }

// cheapHash hashes a password at the least cost that is taken, since the vectors
// log in hundreds of times.
func cheapHash(password string) string {
	salt := []byte("0123456789abcdef")
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=8,t=1,p=1$%s$%s", b64(salt), b64(argon2.IDKey([]byte(password), salt, 1, 8, 1, 16)))
}

func fixtureUsers(t *testing.T, f vectors.File) *identity.Users {
	t.Helper()
	var list []identity.User
	for _, name := range drivers {
		list = append(list, identity.User{Name: name, Hash: cheapHash(name + "-password"), Scopes: []string{"read"}})
	}
	for _, u := range f.Fixtures.Users {
		user := identity.User{
			Name: u.Username, ID: u.ID, Hash: cheapHash(u.Password), Scopes: u.Scope, Realm: u.Realm, Admin: u.Class == "admin",
		}
		if u.Type == "application" {
			user.Kind = u.Type
		}
		if u.Widget {
			user.Permissions = []string{"widget"}
		}
		list = append(list, user)
	}
	users, err := identity.NewUsers(list)
	if err != nil {
		t.Fatal(err)
	}
	return users
}

func runServed(t *testing.T, f vectors.File, v vectors.Served, profile string, keys session.KeyStore) {
	name := f.Family.Name + "/" + profile
	s := &issuer{t: t, file: f}
	alive := func(sid token.SID) bool { return s.gateway.sessions.Lives(t.Context(), sid) }
	s.outside = memoryOutside(t, f, keys, demo.Local{Handler: behind(f, alive)})
	tokens := config.Tokens{VendorLogout: true}
	s.cfg = &config.Config{
		Secrets: []token.Secret{token.NewSecret(vectorSecret)}, PagesPath: "/.gatehouse", Tokens: tokens, DegradedFor: time.Minute,
		Clients:  s.clients(),
		Backends: []config.Backend{{Name: "backend", URL: &url.URL{Scheme: "http", Host: "backend.test"}, Speak: "none"}},
		Routes:   []config.Route{{Name: "route", Path: "/", Backend: "backend", Serve: []string{name}, Tokens: tokens}},
	}
	s.start()
	defer func() { s.halt() }()
	s.seedAPITokens()
	vars := vectors.Scope{}
	for i, step := range v.Steps {
		if step.Offline != nil {
			continue
		}
		if step.Control != nil {
			s.control(step.Control, vars)
			continue
		}
		r := vars.NewRequest(t, *step.Request)
		s.asBrowser(r)
		rec := s.do(r)
		if err := vars.Check(step.Response, rec.Result()); err != nil {
			t.Fatalf("step %d: %s %s: %v\n%s", i+1, step.Request.Method, step.Request.Path, err, rec.Body)
		}
	}
}

// clients are those of the fixtures. Their file does not say which grants they
// may use, so they may use all.
func (s *issuer) clients() []config.Client {
	var list []config.Client
	for _, c := range s.file.Fixtures.Clients {
		list = append(list, config.Client{
			ID: c.ClientID, Secret: token.NewSecret(c.ClientSecret), Public: c.Type == "public",
			Grants:       []string{session.GrantPassword, session.GrantCode, session.GrantRefresh},
			RedirectURIs: c.RedirectURIs, Scopes: []string{"read"}, AccessTTL: c.AccessTTL.Duration(),
		})
	}
	return list
}

// asBrowser gives a request for an authorization code the browser session of the
// first user.
func (s *issuer) asBrowser(r *http.Request) {
	s.t.Helper()
	d, err := dialect.Open(s.cfg.Routes[0].Serve[0], dialect.Settings{})
	if err != nil {
		s.t.Fatal(err)
	}
	if call, _ := d.Match(r); call == nil || call.Op != token.OpAuthorize {
		return
	}
	user := s.file.Fixtures.Users[0]
	r.Header["Cookie"] = append(r.Header["Cookie"], s.signIn(user.Username, user.Password))
}

// behind is what a token API is served before: what simulates it in the demo, or
// something that answers every call with an empty object.
func behind(f vectors.File, alive func(token.SID) bool) http.Handler {
	if sim, ok := demo.Find(f.Family.Name); ok {
		return sim.Resources(alive)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	})
}

// seedAPITokens makes the API tokens of the fixtures; an expired one was good
// for a second.
func (s *issuer) seedAPITokens() {
	s.t.Helper()
	for _, a := range s.file.Fixtures.APITokens {
		id, ok := s.outside.users.Find(a.User)
		if !ok {
			s.t.Fatalf("fixture names no user %s", a.User)
		}
		req := token.APITokenRequest{ID: a.ID, Description: "fixture", Chosen: token.NewSecret(a.Token)}
		if a.Expired {
			req.Expires = time.Now().Add(time.Second)
		}
		iss := s.gateway.front.Issuers()[0]
		by := &session.Session{Issuer: iss.Name, Source: iss.Source, Identity: id, Scopes: id.Scopes}
		if _, err := s.gateway.sessions.CreateAPIToken(s.t.Context(), iss, by, req); err != nil {
			s.t.Fatal(err)
		}
	}
	time.Sleep(2 * time.Second) // in the bubble: no time passes outside
}

// pass lets time pass, in the bubble. Over more than a day the gateway is down:
// it does something every second, and there are vectors of ten years.
func (s *issuer) pass(d time.Duration) {
	s.t.Helper()
	if d > 24*time.Hour {
		s.halt()
		defer s.start()
	}
	time.Sleep(d)
}

func (s *issuer) control(c *vectors.Control, vars vectors.Scope) {
	s.t.Helper()
	s.pass(c.Advance.Duration())
	if c.Set == nil {
		return
	}
	for name, decide := range map[string]func(context.Context, string) error{
		c.Set.Approve: s.gateway.sessions.ApproveChallenge, c.Set.Deny: s.gateway.sessions.DenyChallenge,
	} {
		if id := vars.Fill(name); id != "" {
			if err := decide(s.t.Context(), id); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	s.halt()
	c.Set.Apply(&s.set)
	t := &s.cfg.Routes[0].Tokens
	t.LocalAuthOff, t.MissingTokenCode, t.HTTPSOnly = s.set.LocalAuthOff, s.set.MissingTokenCode, s.set.HTTPSOnly
	t.AccessTTL, t.RefreshTTL = s.set.AccessTTL, s.set.RefreshTTL
	s.start()
}

func (s *issuer) do(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	s.gateway.front.ServeHTTP(rec, r)
	return rec
}
