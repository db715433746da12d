package tests

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	secondSecret = "black-box-second-secret-0123456789abcdef"
	beat         = 300 * time.Millisecond
)

// stop ends the process as an orchestrator does.
func (g *gateway) stop(t testing.TB) {
	t.Helper()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-g.done
}

// crowd is replicas behind a balancer that knows which of them take requests,
// and clients who use them all the time.
type crowd struct {
	mu       sync.RWMutex
	replicas map[string]*client // guarded by mu: those that take requests
	wg       sync.WaitGroup
	end      chan struct{}
	faults   chan string
	calls    [8]int
}

func newCrowd(t testing.TB, gs ...*gateway) *crowd {
	t.Helper()
	c := &crowd{replicas: map[string]*client{}, end: make(chan struct{}), faults: make(chan string, 100)}
	for _, g := range gs {
		c.replicas[g.URL] = g.client(t)
	}
	return c
}

// call makes one request at some replica, and keeps it from being stopped meanwhile.
func (c *crowd) call(t testing.TB, q request) (answer, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	urls := slices.Collect(maps.Keys(c.replicas))
	return c.replicas[urls[rand.IntN(len(urls))]].do(t.Context(), q)
}

// work has eight users log in, call and refresh until finish.
func (c *crowd) work(t testing.TB) {
	t.Helper()
	for i := range c.calls {
		c.wg.Go(func() {
			if err := c.live(t, &c.calls[i]); err != nil {
				c.faults <- fmt.Sprintf("user %d, call %d: %v", i, c.calls[i], err)
			}
		})
	}
}

func (c *crowd) live(t testing.TB, calls *int) error {
	ask := func(q request) (answer, error) {
		*calls++
		a, err := c.call(t, q)
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%s %s = %d %s", q.method, q.path, a.status, a.body)
		}
		return a, err
	}
	a, err := ask(loginRequest("alice", userPassword))
	if err != nil {
		return err
	}
	p := a.pair()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for n := 1; ; n++ {
		select {
		case <-c.end:
			return nil
		case <-pause.C:
		}
		q := request{path: snapshots, header: bearer(p.access)}
		if n%20 == 0 {
			q = refreshRequest(p.refresh)
		}
		a, err := ask(q)
		if err != nil {
			return err
		}
		if n%20 == 0 {
			p = a.pair()
		}
	}
}

// finish ends the work and reports what went wrong.
func (c *crowd) finish(t testing.TB) {
	t.Helper()
	close(c.end)
	c.wg.Wait()
	close(c.faults)
	for f := range c.faults {
		t.Error(f)
	}
	total := 0
	for _, n := range c.calls {
		total += n
	}
	if total < 100 {
		t.Errorf("calls = %d: this has tested nothing", total)
	}
	t.Logf("%d calls", total)
}

// restart restarts a replica with another list of secrets, out of the balancer.
func (c *crowd) restart(t testing.TB, g *gateway, secrets string) {
	t.Helper()
	c.mu.Lock()
	cl := c.replicas[g.URL]
	delete(c.replicas, g.URL)
	c.mu.Unlock()
	g.stop(t)
	g.settings["SECRET"] = secrets
	g.restart(t)
	c.mu.Lock()
	c.replicas[g.URL] = cl
	c.mu.Unlock()
}

// keyList is what keys list --json prints.
type keyList struct {
	Signing []struct {
		KID, State, Secret string
	}
	Secrets []struct {
		Fingerprint string
		Place       int
		Using       bool
		SigningKeys int       `json:"signing_keys"`
		LastUsed    time.Time `json:"last_used"`
		SafeFrom    time.Time `json:"safe_from"`
	}
	Replicas []struct {
		ID, Using string
		Serving   bool
	}
	Sealed []struct {
		Secret string
		Count  int
	}
	Sessions, Tokens map[string]int
}

func (o operator) keys(t testing.TB) keyList {
	t.Helper()
	var l keyList
	out := o.run(t, 0, "keys", "--json")
	if err := json.Unmarshal([]byte(out.output), &l); err != nil {
		t.Fatalf("keys --json: %v\n%s", err, out.output)
	}
	return l
}

type rotatedKey struct {
	KID   string
	Begun bool
}

func (o operator) rotate(t testing.TB, flags ...string) rotatedKey {
	t.Helper()
	var r rotatedKey
	out := o.run(t, 0, append([]string{"keys", "rotate", "--json"}, flags...)...)
	if err := json.Unmarshal([]byte(out.output), &r); err != nil {
		t.Fatalf("keys rotate: %v\n%s", err, out.output)
	}
	return r
}

