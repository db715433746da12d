package upstream_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

var anyone = as(token.SID{1})

func TestManyFirstRequestsLogInOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, slowly(100*time.Millisecond))
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if got, err := w.get(t, anyone); got != 200 || err != nil {
					t.Errorf("GET = %d, %v; want 200", got, err)
				}
			})
		}
		wg.Wait()
		w.wantCounts(t, 1, 0, 0)
	})
}

func TestManyRequestsAfterExpiryRenewOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, slowly(100*time.Millisecond))
		w.wantGet(t, anyone, 200)
		advance(31 * time.Minute)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if got, err := w.get(t, anyone); got != 200 || err != nil {
					t.Errorf("GET = %d, %v; want 200", got, err)
				}
			})
		}
		wg.Wait()
		w.wantCounts(t, 1, 1, 0)
	})
}

// slowly has the token calls take a while.
func slowly(d time.Duration) func(*upstream.Config) {
	return func(c *upstream.Config) {
		inner := c.Transport
		c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "/auth/") {
				time.Sleep(d)
			}
			return inner.RoundTrip(r)
		})
	}
}

func TestRequestRenewsInTheBackgroundAtFourFifths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, slowly(time.Second))
		w.wantGet(t, anyone, 200)
		advance(23 * time.Minute) // 77 %
		w.wantGet(t, anyone, 200)
		synctest.Wait()
		w.wantCounts(t, 1, 0, 0)
		advance(2 * time.Minute) // 83 %
		began := time.Now()
		w.wantGet(t, anyone, 200)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the request waited %v for a renewal; want it served with the old token", waited)
		}
		advance(2 * time.Second)
		w.wantCounts(t, 1, 1, 0)
	})
}

func TestIdleTokensAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		w.wantGet(t, anyone, 200)
		advance(10 * time.Hour)
		w.wantCounts(t, 1, 0, 0)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v; want the context's error", err)
		}
	})
}

func TestShortLifeDoesNotRenewPerRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.fabric.Life = time.Second
		for range 100 {
			if got, err := w.get(t, anyone); err != nil || got != 200 && got != 401 {
				t.Fatalf("GET = %d, %v", got, err)
			}
			advance(10 * time.Millisecond)
		}
		if n := w.fabric.Count("refresh"); n > 2 {
			t.Errorf("refreshes in a second = %d; want 2 at most", n)
		}
	})
}

func TestRestartKeepsTheBackendSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		advance(10 * time.Minute)
		again := &world{Backend: upstream.New(w.config), fabric: w.fabric}
		again.wantGet(t, anyone, 200)
		w.wantCounts(t, 1, 0, 0)
		advance(19*time.Minute + 45*time.Second) // the life goes on where it was
		third := &world{Backend: upstream.New(w.config), fabric: w.fabric}
		third.wantGet(t, anyone, 200)
		w.wantCounts(t, 1, 1, 0)
		// The second one still holds the old version, and takes the new one.
		again.wantGet(t, anyone, 200)
		w.wantCounts(t, 1, 1, 0)
	})
}

func TestRestartWithAnotherSecretLogsInAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		c := w.config
		c.Keyring = seal.Random()
		other := &world{Backend: upstream.New(c), fabric: w.fabric}
		other.wantGet(t, anyone, 200)
		w.wantCounts(t, 2, 0, 0)
	})
}

func TestUnreadableTokensAreReplacedByALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) { c.Store = scrambled{c.Store} })
		w.wantGet(t, anyone, 200)
		again := &world{Backend: upstream.New(w.config), fabric: w.fabric}
		again.wantGet(t, anyone, 200)
		w.wantCounts(t, 2, 0, 0)
	})
}

// scrambled is a store whose tokens were altered.
type scrambled struct{ upstream.Store }

func (s scrambled) Acquire(ctx context.Context, c upstream.Claim) (upstream.Answer, error) {
	a, err := s.Store.Acquire(ctx, c)
	if a.Record.Access != "" {
		a.Record.Access += "x"
	}
	return a, err
}

func TestNothingUsableIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		dump := w.store.Dump()
		if len(dump) == 0 || !slices.ContainsFunc(dump, func(s string) bool { return len(s) > 20 }) {
			t.Fatalf("dump = %q; want what is stored", dump)
		}
		for _, s := range dump {
			for _, secret := range []string{"AT1", "RT1", "svcpass", "svc"} {
				if strings.Contains(s, secret) {
					t.Errorf("%q is stored; it holds %q", s, secret)
				}
			}
		}
	})
}

func TestTwoGatewaysLogInOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, slowly(time.Second))
		other := &world{Backend: upstream.New(w.config), fabric: w.fabric}
		var wg sync.WaitGroup
		for _, x := range []*world{w, other} {
			for range 10 {
				wg.Go(func() {
					if got, err := x.get(t, anyone); got != 200 || err != nil {
						t.Errorf("GET = %d, %v; want 200", got, err)
					}
				})
			}
		}
		wg.Wait()
		w.wantCounts(t, 1, 0, 0)
	})
}

// late has a renewal come back after a while, whatever its context
// says: before or after the backend has done it.
func late(before, after time.Duration) func(*upstream.Config) {
	return func(c *upstream.Config) {
		inner := c.Transport
		c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, "/auth/token") {
				return inner.RoundTrip(r)
			}
			time.Sleep(before)
			resp, err := inner.RoundTrip(r.WithContext(context.Background()))
			time.Sleep(after)
			return resp, err
		})
	}
}

