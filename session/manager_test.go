package session_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestLoginCheckRefresh(t *testing.T) {
	in(t, func(w *world) {
		set := w.login(session.KindLogin)
		if set.ExpiresIn != 30*time.Minute || set.RefreshExpiresIn != 24*time.Hour || set.Identity.Name != "alice" {
			w.Errorf("set = %+v; want 30 min, 24 h, alice", set)
		}
		s := w.alive(set.Access)
		if s.Kind != session.KindLogin || s.Issuer != "ipfabric/7.0" || s.Identity.ID != "id-alice" || len(s.Scopes) != 2 {
			w.Errorf("session = %+v; want alice's login", s)
		}
		if again := w.alive(set.Access); again != s {
			w.Error("second Check made a new session; want the one in memory")
		}
		next, err := w.refresh(set.Refresh)
		if err != nil || next.Refresh == set.Refresh || next.Refresh.IsZero() {
			w.Fatalf("Refresh = %v; want a new token", err)
		}
		w.alive(next.Access)
		w.alive(set.Access) // lives out its own time
		w.told("login ok", 1)
		w.told("refresh rotated", 1)
	})
}

func TestJunkCostsNoStoreCall(t *testing.T) {
	in(t, func(w *world) {
		set := w.login(session.KindLogin)
		if _, err := w.m.CheckAPIToken(w.Context(), []*session.Issuer{w.iss}, token.NewSecret("not-a-token")); err == nil {
			w.Error("CheckAPIToken of junk = nil; want an error") // and the set of chosen texts is loaded
		}
		before := w.store.Calls()
		rt := set.Refresh.Reveal()
		for i := 3; i < len(rt); i++ {
			c := byte('0')
			if rt[i] == c {
				c = '1'
			}
			_, err := w.refresh(token.NewSecret(rt[:i] + string(c) + rt[i+1:]))
			w.refused(err, token.InvalidRefresh)
		}
		_, err := w.refresh(set.Access)
		w.refused(err, token.InvalidRefresh)
		_, err = w.check(w.m, set.Refresh)
		w.refused(err, token.InvalidAccess)
		for _, junk := range []string{"", "x", "not-a-token", strings.Repeat("a", 32), strings.Repeat("a", 4096)} {
			_, err = w.check(w.m, token.NewSecret(junk))
			w.refused(err, token.InvalidAccess)
			_, err = w.m.CheckAPIToken(w.Context(), []*session.Issuer{w.iss}, token.NewSecret(junk))
			w.refused(err, token.InvalidAPIToken)
		}
		if n := w.store.Calls() - before; n != 0 {
			w.Errorf("junk cost %d calls to the store; want 0", n)
		}
	})
}

func TestParallelRefreshesGetOneSuccessor(t *testing.T) {
	in(t, func(w *world) {
		set := w.login(session.KindLogin)
		sleep(time.Minute)
		sets := make(chan token.Set, 100)
		for range 100 {
			go func() {
				next, err := w.refresh(set.Refresh)
				if err != nil {
					w.Errorf("Refresh = %v; want no error", err)
				}
				sets <- next
			}()
		}
		rts, ats := map[string]bool{}, map[string]bool{}
		var last token.Set
		for range 100 {
			last = <-sets
			rts[last.Refresh.Reveal()], ats[last.Access.Reveal()] = true, true
			w.alive(last.Access)
		}
		if len(rts) != 1 || len(ats) != 1 {
			w.Errorf("%d refresh and %d access tokens; want 1 and 1", len(rts), len(ats))
		}
		w.told("refresh rotated", 1)
		w.told("refresh grace", 99)
		if _, err := w.refresh(last.Refresh); err != nil {
			w.Errorf("Refresh of the successor = %v; want no error", err)
		}
	})
}

func TestGraceGivesTheSameTokensAndWhatIsLeft(t *testing.T) {
	in(t, func(w *world) {
		set := w.login(session.KindLogin)
		first, _ := w.refresh(set.Refresh)
		sleep(9 * time.Second)
		again, err := w.refresh(set.Refresh)
		if err != nil || again.Access != first.Access || again.Refresh != first.Refresh {
			w.Fatalf("repeat = %v; want the very same tokens", err)
		}
		if again.ExpiresIn != 30*time.Minute-9*time.Second {
			w.Errorf("expires in %v; want what is left, 29m51s", again.ExpiresIn)
		}
		sleep(time.Second)
		_, err = w.refresh(set.Refresh)
		w.refused(err, token.InvalidRefresh)
		w.told("refresh reused", 1)
	})
}

