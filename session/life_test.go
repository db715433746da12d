package session_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestLogoutEndsTheSessionOnEveryReplica(t *testing.T) {
	in(t, func(w *world) {
		other := w.replica(nil)
		w.run(other)
		set := w.login(session.KindLogin)
		s := w.alive(set.Access)
		if _, err := w.check(other, set.Access); err != nil {
			w.Fatal(err)
		}
		for range 2 { // the second finds it gone, which is no error
			if err := w.m.Logout(w.Context(), w.iss, s.SID); err != nil {
				w.Fatalf("Logout = %v; want no error", err)
			}
		}
		synctest.Wait()
		_, err := w.check(other, set.Access)
		w.refused(err, token.InvalidAccess)
		w.told("ended logout", 1)
	})
}

func TestVendorLogoutLeavesAccessTokensTheirTime(t *testing.T) {
	in(t, func(w *world) {
		b := &backend{}
		w.iss.VendorLogout, w.iss.Backend, w.iss.Source, w.iss.AccessTTL = true, b, "backend:fabric", 3*time.Minute
		set := w.login(session.KindLogin)
		if err := w.m.Logout(w.Context(), w.iss, w.alive(set.Access).SID); err != nil {
			w.Fatal(err)
		}
		_, err := w.refresh(set.Refresh)
		w.refused(err, token.InvalidRefresh)
		sleep(2 * time.Minute)
		w.alive(set.Access)
		if _, ended := b.counts(); ended != 0 {
			w.Errorf("backend session ended %d times; want it alive with its access token", ended)
		}
		sleep(time.Minute + 2*time.Second)
		_, err = w.check(w.m, set.Access)
		w.refused(err, token.ExpiredAccess)
		if _, ended := b.counts(); ended == 0 {
			w.Error("backend session was not ended with the last access token")
		}
	})
}

// Without any event a revocation is known when the belief is too old.
func TestLostEventIsFoundWithinFifteenSeconds(t *testing.T) {
	in(t, func(w *world) {
		set := w.login(session.KindLogin)
		s := w.alive(set.Access)
		if _, err := w.store.Revoke(w.Context(), session.NewAttempt(), session.Revocation{SID: s.SID, Reason: "logout"}); err != nil {
			w.Fatal(err)
		}
		w.alive(set.Access) // nobody was told
		sleep(15*time.Second + time.Millisecond)
		_, err := w.check(w.m, set.Access)
		w.refused(err, token.InvalidAccess)
	})
}

func TestWithoutPingsTheStoreIsAskedPerRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil) // not running: no ping ever comes back
		set := w.login(session.KindLogin)
		w.alive(set.Access)
		before := w.store.Calls()
		for range 3 {
			w.alive(set.Access)
		}
		if n := w.store.Calls() - before; n != 3 {
			w.Errorf("3 checks asked the store %d times; want 3", n)
		}
		if !w.m.Degraded() {
			w.Error("Degraded = false without pings; want true")
		}
	})
}

func TestWarmChecksDoNotAskTheStore(t *testing.T) {
	in(t, func(w *world) {
		set := w.login(session.KindLogin)
		for range 60 { // a busy session is read again in the background
			w.alive(set.Access)
			sleep(time.Second)
		}
		before := w.store.Calls()
		for range 100 {
			w.alive(set.Access)
		}
		if n := w.store.Calls() - before; n != 0 {
			w.Errorf("100 warm checks asked the store %d times; want 0", n)
		}
		if n := w.m.Active(); n != 1 {
			w.Errorf("Active = %d; want 1", n)
		}
		sleep(5*time.Minute + time.Second)
		if n := w.m.Active(); n != 0 {
			w.Errorf("Active after 5 min = %d; want 0", n)
		}
	})
}

