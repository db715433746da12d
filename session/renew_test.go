package session_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// renewing makes the world's issuer one of opaque access tokens that are renewed
// by password.
func (w *world) renewing() {
	w.iss.Name, w.iss.Dialect, w.iss.Shape = "oracle-sbc/1.2", "oracle-sbc", shape{opaque: true}
	w.iss.Rotates, w.iss.VoidsAccess = false, true
	w.iss.AccessTTL, w.iss.RefreshTTL = 10*time.Minute, 10*time.Minute
}

func (w *world) renew(user, password string, at token.Secret) (token.Set, error) {
	g := grant(user, password)
	g.Op, g.Access = token.OpRenew, at
	return w.m.Renew(w.Context(), w.iss, g)
}

func (w *world) mustRenew(at token.Secret) token.Set {
	w.Helper()
	set, err := w.renew("alice", "right", at)
	if err != nil {
		w.Fatalf("Renew = %v; want no error", err)
	}
	return set
}

func TestRenewalKeepsTheSessionAndVoidsTheTokenBefore(t *testing.T) {
	in(t, func(w *world) {
		w.renewing()
		first := w.login(session.KindLogin)
		sid := w.alive(first.Access).SID
		sleep(9 * time.Minute)
		second := w.mustRenew(first.Access)
		if second.Access == first.Access || second.ExpiresIn != 10*time.Minute {
			w.Errorf("renewed: the same token %t, for %v", second.Access == first.Access, second.ExpiresIn)
		}
		if s := w.alive(second.Access); s.SID != sid {
			w.Error("the renewed token is of another session")
		}
		_, err := w.check(w.m, first.Access)
		w.refused(err, token.InvalidAccess)
		sleep(9 * time.Minute)
		w.alive(w.mustRenew(second.Access).Access)
		w.told("refresh rotated", 2)
		w.told("opened", 1)
	})
}

func TestRenewalIsRefused(t *testing.T) {
	still(t, func(w *world) {
		w.renewing()
		w.iss.Grace = 0
		first := w.login(session.KindLogin)
		for name, try := range map[string]func() (token.Set, error){
			"wrong password": func() (token.Set, error) { return w.renew("alice", "wrong", first.Access) },
			"another user":   func() (token.Set, error) { return w.renew("bob", "right", first.Access) },
			"no password":    func() (token.Set, error) { return w.renew("alice", "", first.Access) },
			"no name":        func() (token.Set, error) { return w.renew("", "right", first.Access) },
		} {
			if set, err := try(); err == nil || token.KindOf(err) != token.BadCredentials || !set.Access.IsZero() {
				w.Errorf("%s: %v; want bad_credentials", name, err)
			}
		}
		w.alive(first.Access) // none of that ended anything
		w.told("refresh refused", 4)
		second := w.mustRenew(first.Access)
		_, err := w.renew("alice", "right", first.Access) // a replay, without grace
		w.refused(err, token.InvalidAccess)
		w.told("refresh reused", 1)
		w.alive(second.Access)
		w.iss.Source = "backend:other"
		_, err = w.renew("alice", "right", second.Access)
		w.refused(err, token.InvalidAccess)
	})
}

func TestRenewalAfterTheEndIsRefused(t *testing.T) {
	for name, end := range map[string]func(*world, token.Set){
		"expired":         func(*world, token.Set) { sleep(10 * time.Minute) },
		"long forgotten":  func(*world, token.Set) { sleep(24 * time.Hour) },
		"ended by logout": func(w *world, s token.Set) { _ = w.m.End(w.Context(), w.alive(s.Access).SID, "logout") },
		"user is gone":    func(w *world, _ token.Set) { w.people.set(func() { w.people.gone = true }) },
	} {
		t.Run(name, func(t *testing.T) {
			still(t, func(w *world) {
				w.renewing()
				set := w.login(session.KindLogin)
				end(w, set)
				_, err := w.renew("alice", "right", set.Access)
				w.refused(err, token.InvalidAccess)
			})
		})
	}
	still(t, func(w *world) {
		w.renewing()
		set := w.login(session.KindLogin)
		sleep(10*time.Minute - time.Millisecond)
		w.mustRenew(set.Access)
	})
}

