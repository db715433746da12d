package main

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/dialect/vectors"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestSpokenVectors(t *testing.T) {
	for _, f := range loadVectors(t) {
		keys := sessiontest.NewMemory()
		warmKeys(t, keys)
		for _, v := range f.Spoken {
			t.Run(v.ID, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { runSpoken(t, f, v, keys) })
			})
		}
	}
}

func runSpoken(t *testing.T, f vectors.File, v vectors.Spoken, keys session.KeyStore) {
	up := &vectors.Script{}
	s := &issuer{t: t, file: f, outside: memoryOutside(t, f, keys, up), cookies: map[string]string{}}
	s.cfg = &config.Config{
		Secrets: []token.Secret{token.NewSecret(vectorSecret)}, PagesPath: "/.gatehouse", DegradedFor: time.Minute,
		Drain: config.Drain{Timeout: time.Second, LogoutBackends: true},
		Backends: []config.Backend{{
			Name: "backend", URL: &url.URL{Scheme: "https", Host: "backend.test"}, Speak: f.Family.Name + "/" + profileOf(v), Account: accountOf(v),
			ClientID: v.Upstream.ClientID, ClientSecret: token.NewSecret(v.Upstream.ClientSecret),
		}},
		Routes: []config.Route{{Name: "route", Path: "/", Backend: "backend"}},
	}
	s.start()
	defer func() { s.halt() }()
	for i, step := range v.Timeline {
		up.Expect(step.Exchanges, step.Concurrent > 1)
		switch {
		case step.Shutdown:
			s.gateway.drain(t.Context(), s.outside.log)
		case step.Drive != nil:
			s.drive(step)
		default:
			s.pass(step.Advance.Duration())
			if step.Advance.Duration() >= portalLife {
				clear(s.cookies) // the browser sessions are over too
			}
		}
		synctest.Wait()
		if err := up.Faults(); err != nil {
			t.Fatalf("step %d: %v", i+1, err)
		}
	}
}

// profileOf is the profile by which the backend is spoken to. Where a dialect has
// versions of its API for profiles, a vector names the version.
func profileOf(v vectors.Spoken) string {
	return cmp.Or(v.Upstream.Profile, strings.TrimPrefix(v.Upstream.Version, "v"))
}

func accountOf(v vectors.Spoken) *config.Account {
	up := v.Upstream
	return &config.Account{
		Username: up.Username, Password: token.NewSecret(up.Password), APIToken: token.NewSecret(up.APIToken + up.StaticToken),
		TOTPSecret: token.NewSecret(up.TOTPSeed), ApplicationToken: up.ApplicationToken,
	}
}

// drivers are the users of the gateway who drive the spoken vectors.
var drivers = []string{"c1", "alice", "bob"}

// drive sends one request, n times at once, as a signed-in user.
func (s *issuer) drive(step vectors.Item) {
	s.t.Helper()
	as := cmp.Or(step.Drive.As, drivers[0])
	if s.cookies[as] == "" {
		s.cookies[as] = s.signIn(as, as+"-password")
	}
	cookie := s.cookies[as]
	var wg sync.WaitGroup
	for range max(1, step.Concurrent) {
		wg.Go(func() {
			vars := vectors.Scope{}
			r := vars.NewRequest(s.t, *step.Drive)
			r.Header["Cookie"] = append(r.Header["Cookie"], cookie)
			rec := s.do(r)
			if err := vars.Check(step.ClientGets, rec.Result()); err != nil {
				s.t.Errorf("the client: %v\n%s", err, rec.Body)
			}
		})
	}
	wg.Wait()
}

// signIn posts the sign-in form and returns the cookie of the browser session.
func (s *issuer) signIn(name, password string) string {
	s.t.Helper()
	form := url.Values{"username": {name}, "password": {password}}.Encode()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "/.gatehouse/sign-in", strings.NewReader(form))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := s.do(r)
	for _, c := range rec.Result().Cookies() {
		if c.Name == "__Host-gatehouse" && c.Value != "" {
			return c.Name + "=" + c.Value
		}
	}
	s.t.Fatalf("signing in answered %d without a cookie\n%s", rec.Code, rec.Body)
	return ""
}
