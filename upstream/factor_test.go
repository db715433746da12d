package upstream_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/demo"
	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

const testSeed = "JBSWY3DPEHPK3PXP"

// asking is an OAuth server that asks for a second factor.
type asking struct {
	mu     sync.Mutex
	asks   map[string]string                         // the challenge; nil: none
	polled func(n int) (status int, answer string)   // the answer to a poll; n counts from 1
	judge  func(body map[string]string) (right bool) // of an answer; nil: all are right
	calls  []string                                  // login, poll <session>, answer <method> <session> <response>, call
	polls  int
	voided bool // the next call is refused
}

func (a *asking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	note := func(call ...string) {
		a.calls = append(a.calls, strings.Join(call, " "))
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/pushpoll/"):
		a.polls++
		note("poll", r.URL.Query().Get("s"))
		status, answer := a.polled(a.polls)
		says(status, "application/json", answer).ServeHTTP(w, r)
	case strings.HasSuffix(r.URL.Path, "/revoke_token/"):
		note("revoke")
	case strings.HasSuffix(r.URL.Path, "/userinfo/"):
		says(200, "application/json", `{"sub":"7","username":"alice"}`).ServeHTTP(w, r)
	case !strings.HasSuffix(r.URL.Path, "/oauth/token/"):
		note("call")
		if r.Header.Get("Authorization") != "Bearer AT" || a.voided {
			a.voided = false
			w.WriteHeader(http.StatusUnauthorized)
		}
	default:
		b, _ := io.ReadAll(r.Body)
		body := map[string]string{}
		_ = json.Unmarshal(b, &body)
		a.token(w, r, body, note)
	}
}

func (a *asking) token(w http.ResponseWriter, r *http.Request, body map[string]string, note func(...string)) {
	good := a.asks == nil
	if body["grant_type"] == "refresh_token" {
		note("refresh")
		says(400, "application/json", `{"error":"invalid_grant"}`).ServeHTTP(w, r)
		return
	}
	if body["challenge_response"] == "" {
		note("login")
	} else {
		note("answer", body["method"], body["session"], body["challenge_response"])
		good = a.asks == nil || body["challenge"] == a.asks["challenge"] && (a.judge == nil || a.judge(body))
		if !good {
			says(401, "application/json", `{"error":"invalid_grant"}`).ServeHTTP(w, r)
			return
		}
	}
	if good {
		says(200, "application/json", `{"access_token":"AT","refresh_token":"RT","expires_in":0,"scope":"read","status":"success","token_type":"Bearer"}`).ServeHTTP(w, r)
		return
	}
	b, _ := json.Marshal(a.asks)
	says(406, "application/json", string(b)).ServeHTTP(w, r)
}

// want wants exactly these calls since it was last asked.
func (a *asking) want(t *testing.T, calls ...string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Equal(a.calls, calls) {
		t.Errorf("calls = %q; want %q", a.calls, calls)
	}
	a.calls = nil
}

func (a *asking) void() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.voided = true
}

func (a *asking) setPolled(polled func(int) (int, string)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.polled, a.polls = polled, 0
}

func (a *asking) count(call string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.calls {
		if strings.HasPrefix(c, call) {
			n++
		}
	}
	return n
}

func asks(method, session string) map[string]string {
	c := map[string]string{"challenge": "otp", "method": method, "status": "pending"}
	if session != "" {
		c["session"] = session
	}
	return c
}

func newAsking(t *testing.T, challenge map[string]string, seed string, change func(*upstream.Config)) (*asking, *world) {
	t.Helper()
	d, err := dialect.Open("fac-oauth", dialect.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	a := &asking{asks: challenge, polled: pending}
	return a, newWorld(t, func(c *upstream.Config) {
		c.Dialect, c.Transport, c.Client = d, demo.Local{Handler: a}, &token.Client{ID: "gw", Secret: token.NewSecret("gwsecret")}
		c.Account.TOTPSecret = token.NewSecret(seed)
		if change != nil {
			change(c)
		}
	})
}

func pending(int) (int, string) {
	return 200, `{"challenge":"otp","method":"ftm-push","status":"pending"}`
}

func approvedAt(at int) func(int) (int, string) {
	return func(n int) (int, string) {
		if n < at {
			return pending(n)
		}
		return 200, `{"challenge":"otp","method":"ftm-push","status":"success","challenge_response":"YES"}`
	}
}

// codeAt is the code of a moment so long after the bubble's beginning, which is
// that of a time step.
func codeAt(t *testing.T, after time.Duration) string {
	t.Helper()
	seed, err := token.ParseSeed(token.NewSecret(testSeed))
	if err != nil {
		t.Fatal(err)
	}
	return seed.Code(token.StepAt(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(after)), 6).Reveal()
}

func TestAccountAnswersByCode(t *testing.T) {
	for name, tt := range map[string]struct {
		method, session string
		want            string // method and session of the answer
	}{
		"an app":                  {"ftm", "", "ftm "},
		"a key fob":               {"ftk", "", "ftk "},
		"an app, with a session":  {"ftm", "S", "ftm S"},
		"a push, which is spared": {"ftm-push", "S", "ftm "},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			a, w := newAsking(t, asks(tt.method, tt.session), testSeed, nil)
			w.wantGet(t, anyone, 200)
			a.want(t, "login", "answer "+tt.want+" "+codeAt(t, 0), "call")
			if !w.notes.has("login ok") {
				t.Error("the login was not recorded as ok")
			}
		}))
	}
}

