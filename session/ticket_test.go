package session_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// ticketed signs in on the sign-in page up to the second factor.
func (w *twice) ticketed(user string) token.Challenge {
	w.Helper()
	_, err := w.m.Login(w.Context(), w.iss, session.KindPortal, grant(user, "right"))
	e, ok := errors.AsType[*token.Error](err)
	if !ok || e.Challenge == nil || e.Challenge.Ticket.IsZero() {
		w.Fatalf("Login of %s = %v; want a challenge with a ticket", user, err)
	}
	return *e.Challenge
}

func (w *twice) resume(ticket token.Secret, code string) (token.Set, error) {
	g := token.Grant{Op: token.OpLogin, Address: "192.0.2.1"}
	if code != "" {
		g.Factor = &token.Factor{Response: token.NewSecret(code)}
	}
	return w.m.Resume(w.Context(), w.iss, ticket, g)
}

// portal is the issuer of the sign-in page.
func (w *twice) portal() {
	w.iss.Name, w.iss.Dialect, w.iss.Shape, w.iss.RefreshTTL = "portal", "portal", shape{opaque: true}, time.Hour
}

func TestSignInPageGoesOnWithACode(t *testing.T) {
	half(t, func(w *twice) {
		w.portal()
		app, sms := w.ticketed("app"), w.ticketed("text")
		for _, c := range []struct {
			ticket token.Secret
			code   string
		}{{app.Ticket, appCode(0)}, {sms.Ticket, w.factors.last()}} {
			_, err := w.resume(c.ticket, "")
			w.refused(err, token.FactorNeeded)
			_, err = w.resume(c.ticket, "000000")
			w.refused(err, token.BadCredentials)
			if e, ok := errors.AsType[*token.Error](err); !ok || e.Challenge == nil {
				t.Errorf("error = %v; want the challenge in it, to ask again", err)
			}
			set, err := w.resume(c.ticket, c.code)
			if err != nil {
				t.Fatalf("Resume = %v; want a session", err)
			}
			if s := w.alive(set.Access); s.Kind != session.KindPortal || !slices.Equal(s.AMR, []string{"pwd", "otp"}) {
				t.Errorf("session = %+v", s)
			}
			_, err = w.resume(c.ticket, c.code)
			w.refused(err, token.BadCredentials)
		}
		if n := len(w.factors.sent); n != 1 {
			t.Errorf("%d codes were sent; want one, however often the page is shown", n)
		}
		w.told("login factor_needed", 2)
		w.told("login ok", 2)
		w.told("login bad_credentials", 4)
	})
}

func TestSignInPageGoesOnByApproval(t *testing.T) {
	half(t, func(w *twice) {
		w.portal()
		c := w.ticketed("push")
		_, err := w.resume(c.Ticket, "")
		w.refused(err, token.FactorNeeded)
		if err := w.m.ApproveChallenge(w.Context(), c.Session); err != nil {
			t.Fatal(err)
		}
		set, err := w.resume(c.Ticket, "")
		if err != nil {
			t.Fatalf("Resume = %v; want a session", err)
		}
		w.alive(set.Access)
		_, err = w.resume(c.Ticket, "")
		w.refused(err, token.Denied) // used

		c = w.ticketed("push")
		if err := w.m.DenyChallenge(w.Context(), c.Session); err != nil {
			t.Fatal(err)
		}
		_, err = w.resume(c.Ticket, "")
		w.refused(err, token.Denied)

		c = w.ticketed("push")
		if _, err := w.resume(c.Ticket, appCode(0)); err != nil {
			t.Errorf("Resume with a typed code = %v; want a session", err)
		}
	})
}

func TestTicketIsBoundAndBrief(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*twice, *token.Secret)
		want   token.Kind
	}{
		"altered":           {func(_ *twice, s *token.Secret) { *s = token.NewSecret(s.Reveal() + "A") }, token.InvalidAccess},
		"none":              {func(_ *twice, s *token.Secret) { *s = token.Secret{} }, token.InvalidAccess},
		"another source":    {func(w *twice, _ *token.Secret) { w.iss.Source = "backend:x" }, token.InvalidAccess},
		"another issuer":    {func(w *twice, _ *token.Secret) { w.iss.Name = "fac-oauth/8" }, token.InvalidAccess},
		"five minutes":      {func(*twice, *token.Secret) { sleep(session.ChallengeLife) }, token.ExpiredAccess},
		"user is gone":      {func(w *twice, _ *token.Secret) { w.people.set(func() { w.people.gone = true }) }, token.ExpiredAccess},
		"factor taken away": {func(w *twice, _ *token.Secret) { delete(w.factors.methods, "app") }, token.ExpiredAccess},
		"store is down":     {func(w *twice, _ *token.Secret) { w.store.SetDown(true) }, token.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			half(t, func(w *twice) {
				w.portal()
				ticket := w.ticketed("app").Ticket
				c.change(w, &ticket)
				_, err := w.resume(ticket, appCode(0))
				w.refused(err, c.want)
			})
		})
	}
	half(t, func(w *twice) {
		w.portal()
		ticket := w.ticketed("app").Ticket
		sleep(session.ChallengeLife - time.Millisecond)
		if _, err := w.resume(ticket, appCode(0)); err != nil {
			t.Errorf("Resume just before the end = %v; want a session", err)
		}
	})
}

func TestSignInPageSharesTheLimits(t *testing.T) {
	half(t, func(w *twice) {
		w.portal()
		ticket := w.ticketed("app").Ticket
		for range session.MaxWrong {
			_, err := w.resume(ticket, "000000")
			w.refused(err, token.BadCredentials)
		}
		_, err := w.resume(ticket, appCode(0))
		w.refused(err, token.BadCredentials)
		for range 4 {
			_, err = w.resume(ticket, "000000")
		}
		w.refused(err, token.BadCredentials)
		_, err = w.resume(ticket, "000000")
		w.refused(err, token.Throttled)
	})
}