func TestStoreDownIsNotALogout(t *testing.T) {
	in(t, func(w *world) {
		set, fresh := w.login(session.KindLogin), w.login(session.KindLogin)
		w.alive(set.Access)
		w.store.SetDown(true)
		for range 28 {
			sleep(2 * time.Second)
			w.alive(set.Access)
		}
		if !w.m.Degraded() {
			w.Error("Degraded = false; want true")
		}
		_, err := w.refresh(fresh.Refresh)
		w.refused(err, token.Unavailable)
		_, err = w.m.Login(w.Context(), w.iss, session.KindLogin, grant("alice", "right"))
		w.refused(err, token.Unavailable)
		w.refused(w.m.Logout(w.Context(), w.iss, w.alive(set.Access).SID), token.Unavailable)
		sleep(5 * time.Second) // over the minute
		_, err = w.check(w.m, set.Access)
		w.refused(err, token.Unavailable)
		w.store.SetDown(false)
		sleep(2 * time.Second)
		w.alive(set.Access)
		if _, err := w.refresh(fresh.Refresh); err != nil {
			w.Errorf("Refresh afterwards = %v; want the token unused", err)
		}
		if w.m.Degraded() {
			w.Error("Degraded = true afterwards; want false")
		}
	})
}

func TestBreakerAsksOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *session.Options) { o.Feed, o.DegradedFor = nil, 0 })
		set := w.login(session.KindLogin)
		w.store.SetDown(true)
		sleep(16 * time.Second)
		before := w.store.Calls()
		for range 50 {
			_, err := w.check(w.m, set.Access)
			w.refused(err, token.Unavailable)
		}
		if n := w.store.Calls() - before; n != 5 {
			w.Errorf("50 checks asked a dead store %d times; want 5", n)
		}
		sleep(time.Second)
		for range 50 {
			_, err := w.check(w.m, set.Access)
			w.refused(err, token.Unavailable)
		}
		if n := w.store.Calls() - before; n != 6 {
			w.Errorf("a second later it was asked %d times; want 6", n)
		}
	})
}

func TestRevocationIsRememberedAgainstAStaleRead(t *testing.T) {
	in(t, func(w *world) {
		set := w.login(session.KindLogin)
		s := w.alive(set.Access)
		if err := w.store.Announce(w.Context(), session.Event{Kind: session.EventRevoked, SID: s.SID, Reason: "logout"}); err != nil {
			w.Fatal(err)
		}
		synctest.Wait()
		_, err := w.check(w.m, set.Access) // the store still says that it lives
		w.refused(err, token.InvalidAccess)
		sleep(76 * time.Second) // 15 s and the degraded minute; then the store speaks
		w.alive(set.Access)
	})
}

func TestPassThroughRefresh(t *testing.T) {
	for _, rotates := range []bool{true, false} {
		t.Run(fmt.Sprintf("rotates=%v", rotates), func(t *testing.T) {
			in(t, func(w *world) {
				b := &backend{}
				w.iss.Backend, w.iss.Source, w.iss.Rotates = b, "backend:fabric", rotates
				set := w.login(session.KindLogin)
				sleep(time.Minute)
				done := make(chan error, 100)
				for range 100 {
					go func() { _, err := w.refresh(set.Refresh); done <- err }()
				}
				for range 100 {
					if err := <-done; err != nil {
						w.Errorf("Refresh = %v; want no error", err)
					}
				}
				if renewed, _ := b.counts(); renewed != 1 {
					w.Errorf("backend was renewed %d times; want once", renewed)
				}
			})
		})
	}
}

func TestBackendThatCannotBeAskedUsesNoToken(t *testing.T) {
	in(t, func(w *world) {
		w.iss.Grace = 0
		b := &backend{err: token.Fail(token.Unavailable, "down", nil)}
		w.iss.Backend, w.iss.Source = b, "backend:fabric"
		set := w.login(session.KindLogin)
		for range 2 {
			_, err := w.refresh(set.Refresh)
			w.refused(err, token.Unavailable)
		}
		b.err = nil
		if _, err := w.refresh(set.Refresh); err != nil {
			w.Errorf("Refresh afterwards = %v; want the token unused", err)
		}
	})
}

