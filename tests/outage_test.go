package tests

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/tests/redistest"
)

// slowest is how long a caller waits at most, whatever has become of Redis.
const slowest = time.Second

// holder is somebody with sessions at a gateway.
type holder struct {
	c      *client
	pair   pair
	portal string
}

func newHolder(t testing.TB, g *gateway) *holder {
	t.Helper()
	h := &holder{c: g.client(t)}
	h.pair = h.c.login(t, "alice", userPassword)
	in := h.c.must(t, form(g.URL, "/.gatehouse/sign-in", "", credentials("/")))
	if h.portal = in.cookie("__Host-gatehouse"); h.portal == "" {
		t.Fatalf("signing in = %d; want a cookie", in.status)
	}
	wantStatus(t, "call", h.c.get(t, snapshots, h.pair.access), http.StatusOK)
	wantStatus(t, "page", h.page(t), http.StatusOK)
	return h
}

func (h *holder) page(t testing.TB) answer {
	t.Helper()
	return h.c.must(t, navigation("/inventory", h.portal))
}

// suffer makes every sort of call until stop, and fails the test if one waits too
// long, loses a cookie, or is told that its session is no good. It returns the
// longest wait.
func (h *holder) suffer(t testing.TB, stop <-chan struct{}) (longest time.Duration) {
	t.Helper()
	login := loginRequest("alice", userPassword)
	for {
		for what, q := range map[string]request{
			"call": {path: snapshots, header: bearer(h.pair.access)}, "page": navigation("/inventory", h.portal),
			"refresh": refreshRequest("x" + h.pair.refresh[1:]), "login": login,
		} {
			select {
			case <-stop:
				return longest
			default:
			}
			began := time.Now()
			a, err := h.c.do(t.Context(), q)
			took := time.Since(began)
			if longest = max(longest, took); err != nil || took > slowest {
				t.Errorf("%s took %v, %v; want an answer in %v", what, took, err, slowest)
			}
			if what == "login" && a.status == http.StatusOK {
				continue // it came before the outage or after
			}
			if a.header.Get("Set-Cookie") != "" {
				t.Errorf("%s = %d with Set-Cookie; want cookies left alone", what, a.status)
			}
			switch a.status {
			case http.StatusOK:
			case http.StatusServiceUnavailable:
				if a.header.Get("Retry-After") == "" {
					t.Errorf("%s = 503 without Retry-After", what)
				}
			default:
				if what != "refresh" { // that is junk, and known to be so without asking
					t.Errorf("%s = %d %.200s; want 200 or 503", what, a.status, a.body)
				}
			}
		}
	}
}

func (g *gateway) metric(t testing.TB, line string) bool {
	t.Helper()
	return containsAll(newClient(t, g.Admin).get(t, "/metrics", "").body, []string{"\n" + line + "\n"})
}

// Redis that crashes and Redis that hangs are no logout: cookies stay as they are,
// every answer comes soon, the operator is told, and afterwards everybody goes on
// with the session he had.
func TestOutageIsNoLogout(t *testing.T) {
	for _, c := range []struct {
		name        string
		begin, stop func(testing.TB, *redistest.Server)
	}{
		{"crash", func(t testing.TB, s *redistest.Server) { s.Kill(t) }, func(t testing.TB, s *redistest.Server) { s.Start(t) }},
		{"hang", func(t testing.TB, s *redistest.Server) { s.Pause(t) }, func(t testing.TB, s *redistest.Server) { s.Resume(t) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := redistest.Standalone(t)
			g := start(t, newBackend(t).account(t).with("REDIS_URL", server.URL(), "SECRET", rootSecret, "DATA_DIR", t.TempDir()))
			h := newHolder(t, g)

			over := make(chan struct{})
			var all sync.WaitGroup
			c.begin(t, server)
			for range 8 {
				all.Go(func() { t.Logf("longest wait: %v", h.suffer(t, over)) })
			}
			eventually(t, 5*time.Second, "the operator is told", func() bool {
				return g.metric(t, "gatehouse_degraded 1") && g.metric(t, "gatehouse_store_up 0")
			})
			refused := h.c.must(t, refreshRequest(h.pair.refresh))
			wantStatus(t, "refresh in the outage", refused, http.StatusServiceUnavailable)
			<-time.After(5 * time.Second)
			close(over)
			all.Wait()
			c.stop(t, server)

			var next answer
			eventually(t, 3*time.Second, "a refresh succeeds", func() bool {
				next = h.c.must(t, refreshRequest(h.pair.refresh))
				return next.status == http.StatusOK
			})
			wantStatus(t, "call by its token", h.c.get(t, snapshots, next.pair().access), http.StatusOK)
			wantStatus(t, "page", h.page(t), http.StatusOK)
			eventually(t, 5*time.Second, "the operator is told that it is over", func() bool {
				return g.metric(t, "gatehouse_degraded 0") && g.metric(t, "gatehouse_store_up 1")
			})
		})
	}
}

// A full Redis still tells what it holds, and ends what is to end, on every
// replica. What needs room is answered by 503.
func TestFullRedisServesAndRevokes(t *testing.T) {
	server := redistest.Standalone(t)
	conf := newBackend(t).account(t).with("REDIS_URL", server.URL(), "SECRET", rootSecret, "DATA_DIR", t.TempDir())
	here, there := start(t, conf), start(t, conf)
	stays, leaves := newHolder(t, here), newHolder(t, here)
	away := there.client(t)
	call := request{path: snapshots, header: bearer(leaves.pair.access)}
	wantStatus(t, "call elsewhere", away.must(t, call), http.StatusOK)

	full := func(limit string) {
		if err := server.Client(t).ConfigSet(t.Context(), "maxmemory", limit).Err(); err != nil {
			t.Fatal(err)
		}
	}
	full("1")
	eventually(t, 5*time.Second, "the operator is told", func() bool {
		return there.metric(t, "gatehouse_degraded 1") && there.metric(t, "gatehouse_store_up 1")
	})
	for range 20 { // more failures than open a breaker
		for what, q := range map[string]request{"login": loginRequest("alice", userPassword), "refresh": refreshRequest(stays.pair.refresh)} {
			a := stays.c.must(t, q)
			wantStatus(t, what, a, http.StatusServiceUnavailable)
			if a.header.Get("Set-Cookie") != "" || a.header.Get("Retry-After") == "" {
				t.Errorf("%s: Set-Cookie %q, Retry-After %q; want only the latter", what, a.header.Get("Set-Cookie"), a.header.Get("Retry-After"))
			}
		}
		wantStatus(t, "call", stays.c.get(t, snapshots, stays.pair.access), http.StatusOK)
		wantStatus(t, "page", stays.page(t), http.StatusOK)
	}
	out := leaves.c.must(t, request{method: http.MethodPost, path: "/api/auth/logout", header: http.Header{"Cookie": {"accessToken=" + leaves.pair.access}}})
	if out.status >= http.StatusMultipleChoices {
		t.Errorf("logout = %d %s; want it done", out.status, out.body)
	}
	dead(t, "the ended session", away, call)
	full("0")
	eventually(t, 3*time.Second, "there is room again", func() bool {
		return stays.c.must(t, refreshRequest(stays.pair.refresh)).status == http.StatusOK && !there.metric(t, "gatehouse_degraded 1")
	})
}
