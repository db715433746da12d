package main

import (
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
				synctest.Test(t, func(t *testing.T) { runSpoken(t, f, v, keys) })
			})
		}
	}
}

func runSpoken(t *testing.T, f vectors.File, v vectors.Spoken, keys session.KeyStore) {
	up := &vectors.Script{}
	s := &issuer{t: t, file: f, outside: memoryOutside(t, f, keys, up)}
	acct := &config.Account{
		Username: v.Upstream.Username, Password: token.NewSecret(v.Upstream.Password), APIToken: token.NewSecret(v.Upstream.APIToken),
	}
	s.cfg = &config.Config{
		Secrets: []token.Secret{token.NewSecret(vectorSecret)}, PagesPath: "/.gatehouse", DegradedFor: time.Minute,
		Drain: config.Drain{Timeout: time.Second, LogoutBackends: true},
		Backends: []config.Backend{{
			Name: "backend", URL: &url.URL{Scheme: "https", Host: "backend.test"}, Speak: f.Family.Name + "/" + v.Upstream.Profile, Account: acct,
		}},
		Routes: []config.Route{{Name: "route", Path: "/", Backend: "backend"}},
	}
	s.start()
	defer func() { s.halt() }()
	for i, step := range v.Timeline {
		// The browser session outlives the vector: it is signed in anew for each drive.
		up.Expect(step.Exchanges, step.Concurrent > 1)
		switch {
		case step.Shutdown:
			s.gateway.drain(t.Context(), s.outside.log)
		case step.Drive != nil:
			s.drive(step)
		default:
			time.Sleep(step.Advance.Duration()) // in the bubble
		}
		synctest.Wait()
		if err := up.Faults(); err != nil {
			t.Fatalf("step %d: %v", i+1, err)
		}
	}
}

// drive sends one request, n times at once, as a signed-in user.
func (s *issuer) drive(step vectors.Item) {
	s.t.Helper()
	cookie := s.signIn()
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
func (s *issuer) signIn() string {
	s.t.Helper()
	form := url.Values{"username": {"c1"}, "password": {"c1-password"}}.Encode()
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