func TestDeadBackendEndsTheSession(t *testing.T) {
	in(t, func(w *world) {
		b := &backend{err: token.Fail(token.InvalidRefresh, "dead", nil)}
		w.iss.Backend, w.iss.Source = b, "backend:fabric"
		set := w.login(session.KindLogin)
		_, err := w.refresh(set.Refresh)
		w.refused(err, token.InvalidRefresh)
		_, err = w.check(w.m, set.Access)
		w.refused(err, token.InvalidAccess)
		if _, ended := b.counts(); ended != 1 {
			w.Errorf("backend session ended %d times; want 1", ended)
		}
		w.told("ended backend_dead", 1)
	})
}

func TestExpiredSessionEndsItsBackendSession(t *testing.T) {
	in(t, func(w *world) {
		b := &backend{}
		w.iss.Backend, w.iss.Source, w.iss.AccessTTL, w.iss.RefreshTTL = b, "backend:fabric", time.Minute, 2*time.Minute
		w.login(session.KindLogin)
		sleep(2*time.Minute + 2*time.Second)
		if _, ended := b.counts(); ended == 0 {
			w.Error("backend session was not ended with its expired session")
		}
	})
}

func TestUserIsReadAtEachCheck(t *testing.T) {
	in(t, func(w *world) {
		set := w.login(session.KindLogin)
		first := w.alive(set.Access)
		w.people.set(func() { w.people.scopes = []string{"read"} })
		if s := w.alive(set.Access); len(s.Scopes) != 1 || len(first.Scopes) != 2 {
			w.Errorf("scopes = %v after %v; want one now, and the old session untouched", s.Scopes, first.Scopes)
		}
		w.people.set(func() { w.people.gone = true })
		_, err := w.check(w.m, set.Access)
		w.refused(err, token.InvalidAccess)
		w.people.set(func() { w.people.gone = false })
		_, err = w.check(w.m, set.Access)
		w.refused(err, token.InvalidAccess)
		w.told("ended user_gone", 1)
	})
}

func TestUserGoneCannotRefresh(t *testing.T) {
	in(t, func(w *world) {
		set := w.login(session.KindLogin)
		w.people.set(func() { w.people.gone = true })
		_, err := w.refresh(set.Refresh)
		w.refused(err, token.InvalidRefresh)
		w.told("ended user_gone", 1)
	})
}

func TestPortalSessionSlides(t *testing.T) {
	in(t, func(w *world) {
		w.iss = &session.Issuer{
			Name: "portal", Dialect: "portal", Source: session.SourceUsers, RefreshTTL: 4 * time.Minute,
			Shape: shape{opaque: true}, Verifier: w.people,
		}
		set := w.login(session.KindPortal)
		if !set.Refresh.IsZero() {
			w.Error("portal session has a refresh token; want none")
		}
		for range 5 {
			sleep(3 * time.Minute)
			w.alive(set.Access)
			sleep(2 * time.Second) // the use is written in the background
		}
		sleep(4 * time.Minute)
		_, err := w.check(w.m, set.Access)
		w.refused(err, token.ExpiredAccess)
	})
}

func TestSessionsOfAUserAreBounded(t *testing.T) {
	in(t, func(w *world) {
		sets := make([]token.Set, 200)
		for i := range sets {
			sets[i] = w.login(session.KindLogin)
			sleep(time.Millisecond)
		}
		w.alive(sets[0].Access)
		w.told("ended evicted", 0)
		if _, err := w.refresh(sets[0].Refresh); err != nil {
			w.Fatal(err)
		}
		sleep(2 * time.Second) // the refresh is noted as a use
		w.login(session.KindLogin)
		w.told("ended evicted", 1)
		w.alive(sets[0].Access)
		_, err := w.check(w.m, sets[1].Access)
		w.refused(err, token.InvalidAccess)
		w.alive(sets[2].Access)
	})
}

