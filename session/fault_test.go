package session_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// faulty is a store that can be full, as Redis is without memory: it tells what
// it holds, deletes, hands events on, and takes nothing new, pings neither. It
// notes the revocations that it was asked for.
type faulty struct {
	*sessiontest.Memory

	full atomic.Bool

	mu      sync.Mutex
	revoked []session.Revocation // guarded by mu
}

var errFull = fmt.Errorf("full: %w", session.ErrRefused)

func (f *faulty) Create(ctx context.Context, a session.Attempt, r session.Record, l session.Life) (session.Record, error) {
	if f.full.Load() {
		return session.Record{}, errFull
	}
	return f.Memory.Create(ctx, a, r, l)
}

func (f *faulty) Rotate(ctx context.Context, a session.Attempt, r session.Rotation) (session.Turn, error) {
	if f.full.Load() {
		return session.Turn{}, errFull
	}
	return f.Memory.Rotate(ctx, a, r)
}

func (f *faulty) Revoke(ctx context.Context, a session.Attempt, r session.Revocation) (session.Record, error) {
	f.mu.Lock()
	f.revoked = append(f.revoked, r)
	f.mu.Unlock()
	return f.Memory.Revoke(ctx, a, r)
}

func (f *faulty) Follow(ctx context.Context, on func(session.Event)) error {
	return f.Memory.Follow(ctx, func(e session.Event) {
		if e.Kind != session.EventAlive || !f.full.Load() {
			on(e)
		}
	})
}

// take returns the revocations asked for since it was last called.
func (f *faulty) take() []session.Revocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.revoked
	f.revoked = nil
	return r
}

// amid runs a test in a bubble with a running manager over a faulty store.
func amid(t *testing.T, test func(*world, *faulty)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		f := &faulty{Memory: w.store}
		w.m = w.replica(func(o *session.Options) { o.Store, o.Feed = f, f })
		w.run(w.m)
		test(w, f)
	})
}

// A full store is asked for every call and refuses nobody who has a session,
// however many changes it refuses and however long it stays full.
func TestFullStoreIsStillRead(t *testing.T) {
	amid(t, func(w *world, f *faulty) {
		set := w.login(session.KindLogin)
		gone := w.login(session.KindLogin)
		f.full.Store(true)
		_, err := w.m.Login(w.Context(), w.iss, session.KindLogin, grant("bob", "right"))
		w.refused(err, token.Unavailable)
		for range 90 { // longer than memory may serve
			w.alive(set.Access)
			sleep(time.Second)
		}
		for range 10 { // more than open the breaker
			_, err := w.refresh(set.Refresh)
			w.refused(err, token.Unavailable)
		}
		w.alive(set.Access)
		if !w.m.Degraded() {
			w.Error("Degraded = false; want true while no ping comes back")
		}
		if err := w.m.End(w.Context(), w.alive(gone.Access).SID, "logout"); err != nil {
			w.Errorf("End = %v; want no error", err)
		}
		_, err = w.check(w.m, gone.Access)
		w.refused(err, token.InvalidAccess)
		f.full.Store(false)
		sleep(time.Second)
		if _, err := w.refresh(set.Refresh); err != nil || w.m.Degraded() {
			w.Errorf("Refresh = %v, Degraded = %v; want neither once there is room again", err, w.m.Degraded())
		}
	})
}

// A reconnect may be one to a server that lacks the last writes, whether or not
// anybody can tell.
func TestReuseAfterAReconnectOnlyRefuses(t *testing.T) {
	in(t, func(w *world) {
		w.iss.Grace = 0
		set := w.login(session.KindLogin)
		next, _ := w.refresh(set.Refresh)
		if err := w.store.Announce(w.Context(), session.Event{Kind: session.EventReset}); err != nil {
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

// A logout the vendor's way must not be undone by a failover either.
func TestClosedSessionsAreClosedAgainAfterAReconnect(t *testing.T) {
	amid(t, func(w *world, f *faulty) {
		w.iss.VendorLogout = true
		s := w.alive(w.login(session.KindLogin).Access)
		if err := w.m.Logout(w.Context(), w.iss, s.SID); err != nil {
			w.Fatal(err)
		}
		want := f.take()
		if len(want) != 1 || !want[0].KeepAccess {
			w.Fatalf("revocations = %+v; want one that keeps the access tokens", want)
		}
		if err := f.Announce(w.Context(), session.Event{Kind: session.EventFailover}); err != nil {
			w.Fatal(err)
		}
		sleep(3 * time.Second)
		if got := f.take(); len(got) != 1 || got[0] != want[0] {
			w.Errorf("revocations after the failover = %+v; want %+v", got, want)
		}
	})
}

// What is said again is bounded, and of too much the oldest is left out: what was
// written last is what a failover loses.
func TestOfTooManyRevocationsTheLastAreSaidAgain(t *testing.T) {
	const most = 10_000
	for _, n := range []int{most, most + 1} {
		amid(t, func(w *world, f *faulty) {
			sids := make([]token.SID, n)
			for i := range sids {
				sids[i] = token.NewSID()
				if _, err := w.store.Create(w.Context(), session.NewAttempt(), session.Record{SID: sids[i]}, session.Life{Idle: time.Hour}); err != nil {
					w.Fatal(err)
				}
				if err := w.m.End(w.Context(), sids[i], "revoked"); err != nil {
					w.Fatal(err)
				}
			}
			f.take()
			if err := f.Announce(w.Context(), session.Event{Kind: session.EventReset}); err != nil {
				w.Fatal(err)
			}
			sleep(3 * time.Second)
			got := f.take()
			if len(got) != most || got[most-1].SID != sids[n-1] || got[0].SID != sids[n-most] {
				w.Errorf("of %d revocations %d were said again; want the last %d", n, len(got), most)
			}
		})
	}
}
