package upstream_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// says answers every request alike.
func says(status int, contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func jsonSays(status int, code string) http.Handler {
	return says(status, "application/json", `{"code":"`+code+`","message":"the backend's own words"}`)
}

var troubles = map[string]http.Handler{
	"503":             says(503, "text/plain", "x"),
	"500 JSON":        jsonSays(500, "API_INVALID_REFRESH_TOKEN"),
	"429":             jsonSays(429, "API_TOO_MANY_REQUESTS"),
	"HTML 200":        says(200, "text/html", "<html>sign in</html>"),
	"empty 200":       says(200, "application/json", ""),
	"no token":        says(200, "application/json", "{}"),
	"null":            says(200, "application/json", "null"),
	"array":           says(200, "application/json", "[]"),
	"bad JSON":        says(200, "application/json", `{"accessToken":`),
	"too long":        says(200, "application/json", `{"x":"`+strings.Repeat("x", 2<<20)+`"}`),
	"redirect":        http.RedirectHandler("https://elsewhere.example.net/", http.StatusFound),
	"unknown refusal": jsonSays(400, "API_STRANGE"),
}

func TestTransientTroubleKeepsTokens(t *testing.T) {
	for name, h := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.wantGet(t, anyone, 200)
				advance(29*time.Minute + 45*time.Second)
				w.overrideAuth(h)
				w.wantGet(t, anyone, 200) // the old token serves
				advance(20 * time.Second)
				e := w.wantKind(t, anyone, token.Unavailable)
				if strings.Contains(e.Msg, "own words") {
					t.Errorf("the client is told %q; want none of the backend's words", e.Msg)
				}
				w.overrideAuth(nil)
				advance(time.Minute)
				w.wantGet(t, anyone, 200)
				w.wantCounts(t, 1, 1, 0)
			})
		})
	}
}

// overrideAuth has h answer the token calls; nil ends that.
func (w *world) overrideAuth(h http.Handler) {
	if h == nil {
		w.fabric.Override(nil)
		return
	}
	var all http.Handler
	all = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/auth/") {
			h.ServeHTTP(rw, r)
			return
		}
		w.fabric.Override(nil)
		w.fabric.ServeHTTP(rw, r)
		w.fabric.Override(all)
	})
	w.fabric.Override(all)
}

// overrideCalls has h answer everything but the token calls.
func (w *world) overrideCalls(h http.Handler) {
	var all http.Handler
	all = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/auth/") {
			h.ServeHTTP(rw, r)
			return
		}
		w.fabric.Override(nil)
		w.fabric.ServeHTTP(rw, r)
		w.fabric.Override(all)
	})
	w.fabric.Override(all)
}

func TestOutageIsBackedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		advance(time.Hour)
		calls := 0
		var first time.Time
		var late []time.Time
		w.overrideAuth(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			calls++
			if first.IsZero() {
				first = time.Now()
			}
			if time.Since(first) > time.Minute {
				late = append(late, time.Now())
			}
			rw.WriteHeader(http.StatusServiceUnavailable)
		}))
		for range 3000 { // five minutes, ten requests a second
			w.wantKind(t, anyone, token.Unavailable)
			advance(100 * time.Millisecond)
		}
		if calls > 16 || calls < 8 {
			t.Errorf("calls in five minutes of outage = %d; want 8 to 16", calls)
		}
		for i := 2; i < len(late); i++ {
			if gap := late[i].Sub(late[i-2]); gap < time.Minute {
				t.Errorf("three calls within %v; want two a minute at most", gap)
			}
		}
	})
}

func TestRejectedAccountIsNotTriedAThirdTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) { c.Account.Password = token.NewSecret("wrong") })
		for range 600 {
			e := w.wantKind(t, anyone, token.BadGateway)
			if strings.Contains(e.Error(), "wrong") {
				t.Fatalf("the error holds the password: %v", e)
			}
			advance(time.Second)
		}
		if got := w.fabric.Count("rejected"); got != 2 {
			t.Errorf("rejected logins = %d; want 2", got)
		}
		again := &world{Backend: upstream.New(w.config), fabric: w.fabric}
		again.wantKind(t, anyone, token.BadGateway)
		if got := w.fabric.Count("rejected"); got != 2 {
			t.Errorf("rejected logins after a restart = %d; want 2", got)
		}
		c := w.config
		c.Account = &upstream.Account{Username: "svc", Password: token.NewSecret("svcpass")}
		right := &world{Backend: upstream.New(c), fabric: w.fabric}
		advance(time.Minute)
		right.wantGet(t, anyone, 200)
	})
}

func TestLocalAuthOffIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.overrideAuth(jsonSays(403, "API_LOCAL_AUTHENTICATION_DISABLED"))
		for range 300 {
			e := w.wantKind(t, anyone, token.BadGateway)
			if !strings.Contains(e.Msg, "local authentication switched off") {
				t.Fatalf("message = %q; want it named", e.Msg)
			}
			advance(time.Second)
		}
		if !w.notes.has("login local_auth_off") {
			t.Errorf("recorded %q; want local_auth_off", w.notes.all)
		}
		w.overrideAuth(nil)
		advance(time.Minute)
		w.wantGet(t, anyone, 200) // it counts as no rejection
	})
}

func TestDeadRefreshTokenLogsInAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		w.fabric.VoidAccess()
		w.fabric.VoidRefresh()
		w.wantGet(t, anyone, 200)
		w.wantCounts(t, 2, 0, 0)
		if !w.notes.has("renewal dead") || !w.notes.has("replay replayed") {
			t.Errorf("recorded %q; want renewal dead and replay replayed", w.notes.all)
		}
	})
}

func TestUnknownRefusalOfARefreshLogsInOnlyAfterExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		advance(29*time.Minute + 45*time.Second)
		refuse := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/auth/token") {
				jsonSays(401, "API_STRANGE").ServeHTTP(rw, r)
				return
			}
			w.fabric.Override(nil)
			w.fabric.ServeHTTP(rw, r)
		})
		w.overrideAuth(refuse)
		w.wantGet(t, anyone, 200)
		w.wantCounts(t, 1, 0, 0)
		advance(time.Minute)
		w.wantGet(t, anyone, 200)
		w.wantCounts(t, 2, 0, 0)
	})
}

func TestThrottledLoginIsWaitedFor(t *testing.T) {
	for _, tt := range []struct {
		wait  time.Duration
		calls int
		ok    bool
	}{{5 * time.Second, 2, true}, {6 * time.Second, 1, false}} {
		t.Run(tt.wait.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				calls := 0
				w.overrideAuth(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if calls++; calls > 1 {
						w.fabric.Override(nil)
						w.fabric.ServeHTTP(rw, r)
						return
					}
					rw.Header().Set("X-RateLimit-Remaining", "0")
					rw.Header().Set("X-RateLimit-Reset", fmt.Sprint(time.Now().Add(tt.wait).Unix()))
					jsonSays(429, "API_TOO_MANY").ServeHTTP(rw, r)
				}))
				began := time.Now()
				status, err := w.get(t, anyone)
				if waited := time.Since(began); tt.ok && waited < tt.wait-time.Second {
					t.Errorf("waited %v; want until the limit's end in %v", waited, tt.wait)
				}
				if (err == nil) != tt.ok || tt.ok && status != 200 || calls != tt.calls {
					t.Errorf("GET = %d, %v after %d calls; want ok %v after %d", status, err, calls, tt.ok, tt.calls)
				}
				if e := token.KindOf(err); !tt.ok && e != token.Unavailable {
					t.Errorf("kind = %v; want unavailable", e)
				}
			})
		})
	}
}

func TestThrottledCallIsRelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		w.fabric.Override(jsonSays(429, "API_TOO_MANY"))
		w.wantGet(t, anyone, 429)
	})
}

func TestUnusableTokensAreABadAnswer(t *testing.T) {
	for name, access := range map[string]string{"line end": `A\r\nX-Evil: 1`, "blank": "A B", "foreign": "Äccess", "endless": strings.Repeat("x", 20<<10)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *upstream.Config) { c.Dialect = profile(t, "5.0") })
				w.overrideAuth(says(200, "application/json", `{"accessToken":"`+access+`","refreshToken":"R"}`))
				w.wantKind(t, anyone, token.Unavailable)
			})
		})
	}
}

func TestTransportFailuresHaveTheirKinds(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want token.Kind
	}{
		{syscall.ECONNREFUSED, token.BadGateway},
		{io.ErrUnexpectedEOF, token.BadGateway},
		{errors.New("strange"), token.BadGateway},
		{timeout{}, token.GatewayTimeout},
	} {
		w := newWorld(t, func(c *upstream.Config) {
			c.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return nil, tt.err })
			c.Dialect = nil
		})
		e := w.wantKind(t, anyone, tt.want)
		if !errors.Is(e, tt.err) {
			t.Errorf("cause = %v; want %v in it", e, tt.err)
		}
	}
}

type timeout struct{}

func (timeout) Error() string   { return "i/o timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// The appliance is fine once a person has approved the EULA: no password was
// wrong, so nothing stops the logins after that.
func TestLoginThatWaitsForTheEULAIsNotARejection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.overrideAuth(jsonSays(http.StatusForbidden, "API_MISSING_EULA_APPROVAL"))
		for range 4 {
			_ = w.wantKind(t, anyone, token.Unavailable)
			advance(time.Minute)
		}
		w.overrideAuth(nil)
		w.wantGet(t, anyone, 200)
	})
}

// An operator who corrects the password and restarts does not wait for a back
// off that belongs to the wrong one.
func TestCorrectedAccountIsTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) {
			c.Account = &upstream.Account{Username: "svc", Password: token.NewSecret("wrong")}
		})
		_ = w.wantKind(t, anyone, token.BadGateway)
		if got := w.Trouble(); !strings.Contains(got, "account") {
			t.Errorf("Trouble = %q; want that the account is refused", got)
		}
		c := w.config
		c.Account = &upstream.Account{Username: "svc", Password: token.NewSecret("svcpass")}
		restarted := &world{Backend: upstream.New(c), fabric: w.fabric}
		restarted.wantGet(t, anyone, 200)
		if got := restarted.Trouble(); got != "" {
			t.Errorf("Trouble = %q; want none", got)
		}
	})
}
