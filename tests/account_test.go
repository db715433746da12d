package tests

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestAccountModeMintsItsOwnAPITokens(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b.account(t))
	c := g.client(t)
	rita := c.login(t, "rita", userPassword)

	a := c.must(t, request{
		method: http.MethodPost, path: "/api/v7.0/api-tokens", header: bearer(rita.access),
		body: `{"description":"report","expires":null,"scope":["read"]}`,
	})
	var made struct{ ID, Token string }
	if err := json.Unmarshal([]byte(a.body), &made); err != nil || a.status/100 != 2 || made.Token == "" {
		t.Fatalf("POST api-tokens = %d %s; want a token", a.status, a.body)
	}

	use := request{path: snapshots, header: http.Header{"X-Api-Token": {made.Token}}}
	wantStatus(t, "call with the API token", c.must(t, use), http.StatusOK)
	gone := c.must(t, request{method: http.MethodDelete, path: "/api/v7.0/api-tokens/" + made.ID, header: bearer(rita.access)})
	if gone.status/100 != 2 {
		t.Errorf("DELETE api-tokens = %d %s; want 2xx", gone.status, gone.body)
	}
	wantStatus(t, "call with the deleted API token", c.must(t, use), http.StatusUnauthorized)

	for _, r := range b.seen() {
		if strings.Contains(strings.ToLower(r.uri), "token") {
			t.Errorf("the backend saw %s %s", r.method, r.uri)
		}
		if r.header.Get("X-Api-Token") != "" {
			t.Errorf("%s %s carried the gateway's API token", r.method, r.uri)
		}
	}
}

// A path that the dialect knows is never forwarded in another version or
// spelling: it would mint the appliance's own credentials for a gateway's user.
func TestAccountModeForwardsNoMintingCallInAnySpelling(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b.account(t))
	c := g.client(t)
	root := c.login(t, "root", userPassword)
	before := len(b.seen())

	for _, path := range []string{
		"/api/v6.1/api-tokens", "/api/v1/api-tokens", "/api/v99/api-tokens", "/api/api-tokens", "/api/v7.0/api-tokens/",
		"/api/v7.0/API-Tokens", "/api/v7.0/%61pi-tokens", "/api/v7.0/auth/token", "/api/v6.3/auth/login", "/api/v7.0/auth/login/",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
			c.must(t, request{method: method, path: path, header: bearer(root.access), body: `{}`})
		}
	}
	for _, r := range b.seen()[before:] {
		if low := strings.ToLower(r.uri); strings.Contains(low, "token") || strings.Contains(low, "login") {
			t.Errorf("the backend saw %s %s", r.method, r.uri)
		}
	}
}

func TestAccountModeLogsInOnceForEverybody(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b.account(t))
	c := g.client(t)
	for _, user := range []string{"alice", "rita", "root"} {
		p := c.login(t, user, userPassword)
		wantStatus(t, "call of "+user, c.get(t, snapshots, p.access), http.StatusOK)
	}
	if got := b.counted("login"); got != 1 {
		t.Errorf("backend logins = %d; want 1", got)
	}
	for _, r := range b.seen() {
		if strings.Contains(r.body, userPassword) {
			t.Errorf("%s %s carried a user's password to the backend", r.method, r.uri)
		}
	}
}

// The access token that the backend refuses is renewed and the call repeated,
// once; the client notices nothing.
func TestExpiredBackendTokenIsRenewedUnseen(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b.account(t))
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	wantStatus(t, "first call", c.get(t, snapshots, p.access), http.StatusOK)

	b.expireAll()
	wantStatus(t, "call after the backend's token expired", c.get(t, snapshots, p.access), http.StatusOK)
	if got := b.counted("login") + b.counted("refresh"); got != 2 {
		t.Errorf("backend logins and refreshes = %d; want 2", got)
	}
}