func TestDeadIsNotBelievedWhenAnotherHasRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		c := w.config
		late(15*time.Second, 0)(&c)
		paused := &world{Backend: upstream.New(c), fabric: w.fabric}
		advance(31 * time.Minute)
		done := make(chan error, 1)
		go func() {
			_, err := paused.get(t, as(sid))
			done <- err
		}()
		advance(13 * time.Second) // the lease is over
		w.wantGet(t, as(sid), 200)
		wantKind(t, <-done, token.Unavailable)
		advance(5 * time.Second)
		paused.wantGet(t, as(sid), 200)
		w.wantGet(t, as(sid), 200)
		w.wantCounts(t, 1, 1, 0)
	})
}

func TestTokensThatLoseToOthersAreLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		c := w.config
		late(0, 15*time.Second)(&c)
		c.Store = asleep{c.Store}
		paused := &world{Backend: upstream.New(c), fabric: w.fabric}
		advance(31 * time.Minute)
		go func() { _, _ = paused.get(t, anyone) }()
		advance(13 * time.Second)
		w.wantGet(t, anyone, 200)
		advance(5 * time.Second)
		w.wantCounts(t, 2, 1, 1)
		paused.wantGet(t, anyone, 200)
		w.wantCounts(t, 2, 1, 1)
	})
}

func TestClientThatGoesAwayDoesNotEndTheLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, slowly(time.Second))
		ctx, cancel := context.WithTimeout(token.WithCaller(t.Context(), anyone), 100*time.Millisecond)
		defer cancel()
		if _, err := w.do(request(t, anyone, http.MethodGet, nil).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v; want the context's", err)
		}
		advance(2 * time.Second)
		w.wantGet(t, anyone, 200)
		w.wantCounts(t, 1, 0, 0)
	})
}

func TestCommitThatFailsKeepsTokensAndIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		down := errors.New("store is down")
		w.store.Break("Commit", down)
		w.wantGet(t, anyone, 200)
		w.wantGet(t, anyone, 200)
		w.wantCounts(t, 1, 0, 0)
		w.store.Break("Commit", nil)
		advance(time.Minute)
		again := &world{Backend: upstream.New(w.config), fabric: w.fabric}
		again.wantGet(t, anyone, 200)
		w.wantCounts(t, 1, 0, 0)
	})
}

func TestDrainOffersTheStoreWhatItLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.store.Break("Commit", errors.New("store is down"))
		w.wantGet(t, anyone, 200)
		w.store.Break("Commit", nil)
		if err := w.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		again := &world{Backend: upstream.New(w.config), fabric: w.fabric}
		again.wantGet(t, anyone, 200)
		w.wantCounts(t, 1, 0, 0)
	})
}

// A Backend that is replaced stores what it has as soon as the store takes it,
// and at the latest tries once more when its time is over. It logs nobody out.
func TestRetirementStoresWhatTheStoreLacks(t *testing.T) {
	for name, wait := range map[string]time.Duration{"in time": time.Hour, "at the last moment": time.Minute + time.Second/2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *upstream.Config) { c.LogoutAtDrain = true })
				w.store.Break("Commit", errors.New("store is down"))
				w.wantGet(t, anyone, 200)
				advance(time.Minute)
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				defer cancel()
				time.AfterFunc(time.Minute+time.Second/2-time.Millisecond, func() { w.store.Break("Commit", nil) })
				err := w.Retire(ctx)
				if late := wait < time.Hour; (err != nil) != late {
					t.Errorf("Retire = %v", err)
				}
				w.wantCounts(t, 1, 0, 0)
				w.config.LogoutAtDrain = false
				again := &world{Backend: upstream.New(w.config), fabric: w.fabric}
				again.wantGet(t, anyone, 200)
				w.wantCounts(t, 1, 0, 0)
				w.store.Clear()
			})
		})
	}
}

func TestStoreOutageServesWhatIsInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		down := errors.New("store is down")
		for _, op := range []string{"Acquire", "Commit", "Release", "End", "Attempt", "Add", "Due", "Remove"} {
			w.store.Break(op, down)
		}
		advance(29*time.Minute + 50*time.Second) // due, and still good
		w.wantGet(t, anyone, 200)
		advance(15 * time.Second)
		e := w.wantKind(t, anyone, token.Unavailable)
		if !errors.Is(e, down) {
			t.Errorf("cause = %v; want the store's error for the log", e)
		}
		for _, op := range []string{"Acquire", "Commit", "Release", "Attempt"} {
			w.store.Break(op, nil)
		}
		w.wantGet(t, anyone, 200)
		w.wantCounts(t, 1, 1, 0)
	})
}

func TestStoreThatLostItsDataVoidsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		w.fabric.VoidAccess()
		w.store.Clear()
		w.wantGet(t, anyone, 200)
		w.wantCounts(t, 1, 1, 0)
	})
}

func TestLogoutAtDrainLeavesNobodyLoggedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) { c.LogoutAtDrain = true })
		w.wantGet(t, anyone, 200)
		if err := w.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantCounts(t, 1, 0, 1)
		again := &world{Backend: upstream.New(w.config), fabric: w.fabric}
		again.wantGet(t, anyone, 200)
		w.wantCounts(t, 2, 0, 1)
	})
}

func TestDrainKeepsTheSessionWithoutLogoutAtDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		if err := w.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantCounts(t, 1, 0, 0)
	})
}

func TestTokenExpiryIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		if got := time.Until(w.notes.expiry); got != 30*time.Minute {
			t.Errorf("told expiry in %v; want 30m", got)
		}
	})
}
