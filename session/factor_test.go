package session_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// factors is a session.Factors whose app codes are "app" and the time step, as
// they would be at the time of the call.
type factors struct {
	mu      sync.Mutex
	methods map[string][]string // by user name; none: no second factor
	without []string
	sent    []token.Secret
	down    bool
}

func (f *factors) Factor(id string) (methods, without []string) {
	return f.methods[strings.TrimPrefix(id, "id-")], f.without
}

func step(at time.Time) int64 { return at.Unix() / 30 }

func appCode(d time.Duration) string {
	return string(rune('a'+step(time.Now().Add(d))%26)) + time.Unix(30*step(time.Now().Add(d)), 0).UTC().Format("150405")
}

func (f *factors) Step(_, method string, code token.Secret) int64 {
	if method != "ftm" && method != "ftk" {
		return 0
	}
	for _, d := range []time.Duration{0, -30 * time.Second, 30 * time.Second} {
		if code.Reveal() == appCode(d) {
			return step(time.Now().Add(d))
		}
	}
	return 0
}

func (f *factors) Send(_ context.Context, _, _ string, code token.Secret) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return token.Fail(token.Unavailable, "down", nil)
	}
	f.sent = append(f.sent, code)
	return nil
}

// last is the code that was sent last.
func (f *factors) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent[len(f.sent)-1].Reveal()
}

// twice is a world whose users have second factors.
type twice struct {
	*world
	factors *factors
}

func (w *twice) options(o *session.Options) {
	o.Feed, o.Factors, o.Tries, o.Pushes = nil, w.factors, w.store, w.store
}

func half(t *testing.T, test func(*twice)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &twice{factors: &factors{methods: map[string][]string{
			"app": {"ftm", "ftk"}, "text": {"sms", "email"}, "both": {"dual"}, "push": {"ftm-push"}, "push2": {"ftm-push"},
		}}}
		w.world = newWorld(t, nil)
		w.m = w.replica(w.options)
		w.iss.SecondFactor = token.FactorAsked
		test(w)
	})
}

func answered(user string, f token.Factor) token.Grant {
	g := grant(user, "right")
	if f.Challenge == "" {
		f.Challenge = "otp"
	}
	g.Factor = &f
	return g
}

func code(method, text string) token.Factor {
	return token.Factor{Method: method, Response: token.NewSecret(text)}
}

func (w *twice) try(g token.Grant) (token.Set, error) {
	return w.m.Login(w.Context(), w.iss, session.KindLogin, g)
}

// asked logs in by password alone and returns what is asked for.
func (w *twice) asked(user string) token.Challenge {
	w.Helper()
	_, err := w.try(grant(user, "right"))
	e, ok := errors.AsType[*token.Error](err)
	if !ok || e.Kind != token.FactorNeeded || e.Challenge == nil {
		w.Fatalf("Login of %s = %v; want a challenge", user, err)
	}
	return *e.Challenge
}

func (w *twice) passes(g token.Grant) *session.Session {
	w.Helper()
	set, err := w.try(g)
	if err != nil {
		w.Fatalf("Login of %s = %v; want a session", g.Username, err)
	}
	return w.alive(set.Access)
}

func (w *twice) fails(g token.Grant) {
	w.Helper()
	_, err := w.try(g)
	w.refused(err, token.BadCredentials)
}

func TestPasswordAloneIsHalfAProof(t *testing.T) {
	half(t, func(w *twice) {
		for user, want := range map[string]token.Challenge{
			"app":  {Challenge: "otp", Method: "ftm", Status: "pending"},
			"text": {Challenge: "otp", Method: "sms", Status: "pending"},
			"both": {Challenge: "otp", Method: "dual", Status: "pending"},
		} {
			if got := w.asked(user); got != want {
				t.Errorf("challenge of %s = %+v; want %+v", user, got, want)
			}
		}
		if got := w.asked("push"); len(got.Session) != 32 || got.Method != "ftm-push" || got.Status != "pending" {
			t.Errorf("challenge of push = %+v; want a session of 32 hex digits", got)
		}
		w.told("login factor_needed", 4)
		w.told("opened", 0)
		w.passes(grant("alice", "right"))
		w.passes(answered("alice", code("ftm", "123456"))) // who has no second factor is not judged by one
	})
}

func TestWrongPasswordIsToldBeforeAnyFactor(t *testing.T) {
	half(t, func(w *twice) {
		g := answered("text", code("sms", "123"))
		g.Password = token.NewSecret("wrong")
		w.fails(g)
		if len(w.factors.sent) != 0 {
			t.Error("a code was sent to whose password is wrong")
		}
	})
}

