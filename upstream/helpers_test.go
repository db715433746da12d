package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
	"github.com/gatehouse-gateway/gatehouse/upstream/upstreamtest"
)

var (
	base, _ = url.Parse("https://fabric.example.net")
	keys, _ = seal.New([]token.Secret{token.NewSecret("0123456789abcdef0123456789abcdef")})
)

func ipfabric(t testing.TB) *dialect.Dialect { return profile(t, "7.0") }

func profile(t testing.TB, name string) *dialect.Dialect {
	t.Helper()
	d, err := dialect.Open("ipfabric/"+name, dialect.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// roundTrip lets a function be a backend.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// notes is a Recorder that remembers.
type notes struct {
	mu     sync.Mutex
	all    []string
	expiry time.Time
}

func (n *notes) add(what, outcome string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, what+" "+outcome)
}
func (n *notes) UpstreamLogin(_, outcome string)   { n.add("login", outcome) }
func (n *notes) UpstreamRenewal(_, outcome string) { n.add("renewal", outcome) }
func (n *notes) UpstreamReplay(_, outcome string)  { n.add("replay", outcome) }
func (n *notes) UpstreamPin(_, outcome string)     { n.add("pin", outcome) }
func (n *notes) UpstreamWait(time.Duration)        {}
func (n *notes) UpstreamTokenExpiry(_ string, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expiry = at
}

func (n *notes) has(note string) bool { return n.count(note) > 0 }

func (n *notes) count(note string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := 0
	for _, s := range n.all {
		if s == note {
			c++
		}
	}
	return c
}

var (
	_ http.RoundTripper = (*upstream.Backend)(nil)
	_ session.Verifier  = (*upstream.Backend)(nil)
	_ session.Backend   = (*upstream.Backend)(nil)
)

// world is a backend with everything around it.
type world struct {
	*upstream.Backend
	fabric *upstreamtest.Fabric
	store  *upstreamtest.Memory
	notes  *notes
	config upstream.Config
}

// newWorld returns an account's world over a fabric; change may alter the
// configuration first.
func newWorld(t testing.TB, change func(*upstream.Config)) *world {
	t.Helper()
	w := &world{
		fabric: &upstreamtest.Fabric{
			Users:     map[string]string{"svc": "svcpass", "alice": "alicepass"},
			APITokens: map[string]string{"UPTOKEN": "alice"},
		},
		store: upstreamtest.NewMemory(), notes: &notes{},
	}
	w.config = upstream.Config{
		Name: "fabric", URL: base, Dialect: ipfabric(t), Transport: w.fabric,
		Account: &upstream.Account{Username: "svc", Password: token.NewSecret("svcpass")},
		Store:   w.store, Pins: w.store, Duties: w.store, Challenges: w.store, Keyring: keys, Recorder: w.notes,
	}
	if change != nil {
		change(&w.config)
	}
	w.Backend = upstream.New(w.config)
	t.Cleanup(func() {
		if err := w.Drain(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Drain = %v", err)
		}
	})
	return w
}

func passThrough(c *upstream.Config) { c.Account = nil }

func as(sid token.SID) token.Caller {
	return token.Caller{SID: sid, Identity: token.Identity{Name: "alice"}}
}

// request makes a request to the backend on somebody's behalf.
func request(t testing.TB, c token.Caller, method string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(token.WithCaller(t.Context(), c), method, base.JoinPath("/api/v7.0/snapshots").String(), body)
	if err != nil {
		t.Fatal(err)
	}
	r.GetBody = nil // a server's request has none
	return r
}

// get makes a GET and returns its status, or 0 and the error.
func (w *world) get(t testing.TB, c token.Caller) (int, error) {
	t.Helper()
	return w.do(request(t, c, http.MethodGet, nil))
}

func (w *world) do(r *http.Request) (int, error) {
	resp, err := w.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return resp.StatusCode, err
	}
	return resp.StatusCode, nil
}

func (w *world) wantGet(t testing.TB, c token.Caller, want int) {
	t.Helper()
	if got, err := w.get(t, c); err != nil || got != want {
		t.Fatalf("GET = %d, %v; want %d", got, err, want)
	}
}

func (w *world) wantKind(t testing.TB, c token.Caller, want token.Kind) *token.Error {
	t.Helper()
	_, err := w.get(t, c)
	return wantKind(t, err, want)
}

func wantKind(t testing.TB, err error, want token.Kind) *token.Error {
	t.Helper()
	if err == nil || token.KindOf(err) != want {
		t.Fatalf("error = %v; want one of kind %v", err, want)
	}
	e, ok := errors.AsType[*token.Error](err)
	if !ok {
		t.Fatalf("error is a %T; want a *token.Error", err)
	}
	if want == token.Unavailable && e.RetryAfter <= 0 {
		t.Errorf("unavailable without RetryAfter: %v", e)
	}
	return e
}

// wantCounts checks "login", "refresh", "logout" in this order.
func (w *world) wantCounts(t testing.TB, login, refresh, logout int) {
	t.Helper()
	got := fmt.Sprint(w.fabric.Count("login"), w.fabric.Count("refresh"), w.fabric.Count("logout"))
	if want := fmt.Sprint(login, refresh, logout); got != want {
		t.Errorf("logins, refreshes, logouts = %s; want %s", got, want)
	}
}

// advance moves the bubble's clock.
func advance(d time.Duration) { time.Sleep(d) }