// signs returns the id of the key that a replica signs with, which its JWKS names
// first, and how many there are.
func (g *gateway) signs(t testing.TB) (kid string, all int) {
	t.Helper()
	a := g.client(t).must(t, request{path: "/.gatehouse/jwks.json"})
	var set struct{ Keys []struct{ KID string } }
	if err := json.Unmarshal([]byte(a.body), &set); err != nil || len(set.Keys) == 0 {
		t.Fatalf("jwks.json = %s, %v", a.body, err)
	}
	return set.Keys[0].KID, len(set.Keys)
}

// trio starts three replicas over one Redis.
func trio(t *testing.T, s settings) []*gateway {
	t.Helper()
	r := startRedis(t)
	s = s.with(r.store()...).with("ADMIN_TOKEN", operatorToken, "HEARTBEAT", beat.String())
	return []*gateway{start(t, s), start(t, s), start(t, s)}
}

// Access tokens live for 3 s and a retired key for 4 s, so every rotation's key is
// published, signs, retires and is removed while clients work.
func TestSigningKeysRotateUnderLiveTokens(t *testing.T) {
	t.Parallel()
	gs := trio(t, newBackend(t).account(t).with("ACCESS_TTL", "3s", "KEY_PUBLISH_FOR", "1s", "KEY_KEEP_FOR", "4s"))
	c := newCrowd(t, gs...)
	c.work(t)
	seen := map[string]bool{}
	for i := range 5 {
		g := gs[i%len(gs)]
		flags := [][]string{nil, {"--now"}}[i%2]
		done := g.operator().rotate(t, flags...)
		if !done.Begun || seen[done.KID] {
			t.Errorf("rotation %d = %+v; want a new key", i, done)
		}
		seen[done.KID] = true
		for _, g := range gs {
			eventually(t, 5*time.Second, "every replica signs with the new key", func() bool {
				kid, _ := g.signs(t)
				return kid == done.KID
			})
		}
	}
	for _, g := range gs {
		eventually(t, 10*time.Second, "only the last key is left", func() bool {
			_, n := g.signs(t)
			return n == 1
		})
	}
	c.finish(t)
	if l := gs[0].operator().keys(t); len(l.Signing) != 1 || l.Signing[0].State != "active" || len(l.Replicas) != 3 {
		t.Errorf("keys = %+v; want one signing key and three replicas", l)
	}
	last, _ := gs[0].signs(t)
	if !slices.ContainsFunc(auditLines(t, gs[4%len(gs)]), func(line map[string]any) bool {
		return line["action"] == "keys.rotate" && line["outcome"] == "ok" && line["target"] == last
	}) {
		t.Errorf("no audit line tells of the rotation to %s", last)
	}
}

func TestTwoOperatorsMakeOneRotation(t *testing.T) {
	gs := trio(t, newBackend(t).account(t).with("KEY_PUBLISH_FOR", "1m"))
	var wg sync.WaitGroup
	done := make([]rotatedKey, 6)
	for i := range done {
		wg.Go(func() { done[i] = gs[i%len(gs)].operator().rotate(t) })
	}
	wg.Wait()
	begun := 0
	for _, d := range done {
		if d.Begun {
			begun++
		}
		if d.KID != done[0].KID {
			t.Errorf("keys %s and %s; want one", d.KID, done[0].KID)
		}
	}
	if begun != 1 {
		t.Errorf("rotations begun = %d; want 1", begun)
	}
	for _, g := range gs {
		eventually(t, time.Second, "every replica publishes it", func() bool { _, n := g.signs(t); return n == 2 })
		if kid, _ := g.signs(t); kid == done[0].KID {
			t.Error("a key signs that is published only")
		}
	}
}

