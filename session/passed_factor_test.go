package session_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// stern is the Verifier of a backend that asks for a second factor and takes the
// answer "yes".
type stern struct{ people }

func (v *stern) Verify(ctx context.Context, sid token.SID, g token.Grant) (token.Identity, error) {
	id, err := v.people.Verify(ctx, sid, g)
	switch {
	case err != nil || g.Factor != nil && g.Factor.Response.Reveal() == "yes":
		return id, err
	}
	return token.Identity{}, &token.Error{Kind: token.FactorNeeded, Challenge: &token.Challenge{Challenge: "radius", Method: "x", Session: "known", Status: "?"}}
}

func askedBehind(t *testing.T, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.iss.Source, w.iss.Verifier, w.iss.Backend, w.iss.SecondFactor = "backend:b", &stern{}, &backend{}, token.FactorAsked
		test(w)
	})
}

// A backend's challenge goes on as it is where the caller can answer it; anybody
// else's login fails, without a word of the challenge.
func TestBackendsChallengeIsToldToWhoCanAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		rule token.FactorRule
		kind session.Kind
		told bool
	}{
		"an API that asks":    {token.FactorAsked, session.KindLogin, true},
		"one that cannot":     {token.FactorRefused, session.KindLogin, false},
		"one that never does": {token.FactorSkipped, session.KindLogin, false},
		"the sign-in page":    {token.FactorAsked, session.KindPortal, false},
		"Basic":               {token.FactorAsked, session.KindBasic, false},
	} {
		t.Run(name, func(t *testing.T) {
			askedBehind(t, func(w *world) {
				w.iss.SecondFactor = tt.rule
				var err error
				if tt.kind == session.KindBasic {
					_, err = w.m.Basic(w.Context(), w.iss, grant("alice", "right"))
				} else {
					_, err = w.m.Login(w.Context(), w.iss, tt.kind, grant("alice", "right"))
				}
				e, ok := errors.AsType[*token.Error](err)
				if !ok || e.Kind != token.FactorNeeded || (e.Challenge != nil) != tt.told || !tt.told && e.Msg == "" {
					t.Fatalf("login = %v; want FactorNeeded, with the challenge: %v", err, tt.told)
				}
				if tt.told && (e.Challenge.Challenge != "radius" || e.Challenge.Session != "known" || !e.Challenge.Ticket.IsZero()) {
					t.Errorf("challenge = %+v", e.Challenge)
				}
			})
		})
	}
}

// A challenge alone is no failed login; one that answers an answer, or that
// nobody can answer, is.
func TestFailuresOfABackendsSecondFactorMeetTheThrottle(t *testing.T) {
	no := token.Factor{Challenge: "radius", Response: token.NewSecret("no")}
	for name, tt := range map[string]struct {
		rule  token.FactorRule
		grant token.Grant
		want  token.Kind
	}{
		"asked":            {token.FactorAsked, grant("alice", "right"), token.FactorNeeded},
		"answered wrongly": {token.FactorAsked, answered("alice", no), token.Throttled},
		"cannot answer":    {token.FactorRefused, grant("alice", "right"), token.Throttled},
	} {
		t.Run(name, func(t *testing.T) {
			askedBehind(t, func(w *world) {
				w.iss.SecondFactor = tt.rule
				var err error
				for range 11 { // one more than the throttle lets through
					_, err = w.m.Login(w.Context(), w.iss, session.KindLogin, tt.grant)
				}
				if token.KindOf(err) != tt.want {
					t.Errorf("the 11th login = %v; want %v", err, tt.want)
				}
			})
		})
	}
}

func TestAnswerOpensASessionByPasswordAlone(t *testing.T) {
	askedBehind(t, func(w *world) {
		g := answered("alice", token.Factor{Challenge: "radius", Response: token.NewSecret("yes")})
		set, err := w.m.Login(w.Context(), w.iss, session.KindLogin, g)
		if err != nil {
			t.Fatal(err)
		}
		s, err := w.m.Check(w.Context(), []*session.Issuer{w.iss}, set.Access)
		if err != nil || len(s.AMR) != 1 || s.AMR[0] != "pwd" {
			t.Errorf("Check = %+v, %v; want pwd: only the backend knows whether it has looked at the answer", s, err)
		}
	})
}

func TestPollInPassThroughAsksTheBackend(t *testing.T) {
	askedBehind(t, func(w *world) {
		c, err := w.m.Poll(w.Context(), w.iss, "known")
		if err != nil || c.Challenge != "radius" {
			t.Errorf("Poll = %+v, %v", c, err)
		}
		_, err = w.m.Poll(w.Context(), w.iss, "unknown")
		if err == nil || token.KindOf(err) != token.NotFound {
			t.Errorf("Poll of another = %v; want NotFound", err)
		}
	})
}
