package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestSameCodeTwice(t *testing.T) {
	for _, again := range []func(string) string{
		func(c string) string { return c },
		func(c string) string { return " " + c + " " },
		func(c string) string { return c[:3] + " " + c[3:] },
	} {
		half(t, func(w *twice) {
			c := appCode(0)
			w.passes(answered("app", code("ftm", again(c))))
			w.fails(answered("app", code("ftm", c)))
			w.fails(answered("app", code("ftk", again(c))))
			w.asked("text")
			c = w.factors.last()
			w.passes(answered("text", code("sms", again(c))))
			w.fails(answered("text", code("sms", again(c))))
		})
	}
}

func TestSameCodeOnManyReplicasPassesOnce(t *testing.T) {
	for name, login := range map[string]func(*twice) token.Grant{
		"app":  func(*twice) token.Grant { return answered("app", code("ftm", appCode(0))) },
		"sent": func(w *twice) token.Grant { w.asked("text"); return answered("text", code("sms", w.factors.last())) },
		"push": func(w *twice) token.Grant { return w.approved("push") },
	} {
		half(t, func(w *twice) {
			g := login(w)
			var passed atomic.Int64
			var wg sync.WaitGroup
			for range 3 {
				m := w.replica(w.options)
				for range 2 {
					wg.Go(func() {
						if _, err := m.Login(w.Context(), w.iss, session.KindLogin, g); err == nil {
							passed.Add(1)
						}
					})
				}
			}
			wg.Wait()
			if n := passed.Load(); n != 1 {
				t.Errorf("%s: %d of 6 logins passed; want 1", name, n)
			}
		})
	}
}

func TestFifthAnswerMayBeRightSixthMayNot(t *testing.T) {
	half(t, func(w *twice) {
		for range session.MaxWrong - 1 {
			w.fails(answered("app", code("ftm", "000000")))
		}
		w.passes(answered("app", code("ftm", appCode(0))))
		w.fails(answered("app", code("ftm", "000000")))
		sleep(30 * time.Second)
		w.fails(answered("app", code("ftm", appCode(0)))) // the sixth, and right
		if got := w.asked("app"); got.Method != "ftm" {
			t.Errorf("challenge = %+v", got)
		}
		w.fails(answered("app", code("ftm", appCode(0)))) // a new challenge lifts nothing
		sleep(session.ChallengeLife - 30*time.Second - time.Millisecond)
		w.fails(answered("app", code("ftm", appCode(0))))
		sleep(time.Millisecond)
		w.passes(answered("app", code("ftm", appCode(0))))
	})
}

func TestWrongAnswersKillSentCodesAndPushes(t *testing.T) {
	half(t, func(w *twice) {
		w.asked("text")
		for range session.MaxWrong {
			w.fails(answered("text", code("sms", "00000000x")))
		}
		w.fails(answered("text", code("sms", w.factors.last())))
		_, err := w.try(grant("text", "right"))
		w.refused(err, token.Throttled)
	})
	half(t, func(w *twice) {
		right := w.approved("push")
		for range session.MaxWrong {
			w.fails(answered("push", token.Factor{Method: "ftm-push", Session: right.Factor.Session, Response: token.NewSecret("AAAAAAAAAAAAAAAAAAAA")}))
		}
		w.fails(right)
		if c, err := w.m.Poll(w.Context(), w.iss, right.Factor.Session); err != nil || c.Status != "closed" {
			t.Errorf("Poll = %+v, %v; want it closed", c, err)
		}
	})
}

func TestWrongAnswersCountAsFailedLogins(t *testing.T) {
	half(t, func(w *twice) {
		for range 10 {
			w.fails(answered("app", code("ftm", "000000")))
		}
		_, err := w.try(grant("app", "right"))
		w.refused(err, token.Throttled)
	})
}

func TestSentCodeLivesFiveMinutes(t *testing.T) {
	for wait, want := range map[time.Duration]bool{session.ChallengeLife - time.Millisecond: true, session.ChallengeLife: false} {
		half(t, func(w *twice) {
			w.asked("text")
			sleep(wait)
			_, err := w.try(answered("text", code("sms", w.factors.last())))
			if (err == nil) != want {
				t.Errorf("after %v: %v; want it right: %v", wait, err, want)
			}
		})
	}
}

func TestTwoStepsOffIsRefused(t *testing.T) {
	for d, want := range map[time.Duration]bool{-60 * time.Second: false, -30 * time.Second: true, 30 * time.Second: true, 60 * time.Second: false} {
		half(t, func(w *twice) {
			_, err := w.try(answered("app", code("ftm", appCode(d))))
			if (err == nil) != want {
				t.Errorf("code of %v: %v; want it right: %v", d, err, want)
			}
		})
	}
}

// A code of the step before one that was used is refused, as after a clock that
// jumped ahead and back.
func TestOlderStepAfterANewerOneIsRefused(t *testing.T) {
	half(t, func(w *twice) {
		w.passes(answered("app", code("ftm", appCode(30*time.Second))))
		w.fails(answered("app", code("ftm", appCode(0))))
		sleep(60 * time.Second)
		w.passes(answered("app", code("ftm", appCode(0))))
	})
}

