package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

type spokenVector struct {
	ID, Title string
	Upstream  struct {
		Profile, Username, Password string
		APIToken                    string `json:"api_token"`
	}
	Timeline []spokenStep
}

type spokenStep struct {
	Drive      *vectorRequest
	ClientGets *struct {
		Status      any
		Headers     map[string]any
		Cookies     map[string]any
		NotContains []string `json:"not_contains"`
	} `json:"client_gets"`
	Exchanges  []*scripted
	Concurrent int
	Advance    float64
	Shutdown   bool
}

// scripted is one exchange that the upstream expects, and its reply.
type scripted struct {
	Expect struct {
		Method, Path         string
		Headers              map[string]any
		Body                 *struct{ JSON any }
		CarriesAccessToken   string   `json:"carries_access_token"`
		CarriesRefreshToken  string   `json:"carries_refresh_token"`
		NotContains          []string `json:"not_contains"`
		BodyContainsToken    string   `json:"body_contains_token"`
		BodyContainsNoTokens bool     `json:"body_contains_no_token"`
	}
	Reply struct {
		Status  int
		Headers [][2]string
		Body    *struct {
			JSON any
			Raw  *string
		}
	}
	Repeat    any
	DelayMS   int `json:"delay_ms"`
	HoldUntil int `json:"hold_until"`

	seen int
	held chan struct{}
}

// times is how often an exchange happens: once, n, or "lo..hi".
func (e *scripted) times() (lo, hi int) {
	switch r := e.Repeat.(type) {
	case float64:
		return int(r), int(r)
	case string:
		a, b, _ := strings.Cut(r, "..")
		lo, _ = strconv.Atoi(a)
		hi, _ = strconv.Atoi(b)
		return lo, hi
	}
	return 1, 1
}

// script is the upstream: it answers exactly the exchanges of one step.
type script struct {
	mu       sync.Mutex
	pending  []*scripted
	anyOrder bool
	faults   []string
}

func (s *script) load(list []*scripted, anyOrder bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending, s.anyOrder = list, anyOrder
	for _, e := range list {
		e.held = make(chan struct{})
	}
}

// leftover names what was expected and did not come, and what came unexpected.
func (s *script) leftover() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.faults
	for _, e := range s.pending {
		if lo, _ := e.times(); e.seen < lo {
			out = append(out, fmt.Sprintf("%s %s came %d times; want %d", e.Expect.Method, e.Expect.Path, e.seen, lo))
		}
	}
	s.faults = nil
	return out
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	e, err := s.take(r, body)
	if err != nil {
		return nil, err
	}
	if e.HoldUntil > 0 {
		<-e.held
	}
	time.Sleep(time.Duration(e.DelayMS) * time.Millisecond) // in the bubble
	return e.response(r), nil
}

// take finds the exchange that a request is.
func (s *script) take(r *http.Request, body []byte) (*scripted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var why []string
	for _, e := range s.pending {
		lo, hi := e.times()
		if e.seen >= hi {
			continue
		}
		err := e.matches(r, body)
		if err == nil {
			if e.seen++; e.seen == e.HoldUntil {
				close(e.held)
			}
			return e, nil
		}
		why = append(why, err.Error())
		if !s.anyOrder && e.seen < lo {
			break
		}
	}
	fault := fmt.Sprintf("unexpected %s %s: %s", r.Method, r.URL, strings.Join(why, "; "))
	s.faults = append(s.faults, fault)
	return nil, fmt.Errorf("%s", fault)
}

func (e *scripted) matches(r *http.Request, body []byte) error {
	x := e.Expect
	if r.Method != x.Method {
		return fmt.Errorf("method %s; want %s", r.Method, x.Method)
	}
	if re, ok := strings.CutPrefix(x.Path, "$re:"); ok && !regexp.MustCompile(re).MatchString(r.URL.RequestURI()) ||
		!ok && r.URL.RequestURI() != x.Path {
		return fmt.Errorf("path %s; want %s", r.URL.RequestURI(), x.Path)
	}
	all := fmt.Sprint(r.Header) + string(body)
	for _, not := range x.NotContains {
		if strings.Contains(all, not) {
			return fmt.Errorf("it contains %s", not)
		}
	}
	if t := x.CarriesAccessToken; t != "" && !carriesAccess(r, t) {
		return fmt.Errorf("it does not carry the access token %s", t)
	}
	if t := x.CarriesRefreshToken; t != "" && !carriesRefresh(r, body, t) {
		return fmt.Errorf("it does not carry the refresh token %s", t)
	}
	if x.Body != nil && x.Body.JSON != nil {
		var got any
		if err := json.Unmarshal(body, &got); err != nil {
			return err
		}
		return scope{}.match("body", x.Body.JSON, got)
	}
	return nil
}

