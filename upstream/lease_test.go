package upstream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// asleep is the store of a process that is stopped while it makes a call, so that
// nobody renews its lease.
type asleep struct{ upstream.Store }

func (s asleep) Acquire(ctx context.Context, c upstream.Claim) (upstream.Answer, error) {
	if c.Renew {
		return upstream.Answer{}, errors.New("stopped")
	}
	return s.Store.Acquire(ctx, c)
}

// bus carries notices between Backends of one process.
type bus struct {
	mu   sync.Mutex
	ears []func(upstream.Notice) // guarded by mu
	lost bool                    // guarded by mu: nothing is carried
}

func (b *bus) Hear(on func(upstream.Notice)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ears = append(b.ears, on)
}

func (b *bus) Tell(_ context.Context, n upstream.Notice) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost {
		return errors.New("lost")
	}
	for _, on := range b.ears {
		on(n)
	}
	return nil
}

// twin is another process before the same backend and store.
func (w *world) twin(t testing.TB, change func(*upstream.Config)) *world {
	t.Helper()
	c := w.config
	if change != nil {
		change(&c)
	}
	return &world{Backend: upstream.New(c), fabric: w.fabric, store: w.store, notes: w.notes, config: c}
}

func TestLeaseIsKeptWhileItsCallIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) { c.Limits = upstream.Limits{Lease: time.Second, Call: 2 * time.Second} })
		w.wantGet(t, anyone, 200)
		slow := w.twin(t, late(0, 7*time.Second))
		advance(31 * time.Minute)
		go func() { _, _ = slow.get(t, anyone) }()
		advance(5 * time.Second) // five leases long, and longer than the call was meant to take
		w.wantGet(t, anyone, 200)
		w.wantCounts(t, 1, 1, 0)
	})
}

// leave has a process that is gone hold the lease, with a call under way.
func (w *world) leave(t testing.TB, sid token.SID, version uint64) {
	t.Helper()
	c := upstream.Claim{
		Ref: upstream.Ref{Owner: sid.String(), Backend: "fabric"}, Holder: "gone", Seen: version,
		Lease: 6 * time.Second, Call: 12 * time.Second, Strict: true,
	}
	a, err := w.store.Acquire(t.Context(), c)
	if err != nil || a.State != upstream.Lead {
		t.Fatalf("Acquire = %+v, %v; want Lead", a, err)
	}
}

func TestRefreshTokenThatMayBeInUseIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		advance(29*time.Minute + 40*time.Second) // it is due
		w.leave(t, sid, 1)
		advance(7 * time.Second) // the lease is over, the call may not be
		began := time.Now()
		w.wantGet(t, as(sid), 200)
		if took := time.Since(began); took > 0 {
			t.Errorf("a request with a token that is good took %v; want no wait", took)
		}
		if n := w.fabric.Count("refresh"); n != 0 {
			t.Fatalf("%d refreshes while another may be under way; want none", n)
		}
		advance(6 * time.Second)
		w.wantGet(t, as(sid), 200)
		if n := w.fabric.Count("refresh"); n != 1 {
			t.Errorf("%d refreshes after the other's deadline; want 1", n)
		}
	})
}

func TestRequestWaitsOutACallThatMayBeUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		advance(31 * time.Minute) // the old token cannot be sent any more
		w.leave(t, sid, 1)
		advance(7 * time.Second)
		w.wantGet(t, as(sid), 200)
		w.wantCounts(t, 1, 1, 0)
	})
}

func TestLateTokensOfADoubtedCallAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		advance(31 * time.Minute)
		paused := w.twin(t, func(c *upstream.Config) {
			late(0, 9*time.Second)(c)
			c.Store = asleep{c.Store}
		})
		go func() { _, _ = paused.get(t, as(sid)) }()
		advance(7 * time.Second)
		w.wantGet(t, as(sid), 200)
		w.wantCounts(t, 1, 1, 0)
	})
}

func TestDeadIsNotBelievedWhileACallMayBeUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reusable := *ipfabric(t) // as far as the gateway knows
		reusable.Tokens.Rotates = false
		w := newWorld(t, func(c *upstream.Config) { c.Account, c.Dialect = nil, &reusable })
		sid := w.signIn(t)
		advance(31 * time.Minute)
		paused := w.twin(t, func(c *upstream.Config) {
			late(0, 9*time.Second)(c)
			c.Store = asleep{c.Store}
		})
		go func() { _, _ = paused.get(t, as(sid)) }()
		advance(7 * time.Second)
		w.wantGet(t, as(sid), 200)
		if !w.notes.has("renewal dead") {
			t.Error("the backend never said dead: the test shows nothing")
		}
		w.wantCounts(t, 1, 1, 0)
	})
}

func TestCallIsNotBegunAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		advance(31 * time.Minute)
		sent := 0
		stopped := w.twin(t, func(c *upstream.Config) {
			c.Store = stoppedAfterLead{c.Store}
			inner := c.Transport
			c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if err := r.Context().Err(); err != nil {
					return nil, err
				}
				sent++
				return inner.RoundTrip(r)
			})
		})
		go func() { _, _ = stopped.get(t, as(sid)) }()
		advance(13 * time.Second)
		w.wantGet(t, as(sid), 200)
		advance(10 * time.Second)
		w.wantGet(t, as(sid), 200)
		w.wantCounts(t, 1, 1, 0)
		if sent != 0 {
			t.Errorf("the stopped gateway sent %d requests when it went on; want none: its time was over", sent)
		}
	})
}