func TestHalfAProofOpensNothing(t *testing.T) {
	half(t, func(w *twice) {
		c := w.asked("push")
		_, err := w.m.Login(w.Context(), w.iss, session.KindPortal, grant("app", "right"))
		e, ok := errors.AsType[*token.Error](err)
		if !ok || e.Challenge == nil || e.Challenge.Ticket.IsZero() {
			t.Fatalf("Login = %v; want a ticket", err)
		}
		for _, junk := range []token.Secret{token.NewSecret(c.Session), e.Challenge.Ticket} {
			before := w.store.Calls()
			_, err := w.check(w.m, junk)
			w.refused(err, token.InvalidAccess)
			_, err = w.refresh(junk)
			w.refused(err, token.InvalidRefresh)
			if n := w.store.Calls() - before; n != 0 {
				t.Errorf("junk cost %d calls to the store; want 0", n)
			}
		}
	})
}

func TestAPITokenHasTheProofOfItsMaker(t *testing.T) {
	half(t, func(w *twice) {
		s := w.passes(answered("app", code("ftm", appCode(0))))
		made, err := w.m.CreateAPIToken(w.Context(), w.iss, s, token.APITokenRequest{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.m.CheckAPIToken(w.Context(), []*session.Issuer{w.iss}, made.Text)
		if err != nil || !slices.Equal(got.AMR, s.AMR) {
			t.Errorf("session = %+v, %v; want amr %v", got, err, s.AMR)
		}
	})
}

func TestCodesAreSentSeldom(t *testing.T) {
	half(t, func(w *twice) {
		w.asked("text")
		first := w.factors.last()
		sleep(session.SendGap - time.Millisecond)
		w.asked("text")
		if n := len(w.factors.sent); n != 1 {
			t.Fatalf("%d codes within the gap; want the first to stand", n)
		}
		sleep(time.Millisecond)
		w.asked("text")
		w.fails(answered("text", code("sms", first)))
		for range session.MaxSends - 2 {
			sleep(session.SendGap)
			w.asked("text")
		}
		sleep(session.SendGap)
		_, err := w.try(grant("text", "right"))
		w.refused(err, token.Throttled)
		if n := len(w.factors.sent); n != session.MaxSends {
			t.Errorf("%d codes; want %d", n, session.MaxSends)
		}
		w.passes(answered("text", code("sms", w.factors.last())))
		sleep(session.SendWindow)
		w.asked("text")
	})
}

func TestCodeThatCannotBeSentIsNoCode(t *testing.T) {
	half(t, func(w *twice) {
		w.factors.down = true
		_, err := w.try(grant("text", "right"))
		w.refused(err, token.Unavailable)
		w.factors.down = false
		_, err = w.try(grant("text", "right"))
		w.refused(err, token.Throttled)
		sleep(session.SendGap)
		w.asked("text")
	})
}

func TestStoreThatCannotBeAskedIsNoNo(t *testing.T) {
	half(t, func(w *twice) {
		g := w.approved("push")
		w.store.SetDown(true)
		_, err := w.m.Poll(w.Context(), w.iss, g.Factor.Session)
		w.refused(err, token.Unavailable)
		w.refused(w.m.ApproveChallenge(w.Context(), g.Factor.Session), token.Unavailable)
		_, err = w.m.PendingChallenges(w.Context())
		w.refused(err, token.Unavailable)
		_, err = w.try(g)
		w.refused(err, token.Unavailable)
		w.store.SetDown(false)
		sleep(time.Second)
		w.passes(g) // nothing was used up
	})
}

func TestSecretsRollWhileAChallengeIsOpen(t *testing.T) {
	half(t, func(w *twice) {
		g := w.approved("push")
		w.asked("text")
		keys, err := seal.New([]token.Secret{token.NewSecret(strings.Repeat("n", seal.MinSecret)), secret})
		if err != nil {
			t.Fatal(err)
		}
		w.m = w.replica(func(o *session.Options) { w.options(o); o.Keyring = keys })
		w.passes(g)
		w.passes(answered("text", code("sms", w.factors.last())))
	})
}

// keeping notes what the store is given to keep.
type keeping struct {
	session.Tries
	session.Pushes
	kept []string
}

func (k *keeping) IssueCode(ctx context.Context, a session.Attempt, c session.IssuedCode) (session.Issue, error) {
	k.kept = append(k.kept, fmt.Sprintf("%+v", c))
	return k.Tries.IssueCode(ctx, a, c)
}

func (k *keeping) OpenPush(ctx context.Context, a session.Attempt, p session.Push, life time.Duration) (time.Duration, error) {
	k.kept = append(k.kept, fmt.Sprintf("%+v", p))
	return k.Pushes.OpenPush(ctx, a, p, life)
}

func TestStoreIsGivenNothingUsable(t *testing.T) {
	half(t, func(w *twice) {
		k := &keeping{Tries: w.store, Pushes: w.store}
		w.m = w.replica(func(o *session.Options) { w.options(o); o.Tries, o.Pushes = k, k })
		w.asked("text")
		push := w.approved("push").Factor
		for _, secret := range []string{w.factors.last(), push.Session, push.Response.Reveal()} {
			for _, kept := range k.kept {
				if strings.Contains(kept, secret) {
					t.Errorf("the store is given %q in %s", secret, kept)
				}
			}
		}
		if len(k.kept) != 2 {
			t.Errorf("the store was given %d things; want the code and the push", len(k.kept))
		}
	})
}