func TestThrottleAtTenAndEleven(t *testing.T) {
	in(t, func(w *world) {
		try := func(user, password, address string) error {
			g := grant(user, password)
			g.Address = address
			_, err := w.m.Login(w.Context(), w.iss, session.KindLogin, g)
			return err
		}
		w.people.set(func() { w.people.down = true })
		for range 20 { // not asked is not failed
			w.refused(try("alice", "wrong", "2001:db8::1"), token.Unavailable)
		}
		w.people.set(func() { w.people.down = false })
		for i := range 10 {
			w.refused(try([]string{"alice", " ALICE "}[i%2], "wrong", fmt.Sprintf("2001:db8::%d", i+1)), token.BadCredentials)
		}
		err := try("alice", "right", "192.0.2.9")
		w.refused(err, token.Throttled)
		if e, ok := errors.AsType[*token.Error](err); !ok || e.RetryAfter <= 0 || e.RetryAfter > 15*time.Minute {
			w.Errorf("throttled = %+v; want RetryAfter of at most 15 min", err)
		}
		w.refused(try("bob", "right", "2001:db8::ffff"), token.Throttled) // the same /64
		if err := try("bob", "right", "192.0.2.9"); err != nil {
			w.Errorf("Login of another from elsewhere = %v; want no error", err)
		}
		sleep(15 * time.Minute)
		if err := try("alice", "right", "2001:db8::1"); err != nil {
			w.Errorf("Login after 15 min = %v; want no error", err)
		}
	})
}

// TestAliasesOfAnAccountShareACount: a realm, or a name with one behind an @, is
// no way to guess on, and whether there is such a user makes no difference.
func TestAliasesOfAnAccountShareACount(t *testing.T) {
	aliases := []token.Grant{
		grant("alice", "wrong"), grant("alice@realm", "wrong"), grant("Alice @other", "wrong"), grant("alice@n.com@realm", "wrong"),
		{Op: token.OpLogin, Username: "alice", Realm: "realm", Password: token.NewSecret("wrong")},
	}
	in(t, func(w *world) {
		try := func(n int, g token.Grant) error {
			g.Address = fmt.Sprintf("192.0.2.%d", n)
			_, err := w.m.Login(w.Context(), w.iss, session.KindLogin, g)
			return err
		}
		for i := range 10 {
			w.refused(try(i, aliases[i%len(aliases)]), token.BadCredentials)
		}
		for i, g := range aliases {
			w.refused(try(100+i, g), token.Throttled)
		}
		for i, name := range []string{"alice2", "@alice", "@alice@realm", "malice"} {
			w.refused(try(200+i, grant(name, "wrong")), token.BadCredentials)
		}
	})
}

func TestLocalAuthOffAsksNobody(t *testing.T) {
	in(t, func(w *world) {
		w.iss.LocalAuthOff = true
		_, err := w.m.Login(w.Context(), w.iss, session.KindLogin, grant("alice", "right"))
		w.refused(err, token.LocalAuthOff)
		_, err = w.m.Basic(w.Context(), w.iss, grant("alice", "right"))
		w.refused(err, token.LocalAuthOff)
		if w.people.proofs != 0 {
			w.Errorf("verifier was asked %d times; want 0", w.people.proofs)
		}
	})
}

func TestReuseAfterAFailoverOnlyRefuses(t *testing.T) {
	in(t, func(w *world) {
		w.iss.Grace = 0
		set := w.login(session.KindLogin)
		next, _ := w.refresh(set.Refresh)
		if err := w.store.Announce(w.Context(), session.Event{Kind: session.EventFailover}); err != nil {
			w.Fatal(err)
		}
		synctest.Wait()
		sleep(59 * time.Second)
		_, err := w.refresh(set.Refresh)
		w.refused(err, token.InvalidRefresh)
		w.alive(next.Access)
		sleep(2 * time.Second)
		_, err = w.refresh(set.Refresh)
		w.refused(err, token.InvalidRefresh)
		_, err = w.check(w.m, next.Access)
		w.refused(err, token.InvalidAccess)
	})
}

