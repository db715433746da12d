package upstream_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// itempath is a backend whose vendor has the same words for every token. It takes
// the newest access token alone.
type itempath struct {
	mu      sync.Mutex
	n       int
	logins  int
	login   string               // what a login is answered; empty: tokens
	refresh func() (int, string) // what a refresh is answered; nil: a token
}

func (b *itempath) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	status, body := http.StatusOK, `{}`
	switch {
	case r.URL.Path == "/api/users/login":
		if b.logins++; b.login != "" {
			body = b.login
			break
		}
		b.n++
		body = fmt.Sprintf(`{"login":true,"accessToken":"AT%d","refreshToken":"RT%d"}`, b.n, b.n)
	case r.URL.Path == "/api/users/refresh" && b.refresh != nil:
		status, body = b.refresh()
	case r.URL.Path == "/api/users/refresh":
		b.n++
		body = fmt.Sprintf(`{"accessToken":"AT%d"}`, b.n)
	case r.Header.Get("Authorization") != fmt.Sprintf("Bearer AT%d", b.n):
		status, body = http.StatusUnprocessableEntity, `{"msg":"Signature verification failed"}`
	}
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "application/json")
	rec.WriteHeader(status)
	_, _ = rec.WriteString(body)
	return rec.Result(), nil
}

func (b *itempath) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

func newItemPath(t testing.TB, change func(*upstream.Config)) (*world, *itempath) {
	t.Helper()
	d, err := dialect.Open("itempath", dialect.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	b := &itempath{}
	return newWorld(t, func(c *upstream.Config) {
		c.Dialect, c.Transport = d, b
		if change != nil {
			change(c)
		}
	}), b
}

// TestRefreshEndsAtTheVendorsWord: the words that end an access token end the
// refresh token where they answer a refresh, and nothing else does.
func TestRefreshEndsAtTheVendorsWord(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   token.Kind // of the client's refresh, once the access token is over
	}{
		{"expired", 401, `{"msg":"Token has expired"}`, token.InvalidRefresh},
		{"revoked", 401, `{"msg":"Token has been revoked"}`, token.InvalidRefresh},
		{"another secret", 422, `{"msg":"Signature verification failed"}`, token.InvalidRefresh},
		{"401 without a word", 401, `{}`, token.Unavailable},
		{"422 without a word", 422, `{"errors":{}}`, token.Unavailable},
		{"no header", 401, `{"msg":"Missing Authorization Header"}`, token.Unavailable},
		{"an outage", 500, `{"msg":"Token has expired"}`, token.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, b := newItemPath(t, passThrough)
				sid := token.NewSID()
				if _, err := w.Verify(t.Context(), sid, login("alicepass")); err != nil {
					t.Fatal(err)
				}
				w.store.OpenSession(sid, 24*time.Hour)
				w.wantGet(t, as(sid), 200)
				b.set(func() { b.refresh = func() (int, string) { return c.status, c.body } })
				advance(16 * time.Minute)
				wantKind(t, w.Renew(t.Context(), sid, token.Grant{}), c.want)
			})
		})
	}
}

// TestLoginThatSaysNoIsTriedOnce: also when it says so in a success.
func TestLoginThatSaysNoIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newItemPath(t, nil)
		b.login = `{"login":false}`
		for range 5 {
			if _, err := w.get(t, anyone); err == nil {
				t.Fatal("a request went on without a login")
			}
		}
		if b.logins != 1 {
			t.Errorf("logins = %d; want 1", b.logins)
		}
		if !w.notes.has("login rejected") {
			t.Errorf("told %v; want a rejected login", w.notes.all)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w, b := newItemPath(t, passThrough)
		b.login = `{"login":false}`
		_, err := w.Verify(t.Context(), token.NewSID(), login("wrong"))
		wantKind(t, err, token.BadCredentials)
	})
}
