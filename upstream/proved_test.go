package upstream_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

func renewal(password string) token.Grant {
	g := login(password)
	g.Op = token.OpRenew
	return g
}

// open opens a pass-through session.
func (w *boxWorld) open(t *testing.T) token.SID {
	t.Helper()
	sid := token.NewSID()
	if _, err := w.Verify(t.Context(), sid, login("svcpass")); err != nil {
		t.Fatal(err)
	}
	w.store.OpenSession(sid, 12*time.Hour)
	return sid
}

func TestClientsOwnRenewalProvesThePassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, passThrough)
		sid := w.open(t)
		w.want(t, sid, lock, 204)
		if err := w.Renew(t.Context(), sid, renewal("svcpass")); err != nil { // young as they are
			t.Fatal(err)
		}
		w.want(t, sid, change, 200)
		w.box.wantCalls(t, "login", "configuration/lock T1", "renew T1", "configuration/configElements T2")
		wantKind(t, w.Renew(t.Context(), sid, renewal("wrong")), token.BadCredentials)
		w.want(t, sid, change, 200)
		w.box.wantCalls(t, "renew T2", "configuration/configElements T2")
		w.box.void() // the backend does not say which of the two was wrong
		for range 3 {
			wantKind(t, w.Renew(t.Context(), sid, renewal("svcpass")), token.BadCredentials)
		}
		if _, err := w.Verify(t.Context(), token.NewSID(), login("svcpass")); err != nil {
			t.Errorf("login with a password that was right all the time: %v", err)
		}
	})
}

func TestRenewalWithoutAPasswordOfATokenThatNeedsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, passThrough)
		w.runs(t)
		sid := w.open(t)
		w.want(t, sid, lock, 204)
		if err := w.Renew(t.Context(), sid, token.Grant{Op: token.OpRefresh}); err != nil {
			t.Errorf("Renew without a password = %v; want the old token left", err)
		}
		advance(9*time.Minute + 59*time.Second)
		w.want(t, sid, change, 200)
		w.box.wantCalls(t, "login", "configuration/lock T1", "configuration/configElements T1") // nothing in the background
		advance(2 * time.Second)
		wantKind(t, w.Renew(t.Context(), sid, renewal("svcpass")), token.InvalidRefresh)
		_, err := w.try(t, as(sid), status)
		wantKind(t, err, token.InvalidAccess)
		if n := w.notes.count("pin lost"); n != 1 {
			t.Errorf("recorded %d pins lost; want 1", n)
		}
	})
}

func TestPassThroughSessionGivesItsLockBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, passThrough)
		w.runs(t)
		one, two := w.open(t), w.open(t)
		w.want(t, one, lock, 204)
		w.want(t, two, lock, 423)
		w.End(two)
		w.store.RevokeSession(two)
		w.store.RevokeSession(one) // by a gateway that is gone
		advance(2*time.Minute + 10*time.Second)
		w.box.wantLock(t, "")
		w.box.wantCalls(t, "login", "login", "configuration/lock T1", "configuration/lock T2", "configuration/unlock T1")
	})
}

func TestRenewalsThatProveTheSameShareOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, passThrough)
		sid := w.open(t)
		w.box.set(func() { w.box.slow, w.box.calls = time.Second, nil })
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := w.Renew(t.Context(), sid, renewal("svcpass")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.box.wantCalls(t, "renew T1")
	})
}

// A wrong password beside a right one must not be taken for it.
func TestRenewalProvesItsOwnPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, passThrough)
		sid := w.open(t)
		w.box.set(func() {
			w.box.slow = time.Second
			w.box.badPassword = 400 // in words that do not blame the token
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := w.Renew(t.Context(), sid, renewal("svcpass")); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(100 * time.Millisecond)
		wg.Go(func() {
			if err := w.Renew(t.Context(), sid, renewal("wrong")); kindOrInternal(err) != token.BadCredentials {
				t.Errorf("Renew with a wrong password = %v; want bad credentials", err)
			}
		})
		wg.Wait()
		w.box.wantCalls(t, "login", "renew T1", "renew T2")
		w.want(t, sid, status, 200) // the session goes on
		for range 3 {
			err := w.Renew(t.Context(), sid, renewal("wrong"))
			wantKind(t, err, token.BadCredentials)
			if strings.Contains(err.Error(), "wrong\"") {
				t.Errorf("error %v holds the password", err)
			}
		}
		w.box.wantCalls(t, "system/status T2", "renew T2") // twice in all
	})
}

func TestRenewalThatCannotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, passThrough)
		sid := w.open(t)
		w.box.set(func() { w.box.fail = only("renew", 503) })
		wantKind(t, w.Renew(t.Context(), sid, renewal("svcpass")), token.Unavailable)
		w.box.set(func() { w.box.fail = nil })
		if err := w.Renew(t.Context(), sid, renewal("svcpass")); err != nil {
			t.Errorf("Renew after an outage = %v; want no error", err)
		}
		w.want(t, sid, status, 200)
	})
}

func TestRenewalByPasswordOfAnAPIThatHasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, passThrough)
		sid := w.signIn(t)
		wantKind(t, w.Renew(t.Context(), sid, renewal("whatever")), token.Unavailable)
		w.wantCounts(t, 1, 0, 0)
	})
}