// A code that is about to end might be over when it arrives.
func TestCodeHasTwoSecondsToLive(t *testing.T) {
	for into, want := range map[time.Duration]time.Duration{28 * time.Second: 0, 28*time.Second + 1: 30 * time.Second} {
		t.Run(into.String(), inBubble(func(t *testing.T) {
			a, w := newAsking(t, asks("ftm", ""), testSeed, nil)
			advance(into)
			began := time.Now()
			w.wantGet(t, anyone, 200)
			a.want(t, "login", "answer ftm  "+codeAt(t, want), "call")
			if took := time.Since(began); took != max(0, want-into) {
				t.Errorf("the login took %v; want %v", took, max(0, want-into))
			}
		}))
	}
}

// A refused code is not sent again: the next one is, once, and then no more.
func TestRefusedCodeIsFollowedByTheNext(t *testing.T) {
	t.Run("which is right", inBubble(func(t *testing.T) {
		a, w := newAsking(t, asks("ftm", ""), testSeed, nil)
		a.judge = func(body map[string]string) bool { return body["challenge_response"] == codeAt(t, 30*time.Second) }
		w.wantKind(t, anyone, token.Unavailable) // it does not wait for half a minute
		advance(30 * time.Second)
		w.wantGet(t, anyone, 200)
		a.want(t, "login", "answer ftm  "+codeAt(t, 0), "answer ftm  "+codeAt(t, 30*time.Second), "call")
	}))
	t.Run("which is wrong", inBubble(func(t *testing.T) {
		a, w := newAsking(t, asks("ftm", ""), testSeed, nil)
		a.judge = func(map[string]string) bool { return false }
		w.wantKind(t, anyone, token.Unavailable)
		advance(30 * time.Second)
		synctest.Wait()
		for range 5 {
			if e := w.wantKind(t, anyone, token.BadGateway); !strings.Contains(e.Msg, "TOTP secret") {
				t.Errorf("message = %q; want it to name the TOTP secret", e.Msg)
			}
			advance(time.Minute)
		}
		a.want(t, "login", "answer ftm  "+codeAt(t, 0), "answer ftm  "+codeAt(t, 30*time.Second))

		// A corrected seed is tried at once, by a gateway that knows no more.
		a.judge = nil
		w.config.Account.TOTPSecret = token.NewSecret("GEZDGNBVGY3TQOJQ")
		again := &world{Backend: upstream.New(w.config), store: w.store}
		again.wantGet(t, anyone, 200)
	}))
}

// One code serves one login: the backend would refuse it the second time.
func TestNoCodeIsSentTwice(t *testing.T) {
	inBubble(func(t *testing.T) {
		a, w := newAsking(t, asks("ftm", ""), testSeed, nil)
		w.wantGet(t, anyone, 200)
		a.void()
		w.wantKind(t, anyone, token.Unavailable)
		advance(30 * time.Second)
		w.wantGet(t, anyone, 200)
		a.want(t, "login", "answer ftm  "+codeAt(t, 0), "call", "call", "refresh", "login", "answer ftm  "+codeAt(t, 30*time.Second), "call")
	})(t)
}

func TestAccountWaitsForAnApproval(t *testing.T) {
	for name, polled := range map[string]func(int) (int, string){
		"as usual": approvedAt(3),
		"over an outage": func(n int) (int, string) {
			if n == 2 {
				return 503, ""
			}
			return approvedAt(3)(n)
		},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			a, w := newAsking(t, asks("ftm-push", "S"), "", nil)
			a.polled = polled
			began := time.Now()
			w.wantGet(t, anyone, 200)
			a.want(t, "login", "poll S", "poll S", "poll S", "answer ftm-push S YES", "call")
			if took := time.Since(began); took != 4*time.Second {
				t.Errorf("it took %v; want two times two seconds", took)
			}
		}))
	}
}

// An approval is waited for as long as a minute, whoever else waits for it.
func TestApprovalWithinAMinute(t *testing.T) {
	const polls = 31 // one every two seconds, the first and the last too
	t.Run("in the last moment", inBubble(func(t *testing.T) {
		a, w := newAsking(t, asks("ftm-push", "S"), "", nil)
		a.polled = approvedAt(polls)
		if e := w.wantKind(t, anyone, token.Unavailable); e.RetryAfter <= 0 {
			t.Error("no Retry-After")
		}
		advance(time.Minute)
		w.wantGet(t, anyone, 200)
		if n := a.count("poll"); n != polls || a.count("login") != 1 {
			t.Errorf("%d polls and %d logins; want %d and 1", n, a.count("login"), polls)
		}
	}))
	t.Run("too late", inBubble(func(t *testing.T) {
		a, w := newAsking(t, asks("ftm-push", "S"), "", nil)
		a.polled = approvedAt(polls + 1)
		w.wantKind(t, anyone, token.Unavailable)
		advance(time.Minute)
		synctest.Wait()
		e := w.wantKind(t, anyone, token.Unavailable)
		if !strings.Contains(e.Msg, "ftm-push") || e.RetryAfter < 4*time.Minute {
			t.Errorf("message %q, to be tried after %v; want it to name the method, and some minutes", e.Msg, e.RetryAfter)
		}
		advance(3 * time.Minute)
		w.wantKind(t, anyone, token.Unavailable)
		if n := a.count("poll"); n != polls || a.count("login") != 1 {
			t.Errorf("%d polls and %d logins; want %d and 1", n, a.count("login"), polls)
		}
		// Nobody looked at his phone: that is no refusal, so it is asked again.
		a.setPolled(approvedAt(1))
		advance(2 * time.Minute)
		w.wantGet(t, anyone, 200)
	}))
}