func TestRenewalTwiceAtOnceGivesOneSuccessor(t *testing.T) {
	in(t, func(w *world) {
		w.renewing()
		first := w.login(session.KindLogin)
		var wg sync.WaitGroup
		got := make([]token.Secret, 8)
		for i := range got {
			wg.Go(func() { got[i] = w.mustRenew(first.Access).Access })
		}
		wg.Wait()
		for _, at := range got {
			if at != got[0] {
				w.Fatal("two renewals got different tokens")
			}
		}
		w.alive(got[0])
		sleep(9 * time.Second)
		if w.mustRenew(first.Access).Access != got[0] {
			w.Error("a repeat within the grace got another token")
		}
		sleep(2 * time.Second) // the grace is over
		_, err := w.renew("alice", "right", first.Access)
		w.refused(err, token.InvalidAccess)
		w.alive(got[0]) // refused, not revoked: the password was right
		w.told("refresh rotated", 1)
		w.told("refresh grace", 8)
	})
}

// slow is a Verifier during whose work something happens, once.
type slow struct {
	*people
	meanwhile func()
}

func (s *slow) Verify(ctx context.Context, sid token.SID, g token.Grant) (token.Identity, error) {
	if do := s.meanwhile; do != nil {
		s.meanwhile = nil
		do()
	}
	return s.people.Verify(ctx, sid, g)
}

// TestRenewalOvertakenTwiceEndsNothing: whoever is slow shows a token that has
// become old meanwhile, and has proved his password.
func TestRenewalOvertakenTwiceEndsNothing(t *testing.T) {
	in(t, func(w *world) {
		w.renewing()
		first := w.login(session.KindLogin)
		var last token.Set
		w.iss.Verifier = &slow{w.people, func() { last = w.mustRenew(w.mustRenew(first.Access).Access) }}
		_, err := w.renew("alice", "right", first.Access)
		w.refused(err, token.InvalidAccess)
		w.told("refresh reused", 1)
		w.alive(last.Access)
	})
}

// TestRenewalAtAnotherProfileIsRefused: a token that proves itself does not say
// who issued it; the session does.
func TestRenewalAtAnotherProfileIsRefused(t *testing.T) {
	for name, change := range map[string]func(*world){
		"profile": func(w *world) { w.iss.Name = "oracle-sbc/1.1" },
		"source":  func(w *world) { w.iss.Source = "backend:other" },
	} {
		t.Run(name, func(t *testing.T) {
			still(t, func(w *world) {
				w.renewing()
				w.iss.Shape = shape{}
				set := w.login(session.KindLogin)
				change(w)
				_, err := w.renew("alice", "right", set.Access)
				w.refused(err, token.InvalidAccess)
			})
		})
	}
}

func TestJunkToRenewCostsNoStoreCall(t *testing.T) {
	still(t, func(w *world) {
		w.renewing()
		good := w.login(session.KindLogin).Access.Reveal()
		flipped := good[:len(good)-1] + string('0'+('1'-good[len(good)-1])&1)
		before, proofs := w.store.Calls(), w.people.proofs
		for _, junk := range []string{"", "junk", "at-", good + "0", flipped, strings.Replace(good, "at-", "rt-", 1)} {
			_, err := w.renew("alice", "right", token.NewSecret(junk))
			w.refused(err, token.InvalidAccess)
		}
		if n := w.store.Calls() - before; n != 0 || w.people.proofs != proofs {
			w.Errorf("junk cost %d calls to the store and %d proofs; want none", n, w.people.proofs-proofs)
		}
	})
}

// TestRenewalMeetsTheThrottleOfLogins: guesses count wherever they are made.
func TestRenewalMeetsTheThrottleOfLogins(t *testing.T) {
	still(t, func(w *world) {
		w.renewing()
		set := w.login(session.KindLogin)
		for range 10 {
			_, err := w.renew("alice", "wrong", set.Access)
			w.refused(err, token.BadCredentials)
		}
		_, err := w.renew("alice", "right", set.Access)
		w.refused(err, token.Throttled)
		_, err = w.m.Login(w.Context(), w.iss, session.KindLogin, grant("alice", "right"))
		w.refused(err, token.Throttled)
		w.alive(set.Access)
	})
}