func TestReusedRefreshRevokesFamily(t *testing.T) {
	in(t, func(w *world) {
		w.iss.Grace = 0
		other := w.replica(nil)
		w.run(other)
		set := w.login(session.KindLogin)
		next, _ := w.refresh(set.Refresh)
		w.alive(next.Access)
		if _, err := w.check(other, next.Access); err != nil {
			w.Fatal(err)
		}
		_, err := w.refresh(set.Refresh)
		w.refused(err, token.InvalidRefresh)
		synctest.Wait() // the feed; no time passes
		for _, m := range []*session.Manager{w.m, other} {
			_, err = w.check(m, next.Access)
			w.refused(err, token.InvalidAccess)
		}
		_, err = w.refresh(next.Refresh)
		w.refused(err, token.InvalidRefresh)
		w.told("ended reuse", 1)
		w.told("check revoked", 2)
	})
}

func TestReuseMayOnlyRefuse(t *testing.T) {
	in(t, func(w *world) {
		w.iss.Grace, w.iss.RefuseReuse = 0, true
		set := w.login(session.KindLogin)
		next, _ := w.refresh(set.Refresh)
		_, err := w.refresh(set.Refresh)
		w.refused(err, token.InvalidRefresh)
		w.alive(next.Access)
		w.told("refresh reused", 1)
		w.told("ended reuse", 0)
	})
}

func TestHealsALostWriteAndNoMore(t *testing.T) {
	in(t, func(w *world) {
		s := w.alive(w.login(session.KindLogin).Access)
		_, err := w.refresh(w.refreshAt(s.SID, session.HealAhead+1))
		w.refused(err, token.InvalidRefresh)
		if _, err := w.refresh(w.refreshAt(s.SID, session.HealAhead)); err != nil {
			w.Errorf("Refresh %d ahead = %v; want it healed", session.HealAhead, err)
		}
		w.told("refresh refused", 1)
		w.told("refresh healed", 1)
	})
}

func TestSessionEndsWhenGenerationsAreUsedUp(t *testing.T) {
	in(t, func(w *world) {
		rec := session.Record{
			SID: token.NewSID(), Generation: session.MaxGeneration, Identity: token.Identity{ID: "id-alice", Name: "alice"},
			Origin: session.Origin{Kind: session.KindLogin, Issuer: w.iss.Name, Source: w.iss.Source},
		}
		if _, err := w.store.Create(w.Context(), session.NewAttempt(), rec, session.Life{Idle: time.Hour}); err != nil {
			w.Fatal(err)
		}
		_, err := w.refresh(w.refreshAt(rec.SID, session.MaxGeneration))
		w.refused(err, token.InvalidRefresh)
		w.told("ended revoked", 1)
	})
}

func TestNonRotatingProfileKeepsItsToken(t *testing.T) {
	in(t, func(w *world) {
		w.iss.Rotates, w.iss.RefreshTTL, w.iss.AccessTTL = false, 3*time.Minute, time.Minute
		set := w.login(session.KindLogin)
		for range 3 {
			sleep(2 * time.Minute) // its life starts again with each use
			next, err := w.refresh(set.Refresh)
			if err != nil || !next.Refresh.IsZero() {
				w.Fatalf("Refresh = %+v, %v; want no new refresh token", next, err)
			}
			w.alive(next.Access)
		}
		sleep(3 * time.Minute)
		_, err := w.refresh(set.Refresh)
		w.refused(err, token.InvalidRefresh)
	})
}

func TestTokensExpireOnTime(t *testing.T) {
	in(t, func(w *world) {
		w.iss.AccessTTL, w.iss.RefreshTTL = time.Minute, 3*time.Minute
		set := w.login(session.KindLogin)
		sleep(time.Minute - time.Millisecond)
		w.alive(set.Access)
		sleep(time.Millisecond)
		_, err := w.check(w.m, set.Access)
		w.refused(err, token.ExpiredAccess)
		sleep(2 * time.Minute)
		_, err = w.refresh(set.Refresh)
		w.refused(err, token.InvalidRefresh)
		w.told("refresh expired", 1)
	})
}

// TestWhatNeverExpiresIsGoodAfterYears, unused and without its replica's memory.
func TestWhatNeverExpiresIsGoodAfterYears(t *testing.T) {
	still(t, func(w *world) {
		w.iss.AccessTTL, w.iss.RefreshTTL, w.iss.Shape = 0, 0, shape{opaque: true}
		set := w.login(session.KindLogin)
		if set.ExpiresIn != 0 || set.RefreshExpiresIn != 0 {
			w.Errorf("the tokens live %s and %s; want 0, never", set.ExpiresIn, set.RefreshExpiresIn)
		}
		sleep(50 * 365 * 24 * time.Hour)
		w.m = w.replica(func(o *session.Options) { o.Feed = nil })
		w.alive(set.Access)
		next, err := w.refresh(set.Refresh)
		if err != nil {
			w.Fatal(err)
		}
		sleep(50 * 365 * 24 * time.Hour)
		w.alive(next.Access)
		w.alive(set.Access) // others may have a copy: a refresh does not end it
	})
}

