package tests

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Two refused logins stop all replicas, also new ones, until an operator says that
// the account is right, or it is another one.
func TestRefusedAccountStopsAllReplicasUntilAnOperatorsWord(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := b.account(t).with("BACKEND_PASSWORD", "not-the-right-one")
	one, two := replicas(t, s)
	p := one.client(t).login(t, "alice", userPassword)
	for range 4 {
		for _, g := range []*gateway{one, two} {
			if a := g.client(t).get(t, snapshots, p.access); a.status < 500 {
				t.Fatalf("call with a refused account = %d; want 502 or 503", a.status)
			}
			eventually(t, 10*time.Second, "it is said of the backend", func() bool { return strings.Contains(one.operator().run(t, 0, "backends", "list").output, "resting") })
		}
	}
	if got := b.counted("login"); got > 2 {
		t.Fatalf("backend logins with a refused password = %d; want 2 at most", got)
	}
	op := one.operator()
	list := op.list(t, "backends", "list")
	if len(list) != 1 || list[0]["name"] != "backend" || list[0]["way"] != "account" || list[0]["trouble"] == nil || list[0]["retry"] == nil {
		t.Errorf("backends list = %v; want it resting, with why and until when", list)
	}
	if out := op.run(t, 1, "backends", "retry", "nobody"); !strings.Contains(out.output, "nobody") {
		t.Errorf("retry of a backend that is none: %s", out.output)
	}
	before := b.counted("login")
	if out := op.run(t, 0, "backends", "retry", "backend"); !strings.Contains(out.output, "backend is tried again") {
		t.Errorf("retry says: %s", out.output)
	}
	eventually(t, 10*time.Second, "the account is tried again", func() bool {
		two.client(t).get(t, snapshots, p.access)
		return b.counted("login") > before
	})

	right := start(t, one.settings.with("BACKEND_PASSWORD", servicePassword, "LISTEN", freeAddress(t), "ADMIN_LISTEN", freeAddress(t)))
	wantStatus(t, "call with another credential", right.client(t).get(t, snapshots, p.access), http.StatusOK)
	if list = right.operator().list(t, "backends", "list"); list[0]["state"] != "ready" || list[0]["version"] == nil || list[0]["expires"] == nil {
		t.Errorf("backends list = %v; want it ready", list)
	}
}

func TestSessionsAtTheBackendAreBounded(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b.settings().with("BACKEND_MAX_SESSIONS", "2"))
	c := g.client(t)
	first := c.login(t, backendUser, backendPassword)
	c.login(t, backendUser, backendPassword)
	login := request{method: http.MethodPost, path: "/api/v7.0/auth/login", body: `{"username":"` + backendUser + `","password":"` + backendPassword + `"}`}
	a := c.must(t, login)
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Fatalf("third login = %d %s; want 503 with Retry-After", a.status, a.body)
	}
	if got := b.counted("login"); got != 2 {
		t.Errorf("backend logins = %d; want 2", got)
	}
	c.must(t, request{method: http.MethodPost, path: "/api/auth/logout", header: bearer(first.access)})
	eventually(t, 10*time.Second, "a place is free", func() bool { return c.must(t, login).status == http.StatusOK })
}
