package upstream_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

func newAskingOwn(t *testing.T, challenge map[string]string) (*asking, *world) {
	t.Helper()
	return newAsking(t, challenge, "", passThrough)
}

func aliceWith(f *token.Factor) token.Grant {
	return token.Grant{
		Op: token.OpLogin, Username: "alice", Password: token.NewSecret("alicepass"),
		Client: &token.Client{ID: "script", Secret: token.NewSecret("of the gateway's")}, Factor: f,
	}
}

// asked wants a login to be answered by a challenge, which it returns.
func (w *world) asked(t *testing.T, g token.Grant) token.Challenge {
	t.Helper()
	_, err := w.Verify(t.Context(), token.NewSID(), g)
	e := wantKind(t, err, token.FactorNeeded)
	if e.Challenge == nil {
		t.Fatal("no challenge")
	}
	return *e.Challenge
}

func answerTo(c token.Challenge, method, response string) *token.Factor {
	return &token.Factor{Challenge: c.Challenge, Method: method, Session: c.Session, Response: token.NewSecret(response)}
}

// Whatever a backend asks for reaches the client, except for the backend's own
// name of it.
func TestChallengeIsPassedOn(t *testing.T) {
	for name, asked := range map[string]map[string]string{
		"a push":             asks("ftm-push", "480dccc0f6bf4ed69ba484320ef92781"),
		"a code":             asks("sms", ""),
		"RADIUS":             {"challenge": "radius", "method": "", "status": "more", "session": "x y"},
		"something made up":  {"challenge": "ünknown", "method": "<m>", "status": "?"},
		"with a response":    {"challenge": "otp", "method": "ftm", "status": "pending", "challenge_response": "of no use"},
		"a very long method": {"challenge": "otp", "method": strings.Repeat("m", 4096), "status": "pending"},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			a, w := newAskingOwn(t, asked)
			c := w.asked(t, aliceWith(nil))
			if c.Challenge != asked["challenge"] || c.Method != asked["method"] || c.Status != asked["status"] || !c.Response.IsZero() {
				t.Errorf("challenge = %+v; want %v", c, asked)
			}
			if (c.Session == "") != (asked["session"] == "") || c.Session != "" && (len(c.Session) != 32 || c.Session == asked["session"]) {
				t.Errorf("session = %q; want one of ours if there is one", c.Session)
			}
			a.want(t, "login")
			if !w.notes.has("login factor_needed") {
				t.Errorf("recorded: %q", w.notes.all)
			}
			for _, text := range w.store.Dump() {
				if s := asked["session"]; s != "" && strings.Contains(text, s) || c.Session != "" && strings.Contains(text, c.Session) {
					t.Errorf("the store holds a name of the challenge: %q", text)
				}
			}
		}))
	}
}

func TestAnswerAndPollGoToTheBackend(t *testing.T) {
	inBubble(func(t *testing.T) {
		a, w := newAskingOwn(t, asks("ftm-push", "theirs"))
		a.polled = approvedAt(2)
		c := w.asked(t, aliceWith(nil))
		other := upstream.New(w.config) // any gateway will do
		for _, want := range []string{"pending", "success"} {
			p, err := other.Poll(t.Context(), c.Session)
			if err != nil || p.Status != want || p.Session != c.Session {
				t.Fatalf("Poll = %+v, %v; want %s under our name", p, err, want)
			}
			if want == "success" {
				c.Response = p.Response
			}
		}
		sid := token.NewSID()
		id, err := other.Verify(t.Context(), sid, aliceWith(answerTo(c, "ftm-push", c.Response.Reveal())))
		if err != nil || id.Name != "alice" {
			t.Fatalf("Verify = %+v, %v", id, err)
		}
		a.want(t, "login", "poll theirs", "poll theirs", "answer ftm-push theirs YES")
		w.store.OpenSession(sid, time.Hour)
		w.wantGet(t, as(sid), 200)
		if err := other.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		// It is met: nothing more can be asked about it.
		_, err = w.Poll(t.Context(), c.Session)
		wantKind(t, err, token.NotFound)
	})(t)
}

func TestAnswerWithoutASessionGoesToTheBackend(t *testing.T) {
	inBubble(func(t *testing.T) {
		a, w := newAskingOwn(t, asks("ftm-push", "theirs"))
		c := w.asked(t, aliceWith(nil))
		c.Session = ""
		if _, err := w.Verify(t.Context(), token.NewSID(), aliceWith(answerTo(c, "ftm", "123456"))); err != nil {
			t.Fatal(err)
		}
		a.want(t, "login", "answer ftm  123456")
	})(t)
}

// A name of ours is good for one user of one client at one backend, and for five
// minutes. The backend's own is good for nothing.
func TestNameOfAChallengeIsOfOneUser(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*token.Grant, *upstream.Config)
		after  time.Duration
		good   bool
	}{
		"himself":          {func(*token.Grant, *upstream.Config) {}, 5*time.Minute - 1, true},
		"too late":         {func(*token.Grant, *upstream.Config) {}, 5 * time.Minute, false},
		"another user":     {func(g *token.Grant, _ *upstream.Config) { g.Username = "bob" }, 0, false},
		"another realm":    {func(g *token.Grant, _ *upstream.Config) { g.Realm = "corp" }, 0, false},
		"another client":   {func(g *token.Grant, _ *upstream.Config) { g.Client = &token.Client{ID: "other"} }, 0, false},
		"no client":        {func(g *token.Grant, _ *upstream.Config) { g.Client = nil }, 0, false},
		"another backend":  {func(_ *token.Grant, c *upstream.Config) { c.Name = "another" }, 0, false},
		"the backend's":    {func(g *token.Grant, _ *upstream.Config) { g.Factor.Session = "theirs" }, 0, false},
		"one digit off":    {func(g *token.Grant, _ *upstream.Config) { g.Factor.Session = flip(g.Factor.Session) }, 0, false},
		"in upper case":    {func(g *token.Grant, _ *upstream.Config) { g.Factor.Session = "A" + g.Factor.Session[1:] }, 0, false},
		"a bit more of it": {func(g *token.Grant, _ *upstream.Config) { g.Factor.Session += "00" }, 0, false},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			a, w := newAskingOwn(t, asks("ftm-push", "theirs"))
			g := aliceWith(answerTo(w.asked(t, aliceWith(nil)), "ftm-push", "YES"))
			tt.change(&g, &w.config)
			advance(tt.after)
			again := upstream.New(w.config)
			_, err := again.Verify(t.Context(), token.NewSID(), g)
			if tt.good {
				if err != nil {
					t.Errorf("Verify = %v; want success", err)
				}
				a.want(t, "login", "answer ftm-push theirs YES")
			} else {
				wantKind(t, err, token.BadCredentials)
				a.want(t, "login") // it is not asked
			}
			if err := again.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		}))
	}
}

