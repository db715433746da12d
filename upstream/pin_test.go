package upstream_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

func TestSharedSessionLogsInAgainWithoutItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		sid := w.client()
		w.want(t, sid, status, 200)
		w.box.void()
		w.want(t, sid, status, 200)
		w.box.wantCalls(t, "login", "system/status T1", "system/status T1", "login", "system/status T2")
		advance(9*time.Minute + 30*time.Second) // due
		w.want(t, sid, status, 200)
		w.box.wantCalls(t, "login", "system/status T3")
	})
}

func TestLockHasABackendSessionOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		alice, bob, carol := w.client(), w.client(), w.client()
		w.want(t, carol, status, 200)
		w.want(t, alice, lock, 204)
		w.want(t, alice, change, 200)
		w.want(t, bob, lock, 423)
		w.want(t, bob, status, 200)
		w.want(t, carol, status, 200)
		w.box.wantCalls(t, "login", "system/status T1",
			"login", "configuration/lock T2", "configuration/configElements T2",
			"login", "configuration/lock T3", "system/status T3", "system/status T1")
		w.want(t, alice, unlock, 204)
		w.want(t, alice, status, 200)
		w.want(t, bob, lock, 204)
		w.box.wantCalls(t, "configuration/unlock T2", "system/status T2", "configuration/lock T3")
		w.box.wantLock(t, "T3")
	})
}

func TestPinnedSessionIsRenewedInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		w.runs(t)
		w.replica().runs(t)
		w.replica().runs(t)
		alice := w.client()
		w.want(t, alice, lock, 204)
		w.box.wantCalls(t, "login", "configuration/lock T1")
		advance(460 * time.Second)
		w.box.wantCalls(t)
		advance(100 * time.Second) // 560 s of 600
		w.box.wantCalls(t, "renew T1")
		w.want(t, alice, status, 200)
		advance(560 * time.Second)
		w.box.wantCalls(t, "system/status T2", "renew T2")
		advance(time.Hour)
		w.box.wantLock(t, "T10")
		w.box.wantCalls(t, "renew T3", "renew T4", "renew T5", "renew T6", "renew T7", "renew T8", "renew T9")
		if w.notes.has("pin lost") {
			t.Error("a pin is recorded as lost")
		}
	})
}

func TestUnpinnedSessionIsLeftToItsEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(t *testing.T, w *boxWorld, sid token.SID)
	}{
		{"423", func(t *testing.T, w *boxWorld, sid token.SID) {
			w.box.set(func() { w.box.fail = only("configuration/lock", 423) })
			w.want(t, sid, lock, 423)
		}},
		{"unlocked", func(t *testing.T, w *boxWorld, sid token.SID) {
			w.want(t, sid, lock, 204)
			w.want(t, sid, unlock, 204)
		}},
	} {
		t.Run(tt.name, inBubble(func(t *testing.T) {
			w := newBoxWorld(t, nil)
			w.runs(t)
			w.replica().runs(t)
			sid := w.client()
			tt.then(t, w, sid)
			w.box.set(func() { w.box.calls = nil })
			advance(9*time.Minute + 50*time.Second)
			w.want(t, sid, status, 200)
			w.box.wantCalls(t, "system/status T1")
			advance(15 * time.Second)
			w.want(t, sid, status, 200)
			w.want(t, sid, status, 200)
			advance(time.Hour)
			w.box.wantCalls(t, "login", "system/status T2", "system/status T2")
			w.store.RevokeSession(sid)
			w.End(sid)
			advance(time.Minute)
			w.box.wantCalls(t)
		}))
	}
}

// only has one call answered with a status.
func only(call string, status int) func(string) int {
	return func(got string) int {
		if strings.HasPrefix(got, call) {
			return status
		}
		return 0
	}
}

func TestLockIsFoundByOtherGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		other := w.replica()
		alice := w.client()
		other.want(t, alice, status, 200) // it knows her without a lock
		w.want(t, alice, lock, 204)
		other.want(t, alice, change, 200)
		w.box.wantCalls(t, "login", "system/status T1", "login", "configuration/lock T2", "configuration/configElements T2")
		other.runs(t)
		advance(500 * time.Second)
		w.box.wantCalls(t, "renew T2")
		w.want(t, alice, change, 200) // its own token is void
		w.box.wantCalls(t, "configuration/configElements T3")
		other.want(t, alice, unlock, 204)
		w.want(t, alice, status, 200)
		w.box.wantCalls(t, "configuration/unlock T3", "system/status T3")
	})
}

func TestRequestsWithAVoidTokenUseItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		other := w.replica()
		alice := w.client()
		w.want(t, alice, lock, 204)
		other.want(t, alice, status, 200)
		w.runs(t)
		advance(500 * time.Second)
		w.box.wantCalls(t, "login", "configuration/lock T1", "system/status T1", "renew T1")
		got, err := other.try(t, as(alice), change)
		if got != 200 || err != nil {
			t.Fatalf("change = %d, %v; want 200", got, err)
		}
		w.box.mu.Lock()
		last := w.box.calls[len(w.box.calls)-1]
		w.box.mu.Unlock()
		if last != "configuration/configElements T2" {
			t.Errorf("last call = %s; want it made with T2", last)
		}
		w.box.wantLock(t, "T2")
	})
}

func TestLockIsKeptOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		crash := w.runs(t)
		alice := w.client()
		w.want(t, alice, lock, 204)
		crash()
		if err := w.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		advance(7 * time.Minute)
		again := w.replica()
		again.runs(t)
		advance(2 * time.Minute)
		again.want(t, alice, change, 200)
		w.box.wantCalls(t, "login", "configuration/lock T1", "renew T1", "configuration/configElements T2")
		w.box.wantLock(t, "T2")
	})
}

func TestNobodyTakesALockForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		_, err := w.try(t, token.Caller{Identity: token.Identity{Name: "alice"}}, lock)
		wantKind(t, err, token.Denied)
		anonymous, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base.JoinPath("/rest/v1.2/configuration/lock").String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.do(anonymous)
		wantKind(t, err, token.Denied)
		if got, err := w.try(t, token.Caller{}, status); err != nil || got != 200 {
			t.Errorf("status without a session = %d, %v; want 200 with the shared tokens", got, err)
		}
		w.box.wantCalls(t, "login", "system/status T1")

		static := newBoxWorld(t, func(c *upstream.Config) { c.Account = &upstream.Account{APIToken: token.NewSecret("X")} })
		_, err = static.try(t, as(w.client()), lock)
		wantKind(t, err, token.Denied)
		static.box.wantCalls(t)
	})
}

func TestRenewalOfAPinThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		w.runs(t)
		alice := w.client()
		w.want(t, alice, lock, 204)
		w.box.set(func() { w.box.fail = only("renew", 503) })
		advance(520 * time.Second)
		w.want(t, alice, change, 200) // the old token serves
		w.box.set(func() {
			n := 0
			for _, c := range w.box.calls {
				if c == "renew T1" {
					n++
				}
			}
			if n < 3 || n > 8 {
				t.Errorf("renewals that failed = %d of %q; want some, with back off", n, w.box.calls)
			}
			w.box.fail, w.box.calls = nil, nil
		})
		advance(time.Minute)
		w.box.wantCalls(t, "renew T1")
		w.box.wantLock(t, "T2")
	})
}

func TestLostPinIsForgotten(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(w *boxWorld)
		want []string // calls until the token would have expired
	}{
		{"the backend is silent to the token's end", func(w *boxWorld) {
			w.box.set(func() {
				w.box.fail = func(call string) int {
					if strings.HasPrefix(call, "renew") {
						w.box.calls = w.box.calls[:len(w.box.calls)-1] // how often does not matter here
						return 503
					}
					return 0
				}
			})
		}, nil},
		{"the backend refuses", func(w *boxWorld) { w.box.void() }, []string{"renew T1"}},
		{"the store is silent", func(w *boxWorld) {
			w.store.Break("Acquire", errors.New("store is down"))
			time.AfterFunc(boxLife, func() { w.store.Break("Acquire", nil) })
		}, nil},
	} {
		t.Run(tt.name, inBubble(func(t *testing.T) {
			w := newBoxWorld(t, nil)
			w.runs(t)
			w.replica().runs(t)
			alice := w.client()
			w.want(t, alice, lock, 204)
			w.box.wantCalls(t, "login", "configuration/lock T1")
			tt.lose(w)
			advance(11 * time.Minute)
			w.box.wantCalls(t, tt.want...)
			if n := w.notes.count("pin lost"); n != 1 {
				t.Errorf("recorded %d pins lost; want 1", n)
			}
			w.want(t, alice, status, 200)
			w.want(t, alice, lock, 204)
			w.box.wantCalls(t, "login", "system/status T2", "login", "configuration/lock T3")
		}))
	}
}

func TestRefusedPinnedTokenGoesOverToTheSharedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		alice := w.client()
		w.want(t, alice, lock, 204)
		w.box.void()
		w.want(t, alice, status, 200)
		w.box.wantCalls(t, "login", "configuration/lock T1", "system/status T1", "renew T1", "login", "system/status T2")
		w.want(t, alice, lock, 204)
		w.box.void()
		w.want(t, alice, lock, 204) // one that takes a lock gets new tokens for it
		w.box.wantCalls(t, "login", "configuration/lock T3", "configuration/lock T3", "renew T3", "login", "configuration/lock T4")
	})
}

