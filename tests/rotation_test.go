package tests

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

func TestHundredParallelRefreshesAreOneRotation(t *testing.T) {
	r := startRedis(t)
	b := newBackend(t)
	g := start(t, b.account(t).with(r.store()...).with("REFRESH_GRACE", "30s"))
	c := g.client(t)
	first := c.login(t, "alice", userPassword)

	answers := inParallel(t, 100, c, refreshRequest(first.refresh))
	successors := map[string]bool{}
	for _, a := range answers {
		wantStatus(t, "refresh", a, http.StatusOK)
		successors[a.pair().refresh] = true
		wantStatus(t, "call with its access token", c.get(t, snapshots, a.pair().access), http.StatusOK)
	}
	if len(successors) != 1 {
		t.Fatalf("distinct refresh tokens = %d; want 1", len(successors))
	}
	if got := b.counted("refresh"); got != 0 {
		t.Errorf("backend refreshes = %d; want 0", got)
	}
	successor := answers[0].pair().refresh
	if next := c.refresh(t, successor).refresh; next == successor || next == first.refresh {
		t.Error("the successor did not rotate")
	}
}

// inParallel sends one request n times at once.
func inParallel(t testing.TB, n int, c *client, q request) []answer {
	t.Helper()
	answers, errs := make([]answer, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { answers[i], errs[i] = c.do(t.Context(), q) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return answers
}

// Within the grace a used refresh token yields the same successor, for the
// caller who lost the answer. After it, somebody has stolen it.
func TestReplayAfterTheGraceEndsTheSession(t *testing.T) {
	r := startRedis(t)
	g := start(t, newBackend(t).account(t).with(r.store()...).with("REFRESH_GRACE", "1s"))
	c := g.client(t)
	first := c.login(t, "alice", userPassword)
	began := time.Now()
	second := c.refresh(t, first.refresh)

	var refused answer
	eventually(t, 5*time.Second, "the used token is refused", func() bool {
		a := c.must(t, refreshRequest(first.refresh))
		if a.status == http.StatusOK {
			if got := a.pair().refresh; got != second.refresh {
				t.Fatalf("in the grace the successor is %q; want %q", got, second.refresh)
			}
			return false
		}
		refused = a
		return true
	})
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("refused after %v; want the grace of 1s", took)
	}
	wantStatus(t, "replay", refused, http.StatusUnauthorized)
	if got, want := refused.code(), "API_INVALID_REFRESH_TOKEN"; got != want {
		t.Errorf("code = %q; want %q", got, want)
	}
	eventually(t, time.Second, "the session's access token is dead", func() bool {
		return c.get(t, snapshots, second.access).status == http.StatusUnauthorized
	})
	wantStatus(t, "refresh by the successor", c.must(t, refreshRequest(second.refresh)), http.StatusUnauthorized)
}

// The library repeats a script whose reply was lost. With no grace at all that
// must still not look like a stolen token.
func TestLostReplyIsNotReuse(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	d := startDropper(t, r.Addr)
	g := start(t, newBackend(t).account(t).with(
		"REDIS_URL", r.url(d.Addr), "SECRET", rootSecret, "REFRESH_GRACE", "0s"))
	c := g.client(t)
	// Once without loss, so that Redis knows the scripts by their digests.
	p := c.refresh(t, c.login(t, "alice", userPassword).refresh)

	d.arm()
	next := c.refresh(t, p.refresh)
	if n := d.disarm(); n == 0 {
		t.Fatal("no reply was dropped: this has tested nothing")
	}
	wantStatus(t, "call", c.get(t, snapshots, next.access), http.StatusOK)
	after := c.refresh(t, next.refresh)
	wantStatus(t, "call after a further refresh", c.get(t, snapshots, after.access), http.StatusOK)
}
