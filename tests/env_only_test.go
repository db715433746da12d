package tests

import (
	"net/http"
	"testing"
)

const snapshots = "/api/v7.0/snapshots"

func TestFourVariablesAreEnough(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	// Two of them say where to listen, so that tests do not meet on one port.
	g := start(t, b.settings())
	c := g.client(t)

	wantStatus(t, "anonymous call", c.get(t, snapshots, ""), http.StatusUnauthorized)
	p := c.login(t, backendUser, backendPassword)
	wantStatus(t, "call", c.get(t, snapshots, p.access), http.StatusOK)
	wantStatus(t, "wrong password", c.must(t, loginRequest(backendUser, "wrong")), http.StatusUnauthorized)

	for _, r := range b.seen() {
		if r.header.Get("Authorization") == "Bearer "+p.access {
			t.Errorf("%s %s carried the gateway's own token to the backend", r.method, r.uri)
		}
	}
}

func TestEmptyPolicyRefusesEverything(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b.settings().with("CONFIG", writeFile(t, "gatehouse.yaml", "policy:\n")))
	c := g.client(t)

	p := c.login(t, backendUser, backendPassword)
	wantStatus(t, "call", c.get(t, snapshots, p.access), http.StatusForbidden)
	if n := b.counted("call"); n != 0 {
		t.Errorf("the backend answered %d calls; want 0", n)
	}
}

func TestAnonymousCallToldToRefresh(t *testing.T) {
	t.Parallel()
	g := start(t, newBackend(t).settings())
	a := g.client(t).get(t, snapshots, "")
	if got, want := a.code(), "API_EXPIRED_ACCESS_TOKEN"; got != want {
		t.Errorf("code = %q; want %q: a client whose cookie ran out refreshes only then", got, want)
	}
}
