package session_test

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// revokeUser ends all that a user has, on an operator's word, and lets a moment
// pass.
func (w *world) revokeUser(name string) {
	w.Helper()
	sleep(time.Millisecond)
	if _, err := w.m.RevokeUser(w.Context(), name, false); err != nil {
		w.Fatalf("RevokeUser = %v; want no error", err)
	}
	sleep(time.Millisecond)
}

func TestOperatorEndsCodesThatAreOut(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		code := w.code(w.browser(), "app")
		w.revokeUser("alice")
		_, err := w.m.Redeem(w.Context(), w.iss, redemption("app", code))
		w.refused(err, token.InvalidRefresh)
		if page := w.pages(session.Query{Limit: 10}); len(page) != 0 {
			w.Errorf("sessions = %v; want none left of the redemption", sids(page))
		}
		again := w.code(w.browser(), "app") // he signed in anew
		if _, err := w.m.Redeem(w.Context(), w.iss, redemption("app", again)); err != nil {
			w.Errorf("Redeem of a later code = %v; want no error", err)
		}
	})
}

// Half a sign-in is found by the user's name though he has no session.
func TestOperatorEndsHalvesOfASignIn(t *testing.T) {
	half(t, func(w *twice) {
		w.portal()
		early := w.ticketed("app")
		w.revokeUser("app")
		_, err := w.resume(early.Ticket, appCode(0))
		w.refused(err, token.ExpiredAccess)
		sleep(31 * time.Second) // the code is used up
		later := w.ticketed("app")
		set, err := w.resume(later.Ticket, appCode(0))
		if err != nil {
			w.Fatalf("Resume of a later sign-in = %v; want a session", err)
		}
		w.alive(set.Access)
	})
}

// meddling is a Verifier that does something between the proof and the session.
type meddling struct {
	*people

	meddle func()
}

func (m meddling) Verify(ctx context.Context, sid token.SID, g token.Grant) (token.Identity, error) {
	id, err := m.people.Verify(ctx, sid, g)
	if m.meddle != nil {
		m.meddle()
	}
	return id, err
}

// A password that was right when the login began may have been changed since,
// which is why the operator ends everything.
func TestOperatorEndsLoginsUnderWay(t *testing.T) {
	in(t, func(w *world) {
		w.login(session.KindLogin) // so that he is on the roll
		v := &meddling{people: w.people, meddle: func() { w.revokeUser("alice") }}
		w.iss.Verifier = v
		_, err := w.m.Login(w.Context(), w.iss, session.KindLogin, grant("alice", "right"))
		w.refused(err, token.Unavailable)
		if page := w.pages(session.Query{Limit: 10}); len(page) != 0 {
			w.Errorf("sessions = %v; want none", sids(page))
		}
		v.meddle = nil
		w.alive(w.login(session.KindLogin).Access)
	})
}

// A session that is in no list, since a failover lost that, ends at its next
// refresh.
func TestUnlistedSessionEndsWithItsEpoch(t *testing.T) {
	in(t, func(w *world) {
		set := w.login(session.KindLogin)
		w.store.ForgetLists()
		w.revokeUser("alice")
		next, err := w.refresh(set.Refresh)
		if err != nil {
			w.Fatalf("Refresh = %v; want it to succeed once", err)
		}
		sleep(3 * time.Second)
		_, err = w.check(w.m, next.Access)
		w.refused(err, token.InvalidAccess)
	})
}

// An epoch that a failover lost begins again when it had begun: later logins stay.
func TestEpochIsSaidAgainAfterAReconnect(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		code := w.code(w.browser(), "app")
		w.revokeUser("alice")
		w.store.ForgetEpochs()
		if err := w.store.Announce(w.Context(), session.Event{Kind: session.EventFailover}); err != nil {
			w.Fatal(err)
		}
		later := w.code(w.browser(), "app")
		sleep(3 * time.Second)
		_, err := w.m.Redeem(w.Context(), w.iss, redemption("app", code))
		w.refused(err, token.InvalidRefresh)
		if _, err := w.m.Redeem(w.Context(), w.iss, redemption("app", later)); err != nil {
			w.Errorf("Redeem of a later code = %v; want no error", err)
		}
	})
}
