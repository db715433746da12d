package tests

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/tests/redistest"
)

// setPassword has a server ask for another password from now on; connections that
// are open stay as they are.
func setPassword(t testing.TB, s *redistest.Server, password string) {
	t.Helper()
	if err := s.Client(t).ConfigSet(t.Context(), "requirepass", password).Err(); err != nil {
		t.Fatal(err)
	}
	s.Password = password
}

// waits waits until the gateway says that it is not ready, for this reason.
func (g *gateway) waits(t testing.TB, why string) {
	t.Helper()
	eventually(t, 10*time.Second, "/readyz is 503 with "+why, func() bool {
		a, err := newClient(t, g.Admin).do(t.Context(), request{path: "/readyz"})
		return err == nil && a.status == http.StatusServiceUnavailable && strings.Contains(a.body, why)
	})
}

const refused = "Redis refuses user or password; correct them in GATEHOUSE_REDIS_URL"

// A start with the wrong password is no loop of crashes: the process says what is
// wrong and is ready once it is right.
func TestStartWithAnotherRedisPasswordWaits(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t)
	url, right := s.URL(), s.Password
	setPassword(t, s, "another-"+right)
	g := launch(t, newBackend(t).account(t).with("REDIS_URL", url, "SECRET", rootSecret))
	g.waits(t, refused)
	wantStatus(t, "/healthz", newClient(t, g.Admin).get(t, "/healthz", ""), http.StatusOK)
	a := g.client(t).must(t, loginRequest("alice", userPassword))
	wantStatus(t, "login", a, http.StatusServiceUnavailable)
	if a.header.Get("Retry-After") == "" || strings.Contains(a.body, "Redis") {
		t.Errorf("login: Retry-After %q, %s; want one, and no reason", a.header.Get("Retry-After"), a.body)
	}
	if text := g.log.String(); !strings.Contains(text, refused) || strings.Contains(text, right) {
		t.Error("the log does not say what is wrong, or says the password")
	}
	setPassword(t, s, right)
	g.waitReady(t)
	g.client(t).login(t, "alice", userPassword)
}

// A password that is changed under a running gateway is an outage and no logout.
func TestRedisPasswordChangedUnderneathIsNoLogout(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t)
	right := s.Password
	g := start(t, newBackend(t).account(t).with("REDIS_URL", s.URL(), "SECRET", rootSecret, "DATA_DIR", t.TempDir()))
	h := newHolder(t, g)

	setPassword(t, s, "another-"+right)
	if err := s.Client(t).Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the operator is told", func() bool {
		return g.metric(t, "gatehouse_degraded 1") && g.metric(t, "gatehouse_store_up 0")
	})
	wantStatus(t, "call from memory", h.c.get(t, snapshots, h.pair.access), http.StatusOK)
	a := h.c.must(t, refreshRequest(h.pair.refresh))
	wantStatus(t, "refresh", a, http.StatusServiceUnavailable)
	if a.header.Get("Set-Cookie") != "" {
		t.Errorf("refresh sets a cookie: %s", a.header.Get("Set-Cookie"))
	}
	if !strings.Contains(g.log.String(), "WRONGPASS") {
		t.Error("the log does not say what is wrong")
	}
	setPassword(t, s, right)
	eventually(t, 5*time.Second, "a refresh succeeds", func() bool {
		return h.c.must(t, refreshRequest(h.pair.refresh)).status == http.StatusOK
	})
	wantStatus(t, "page", h.page(t), http.StatusOK)
}

// A Redis that comes back empty has lost the sessions and nothing else: everybody
// logs in again, nobody meets a failure.
func TestEmptyRedisAsksForLoginsOnly(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t)
	g := start(t, newBackend(t).account(t).with("REDIS_URL", s.URL(), "SECRET", rootSecret, "DATA_DIR", t.TempDir()))
	h := newHolder(t, g)
	s.Kill(t)
	s.Empty(t)
	s.Start(t)
	eventually(t, 10*time.Second, "somebody can log in again", func() bool {
		return h.c.must(t, loginRequest("alice", userPassword)).status == http.StatusOK
	})
	wantStatus(t, "an old refresh token", h.c.must(t, refreshRequest(h.pair.refresh)), http.StatusUnauthorized)
	// Until the gateway has read the store again, what is in memory goes on.
	eventually(t, 5*time.Second, "old sessions are over", func() bool {
		return h.c.get(t, snapshots, h.pair.access).status == http.StatusUnauthorized && h.page(t).status == http.StatusFound
	})
	p := h.c.login(t, "alice", userPassword)
	wantStatus(t, "call", h.c.get(t, snapshots, p.access), http.StatusOK)
	h.c.refresh(t, p.refresh)
	eventually(t, 5*time.Second, "it is over", func() bool { return g.metric(t, "gatehouse_degraded 0") && g.readyStatus(t) == http.StatusOK })
}