func TestRefusedUnpinnedTokenIsReplacedForALockOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		alice, bob := w.client(), w.client()
		w.want(t, bob, lock, 204)
		w.want(t, alice, lock, 423)
		w.box.wantCalls(t, "login", "configuration/lock T1", "login", "configuration/lock T2")
		w.box.void()
		w.want(t, alice, lock, 204)
		w.want(t, alice, unlock, 204)
		w.box.wantCalls(t, "configuration/lock T2", "login", "configuration/lock T3", "configuration/unlock T3")
		w.box.void()
		w.want(t, alice, status, 200)
		w.want(t, alice, status, 200)
		w.box.wantCalls(t, "system/status T3", "login", "system/status T4", "system/status T4")
	})
}

func TestLockOnTokensNearTheirEndGetsNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		alice := w.client()
		w.box.set(func() { w.box.fail = only("configuration/lock", 423) })
		w.want(t, alice, lock, 423)
		w.box.set(func() { w.box.fail = nil })
		advance(9*time.Minute + 50*time.Second)
		w.want(t, alice, lock, 204)
		w.box.wantCalls(t, "login", "configuration/lock T1", "login", "configuration/lock T2")
	})
}

func TestLockWhoseAnswerIsLostIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		w.runs(t)
		alice := w.client()
		w.box.set(func() { w.box.lost = func(call string) bool { return strings.HasPrefix(call, "configuration/lock") } })
		_, err := w.try(t, as(alice), lock)
		wantKind(t, err, token.BadGateway)
		advance(15 * time.Minute)
		w.box.wantLock(t, "T2")
	})
}

func TestPinIsNotedOnceTheStoreCanBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		w.runs(t)
		alice := w.client()
		w.store.Break("Pin", errors.New("store is down"))
		w.want(t, alice, lock, 204)
		advance(time.Minute)
		w.store.Break("Pin", nil)
		advance(9 * time.Minute)
		w.box.wantLock(t, "T2")
	})
}

func TestLocksNeedTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		alice := w.client()
		w.want(t, alice, status, 200)
		w.store.Break("Acquire", errors.New("store is down"))
		_, err := w.try(t, as(alice), lock)
		wantKind(t, err, token.Unavailable)
		w.want(t, alice, status, 200) // everything else goes on
		w.box.wantCalls(t, "login", "system/status T1", "system/status T1")
	})
}

func TestManyLocksOfOneSessionLogInOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		w.box.slow = time.Second
		other := w.replica()
		alice := w.client()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				x := []*boxWorld{w, other}[i%2]
				if got, err := x.try(t, as(alice), lock); err != nil || got != 204 {
					t.Errorf("lock = %d, %v; want 204", got, err)
				}
			})
		}
		wg.Wait()
		logins := 0
		for _, c := range w.box.calls {
			if c == "login" {
				logins++
			}
		}
		if logins != 1 {
			t.Errorf("logins = %d; want 1", logins)
		}
	})
}

func TestWrongPasswordForALockIsCountedWithTheAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBoxWorld(t, nil)
		w.box.password = "another"
		for range 5 {
			_, err := w.try(t, as(w.client()), lock)
			wantKind(t, err, token.BadGateway)
		}
		w.box.wantCalls(t, "login", "login")
	})
}

func TestRenewalWaitsForRequestsThatCannotBeMadeAgain(t *testing.T) {
	for _, tt := range []struct {
		takes time.Duration // the request, once the renewal is due
		want  int
		calls []string
	}{
		{time.Second, 200, []string{"configuration/configElements T1", "renew T1", "system/status T2"}},
		{5 * time.Second, 200, []string{"renew T1", "system/status T2", "configuration/configElements T1", "configuration/configElements T2"}},
	} {
		t.Run(tt.takes.String(), inBubble(func(t *testing.T) {
			w := newBoxWorld(t, nil)
			alice := w.client()
			w.want(t, alice, lock, 204)
			w.box.wantCalls(t, "login", "configuration/lock T1")
			advance(460 * time.Second)
			done := make(chan int, 1)
			go func() {
				r := request(t, as(alice), http.MethodPut, slowBody(40*time.Second+tt.takes))
				r.ContentLength = 1 << 20
				r.URL.Path = "/rest/v1.2/configuration/configElements"
				got, _ := w.do(r)
				done <- got
			}()
			advance(40 * time.Second) // the renewal is due
			w.want(t, alice, status, 200)
			if got := <-done; got != tt.want {
				t.Errorf("PUT = %d; want %d", got, tt.want)
			}
			w.box.wantCalls(t, tt.calls...)
		}))
	}
}

// slowBody ends after a time.
type slowBody time.Duration

func (d slowBody) Read([]byte) (int, error) {
	time.Sleep(time.Duration(d))
	return 0, io.EOF
}
