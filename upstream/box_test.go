package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// boxDialect is a token API in which tokens live for ten minutes and are renewed
// by password and token together, and a lock belongs to one token.
func boxDialect(versions ...string) *dialect.Dialect {
	write := func(r *http.Request, g token.Grant) error {
		r.SetBasicAuth(g.Username, g.Password.Reveal())
		if g.Op == token.OpRenew {
			text := url.Values{"accessToken": {g.Access.Reveal()}}.Encode()
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		}
		return nil
	}
	read := func(r *http.Response) (token.Set, error) {
		b, err := io.ReadAll(r.Body)
		return token.Set{Access: token.NewSecret(string(b)), ExpiresIn: boxLife}, err
	}
	paths := []string{"/rest/{version}/auth/token"}
	return &dialect.Dialect{
		Name: "box", Profile: "1.2", Versions: versions,
		Calls: []dialect.Call{
			{Op: token.OpLogin, Method: http.MethodPost, Paths: paths, WriteRequest: write, ReadResponse: read},
			{Op: token.OpRenew, Method: http.MethodPost, Paths: paths, WriteRequest: write, ReadResponse: read},
		},
		Carriers: []dialect.Carried{{Carrier: dialect.Bearer{}, Use: dialect.UseAccess}},
		Errors: dialect.Errors{
			Read: func(status int, _ http.Header, _ []byte) *token.Error {
				switch {
				case status == http.StatusBadRequest:
					return token.Fail(token.BadCredentials, "", nil)
				case status == http.StatusUnauthorized:
					return token.Fail(token.InvalidAccess, "", nil)
				case status >= 500:
					return token.Fail(token.Unavailable, "", nil)
				}
				return token.Fail(token.BadGateway, "", nil)
			},
			MayExpire: func(status int) bool { return status == http.StatusUnauthorized },
		},
		Pin: &dialect.Pin{
			Step: func(r *http.Request) dialect.PinStep {
				switch {
				case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/lock"):
					return dialect.PinTake
				case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/unlock"):
					return dialect.PinRelease
				}
				return dialect.PinNone
			},
			Release: func(version string) (string, string) {
				return http.MethodPost, "/rest/v" + version + "/configuration/unlock"
			},
		},
	}
}

const boxLife = 10 * time.Minute

// box is a backend that speaks it.
type box struct {
	mu       sync.Mutex
	n        int
	tokens   map[string]time.Time // when they expire
	lock     string               // the token that holds it
	password string
	versions string // those it knows: "v1.1 v1.2"
	calls    []string
	fail     func(call string) int // a status that it answers with instead; 0: none
	lost     func(call string) bool
	slow     time.Duration

	badPassword int // the status of a renewal with a wrong password; 0: 401
}

