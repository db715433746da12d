package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

func login(password string) token.Grant {
	return token.Grant{Op: token.OpLogin, Username: "alice", Password: token.NewSecret(password)}
}

// signIn opens a pass-through session of alice.
func (w *world) signIn(t testing.TB) token.SID {
	t.Helper()
	sid := token.NewSID()
	id, err := w.Verify(t.Context(), sid, login("alicepass"))
	if err != nil {
		t.Fatal(err)
	}
	if id.Name != "alice" || id.ID != "1108612054" {
		t.Fatalf("identity = %+v; want alice as the backend knows her", id)
	}
	w.store.OpenSession(sid, 24*time.Hour)
	return sid
}

func TestPassThroughUsesTheClientsOwnLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		one, two := w.signIn(t), w.signIn(t)
		w.wantCounts(t, 2, 0, 0)
		w.wantGet(t, as(one), 200)
		w.wantGet(t, as(two), 200)
		w.wantCounts(t, 2, 0, 0)
		again := &world{Backend: upstream.New(w.config), fabric: w.fabric}
		again.wantGet(t, as(one), 200)
		advance(31 * time.Minute)
		again.wantGet(t, as(one), 200)
		w.wantCounts(t, 2, 1, 0)
	})
}

func TestPassThroughRefusesWrongPasswords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		for range 5 {
			_, err := w.Verify(t.Context(), token.NewSID(), login("wrong"))
			wantKind(t, err, token.BadCredentials)
			if strings.Contains(err.Error(), "wrong\"") {
				t.Errorf("error %v holds the password", err)
			}
		}
		if got := w.fabric.Count("rejected"); got != 2 {
			t.Errorf("times the wrong password was sent = %d; want 2", got)
		}
		if _, err := w.Verify(t.Context(), token.NewSID(), login("alicepass")); err != nil {
			t.Errorf("the right password after it: %v", err)
		}
		owners, err := w.store.Due(t.Context(), "fabric", "own", 24*time.Hour, 100)
		if err != nil || len(owners) != 1 {
			t.Errorf("duties = %q, %v; want that of the login that succeeded", owners, err)
		}
	})
}

func TestManyLoginsOfOneUserAllSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) {
			c.Account = nil
			slowly(200 * time.Millisecond)(c)
		})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := w.Verify(t.Context(), token.NewSID(), login("alicepass")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.wantCounts(t, 20, 0, 0)
	})
}

func TestPassThroughLoginFailures(t *testing.T) {
	for _, tt := range []struct {
		name string
		h    http.Handler
		want token.Kind
	}{
		{"down", says(503, "text/plain", ""), token.Unavailable},
		{"HTML", says(200, "text/html", "<html>"), token.Unavailable},
		{"unknown 401", says(401, "text/plain", "no"), token.BadCredentials},
		{"local authentication off", jsonSays(403, "API_LOCAL_AUTHENTICATION_DISABLED"), token.LocalAuthOff},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, passThrough)
				w.overrideAuth(tt.h)
				_, err := w.Verify(t.Context(), token.NewSID(), login("alicepass"))
				wantKind(t, err, tt.want)
			})
		})
	}
}

func TestLoginWithoutAStoreIsLoggedOutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		w.store.Break("Commit", errors.New("store is down"))
		_, err := w.Verify(t.Context(), token.NewSID(), login("alicepass"))
		wantKind(t, err, token.Unavailable)
		synctest.Wait()
		w.wantCounts(t, 1, 0, 1)
		w.store.Break("Add", errors.New("store is down"))
		_, err = w.Verify(t.Context(), token.NewSID(), login("alicepass"))
		wantKind(t, err, token.Unavailable)
		w.wantCounts(t, 1, 0, 1) // nothing was begun
	})
}

func TestDeadBackendSessionEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		w.fabric.VoidAccess()
		w.fabric.VoidRefresh()
		w.wantKind(t, as(sid), token.InvalidAccess)
		w.wantKind(t, as(sid), token.InvalidAccess)
		wantKind(t, w.Renew(t.Context(), sid, token.Grant{Op: token.OpRefresh}), token.InvalidRefresh)
		w.wantCounts(t, 1, 0, 0)
		wantKind(t, w.Renew(t.Context(), token.NewSID(), token.Grant{Op: token.OpRefresh}), token.InvalidRefresh)
		w.wantKind(t, as(token.NewSID()), token.InvalidAccess)
	})
}

func TestTokenWithoutSuccessorIsSentToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) {
			c.Account = nil
			inner := c.Transport
			c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := inner.RoundTrip(r)
				if err == nil && strings.HasSuffix(r.URL.Path, "/auth/login") {
					lines := resp.Header["Set-Cookie"]
					resp.Header["Set-Cookie"] = lines[:1] // the access token alone
				}
				return resp, err
			})
		})
		sid := w.signIn(t)
		advance(29*time.Minute + 59*time.Second)
		w.wantGet(t, as(sid), 200)
		advance(2 * time.Second)
		w.wantKind(t, as(sid), token.InvalidAccess)
	})
}

func TestClientsRefreshRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		for range 10 { // tokens in the first half of their life stay
			if err := w.Renew(t.Context(), sid, token.Grant{Op: token.OpRefresh}); err != nil {
				t.Fatal(err)
			}
		}
		w.wantCounts(t, 1, 0, 0)
		advance(16 * time.Minute)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := w.Renew(t.Context(), sid, token.Grant{Op: token.OpRefresh}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.wantCounts(t, 1, 1, 0)
		advance(16 * time.Minute)
		w.overrideAuth(says(503, "text/plain", ""))
		if err := w.Renew(t.Context(), sid, token.Grant{Op: token.OpRefresh}); err != nil {
			t.Errorf("Renew while the old token serves = %v; want no error", err)
		}
		advance(15 * time.Minute)
		wantKind(t, w.Renew(t.Context(), sid, token.Grant{Op: token.OpRefresh}), token.Unavailable)
		w.overrideAuth(nil)
		advance(time.Minute)
		again := upstream.New(w.config)
		if err := again.Renew(t.Context(), sid, token.Grant{Op: token.OpRefresh}); err != nil {
			t.Errorf("Renew by another gateway = %v; want no error", err)
		}
		w.wantCounts(t, 1, 2, 0)
	})
}

func TestEndLogsOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		one, two := w.signIn(t), w.signIn(t)
		for range 3 {
			w.End(one)
		}
		synctest.Wait()
		w.wantCounts(t, 2, 0, 1)
		w.wantKind(t, as(one), token.InvalidAccess)
		w.wantGet(t, as(two), 200)
		owners, err := w.store.Due(t.Context(), "fabric", "own", 24*time.Hour, 10)
		if err != nil || len(owners) != 1 || owners[0] != two.String() {
			t.Errorf("duties = %q, %v; want that of the session that lives", owners, err)
		}
	})
}

func TestExpiredTokensAreRenewedToBeLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		advance(time.Hour)
		w.End(sid)
		synctest.Wait()
		w.wantCounts(t, 1, 1, 1)
	})
}

// sweeping runs the sweeps of n gateways over one store until the test ends.
func (w *world) sweeping(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range n {
		b := upstream.New(w.config)
		wg.Go(func() {
			if err := b.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Run = %v; want the context's error", err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func TestVanishedSessionIsLoggedOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		gone, lives := w.signIn(t), w.signIn(t)
		w.sweeping(t, 3)
		advance(5 * time.Minute)
		w.wantCounts(t, 2, 0, 0)
		w.store.DropSession(gone)
		advance(11 * time.Minute)
		w.wantCounts(t, 2, 0, 1)
		advance(time.Hour)
		w.wantCounts(t, 2, 0, 1)
		w.wantGet(t, as(lives), 200)
	})
}

func TestLoginWithoutASessionIsLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		w.sweeping(t, 1)
		if _, err := w.Verify(t.Context(), token.NewSID(), login("alicepass")); err != nil {
			t.Fatal(err)
		}
		advance(3 * time.Minute)
		w.wantCounts(t, 1, 0, 1)
	})
}

func TestLogoutThatFailsIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		w.overrideAuth(says(503, "text/plain", ""))
		w.store.RevokeSession(sid)
		w.End(sid)
		synctest.Wait()
		w.wantCounts(t, 1, 0, 0)
		w.sweeping(t, 2)
		w.overrideAuth(nil)
		advance(2 * time.Minute)
		w.wantCounts(t, 1, 0, 1)
	})
}

func TestRenewalThatLosesItsSessionIsLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) {
			c.Account = nil
			slowly(time.Second)(c)
		})
		sid := w.signIn(t)
		advance(31 * time.Minute)
		done := make(chan error, 1)
		go func() {
			_, err := w.get(t, as(sid))
			done <- err
		}()
		advance(100 * time.Millisecond)
		w.store.DropSession(sid)
		wantKind(t, <-done, token.InvalidAccess)
		synctest.Wait()
		advance(2 * time.Second)
		w.wantCounts(t, 1, 1, 1)
	})
}

func TestDrainLogsOutEverySession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) { c.Account, c.LogoutAtDrain = nil, true })
		for range 3 {
			w.signIn(t)
		}
		if err := w.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantCounts(t, 3, 0, 3)
	})
}

func TestIdleSessionsLeaveTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		advance(25 * time.Minute)
		down := errors.New("store is down")
		w.store.Break("Acquire", down)
		if _, err := w.get(t, as(sid)); !errors.Is(err, down) {
			t.Errorf("GET after 25 idle minutes = %v; want the store asked", err)
		}
		w.store.Break("Acquire", nil)
		w.wantGet(t, as(sid), 200)
		cancel()
		<-done
	})
}

func TestOwnAPITokenIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		asks := 0
		w.fabric.Override(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/users/me") {
				asks++
			}
			if r.Header.Get("X-API-Token") != "UPTOKEN" {
				jsonSays(401, "API_INVALID_API_TOKEN").ServeHTTP(rw, r)
				return
			}
			says(200, "application/json", `{"username":"alice","id":"1108612054","roleIds":[]}`).ServeHTTP(rw, r)
		}))
		own := token.NewSecret("UPTOKEN")
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if id, err := w.WhoAmI(t.Context(), own); err != nil || id.Name != "alice" {
					t.Errorf("WhoAmI = %+v, %v; want alice", id, err)
				}
			})
		}
		wg.Wait()
		if asks != 1 {
			t.Errorf("who-am-I calls for 50 = %d; want 1", asks)
		}
		w.wantGet(t, token.Caller{Own: own}, 200)
		advance(59 * time.Second)
		_, _ = w.WhoAmI(t.Context(), own)
		if asks != 1 {
			t.Errorf("calls within a minute = %d; want 1", asks)
		}
		advance(2 * time.Second)
		_, _ = w.WhoAmI(t.Context(), own)
		if asks != 2 {
			t.Errorf("calls after a minute = %d; want 2", asks)
		}
		w.fabric.Override(jsonSays(401, "API_EXPIRED_API_TOKEN"))
		w.wantGet(t, token.Caller{Own: own}, 401) // forgets it
		_, err := w.WhoAmI(t.Context(), own)
		wantKind(t, err, token.ExpiredAPIToken)
	})
}

func TestUnknownAPITokenIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		asks := 0
		w.fabric.Override(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			asks++
			jsonSays(401, "API_INVALID_API_TOKEN").ServeHTTP(rw, r)
		}))
		for range 10 {
			_, err := w.WhoAmI(t.Context(), token.NewSecret("junk"))
			wantKind(t, err, token.InvalidAPIToken)
		}
		if asks != 1 {
			t.Errorf("calls for a refused token = %d; want 1", asks)
		}
		advance(6 * time.Second)
		w.fabric.Override(says(503, "text/plain", ""))
		_, err := w.WhoAmI(t.Context(), token.NewSecret("junk"))
		wantKind(t, err, token.Unavailable)
		w.fabric.Override(nil)
		_, err = w.WhoAmI(t.Context(), token.NewSecret("junk"))
		wantKind(t, err, token.InvalidAPIToken) // an outage is not remembered
		_, err = w.WhoAmI(t.Context(), token.NewSecret("a\r\nb"))
		wantKind(t, err, token.InvalidAPIToken)
	})
}

func TestPassThroughCallsNeedAPassThroughBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		if _, err := w.Verify(t.Context(), token.NewSID(), login("alicepass")); err == nil {
			t.Error("Verify with an account got through")
		}
		if err := w.Renew(t.Context(), token.NewSID(), token.Grant{Op: token.OpRefresh}); err == nil {
			t.Error("Renew with an account got through")
		}
		if _, err := w.WhoAmI(t.Context(), token.NewSecret("UPTOKEN")); err == nil {
			t.Error("WhoAmI with an account got through")
		}
		w.End(token.NewSID())
		w.wantCounts(t, 0, 0, 0)
	})
}

// Anybody may present an API token, so what that costs the backend is bounded.
func TestUnknownAPITokensDoNotFloodTheBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, all atomic.Int32
		slow := roundTripper(func(r *http.Request) (*http.Response, error) {
			all.Add(1)
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			<-time.After(time.Second)
			return &http.Response{
				StatusCode: http.StatusUnauthorized, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
				Body: io.NopCloser(strings.NewReader(`{"code":"API_INVALID_API_TOKEN","message":"x"}`)),
			}, nil
		})
		w := newWorld(t, func(c *upstream.Config) { c.Account, c.Transport = nil, slow })
		var invalid, busy atomic.Int32
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				_, err := w.WhoAmI(t.Context(), token.NewSecret(fmt.Sprintf("junk-%032d", i)))
				switch token.KindOf(err) {
				case token.InvalidAPIToken:
					invalid.Add(1)
				case token.Unavailable:
					busy.Add(1)
				default:
					t.Errorf("WhoAmI = %v", err)
				}
			})
		}
		wg.Wait()
		if most.Load() != 8 || invalid.Load() < 8 || invalid.Load() > 72 || invalid.Load()+busy.Load() != 300 {
			t.Errorf("at once %d, refused %d, busy %d of 300; want 8 at once and at most 72 asked", most.Load(), invalid.Load(), busy.Load())
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