func TestRenewalThatCouldNotAskChangesNothing(t *testing.T) {
	still(t, func(w *world) {
		w.renewing()
		set := w.login(session.KindLogin)
		w.store.SetDown(true)
		_, err := w.renew("alice", "right", set.Access)
		w.refused(err, token.Unavailable)
		w.store.SetDown(false)
		sleep(2 * time.Second)
		w.people.set(func() { w.people.down = true })
		_, err = w.renew("alice", "right", set.Access)
		w.refused(err, token.Unavailable)
		w.people.set(func() { w.people.down = false })
		w.told("refresh unavailable", 2)
		w.mustRenew(set.Access)
	})
}

// passThrough puts a backend behind the world's issuer.
func (w *world) passThrough() *backend {
	w.renewing()
	b := &backend{}
	w.iss.Backend, w.iss.Source = b, "backend:sbc"
	return b
}

// TestPassThroughRenewalIsProvedByTheBackend: also a repeat, whose answer needs
// no renewal, and each of those that come at once.
func TestPassThroughRenewalIsProvedByTheBackend(t *testing.T) {
	in(t, func(w *world) {
		b := w.passThrough()
		first := w.login(session.KindLogin)
		proofs := w.people.proofs
		_, err := w.renew("alice", "wrong", first.Access)
		w.refused(err, token.BadCredentials)
		_, err = w.renew("bob", "right", first.Access)
		w.refused(err, token.BadCredentials)
		if n, ended := b.counts(); n != 0 || ended != 0 {
			w.Errorf("the backend renewed %d and ended %d times; want neither", n, ended)
		}
		var wg sync.WaitGroup
		got := make([]token.Secret, 2)
		for i := range got {
			wg.Go(func() { got[i] = w.mustRenew(first.Access).Access })
		}
		wg.Wait()
		if b.most != 1 {
			w.Errorf("%d renewals of one session at once; want one after the other", b.most)
		}
		if n, _ := b.counts(); n != 2 || got[0] != got[1] {
			w.Errorf("the backend renewed %d times, one token %t; want each proved and one successor", n, got[0] == got[1])
		}
		_, err = w.renew("alice", "wrong", first.Access) // within the grace
		w.refused(err, token.BadCredentials)
		sleep(11 * time.Second)
		_, err = w.renew("alice", "right", first.Access)
		w.refused(err, token.InvalidAccess)
		if n, _ := b.counts(); n != 2 || w.people.proofs != proofs {
			w.Errorf("the backend renewed %d times and was logged in to %d times; want 2 and none", n, w.people.proofs-proofs)
		}
		w.alive(got[0])
	})
}

func TestPassThroughRenewalAndAFailingBackend(t *testing.T) {
	in(t, func(w *world) {
		b := w.passThrough()
		set := w.login(session.KindLogin)
		b.err = token.Fail(token.Unavailable, "down", nil)
		_, err := w.renew("alice", "right", set.Access)
		w.refused(err, token.Unavailable)
		w.alive(set.Access)
		b.err = token.Fail(token.InvalidRefresh, "gone", nil)
		_, err = w.renew("alice", "right", set.Access)
		w.refused(err, token.InvalidAccess)
		synctest.Wait()
		_, err = w.check(w.m, set.Access)
		w.refused(err, token.InvalidAccess)
		w.told("ended backend_dead", 1)
	})
}

// TestPermitHoldsForRenewals: who may not have tokens any more gets no further
// one, and keeps what he has.
func TestPermitHoldsForRenewals(t *testing.T) {
	in(t, func(w *world) {
		b := w.passThrough()
		set := w.login(session.KindLogin)
		w.iss.Permit = func(token.Identity) *token.Error { return token.Fail(token.Denied, "no", nil) }
		_, err := w.renew("alice", "right", set.Access)
		w.refused(err, token.Denied)
		w.told("refresh refused", 1)
		if _, ended := b.counts(); ended != 0 {
			w.Error("a renewal that is not permitted ended the backend session")
		}
		w.alive(set.Access)
	})
}