func (b *box) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	if b.slow > 0 && strings.Contains(r.URL.Path, "/auth/") {
		time.Sleep(b.slow)
	}
	w := httptest.NewRecorder()
	call := b.serve(w, r, string(body))
	if b.lost != nil && b.lost(call) {
		return nil, errors.New("connection reset")
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (b *box) serve(w http.ResponseWriter, r *http.Request, body string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/rest/"), "/", 2)
	call := parts[1]
	if form, err := url.ParseQuery(body); err == nil && call == "auth/token" {
		call = "login"
		if t := form.Get("accessToken"); t != "" {
			call = "renew " + t
		}
	} else {
		call += " " + strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if b.versions != "" && !strings.Contains(b.versions, parts[0]) {
		call = parts[0] + " " + call
		b.calls = append(b.calls, call)
		w.WriteHeader(http.StatusNotFound)
		return call
	}
	b.calls = append(b.calls, call)
	if b.fail != nil {
		if status := b.fail(call); status != 0 {
			w.WriteHeader(status)
			return call
		}
	}
	b.answer(w, r, call)
	return call
}

func (b *box) answer(w http.ResponseWriter, r *http.Request, call string) {
	what, t, _ := strings.Cut(call, " ")
	good := time.Now().Before(b.tokens[t])
	_, password, _ := r.BasicAuth()
	switch {
	case what == "login" && password == b.password:
		b.grant(w, "")
	case what == "renew" && password == b.password && good:
		b.grant(w, t)
	case what == "renew" && good && b.badPassword != 0:
		w.WriteHeader(b.badPassword)
	case what == "login", what == "renew", !good:
		w.WriteHeader(http.StatusUnauthorized)
	case what == "configuration/lock" && b.holder() != "" && b.holder() != t:
		w.WriteHeader(http.StatusLocked)
	case what == "configuration/lock":
		b.lock = t
		w.WriteHeader(http.StatusNoContent)
	case what == "configuration/unlock" && b.holder() != t:
		w.WriteHeader(http.StatusLocked)
	case what == "configuration/unlock":
		b.lock = ""
		w.WriteHeader(http.StatusNoContent)
	}
}

// grant makes a token, in the place of old. The caller holds mu.
func (b *box) grant(w io.Writer, old string) {
	if b.tokens == nil {
		b.tokens = map[string]time.Time{}
	}
	b.n++
	text := fmt.Sprintf("T%d", b.n)
	b.tokens[text] = time.Now().Add(boxLife)
	if old != "" {
		delete(b.tokens, old)
		if b.lock == old {
			b.lock = text
		}
	}
	_, _ = io.WriteString(w, text)
}

// holder returns the token that holds the lock. The caller holds mu.
func (b *box) holder() string {
	if !time.Now().Before(b.tokens[b.lock]) {
		return ""
	}
	return b.lock
}

// wantCalls wants exactly these calls since it was last asked.
func (b *box) wantCalls(t testing.TB, want ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := strings.Join(b.calls, ", "); got != strings.Join(want, ", ") {
		t.Fatalf("calls = %s; want %s", got, strings.Join(want, ", "))
	}
	b.calls = nil
}

// wantLock wants the lock to be held by a token; empty: by none.
func (b *box) wantLock(t testing.TB, want string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := b.holder(); got != want {
		t.Errorf("the lock is held by %q; want %q", got, want)
	}
}

// void ends every token, as a restart of the appliance does.
func (b *box) void() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.tokens)
}

func (b *box) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// boxWorld is a world whose backend is a box.
type boxWorld struct {
	*world
	box *box
}

func newBoxWorld(t *testing.T, change func(*upstream.Config)) *boxWorld {
	t.Helper()
	b := &box{password: "svcpass"}
	w := newWorld(t, func(c *upstream.Config) {
		c.Dialect, c.Transport = boxDialect(), b
		if change != nil {
			change(c)
		}
	})
	return &boxWorld{world: w, box: b}
}

// replica returns a further gateway over the same store.
func (w *boxWorld) replica() *boxWorld {
	return &boxWorld{world: &world{Backend: upstream.New(w.config), store: w.store, notes: w.notes, config: w.config}, box: w.box}
}

// client opens a client session.
func (w *boxWorld) client() token.SID {
	sid := token.NewSID()
	w.store.OpenSession(sid, 12*time.Hour)
	return sid
}

const (
	status = "GET system/status"
	lock   = "POST configuration/lock"
	unlock = "POST configuration/unlock"
	change = "PUT configuration/configElements"
)

// want makes a request for a client session and wants its status.
func (w *boxWorld) want(t testing.TB, sid token.SID, call string, want int) {
	t.Helper()
	if got, err := w.try(t, as(sid), call); err != nil || got != want {
		t.Fatalf("%s = %d, %v; want %d", call, got, err, want)
	}
}

func (w *boxWorld) try(t testing.TB, c token.Caller, call string) (int, error) {
	t.Helper()
	method, path, _ := strings.Cut(call, " ")
	r := request(t, c, method, nil)
	r.URL.Path = "/rest/v1.2/" + path
	return w.do(r)
}

// runs runs the sweeps of a gateway until the function is called that it returns.
func (w *boxWorld) runs(t *testing.T) (crash func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once sync.Once
	crash = func() {
		once.Do(func() {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Run = %v; want the context's error", err)
			}
		})
	}
	t.Cleanup(crash)
	return crash
}

func inBubble(test func(t *testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}
