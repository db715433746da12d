package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/demo"
	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/metrics"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream/upstreamtest"
)

var vectorsDir = flag.String("vectors", "dialect/testdata", "folder of wire vectors (wire-vectors/1)")

// vectorFile is one file of the format described in dialect/testdata/FORMAT.md.
type vectorFile struct {
	Format   string
	Dialect  string
	Profiles map[string]string
	Fixtures struct {
		Users []struct {
			Username, Password, ID string
			Scope                  []string
		}
		APITokens []struct {
			Token, ID, User string
			Expired         bool
		} `json:"api_tokens"`
	}
	Served []servedVector
	Spoken []spokenVector
}

type servedVector struct {
	ID, Title string
	Profiles  []string
	Steps     []struct {
		Control  *control
		Request  *vectorRequest
		Response *vectorResponse
	}
}

type control struct {
	Advance float64
	Set     map[string]any
}

type vectorRequest struct {
	Method, Path string
	Headers      map[string]*string
	Cookies      map[string]string
	Body         *struct {
		JSON any
		Form map[string]string
		Raw  *string
	}
}

type vectorResponse struct {
	Status   any
	Headers  map[string]any
	Cookies  map[string]any
	Location map[string]any
	Body     *struct {
		JSON        any
		Text        any
		Empty       bool
		NotContains []string `json:"not_contains"`
	}
}

// vectorFiles reads the folder's files of the dialects that exist.
func vectorFiles(t *testing.T) []vectorFile {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(*vectorsDir, "*.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no vectors in %s: %v", *vectorsDir, err)
	}
	var files []vectorFile
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var f vectorFile
		if err := json.Unmarshal(b, &f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if f.Format != "wire-vectors/1" {
			t.Fatalf("%s: format %q; want wire-vectors/1", name, f.Format)
		}
		if slices.ContainsFunc(dialect.All, func(d dialect.Family) bool { return d.Name == f.Dialect }) {
			files = append(files, f)
		}
	}
	if len(files) != len(dialect.All) {
		t.Fatalf("%s has vectors of %d dialects; there are %d", *vectorsDir, len(files), len(dialect.All))
	}
	return files
}