func TestOneGatewayAtATimeAsksForApproval(t *testing.T) {
	inBubble(func(t *testing.T) {
		a, w := newAsking(t, asks("ftm-push", "S"), "", nil)
		a.polled = approvedAt(20) // after 38 s
		other := &world{Backend: upstream.New(w.config), store: w.store}
		var all sync.WaitGroup
		for _, one := range []*world{w, other, w, other} {
			all.Go(func() {
				for began := time.Now(); time.Since(began) < 40*time.Second; {
					if status, err := one.get(t, anyone); err == nil && status == 200 {
						return
					}
				}
				t.Error("no answer after the approval")
			})
		}
		all.Wait()
		if a.count("login") != 1 || a.count("answer") != 1 {
			t.Errorf("%d logins, %d answers; want one of each", a.count("login"), a.count("answer"))
		}
	})(t)
}

// A gateway that stops leaves the login to another within seconds.
func TestGatewayThatStopsWaitsForNoApproval(t *testing.T) {
	inBubble(func(t *testing.T) {
		a, w := newAsking(t, asks("ftm-push", "S"), "", nil)
		w.wantKind(t, anyone, token.Unavailable) // after 12 s
		if err := w.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		polls := a.count("poll")
		a.setPolled(approvedAt(1))
		advance(2 * time.Second)
		other := &world{Backend: upstream.New(w.config), store: w.store}
		other.wantGet(t, anyone, 200)
		if a.count("login") != 2 || a.count("poll") != polls+1 {
			t.Errorf("%d logins and %d polls; want 2 and %d", a.count("login"), a.count("poll"), polls+1)
		}
	})(t)
}

func TestApprovalThatIsRefused(t *testing.T) {
	for name, polled := range map[string]func(int) (int, string){
		"denied":             func(int) (int, string) { return 200, `{"challenge":"otp","method":"ftm-push","status":"denied"}` },
		"of an unknown sort": func(int) (int, string) { return 200, `{"challenge":"otp","method":"ftm-push","status":"whatever"}` },
		"without a status":   func(int) (int, string) { return 200, `{"challenge":"otp","method":"ftm-push"}` },
		"without an answer":  func(int) (int, string) { return 200, `{"challenge":"otp","method":"ftm-push","status":"success"}` },
		"not found":          func(int) (int, string) { return 404, "" },
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			a, w := newAsking(t, asks("ftm-push", "S"), "", nil)
			a.polled = polled
			for range 5 {
				if e := w.wantKind(t, anyone, token.BadGateway); !strings.Contains(e.Msg, "not approved") || strings.Contains(e.Msg, "whatever") {
					t.Errorf("message = %q", e.Msg)
				}
				advance(time.Minute)
			}
			a.want(t, "login", "poll S", "login", "poll S")
		}))
	}
}

// What the gateway cannot prove is the operator's to mend, and not asked for
// again and again.
func TestFactorThatCannotBeProved(t *testing.T) {
	for name, tt := range map[string]struct {
		asks       map[string]string
		seed, says string
	}{
		"a code of an app":       {asks("ftm", ""), "", "(ftm). An operator has to configure the account's TOTP secret"},
		"a code that is sent":    {asks("sms", ""), testSeed, "(sms)"},
		"codes both ways":        {asks("dual", ""), "", "(dual)"},
		"RADIUS":                 {map[string]string{"challenge": "radius", "status": "x"}, testSeed, "does not know"},
		"a method made up":       {asks("<b>", ""), testSeed, "does not know"},
		"a push without a name":  {asks("ftm-push", ""), "", "does not know"},
		"a seed that is no seed": {asks("ftm", ""), "JBSWY3DP", "TOTP secret"},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			a, w := newAsking(t, tt.asks, tt.seed, nil)
			for range 5 {
				e := w.wantKind(t, anyone, token.BadGateway)
				if !strings.Contains(e.Msg, tt.says) || strings.Contains(e.Msg, "<b>") {
					t.Errorf("message = %q; want %q in it", e.Msg, tt.says)
				}
				advance(time.Minute)
			}
			a.want(t, "login", "login")
			if !w.notes.has("login factor_needed") || !w.notes.has("login stopped") {
				t.Errorf("recorded: %q", w.notes.all)
			}
		}))
	}
}