// TestOpaqueTokensWithALifeEndWithIt, or when a refresh replaces them.
func TestOpaqueTokensWithALifeEndWithIt(t *testing.T) {
	still(t, func(w *world) {
		w.iss.AccessTTL, w.iss.RefreshTTL, w.iss.Shape = time.Hour, 0, shape{opaque: true}
		set := w.login(session.KindLogin)
		sleep(time.Hour - time.Millisecond)
		w.alive(set.Access)
		sleep(time.Millisecond)
		_, err := w.check(w.m, set.Access)
		w.refused(err, token.ExpiredAccess)
		next, err := w.refresh(set.Refresh)
		if err != nil || next.ExpiresIn != time.Hour {
			w.Fatalf("Refresh = %+v, %v; want tokens for an hour", next, err)
		}
		w.alive(next.Access)
		_, err = w.check(w.m, set.Access)
		w.refused(err, token.InvalidAccess)
	})
}

func TestVoidedAccessTokenIsRefused(t *testing.T) {
	in(t, func(w *world) {
		w.iss.VoidsAccess = true
		set := w.login(session.KindLogin)
		w.alive(set.Access)
		next, err := w.refresh(set.Refresh)
		if err != nil {
			w.Fatal(err)
		}
		w.alive(next.Access)
		_, err = w.check(w.m, set.Access)
		w.refused(err, token.InvalidAccess)
	})
}

func TestTokenOfAnotherIssuerOrSourceIsRefused(t *testing.T) {
	in(t, func(w *world) {
		set := w.login(session.KindLogin)
		w.alive(set.Access)
		source, dialect := *w.iss, *w.iss
		source.Source = "backend:fabric"
		dialect.Name, dialect.Dialect = "itempath/1", "itempath"
		for _, iss := range []*session.Issuer{&source, &dialect} {
			_, err := w.m.Check(w.Context(), []*session.Issuer{iss}, set.Access)
			w.refused(err, token.InvalidAccess)
		}
		_, err := w.m.Refresh(w.Context(), &dialect, token.Grant{Refresh: set.Refresh})
		w.refused(err, token.InvalidRefresh)
	})
}

// What is counted is known only after an attempt, so attempts at once are held
// to a few: guessing in parallel is no faster than the throttle lets it be.
func TestGuessingInParallelMeetsTheThrottle(t *testing.T) {
	in(t, func(w *world) {
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				g := grant("alice", fmt.Sprintf("wrong-%d", i))
				g.Address = fmt.Sprintf("192.0.2.%d", i)
				if _, err := w.m.Login(w.Context(), w.iss, session.KindLogin, g); err == nil {
					w.Error("a wrong password was taken")
				}
			})
		}
		wg.Wait()
		w.people.mu.Lock()
		defer w.people.mu.Unlock()
		if n := w.people.proofs; n < 10 || n > 11 {
			w.Errorf("passwords tried = %d; want the limit of 10, and at most one that was under way", n)
		}
	})
}

func TestRefreshTokenOfAnotherSourceIsJunk(t *testing.T) {
	in(t, func(w *world) {
		set := w.login(session.KindLogin)
		other := *w.iss
		other.Source, other.Backend = "backend:fabric", &backend{}
		calls := w.store.Calls()
		_, err := w.m.Refresh(w.Context(), &other, token.Grant{Op: token.OpRefresh, Refresh: set.Refresh})
		w.refused(err, token.InvalidRefresh)
		if got := w.store.Calls() - calls; got != 0 {
			w.Errorf("calls to the store = %d; want none", got)
		}
		w.alive(set.Access)
		if _, err := w.refresh(set.Refresh); err != nil {
			w.Errorf("Refresh where it belongs = %v", err)
		}
	})
}

// What a session holds elsewhere ends with it, in whatever way that is.
func TestEveryEndIsTold(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(w *world, set token.Set, sid token.SID)
	}{
		{"logout", func(w *world, _ token.Set, sid token.SID) {
			if err := w.m.Logout(w.Context(), w.iss, sid); err != nil {
				w.Error(err)
			}
		}},
		{"revoked", func(w *world, _ token.Set, sid token.SID) {
			if err := w.m.End(w.Context(), sid, "revoked"); err != nil {
				w.Error(err)
			}
		}},
		{"reuse", func(w *world, set token.Set, _ token.SID) {
			_, _ = w.refresh(set.Refresh)
			sleep(time.Minute)
			_, _ = w.refresh(set.Refresh)
		}},
		{"found expired", func(w *world, set token.Set, _ token.SID) {
			sleep(24*time.Hour + 2*time.Second)
			_, _ = w.refresh(set.Refresh)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []token.SID
				w := newWorld(t, func(o *session.Options) {
					o.OnEnd = func(sid token.SID) { told = append(told, sid) }
				})
				w.run(w.m)
				set := w.login(session.KindLogin)
				sid := w.alive(set.Access).SID
				synctest.Wait()
				if len(told) > 0 {
					t.Fatalf("told of %v before any end", told)
				}
				tt.end(w, set, sid)
				synctest.Wait()
				if len(told) != 1 || told[0] != sid {
					t.Errorf("told of the ends of %v; want %v once", told, sid)
				}
			})
		})
	}
}