func TestServedVectors(t *testing.T) {
	for _, f := range vectorFiles(t) {
		keys := sessiontest.NewMemory()
		warmKeys(t, keys)
		for _, v := range f.Served {
			profiles := v.Profiles
			if len(profiles) == 0 {
				for p := range f.Profiles {
					profiles = append(profiles, p)
				}
			}
			for _, profile := range profiles {
				t.Run(v.ID+"/"+profile, func(t *testing.T) {
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
	ring, err := keyring(&config.Config{Secrets: []token.Secret{token.NewSecret(vectorSecret)}})
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
	file    vectorFile
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

func memoryOutside(t *testing.T, f vectorFile, keys session.KeyStore, transport http.RoundTripper) outside {
	t.Helper()
	mem, up := sessiontest.NewMemory(), upstreamtest.NewMemory()
	o := outside{
		stores:     stores{sessions: mem, index: mem, throttle: mem, keys: keys, feed: mem, backends: up, duties: up},
		log:        slog.New(slog.DiscardHandler),
		transports: map[string]http.RoundTripper{"backend": transport},
	}
	o.users = fixtureUsers(t, f)
	return o
}

var fixtureHashes sync.Map // password → hash: hashing is slow on purpose

func fixtureUsers(t *testing.T, f vectorFile) *identity.Users {
	t.Helper()
	hash := func(password string) string {
		if h, ok := fixtureHashes.Load(password); ok {
			return h.(string)
		}
		h, err := identity.NewHasher(1, 0).Hash(t.Context(), token.NewSecret(password))
		if err != nil {
			t.Fatal(err)
		}
		fixtureHashes.Store(password, h)
		return h
	}
	list := []identity.User{{Name: "c1", ID: "1000000001", Hash: hash("c1-password"), Scopes: []string{"read"}}}
	for _, u := range f.Fixtures.Users {
		list = append(list, identity.User{Name: u.Username, ID: u.ID, Hash: hash(u.Password), Scopes: u.Scope})
	}
	users, err := identity.NewUsers(list)
	if err != nil {
		t.Fatal(err)
	}
	return users
}

func runServed(t *testing.T, f vectorFile, v servedVector, profile string, keys session.KeyStore) {
	name := f.Dialect + "/" + profile
	s := &issuer{t: t, file: f, outside: memoryOutside(t, f, keys, demo.Local{Handler: demo.Fabric(profile + ".0+1")})}
	tokens := config.Tokens{VendorLogout: true}
	s.cfg = &config.Config{
		Secrets: []token.Secret{token.NewSecret(vectorSecret)}, PagesPath: "/.gatehouse", Tokens: tokens, DegradedFor: time.Minute,
		Backends: []config.Backend{{Name: "backend", URL: &url.URL{Scheme: "http", Host: "backend.test"}, Speak: "none"}},
		Routes:   []config.Route{{Name: "route", Path: "/", Backend: "backend", Serve: []string{name}, Tokens: tokens}},
	}
	s.start()
	defer func() { s.halt() }()
	s.seedAPITokens()
	vars := scope{}
	for i, step := range v.Steps {
		if step.Control != nil {
			s.control(step.Control)
			continue
		}
		if step.Request == nil {
			continue // pure verification data has no request
		}
		rec := s.do(vars, step.Request)
		if err := vars.checkResponse(step.Response, rec); err != nil {
			t.Fatalf("step %d: %s %s: %v\n%s", i+1, step.Request.Method, step.Request.Path, err, rec.Body)
		}
	}
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

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func (s *issuer) control(c *control) {
	s.t.Helper()
	time.Sleep(seconds(c.Advance)) // in the bubble
	if len(c.Set) == 0 {
		return
	}
	s.halt()
	t := &s.cfg.Routes[0].Tokens
	for k, v := range c.Set {
		switch k {
		case "local":
			t.LocalAuthOff = fmt.Sprint(v) == "false"
		case "access_ttl":
			t.AccessTTL = seconds(v.(float64))
		case "refresh_ttl":
			t.RefreshTTL = seconds(v.(float64))
		case "missing":
			t.MissingTokenCode = v.(string)
		default:
			s.t.Fatalf("the configuration has no switch %q", k)
		}
	}
	s.start()
}

func (s *issuer) do(vars scope, q *vectorRequest) *httptest.ResponseRecorder {
	s.t.Helper()
	rec := httptest.NewRecorder()
	s.gateway.front.ServeHTTP(rec, newRequest(s.t, vars, q))
	return rec
}

func newRequest(t *testing.T, vars scope, q *vectorRequest) *http.Request {
	t.Helper()
	body, contentType := "", ""
	if b := q.Body; b != nil {
		switch {
		case b.JSON != nil:
			text, err := json.Marshal(vars.fillAll(b.JSON))
			if err != nil {
				t.Fatal(err)
			}
			body, contentType = string(text), "application/json"
		case b.Form != nil:
			form := url.Values{}
			for k, v := range b.Form {
				form.Set(k, vars.fill(v))
			}
			body, contentType = form.Encode(), "application/x-www-form-urlencoded"
		case b.Raw != nil:
			body = vars.fill(*b.Raw)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), q.Method, vars.fill(q.Path), strings.NewReader(body))
	r.Host = "gateway.test"
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for k, v := range q.Headers {
		if v == nil {
			r.Header.Del(k)
			continue
		}
		r.Header.Set(k, vars.fill(*v))
	}
	for k, v := range q.Cookies {
		r.AddCookie(&http.Cookie{Name: k, Value: vars.fill(v)})
	}
	return r
}

func (s scope) checkResponse(want *vectorResponse, rec *httptest.ResponseRecorder) error {
	if err := matchStatus(want.Status, rec.Code); err != nil {
		return err
	}
	for k, m := range want.Headers {
		var got any = absent{}
		if v := rec.Header().Values(k); len(v) > 0 {
			got = strings.Join(v, ", ")
		}
		if err := s.match("header "+k, m, got); err != nil {
			return err
		}
	}
	cookies := cookieValues(rec)
	for k, m := range want.Cookies {
		got, ok := cookies[k]
		if !ok {
			if m == "$absent" {
				continue
			}
			return fmt.Errorf("no cookie %s", k)
		}
		if err := s.match("cookie "+k, m, got); err != nil {
			return err
		}
	}
	return s.checkBody(want, rec)
}

func matchStatus(want any, got int) error {
	switch w := want.(type) {
	case float64:
		if int(w) == got {
			return nil
		}
	case []any:
		if slices.Contains(w, any(float64(got))) {
			return nil
		}
	}
	return fmt.Errorf("status = %d; want %v", got, want)
}

// cookieValues reads Set-Cookie into what cookie matchers look at.
func cookieValues(rec *httptest.ResponseRecorder) map[string]any {
	out := map[string]any{}
	for _, c := range rec.Result().Cookies() {
		m := map[string]any{
			"value": c.Value, "path": c.Path, "secure": c.Secure, "http_only": c.HttpOnly, "has_expires": !c.Expires.IsZero(),
		}
		if i := strings.Index(c.Raw, "SameSite="); i >= 0 {
			m["same_site"], _, _ = strings.Cut(c.Raw[i+len("SameSite="):], ";")
		}
		if i := strings.Index(c.Raw, "Max-Age="); i >= 0 {
			text, _, _ := strings.Cut(c.Raw[i+len("Max-Age="):], ";")
			if n, err := strconv.Atoi(text); err == nil {
				m["max_age"] = float64(n)
			}
		}
		out[c.Name] = m
	}
	return out
}

func (s scope) checkBody(want *vectorResponse, rec *httptest.ResponseRecorder) error {
	b := want.Body
	if b == nil {
		return nil
	}
	text := rec.Body.String()
	if b.Empty && text != "" {
		return fmt.Errorf("body = %q; want none", text)
	}
	for _, not := range b.NotContains {
		if strings.Contains(text, s.fill(not)) {
			return fmt.Errorf("the body contains %q", not)
		}
	}
	if b.Text != nil {
		return s.match("body", b.Text, text)
	}
	if b.JSON == nil {
		return nil
	}
	var got any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return fmt.Errorf("body is not JSON: %w", err)
	}
	return s.match("body", b.JSON, got)
}
