package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
	log       slog.Handler      // nil: house.log
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
	if s.log == nil {
		s.log = slog.NewJSONHandler(h.log, nil)
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
		Keys: proxy.KeySet{Path: "/.gatehouse/jwks.json", JWKS: func() []byte { return []byte(`{"keys":[]}`) }},
		Log:  slog.New(s.log),
	})
	return h
}

// do sends a request with headers given as name, value pairs.
func (h *house) do(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := newRequest(method, target, headers...)
	if body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	return h.send(r)
}

func (h *house) send(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func newRequest(method, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, http.NoBody)
	r.Host = "gateway.test"
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
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

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