// A failover may lose a tombstone; the replica that wrote it writes it again.
func TestRevocationsAreSaidAgainAfterAReconnect(t *testing.T) {
	in(t, func(w *world) {
		s := w.alive(w.login(session.KindLogin).Access)
		if err := w.m.End(w.Context(), s.SID, "revoked"); err != nil {
			w.Fatal(err)
		}
		fresh := w.store.Calls()
		sleep(3 * time.Second)
		if n := w.store.Calls() - fresh; n != 0 {
			w.Errorf("calls without a reconnect = %d; want 0", n)
		}
		if err := w.store.Announce(w.Context(), session.Event{Kind: session.EventReset}); err != nil {
			w.Fatal(err)
		}
		sleep(3 * time.Second)
		if n := w.store.Calls() - fresh; n < 2 { // the announcement above, and the revocation
			w.Errorf("calls after a reconnect = %d; want the revocation written again", n)
		}
	})
}

func TestClockSkewIsMeasuredByPings(t *testing.T) {
	in(t, func(w *world) {
		if err := w.store.Announce(w.Context(), session.Event{Kind: session.EventAlive, At: time.Now().Add(-6 * time.Second)}); err != nil {
			w.Fatal(err)
		}
		synctest.Wait()
		if d := w.m.ClockSkew(); d != 6*time.Second {
			w.Errorf("ClockSkew = %v; want 6s ahead of the store", d)
		}
	})
}

// TestOpaqueTokenObeysTheRouteItIsShownOn: that another route has taken a token
// does not let it in where it has expired.
func TestOpaqueTokenObeysTheRouteItIsShownOn(t *testing.T) {
	still(t, func(w *world) {
		w.iss.Shape = shape{opaque: true}
		set := w.login(session.KindLogin)
		strict, newer := *w.iss, *w.iss
		strict.AccessTTL, newer.Name = time.Minute, "ipfabric/7.5"
		sleep(2 * time.Minute)
		w.alive(set.Access)
		_, err := w.m.Check(w.Context(), []*session.Issuer{&strict}, set.Access)
		w.refused(err, token.ExpiredAccess)
		w.alive(set.Access)
		_, err = w.m.Check(w.Context(), []*session.Issuer{&newer}, set.Access)
		w.refused(err, token.InvalidAccess)
		w.alive(set.Access)
	})
}

// A replica whose clock is wrong, or the store's is: what the store wrote says by
// its clock when it ends.
func TestLivesAreJudgedByTheStoresClock(t *testing.T) {
	for _, c := range []struct {
		name           string
		aside          time.Duration // how far this clock is ahead of the store's
		within, beyond time.Duration // of a token of an hour
	}{
		{"ahead", time.Hour, 119 * time.Minute, 121 * time.Minute},
		{"behind", -30 * time.Minute, 29 * time.Minute, 31 * time.Minute},
		{"hardly aside", 2 * time.Second, 59 * time.Minute, 61 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(w *world) {
				w.iss.AccessTTL = time.Hour
				m := w.replica(func(o *session.Options) { o.Feed, o.Throttle = skewed{o.Feed, c.aside}, late{o.Throttle, c.aside} })
				w.run(m)
				set := w.login(session.KindLogin)
				sleep(c.within)
				if _, err := w.check(m, set.Access); err != nil {
					w.Errorf("Check = %v; want a session", err)
				}
				sleep(c.beyond - c.within)
				_, err := w.check(m, set.Access)
				w.refused(err, token.ExpiredAccess)
			})
		})
	}
}

// skewed is the feed of a store whose clock is behind.
type skewed struct {
	session.Feed
	behind time.Duration
}

// late is a throttle of that store.
type late struct {
	session.Throttle
	behind time.Duration
}

func (l late) Allow(ctx context.Context, account, address string) (time.Duration, time.Time, error) {
	wait, now, err := l.Throttle.Allow(ctx, account, address)
	return wait, now.Add(-l.behind), err
}

func (s skewed) Follow(ctx context.Context, on func(session.Event)) error {
	return s.Feed.Follow(ctx, func(e session.Event) {
		if e.Kind == session.EventAlive {
			e.At = e.At.Add(-s.behind)
		}
		on(e)
	})
}