func carriesAccess(r *http.Request, t string) bool {
	c, err := r.Cookie("accessToken")
	return r.Header.Get("Authorization") == "Bearer "+t || err == nil && c.Value == t
}

func carriesRefresh(r *http.Request, body []byte, t string) bool {
	var b struct{ RefreshToken string }
	if json.Unmarshal(body, &b) == nil && b.RefreshToken == t {
		return true
	}
	c, err := r.Cookie("refreshToken")
	return err == nil && c.Value == t
}

func (e *scripted) response(r *http.Request) *http.Response {
	rec := httptest.NewRecorder()
	for _, h := range e.Reply.Headers {
		rec.Header().Add(h[0], h[1])
	}
	if e.Reply.Body != nil && e.Reply.Body.JSON != nil && rec.Header().Get("Content-Type") == "" {
		rec.Header().Set("Content-Type", "application/json")
	}
	rec.WriteHeader(e.Reply.Status)
	if b := e.Reply.Body; b != nil {
		if b.Raw != nil {
			_, _ = rec.WriteString(*b.Raw)
		} else if text, err := json.Marshal(b.JSON); err == nil {
			_, _ = rec.Write(text)
		}
	}
	res := rec.Result()
	res.Request = r
	return res
}

func TestSpokenVectors(t *testing.T) {
	for _, f := range vectorFiles(t) {
		keys := sessiontest.NewMemory()
		warmKeys(t, keys)
		for _, v := range f.Spoken {
			t.Run(v.ID, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { runSpoken(t, f, v, keys) })
			})
		}
	}
}

func runSpoken(t *testing.T, f vectorFile, v spokenVector, keys session.KeyStore) {
	up := &script{}
	s := &issuer{t: t, file: f, outside: memoryOutside(t, f, keys, up)}
	acct := &config.Account{
		Username: v.Upstream.Username, Password: token.NewSecret(v.Upstream.Password), APIToken: token.NewSecret(v.Upstream.APIToken),
	}
	s.cfg = &config.Config{
		Secrets: []token.Secret{token.NewSecret(vectorSecret)}, PagesPath: "/.gatehouse", DegradedFor: time.Minute,
		Drain: config.Drain{Timeout: time.Second, LogoutBackends: true},
		Backends: []config.Backend{{
			Name: "backend", URL: &url.URL{Scheme: "https", Host: "backend.test"}, Speak: f.Dialect + "/" + v.Upstream.Profile, Account: acct,
		}},
		Routes: []config.Route{{Name: "route", Path: "/", Backend: "backend"}},
	}
	s.start()
	defer func() { s.halt() }()
	for i, step := range v.Timeline {
		// The browser session outlives the vector: it is signed in anew for each drive.
		up.load(step.Exchanges, step.Concurrent > 1)
		switch {
		case step.Shutdown:
			s.gateway.drain(t.Context(), s.outside.log)
		case step.Drive != nil:
			s.drive(step)
		default:
			time.Sleep(seconds(step.Advance)) // in the bubble
		}
		synctest.Wait()
		if faults := up.leftover(); len(faults) > 0 {
			t.Fatalf("step %d: %s", i+1, strings.Join(faults, "\n"))
		}
	}
}

// drive sends one request, n times at once, as a signed-in user.
func (s *issuer) drive(step spokenStep) {
	s.t.Helper()
	cookie := s.signIn()
	var wg sync.WaitGroup
	for range max(1, step.Concurrent) {
		wg.Go(func() {
			r := newRequest(s.t, scope{}, step.Drive)
			r.Header["Cookie"] = append(r.Header["Cookie"], cookie)
			rec := httptest.NewRecorder()
			s.gateway.front.ServeHTTP(rec, r)
			want := &vectorResponse{Status: step.ClientGets.Status, Headers: step.ClientGets.Headers, Cookies: step.ClientGets.Cookies}
			if err := (scope{}).checkResponse(want, rec); err != nil {
				s.t.Errorf("the client: %v\n%s", err, rec.Body)
			}
			all := fmt.Sprint(rec.Header()) + rec.Body.String()
			if i := slices.IndexFunc(step.ClientGets.NotContains, func(not string) bool { return strings.Contains(all, not) }); i >= 0 {
				s.t.Errorf("the answer contains %q", step.ClientGets.NotContains[i])
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
	rec := httptest.NewRecorder()
	s.gateway.front.ServeHTTP(rec, r)
	for _, c := range rec.Result().Cookies() {
		if c.Name == "__Host-gatehouse" && c.Value != "" {
			return c.Name + "=" + c.Value
		}
	}
	s.t.Fatalf("signing in answered %d without a cookie\n%s", rec.Code, rec.Body)
	return ""
}