func TestRulesOfDialectsThatCannotAsk(t *testing.T) {
	for name, c := range map[string]struct {
		rule    token.FactorRule
		kind    session.Kind
		without []string
		want    token.Kind // Internal: it passes
	}{
		"refused":                      {rule: token.FactorRefused, want: token.FactorNeeded},
		"refused, another one lifted":  {rule: token.FactorRefused, without: []string{"itempath"}, want: token.FactorNeeded},
		"refused, lifted":              {rule: token.FactorRefused, without: []string{"ipfabric"}},
		"skipped":                      {rule: token.FactorSkipped},
		"asked is never lifted":        {rule: token.FactorAsked, without: []string{"ipfabric"}, want: token.FactorNeeded},
		"basic where it is asked":      {rule: token.FactorAsked, kind: session.KindBasic, want: token.FactorNeeded},
		"basic where it is refused":    {rule: token.FactorRefused, kind: session.KindBasic, want: token.FactorNeeded},
		"basic where it is lifted":     {rule: token.FactorRefused, kind: session.KindBasic, without: []string{"ipfabric"}},
		"basic, asked, lifted for all": {rule: token.FactorAsked, kind: session.KindBasic, without: []string{"ipfabric"}},
	} {
		t.Run(name, func(t *testing.T) {
			half(t, func(w *twice) {
				w.iss.SecondFactor, w.factors.without = c.rule, c.without
				var s *session.Session
				var err error
				if c.kind == session.KindBasic {
					s, err = w.m.Basic(w.Context(), w.iss, grant("app", "right"))
				} else {
					var set token.Set
					if set, err = w.try(grant("app", "right")); err == nil {
						s = w.alive(set.Access)
					}
				}
				if c.want != token.Internal {
					w.refused(err, c.want)
					if e, ok := errors.AsType[*token.Error](err); ok && (e.Challenge != nil) != (c.rule == token.FactorAsked && c.kind == "") {
						t.Errorf("challenge = %+v; want one only where it can be answered", e.Challenge)
					}
					return
				}
				if err != nil || !slices.Equal(s.AMR, []string{"pwd"}) {
					t.Errorf("session = %+v, %v; want one with amr pwd", s, err)
				}
			})
		})
	}
}

func TestPassThroughHasNoFactorOfOurs(t *testing.T) {
	half(t, func(w *twice) {
		w.iss.Source, w.iss.SecondFactor = "backend:fabric", token.FactorRefused
		if s := w.passes(grant("app", "right")); !slices.Equal(s.AMR, []string{"pwd"}) {
			t.Errorf("amr = %v; want pwd", s.AMR)
		}
	})
}

func TestAnswersByMethod(t *testing.T) {
	half(t, func(w *twice) {
		s := w.passes(answered("app", code("ftm", appCode(0)))) // with the first call
		if !slices.Equal(s.AMR, []string{"pwd", "otp"}) {
			t.Errorf("amr = %v; want pwd and otp", s.AMR)
		}
		sleep(30 * time.Second)
		w.passes(answered("app", code("ftk", appCode(0))))
		w.asked("text")
		if c := w.factors.last(); len(c) != 8 || strings.Trim(c, "0123456789") != "" {
			t.Errorf("code = %q; want 8 digits", c)
		}
		w.passes(answered("text", code("email", w.factors.last())))
		w.asked("both")
		w.passes(answered("both", code("dual", w.factors.last())))
		got := w.asked("push")
		w.passes(answered("push", code("ftm", appCode(0))))
		if c, err := w.m.Poll(w.Context(), w.iss, got.Session); err != nil || c.Status != "closed" || !c.Response.IsZero() {
			t.Errorf("Poll of a push answered by code = %+v, %v; want it closed", c, err)
		}
		w.told("opened", 5)
	})
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, g := range map[string]func() token.Grant{
		"wrong code":      func() token.Grant { return answered("app", code("ftm", "000000")) },
		"no method":       func() token.Grant { return answered("app", code("", appCode(0))) },
		"method he lacks": func() token.Grant { return answered("text", code("ftm", appCode(0))) },
		"unknown method":  func() token.Grant { return answered("app", code("radius", appCode(0))) },
		"another challenge": func() token.Grant {
			return answered("app", token.Factor{Challenge: "radius", Method: "ftm", Response: token.NewSecret(appCode(0))})
		},
		"spaces alone":           func() token.Grant { return answered("app", code("ftm", "  ")) },
		"65 characters":          func() token.Grant { return answered("app", code("ftm", strings.Repeat("1", 65))) },
		"code that was not sent": func() token.Grant { return answered("text", code("sms", "12345678")) },
		"push without session":   func() token.Grant { return answered("push", code("ftm-push", "AAAAAAAAAAAAAAAAAAAA")) },
		"push he lacks":          func() token.Grant { return answered("app", code("ftm-push", "AAAAAAAAAAAAAAAAAAAA")) },
	} {
		t.Run(name, func(t *testing.T) {
			half(t, func(w *twice) {
				_, err := w.try(g())
				_, plain := w.try(grant("alice", "wrong"))
				if err == nil || plain == nil || err.Error() != plain.Error() {
					t.Errorf("error = %v; want that of a wrong password, %v", err, plain)
				}
				w.told("login bad_credentials", 2)
			})
		})
	}
}

func TestAnswerWithoutTextAsksByItsMethod(t *testing.T) {
	half(t, func(w *twice) {
		_, err := w.try(answered("text", token.Factor{Method: "email"}))
		if e, ok := errors.AsType[*token.Error](err); !ok || e.Challenge == nil || e.Challenge.Method != "email" {
			t.Errorf("error = %v; want a challenge by email", err)
		}
	})
}
