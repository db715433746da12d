package session_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// approved logs in, approves, polls, and returns the login that answers.
func (w *twice) approved(user string) token.Grant {
	w.Helper()
	c := w.asked(user)
	if err := w.m.ApproveChallenge(w.Context(), c.Session); err != nil {
		w.Fatal(err)
	}
	p, err := w.m.Poll(w.Context(), w.iss, c.Session)
	if err != nil || p.Status != "success" || len(p.Response.Reveal()) != 20 {
		w.Fatalf("Poll = %+v, %v; want success with 20 characters", p, err)
	}
	return answered(user, token.Factor{Method: "ftm-push", Session: c.Session, Response: p.Response})
}

func TestApprovalOpensOnce(t *testing.T) {
	half(t, func(w *twice) {
		g := w.approved("push")
		if s := w.passes(g); !slices.Equal(s.AMR, []string{"pwd", "otp"}) {
			t.Errorf("amr = %v; want pwd and otp", s.AMR)
		}
		w.fails(g)
	})
}

func TestApprovalIsBound(t *testing.T) {
	for name, change := range map[string]func(*twice, *token.Grant){
		"another user":         func(_ *twice, g *token.Grant) { g.Username = "push2" },
		"user without push":    func(_ *twice, g *token.Grant) { g.Username = "app" },
		"another client":       func(_ *twice, g *token.Grant) { g.Client = &token.Client{ID: "other"} },
		"another issuer":       func(w *twice, _ *token.Grant) { w.iss.Name = "ipfabric/7.5" },
		"challenge of another": func(w *twice, g *token.Grant) { g.Factor.Session = w.approved("push2").Factor.Session },
		"another answer": func(_ *twice, g *token.Grant) {
			g.Factor.Response = token.NewSecret(g.Factor.Response.Reveal()[:19] + "!")
		},
		"session cut":         func(_ *twice, g *token.Grant) { g.Factor.Session = g.Factor.Session[:31] },
		"session in capitals": func(_ *twice, g *token.Grant) { g.Factor.Session = strings.ToUpper(g.Factor.Session[:31]) + "F" },
		"after five minutes":  func(*twice, *token.Grant) { sleep(session.ChallengeLife) },
		"after ten minutes":   func(*twice, *token.Grant) { sleep(2 * session.ChallengeLife) },
	} {
		t.Run(name, func(t *testing.T) {
			half(t, func(w *twice) {
				g := w.approved("push")
				change(w, &g)
				w.fails(g)
			})
		})
	}
	half(t, func(w *twice) {
		g := w.approved("push")
		sleep(session.ChallengeLife - time.Millisecond)
		w.passes(g)
	})
}

func TestLostRepliesOfFactorsCountOnce(t *testing.T) {
	half(t, func(w *twice) {
		c := w.asked("push")
		w.store.LoseReplies()
		w.refused(w.m.ApproveChallenge(w.Context(), c.Session), token.Unavailable) // it was done
		if p, err := w.m.Poll(w.Context(), w.iss, c.Session); err != nil || p.Status != "success" {
			t.Errorf("Poll = %+v, %v; want success", p, err)
		}
	})
}

func TestOperatorSeesAndDecides(t *testing.T) {
	half(t, func(w *twice) {
		g := grant("push", "right")
		g.Client = &token.Client{ID: "app"}
		_, err := w.try(g)
		e, _ := errors.AsType[*token.Error](err)
		list, err := w.m.PendingChallenges(w.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("PendingChallenges = %+v, %v; want one", list, err)
		}
		p := list[0]
		if p.User != "push" || p.Client != "app" || p.Issuer != w.iss.Name || p.Address != "192.0.2.1" || p.Ends.Sub(p.Made) != session.ChallengeLife {
			t.Errorf("pending = %+v", p)
		}
		if _, err := w.m.Poll(w.Context(), w.iss, p.ID); token.KindOf(err) != token.NotFound {
			t.Errorf("Poll by what the operator sees = %v; want not found", err)
		}
		for _, id := range []string{"", "x", strings.Repeat("0", 20), strings.Repeat("0", 32)} {
			w.refused(w.m.DenyChallenge(w.Context(), id), token.NotFound)
		}
		if err := w.m.DenyChallenge(w.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
		w.refused(w.m.ApproveChallenge(w.Context(), p.ID), token.Gone)
		late := w.asked("push2")
		sleep(session.ChallengeLife)
		w.refused(w.m.ApproveChallenge(w.Context(), late.Session), token.Gone)
		c, err := w.m.Poll(w.Context(), w.iss, e.Challenge.Session)
		if err != nil || c.Status != "denied" || !c.Response.IsZero() {
			t.Errorf("Poll = %+v, %v; want denied, no response", c, err)
		}
		if list, err := w.m.PendingChallenges(w.Context()); err != nil || len(list) != 0 {
			t.Errorf("PendingChallenges = %+v, %v; want none", list, err)
		}
	})
}

func TestPollOfJunkCostsNoCall(t *testing.T) {
	half(t, func(w *twice) {
		before := w.store.Calls()
		for _, junk := range []string{"", "x", strings.Repeat("0", 32), strings.Repeat("0", 31), strings.Repeat("g", 32)} {
			_, err := w.m.Poll(w.Context(), w.iss, junk)
			w.refused(err, token.NotFound)
		}
		if n := w.store.Calls() - before; n != 0 {
			t.Errorf("junk cost %d calls to the store; want 0", n)
		}
	})
}

func TestPollOverTime(t *testing.T) {
	half(t, func(w *twice) {
		c := w.asked("push")
		status := func() string {
			t.Helper()
			p, err := w.m.Poll(w.Context(), w.iss, c.Session)
			if err != nil && token.KindOf(err) == token.NotFound {
				return "gone"
			}
			return p.Status
		}
		other := *w.iss
		other.Name = "fac-oauth/6.6"
		if _, err := w.m.Poll(w.Context(), &other, c.Session); token.KindOf(err) != token.NotFound {
			t.Errorf("Poll by another issuer = %v; want not found", err)
		}
		for _, at := range []struct {
			wait time.Duration
			want string
		}{
			{0, "pending"},
			{session.ChallengeLife - time.Millisecond, "pending"},
			{time.Millisecond, "expired"},
			{session.ChallengeLife, "gone"},
		} {
			sleep(at.wait)
			if got := status(); got != at.want {
				t.Errorf("status = %s; want %s", got, at.want)
			}
		}
	})
}

func TestPushesAreOpenedSeldom(t *testing.T) {
	half(t, func(w *twice) {
		for range session.MaxPushes {
			w.asked("push")
		}
		_, err := w.try(grant("push", "right"))
		w.refused(err, token.Throttled)
		w.asked("push2")
		sleep(session.ChallengeLife)
		w.asked("push")
	})
}
