package tests

import (
	"net/http"
	"testing"
	"time"
)

// In pass-through mode a client's login is the backend's to judge, and the
// backend's tokens of that login serve that client alone.
func TestPassThroughLoginIsTriedOnTheBackend(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	c := start(t, b.settings()).client(t)
	wrong := c.must(t, loginRequest(backendUser, "wrong"))
	if wrong.status != http.StatusUnauthorized || wrong.code() != "API_INVALID_CREDENTIALS" {
		t.Errorf("a wrong password = %d %s; want 401 in the vendor's form", wrong.status, wrong.body)
	}
	bob, svc := c.login(t, backendUser, backendPassword), c.login(t, serviceUser, servicePassword)
	sent := map[string]bool{}
	for _, p := range []pair{bob, svc, bob} {
		wantStatus(t, "call", c.get(t, snapshots, p.access), http.StatusOK)
		all := b.seen()
		sent[all[len(all)-1].header.Get("Authorization")] = true
	}
	if len(sent) != 2 {
		t.Errorf("two clients used %d backend tokens; want one each", len(sent))
	}
	if got := b.counted("login"); got != 3 {
		t.Errorf("backend logins = %d; want the wrong one and two", got)
	}
	for _, r := range b.seen() {
		for _, ours := range []string{bob.access, svc.access} {
			if r.header.Get("Authorization") == "Bearer "+ours {
				t.Error("a token of the gateway reached the backend")
			}
		}
	}
}

func TestPassThroughLogoutLogsOutAtTheBackend(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	c := start(t, b.settings()).client(t)
	p := c.login(t, backendUser, backendPassword)
	out := c.must(t, request{method: http.MethodPost, path: "/api/auth/logout", header: bearer(p.access)})
	wantStatus(t, "logout", out, http.StatusNoContent)
	eventually(t, 5*time.Second, "the backend is logged out", func() bool { return b.counted("logout") == 1 })
	wantStatus(t, "call afterwards", c.get(t, snapshots, p.access), http.StatusUnauthorized)
}

func TestPassThroughSessionThatExpiresIsLoggedOutToo(t *testing.T) {
	b := newBackend(t)
	c := start(t, b.settings().with("ACCESS_TTL", "1s", "REFRESH_TTL", "2s")).client(t)
	c.login(t, backendUser, backendPassword)
	eventually(t, 30*time.Second, "the backend is logged out", func() bool { return b.counted("logout") == 1 })
}

// When the backend knows its tokens no more, the session that stood on them is
// over, and a client that goes by the vendor's codes logs in again.
func TestPassThroughSessionEndsWithItsBackendSession(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	c := start(t, b.settings()).client(t)
	p := c.login(t, backendUser, backendPassword)
	wantStatus(t, "call", c.get(t, snapshots, p.access), http.StatusOK)
	b.forgetAll()
	if a := c.get(t, snapshots, p.access); a.status != http.StatusUnauthorized || a.code() != "API_INVALID_ACCESS_TOKEN" {
		t.Errorf("call = %d %s; want 401 API_INVALID_ACCESS_TOKEN", a.status, a.body)
	}
	if a := c.must(t, refreshRequest(p.refresh)); a.status != http.StatusUnauthorized || a.code() != "API_INVALID_REFRESH_TOKEN" {
		t.Errorf("refresh = %d %s; want 401 API_INVALID_REFRESH_TOKEN", a.status, a.body)
	}
	again := c.login(t, backendUser, backendPassword)
	wantStatus(t, "call after logging in again", c.get(t, snapshots, again.access), http.StatusOK)
}

func TestPassThroughPassesTheBackendsAPITokenOn(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	c := start(t, b.settings()).client(t)
	call := func(token string) answer {
		return c.must(t, request{path: snapshots, header: http.Header{"X-Api-Token": {token}}})
	}
	for range 3 {
		wantStatus(t, "call with the backend's API token", call(backendAPIToken), http.StatusOK)
	}
	all := b.seen()
	if got := all[len(all)-1].header.Get("X-Api-Token"); got != backendAPIToken {
		t.Errorf("the backend got %q; want its token as it came", got)
	}
	if got := b.counted("whoami by API token"); got != 1 {
		t.Errorf("the backend was asked %d times whose the token is; want once", got)
	}
	if a := call("0123456789abcdef0123456789abcdef"); a.status != http.StatusUnauthorized || a.code() != "API_INVALID_API_TOKEN" {
		t.Errorf("an unknown API token = %d %s; want 401 API_INVALID_API_TOKEN", a.status, a.body)
	}
}

func TestPassThroughBasicLogsInOnce(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	c := start(t, b.settings()).client(t)
	q := request{path: snapshots, header: http.Header{"Authorization": {basicAuth(backendUser, backendPassword)}}}
	for _, a := range inParallel(t, 20, c, q) {
		wantStatus(t, "call with Basic", a, http.StatusOK)
	}
	if got := b.counted("login"); got != 1 {
		t.Errorf("backend logins = %d; want 1 for 20 calls at once", got)
	}
}

func TestPassThroughAsksTheBackendWhoSomebodyIs(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	c := start(t, b.settings()).client(t)
	p := c.login(t, backendUser, backendPassword)
	wantStatus(t, "users/me", c.get(t, "/api/v7.0/users/me", p.access), http.StatusOK)
	all := b.seen()
	if got := all[len(all)-1].uri; got != "/api/v7.0/users/me" {
		t.Errorf("the backend's last call is %s; want users/me passed on", got)
	}
}