// The order that the guide gives: append everywhere, move to the front everywhere,
// remove everywhere. Each replica is restarted three times while clients work, and
// nobody is refused.
func TestSecretRollsWithoutAFalseRefusal(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	gs := trio(t, b.account(t).with("ACCESS_TTL", "2s", "REFRESH_TTL", "1h", "KEY_PUBLISH_FOR", "1s"))
	op, first := gs[0].operator(), gs[0].client(t)
	early := first.login(t, "alice", userPassword)
	_, text := first.makeToken(t, first.login(t, "rita", userPassword).access)
	c := newCrowd(t, gs...)
	c.work(t)
	roll := func(secrets string) {
		t.Helper()
		for _, g := range gs {
			c.restart(t, g, secrets)
		}
	}
	old := op.keys(t).Secrets[0].Fingerprint

	roll(rootSecret + "," + secondSecret)
	l := op.keys(t)
	if len(l.Secrets) != 2 || !l.Secrets[0].Using || l.Secrets[0].Fingerprint != old || l.Secrets[1].Using {
		t.Fatalf("secrets after the addition = %+v; want the old one in use", l.Secrets)
	}
	fresh := l.Secrets[1].Fingerprint
	roll(secondSecret + "," + rootSecret)
	eventually(t, 5*time.Second, "every replica uses the new secret", func() bool {
		return !slices.ContainsFunc(op.keys(t).Replicas, func(r struct {
			ID, Using string
			Serving   bool
		},
		) bool {
			return r.Using != fresh
		})
	})
	l = op.keys(t)
	if l.Signing[0].Secret != fresh || l.Tokens[old] != 1 || l.Sessions[old] < 2 || l.Secrets[1].SafeFrom.Sub(l.Secrets[1].LastUsed) != 12*time.Hour {
		t.Errorf("keys before the removal = %+v; want the signing key resealed, an API token, sessions and a safe date told", l)
	}
	out := op.run(t, 0, "keys").output
	for _, want := range []string{"If secret " + old + " is removed now, these end with it:", "up to 1 API token", "sessions opened until"} {
		if !strings.Contains(out, want) {
			t.Errorf("keys says nothing of %q:\n%s", want, out)
		}
	}
	early = gs[1].client(t).refresh(t, early.refresh) // made with the old one, answered with the new
	wantStatus(t, "API token while both are known", first.must(t, withToken(text)), http.StatusOK)
	<-time.After(time.Second) // every working client refreshes every 400 ms

	roll(secondSecret)
	c.finish(t)
	gs[2].client(t).refresh(t, early.refresh)
	wantStatus(t, "API token of the removed secret", first.must(t, withToken(text)), http.StatusUnauthorized)
	if l := op.keys(t); l.Secrets[0].Fingerprint != fresh || l.Secrets[1].Fingerprint != old || l.Secrets[1].Place != 0 {
		t.Errorf("secrets after the removal = %+v; want the old one remembered", l.Secrets)
	}
}

func (g *gateway) readiness(t testing.TB) (status int, body string) {
	t.Helper()
	a := newClient(t, g.Admin).must(t, request{path: "/readyz"})
	return a.status, a.body
}

// A replica that lacks the secret in use takes no requests, and says what to do.
// One that comes with a further secret changes nothing for the others.
func TestReplicaThatLacksTheSecretIsNotReady(t *testing.T) {
	r := startRedis(t)
	s := newBackend(t).account(t).with(r.store()...).with("ADMIN_TOKEN", operatorToken, "HEARTBEAT", beat.String())
	a := start(t, s.with("SECRET", secondSecret+","+rootSecret))
	p := a.client(t).login(t, "alice", userPassword)

	b := launch(t, s)
	eventually(t, 10*time.Second, "the replica says what it lacks", func() bool {
		a, err := newClient(t, b.Admin).do(t.Context(), request{path: "/readyz"})
		return err == nil && a.status == http.StatusServiceUnavailable && strings.Contains(a.body, "GATEHOUSE_SECRET")
	})
	if status, body := a.readiness(t); status != http.StatusOK || strings.Contains(body, "secret") {
		t.Errorf("the other replica is %d %s; want it ready", status, body)
	}
	b.stop(t)
	b.settings["SECRET"] = rootSecret + "," + secondSecret
	b.restart(t)
	wantStatus(t, "call", b.client(t).get(t, snapshots, p.access), http.StatusOK)

	third := start(t, s.with("SECRET", "a-third-secret-of-black-box-tests-0123456789,"+rootSecret+","+secondSecret))
	eventually(t, 5*time.Second, "the others say that they lack the third", func() bool {
		status, body := a.readiness(t)
		return status == http.StatusOK && strings.Contains(body, "no replica uses it until it is added here")
	})
	q := third.client(t).login(t, "alice", userPassword)
	for _, g := range []*gateway{a, b} {
		g.client(t).refresh(t, q.refresh)
	}
}

// At drain a backend session goes on while another replica may use it.
func TestOnlyTheLastReplicaLogsOutAtDrain(t *testing.T) {
	r := startRedis(t)
	b := newBackend(t)
	s := b.account(t).with(r.store()...).with("LOGOUT_AT_DRAIN", "true", "HEARTBEAT", beat.String())
	first, last := start(t, s), start(t, s)
	p := first.client(t).login(t, "alice", userPassword)
	wantStatus(t, "call", first.client(t).get(t, snapshots, p.access), http.StatusOK)
	first.stop(t)
	if n := b.counted("logout"); n != 0 {
		t.Errorf("backend logouts when one of two ended = %d; want 0", n)
	}
	wantStatus(t, "call", last.client(t).get(t, snapshots, p.access), http.StatusOK)
	last.stop(t)
	if n := b.counted("logout"); n != 1 {
		t.Errorf("backend logouts when the last one ended = %d; want 1", n)
	}
	if n := b.counted("login"); n != 1 {
		t.Errorf("backend logins = %d; want 1", n)
	}
}
