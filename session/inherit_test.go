package session_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// A reload replaces the manager that wrote a revocation; its successor writes it
// again after a failover.
func TestInheritedRevocationsAreSaidAgain(t *testing.T) {
	for name, inherits := range map[string]bool{"inherited": true, "not inherited": false} {
		t.Run(name, func(t *testing.T) {
			in(t, func(w *world) {
				old := w.replica(nil)
				s := w.alive(w.login(session.KindLogin).Access)
				if err := old.End(w.Context(), s.SID, "revoked"); err != nil {
					w.Fatal(err)
				}
				if inherits {
					w.m.Inherit(old)
				}
				fresh := w.store.Calls()
				if err := w.store.Announce(w.Context(), session.Event{Kind: session.EventReset}); err != nil {
					w.Fatal(err)
				}
				sleep(3 * time.Second)
				if again := w.store.Calls()-fresh >= 2; again != inherits { // the announcement above, and the revocation
					w.Errorf("the revocation was written again: %v; want %v", again, inherits)
				}
			})
		})
	}
}

// What ends later is ended by the successor, at the backend that it knows under
// the same source.
func TestInheritedBackendSessionsEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		before, after := &backend{}, &backend{}
		w.iss.VendorLogout, w.iss.Backend, w.iss.Source, w.iss.AccessTTL = true, before, "backend:fabric", 3*time.Minute
		set := w.login(session.KindLogin)
		if err := w.m.Logout(w.Context(), w.iss, w.alive(set.Access).SID); err != nil {
			t.Fatal(err)
		}
		next := w.replica(nil)
		now := *w.iss
		now.Backend = after
		next.Know(&now)
		next.Inherit(w.m)
		w.run(next)
		sleep(2 * time.Minute)
		if _, ended := after.counts(); ended != 0 {
			t.Errorf("the backend session ended %d times; want it alive with its access token", ended)
		}
		sleep(time.Minute + 2*time.Second)
		_, first := before.counts()
		if _, second := after.counts(); first != 0 || second != 1 {
			t.Errorf("ended %d times at the old backend and %d times at the new one; want 0 and 1", first, second)
		}
	})
}