func flip(s string) string {
	last := byte('0')
	if s[len(s)-1] == '0' {
		last = '1'
	}
	return s[:len(s)-1] + string(last)
}

// Junk costs no call to the store, nor to the backend.
func TestJunkNameOfAChallengeAsksNobody(t *testing.T) {
	inBubble(func(t *testing.T) {
		a, w := newAskingOwn(t, asks("ftm-push", "theirs"))
		c := w.asked(t, aliceWith(nil))
		w.store.Break("Find", errors.New("the store is gone"))
		for _, session := range []string{"", "x", "theirs", strings.Repeat("0", 32), flip(c.Session), strings.Repeat("f", 1<<16)} {
			_, err := w.Poll(t.Context(), session)
			wantKind(t, err, token.NotFound)
		}
		_, err := w.Poll(t.Context(), c.Session)
		wantKind(t, err, token.Unavailable)
		_, err = w.Verify(t.Context(), token.NewSID(), aliceWith(answerTo(c, "ftm-push", "YES")))
		wantKind(t, err, token.Unavailable)
		w.store.Break("Keep", errors.New("the store is gone"))
		_, err = w.Verify(t.Context(), token.NewSID(), aliceWith(nil))
		wantKind(t, err, token.Unavailable)
		a.want(t, "login", "login")
	})(t)
}

func TestPollThatTheBackendDoesNotAnswer(t *testing.T) {
	for status, want := range map[int]token.Kind{404: token.NotFound, 400: token.NotFound, 401: token.NotFound, 503: token.Unavailable, 302: token.Unavailable} {
		inBubble(func(t *testing.T) {
			a, w := newAskingOwn(t, asks("ftm-push", "theirs"))
			a.polled = func(int) (int, string) { return status, "{}" }
			_, err := w.Poll(t.Context(), w.asked(t, aliceWith(nil)).Session)
			wantKind(t, err, want)
		})(t)
	}
	inBubble(func(t *testing.T) {
		_, w := newAskingOwn(t, asks("ftm-push", "theirs"))
		c := w.asked(t, aliceWith(nil))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.Poll(ctx, c.Session); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Poll of one who is gone = %v", err)
		}
	})(t)
}

// A wrong answer does not stop the right one; the same wrong one is sent twice
// at most, and a challenge stands until it is met.
func TestWrongAnswersDoNotLockTheUserOut(t *testing.T) {
	inBubble(func(t *testing.T) {
		a, w := newAskingOwn(t, asks("ftm", "theirs"))
		a.judge = func(body map[string]string) bool { return body["challenge_response"] == "right" }
		c := w.asked(t, aliceWith(nil))
		for _, code := range []string{"wrong1", "wrong2", "wrong3", "wrong3", "wrong3"} {
			_, err := w.Verify(t.Context(), token.NewSID(), aliceWith(answerTo(c, "ftm", code)))
			wantKind(t, err, token.BadCredentials)
		}
		a.want(t, "login", "answer ftm theirs wrong1", "answer ftm theirs wrong2", "answer ftm theirs wrong3", "answer ftm theirs wrong3")
		w.asked(t, aliceWith(nil))
		if _, err := w.Verify(t.Context(), token.NewSID(), aliceWith(answerTo(c, "ftm", "right"))); err != nil {
			t.Errorf("the right answer: %v", err)
		}
	})(t)
}

// A challenge says that the password is right, so it can be had any number of
// times.
func TestChallengesAreNoFailures(t *testing.T) {
	inBubble(func(t *testing.T) {
		a, w := newAskingOwn(t, asks("ftm", ""))
		for range 5 {
			w.asked(t, aliceWith(nil))
		}
		a.want(t, "login", "login", "login", "login", "login")
	})(t)
}

// Where the backend knows no second factors, an answer is nothing to it, and
// does not have a refused password sent again.
func TestAnswerToABackendThatNeverAsks(t *testing.T) {
	inBubble(func(t *testing.T) {
		w := newWorld(t, passThrough)
		g := aliceWith(nil)
		g.Password = token.NewSecret("wrong")
		for _, code := range []string{"1", "2", "3", "4"} {
			g.Factor = &token.Factor{Challenge: "otp", Method: "ftm", Session: "x", Response: token.NewSecret(code)}
			_, err := w.Verify(t.Context(), token.NewSID(), g)
			wantKind(t, err, token.BadCredentials)
		}
		if got := w.fabric.Count("rejected"); got != 2 {
			t.Errorf("the backend was asked %d times; want 2", got)
		}
		_, err := w.Poll(t.Context(), "x")
		wantKind(t, err, token.NotFound)
	})(t)
}
