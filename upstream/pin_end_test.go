package upstream_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

func TestSessionsEndGivesTheLockBack(t *testing.T) {
	for name, end := range map[string]func(w *boxWorld, sid token.SID){
		"told":                        func(w *boxWorld, sid token.SID) { w.store.RevokeSession(sid); w.End(sid) },
		"told twice":                  func(w *boxWorld, sid token.SID) { w.store.RevokeSession(sid); w.End(sid); w.End(sid) },
		"the gateway ended before it": func(w *boxWorld, sid token.SID) { w.store.RevokeSession(sid) },
		"expired":                     func(w *boxWorld, sid token.SID) { w.store.OpenSession(sid, 0) },
		"without a trace":             func(w *boxWorld, sid token.SID) { w.store.DropSession(sid) },
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			w := newBoxWorld(t, nil)
			w.runs(t)
			w.replica().runs(t)
			alice := w.client()
			w.want(t, alice, lock, 204)
			advance(time.Minute)
			end(w, alice)
			synctest.Wait()
			if strings.HasPrefix(name, "told") {
				w.box.wantLock(t, "")
			}
			advance(5 * time.Second)
			synctest.Wait()
			w.box.wantLock(t, "")
			advance(time.Hour)
			w.box.wantCalls(t, "login", "configuration/lock T1", "configuration/unlock T1")
			if n := w.notes.count("pin ended"); n != 1 {
				t.Errorf("recorded %d pins ended; want 1", n)
			}
		}))
	}
}

func TestLockIsGivenBackWithASuccessorOfADueToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		alice := w.client()
		w.want(t, alice, lock, 204)
		advance(9*time.Minute + 40*time.Second)
		w.End(alice)
		synctest.Wait()
		w.box.wantCalls(t, "login", "configuration/lock T1", "renew T1", "configuration/unlock T2")
		w.box.wantLock(t, "")
	})
}

func TestReleaseThatFailsIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		alice := w.client()
		w.want(t, alice, lock, 204)
		w.box.set(func() { w.box.fail = only("configuration/unlock", 503) })
		w.store.RevokeSession(alice)
		w.End(alice)
		synctest.Wait()
		w.box.wantLock(t, "T1")
		w.box.set(func() { w.box.fail = nil })
		w.replica().runs(t) // the one that tried is gone
		w.replica().runs(t)
		advance(2 * time.Minute)
		w.box.wantLock(t, "")
		w.box.wantCalls(t, "login", "configuration/lock T1", "configuration/unlock T1", "configuration/unlock T1")
	})
}

func TestSessionThatEndsWhileItLocksGivesTheLockBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		w.runs(t)
		alice := w.client()
		w.box.set(func() {
			w.box.lost = func(call string) bool {
				if strings.HasPrefix(call, "configuration/lock") {
					w.store.RevokeSession(alice)
					w.End(alice)
					time.Sleep(time.Second) // the release comes first
				}
				return false
			}
		})
		w.want(t, alice, lock, 204)
		advance(10 * time.Second)
		w.box.wantLock(t, "")
		w.box.wantCalls(t, "login", "configuration/lock T1", "configuration/unlock T1")
	})
}

func TestSessionThatEndsDuringARenewalGivesTheLockBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		alice := w.client()
		w.want(t, alice, lock, 204)
		advance(500 * time.Second)
		w.box.slow = time.Second
		w.box.set(func() {
			w.box.lost = func(call string) bool {
				if call == "renew T1" { // the backend has done it, and its answer is on its way
					w.store.RevokeSession(alice)
					w.End(alice)
					time.Sleep(time.Second)
				}
				return false
			}
		})
		_, err := w.try(t, as(alice), status) // whoever is checked late goes on with the shared one
		if err != nil {
			t.Error(err)
		}
		synctest.Wait()
		w.box.wantLock(t, "")
		w.box.wantCalls(t, "login", "configuration/lock T1", "renew T1", "configuration/unlock T2", "login", "system/status T3")
	})
}

func TestGatewayThatCrashesLeavesItsDutyToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		alice := w.client()
		own := upstream.Ref{Owner: alice.String(), Backend: "fabric"}
		crash := w.runs(t)
		w.want(t, alice, lock, 204)
		advance(460 * time.Second)
		crash()
		// It had begun a renewal.
		if a, err := w.store.Acquire(t.Context(), upstream.Claim{Ref: own, Holder: "crashed", Seen: 1, Lease: 20 * time.Second}); err != nil || a.State != upstream.Lead {
			t.Fatalf("Acquire = %+v, %v; want Lead", a, err)
		}
		w.replica().runs(t)
		w.replica().runs(t)
		advance(100 * time.Second)
		w.box.wantCalls(t, "login", "configuration/lock T1", "renew T1")
		w.box.wantLock(t, "T2")
		// Another one crashed when it was about to give the lock back.
		w.store.RevokeSession(alice)
		if a, err := w.store.End(t.Context(), upstream.Farewell{Ref: own, Holder: "crashed", Lease: 20 * time.Second}); err != nil || a.State != upstream.Done {
			t.Fatalf("End = %+v, %v; want Done", a, err)
		}
		advance(19 * time.Second)
		w.box.wantCalls(t)
		advance(time.Hour)
		w.box.wantCalls(t, "configuration/unlock T2")
		w.box.wantLock(t, "")
	})
}

// The successor of the token went down with the gateway that had renewed it.
func TestSuccessorThatIsLostLosesThePinOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		alice := w.client()
		w.want(t, alice, lock, 204)
		w.box.set(func() { w.box.lost = func(call string) bool { return call == "renew T1" } })
		w.runs(t)
		w.replica().runs(t)
		advance(20 * time.Minute)
		if n := w.notes.count("pin lost"); n != 1 {
			t.Errorf("recorded %d pins lost; want 1", n)
		}
		w.box.set(func() { w.box.calls = nil })
		w.want(t, alice, lock, 204)
		w.box.wantCalls(t, "login", "configuration/lock T3")
	})
}

func TestDrainGivesLocksBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, func(c *upstream.Config) { c.LogoutAtDrain = true })
		w.want(t, w.client(), lock, 204)
		if err := w.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.box.wantCalls(t, "login", "configuration/lock T1", "configuration/unlock T1")
	})
}