// stoppedAfterLead stops the process for a while when it has got the lease.
type stoppedAfterLead struct{ upstream.Store }

func (s stoppedAfterLead) Acquire(ctx context.Context, c upstream.Claim) (upstream.Answer, error) {
	if c.Renew {
		return upstream.Answer{}, errors.New("stopped")
	}
	a, err := s.Store.Acquire(ctx, c)
	if a.State == upstream.Lead {
		time.Sleep(15 * time.Second)
	}
	return a, err
}

func TestWhoWaitsHearsOfTheCommit(t *testing.T) {
	for _, c := range []struct {
		name string
		lost bool
		most time.Duration
	}{
		{"heard", false, time.Millisecond},
		{"lost, and found by asking", true, 200 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *upstream.Config) { c.Notices = &bus{} })
				w.wantGet(t, anyone, 200)
				slow := w.twin(t, late(0, 310*time.Millisecond))
				w.config.Notices.(*bus).mute(c.lost)
				advance(31 * time.Minute)
				began := time.Now()
				go func() { _, _ = slow.get(t, anyone) }()
				synctest.Wait()
				w.wantGet(t, anyone, 200)
				if took := time.Since(began) - 310*time.Millisecond; took < 0 || took > c.most {
					t.Errorf("the other's request went on %v after the commit; want at most %v", took, c.most)
				}
				w.wantCounts(t, 1, 1, 0)
			})
		})
	}
}

func (b *bus) mute(lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = lost
}

func TestCommitElsewhereReplacesTheCopyInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) { c.Notices = &bus{} })
		other := w.twin(t, nil)
		w.wantGet(t, anyone, 200)
		other.wantGet(t, anyone, 200)
		advance(26 * time.Minute)
		other.wantGet(t, anyone, 200) // renews in the background
		synctest.Wait()
		w.fabric.VoidOldAccess()
		w.wantGet(t, anyone, 200)
		if w.notes.has("replay replayed") {
			t.Error("the request was made twice; want the new token from the start")
		}
		w.wantCounts(t, 1, 1, 0)
	})
}

func TestSessionsAtTheBackendAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) { c.Account, c.Limits.Sessions = nil, 2 })
		first := w.signIn(t)
		w.signIn(t)
		if _, err := w.Verify(t.Context(), token.NewSID(), login("alicepass")); token.KindOf(err) != token.Unavailable {
			t.Fatalf("third login = %v; want Unavailable", err)
		}
		if !w.notes.has("login full") {
			t.Error("the refused login is not counted as full")
		}
		w.store.RevokeSession(first)
		w.End(first)
		synctest.Wait()
		w.signIn(t)
		w.wantCounts(t, 3, 0, 1)
	})
}

// oauthBackend is a FortiAuthenticator whose renewals end the access tokens before.
type oauthBackend struct {
	mu      sync.Mutex
	n       int           // guarded by mu: counts tokens
	renewal time.Duration // how long a refresh takes
	refused int           // guarded by mu: calls with a token that is void
}

func (b *oauthBackend) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	if strings.Contains(string(body), "refresh_token") {
		time.Sleep(b.renewal)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	answer := func(status int, text string) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Request: r, Body: io.NopCloser(strings.NewReader(text)), ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {"application/json"}},
		}, nil
	}
	name := "AT" + strings.Repeat("x", b.n)
	switch {
	case strings.Contains(r.URL.Path, "/oauth/token"):
		b.n++
		return answer(200, `{"access_token":"`+name+`x","expires_in":3600,"token_type":"Bearer","scope":"read","refresh_token":"RT`+name+`x"}`)
	case r.Header.Get("Authorization") != "Bearer "+name:
		b.refused++
		return answer(401, `{"detail":"Authentication credentials were not provided."}`)
	}
	return answer(200, "{}")
}

func TestRequestThatCannotBeRepeatedWaitsForARenewalThatVoidsItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := dialect.Open("fac-oauth/6.x", dialect.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		backend := &oauthBackend{renewal: time.Second}
		w := newWorld(t, func(c *upstream.Config) {
			c.Dialect, c.Transport = d, backend
			c.Client = &token.Client{ID: "gatehouse", Secret: token.NewSecret("0123456789abcdef")}
		})
		w.wantGet(t, anyone, 200)
		advance(50 * time.Minute)
		w.wantGet(t, anyone, 200) // has it renewed in the background
		long := strings.NewReader(strings.Repeat("x", 65<<10))
		began := time.Now()
		got, err := w.do(request(t, anyone, http.MethodPost, long))
		if got != 200 || err != nil {
			t.Errorf("POST = %d, %v; want 200", got, err)
		}
		if took := time.Since(began); took != backend.renewal {
			t.Errorf("POST took %v; want the %v of the renewal", took, backend.renewal)
		}
		backend.mu.Lock()
		defer backend.mu.Unlock()
		if backend.refused != 0 {
			t.Errorf("%d calls with a void token; want none", backend.refused)
		}
	})
}

func TestOperatorHasARefusedAccountTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) {
			c.Notices = &bus{}
			c.Account = &upstream.Account{Username: "svc", Password: token.NewSecret("correct only later")}
		})
		other := w.twin(t, nil)
		for range 5 {
			for _, x := range []*world{w, other} {
				if got, err := x.get(t, anyone); err == nil {
					t.Fatalf("GET = %d without an account; want an error", got)
				}
			}
			advance(time.Minute)
		}
		if n := w.fabric.Count("rejected"); n != upstream.MaxAttempts {
			t.Fatalf("%d logins with a refused password; want %d", n, upstream.MaxAttempts)
		}
		w.wantKind(t, anyone, token.BadGateway)
		s := w.Status(t.Context())
		if s.State != "resting" || s.Trouble == "" || !s.Retry.After(time.Now()) {
			t.Errorf("Status = %+v; want it resting, with why and until when", s)
		}
		w.fabric.Users["svc"] = "correct only later"
		if ok, err := other.Retry(t.Context()); !ok || err != nil {
			t.Fatalf("Retry = %t, %v", ok, err)
		}
		synctest.Wait()
		w.wantGet(t, anyone, 200)
		other.wantGet(t, anyone, 200)
		w.wantCounts(t, 1, 0, 0)
		if s = w.Status(t.Context()); s.State != "ready" || s.Version != 1 || s.Expires.IsZero() || s.Trouble != "" {
			t.Errorf("Status = %+v; want it ready with version 1", s)
		}
	})
}

func TestRetryThatCannotBeKeptIsAnError(t *testing.T) {
	w := newWorld(t, nil)
	w.store.Break("Attempt", errors.New("away"))
	if _, err := w.Retry(t.Context()); token.KindOf(err) != token.Unavailable {
		t.Errorf("Retry = %v; want Unavailable", err)
	}
	w.store.Break("Acquire", errors.New("away"))
	if s := w.Status(t.Context()); s.State != "unknown" {
		t.Errorf("state = %q while the store cannot be asked; want unknown", s.State)
	}
	own := newWorld(t, passThrough)
	if ok, err := own.Retry(t.Context()); ok || err != nil {
		t.Errorf("Retry of pass-through = %t, %v; want false", ok, err)
	}
	if s := own.Status(t.Context()); s.Way != "pass_through" || s.State != "ready" {
		t.Errorf("Status of pass-through = %+v", s)
	}
}

// A request whose token was refused is not under way any more when it waits for the
// renewal, which must not wait for it in turn.
func TestRenewalDoesNotWaitForTheRequestThatWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := dialect.Open("fac-oauth/6.x", dialect.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		backend := &oauthBackend{renewal: time.Second}
		w := newWorld(t, func(c *upstream.Config) {
			c.Dialect, c.Transport = d, backend
			c.Client = &token.Client{ID: "gatehouse", Secret: token.NewSecret("0123456789abcdef")}
		})
		w.wantGet(t, anyone, 200)
		backend.mu.Lock()
		backend.n++ // the backend ends the token
		backend.mu.Unlock()
		r := request(t, anyone, http.MethodPost, io.MultiReader(strings.NewReader("short, but who knows beforehand")))
		r.ContentLength = -1
		began := time.Now()
		if got, err := w.do(r); got != 200 || err != nil {
			t.Errorf("POST = %d, %v; want 200", got, err)
		}
		if took := time.Since(began); took != backend.renewal {
			t.Errorf("POST took %v; want the %v of the renewal", took, backend.renewal)
		}
	})
}

func (b *bus) lose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, on := range b.ears {
		on(upstream.Notice{Lost: true})
	}
}

func TestCommitThatAFailoverLostIsOfferedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) { c.Notices, c.Account = &bus{}, nil })
		other := w.twin(t, nil)
		sid := w.signIn(t)
		other.wantGet(t, as(sid), 200)
		w.config.Notices.(*bus).mute(true)
		failover := w.store.Copy()
		advance(31 * time.Minute)
		w.wantGet(t, as(sid), 200)
		failover()
		w.config.Notices.(*bus).mute(false)
		w.config.Notices.(*bus).lose()
		synctest.Wait()
		other.wantGet(t, as(sid), 200)
		w.wantGet(t, as(sid), 200)
		w.wantCounts(t, 1, 1, 0)
	})
}

func TestLeaseThatAFailoverLostIsNotTakenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) { c.Notices, c.Account = &bus{}, nil })
		sid := w.signIn(t)
		slow := w.twin(t, late(0, 8*time.Second))
		advance(31 * time.Minute)
		failover := w.store.Copy()
		done := make(chan error, 1)
		go func() {
			_, err := slow.get(t, as(sid))
			done <- err
		}()
		advance(time.Second)
		failover()
		w.config.Notices.(*bus).lose()
		w.wantGet(t, as(sid), 200)
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.wantCounts(t, 1, 1, 0)
	})
}
