package upstream_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// appDialect is a token API with application tokens and OAuth clients, in which
// 422 is about tokens too.
func appDialect() *dialect.Dialect {
	call := func(op token.Op) dialect.Call {
		return dialect.Call{
			Op: op, Method: http.MethodPost, Paths: []string{"/" + string(op)},
			WriteRequest: func(r *http.Request, g token.Grant) error {
				said := fmt.Sprintf("%s %s %s", g.Username, g.Refresh.Reveal(), g.Access.Reveal())
				if g.Client != nil {
					said += " " + g.Client.ID + ":" + g.Client.Secret.Reveal()
				}
				r.Header.Set("Said", strings.Join(strings.Fields(said), " "))
				return nil
			},
			ReadResponse: func(r *http.Response) (token.Set, error) {
				b, err := io.ReadAll(r.Body)
				access, refresh, _ := strings.Cut(string(b), " ")
				set := token.Set{Access: token.NewSecret(access), Refresh: token.NewSecret(refresh), ExpiresIn: time.Hour}
				if refresh == "" {
					set.ExpiresIn = 0
				}
				return set, err
			},
		}
	}
	return &dialect.Dialect{
		Name: "app", Profile: "1",
		Calls:    []dialect.Call{call(token.OpLogin), call(token.OpRefresh), call(token.OpApplicationToken), call(token.OpRevoke)},
		Carriers: []dialect.Carried{{Carrier: dialect.Bearer{}, Use: dialect.UseAccess}},
		Errors: dialect.Errors{
			Read: func(status int, _ http.Header, body []byte) *token.Error {
				if string(body) == "expired" {
					return token.Fail(token.ExpiredAccess, "", nil)
				}
				if status >= 500 {
					return token.Fail(token.Unavailable, "", nil)
				}
				return token.Fail(token.BadGateway, "", nil)
			},
			MayExpire: func(status int) bool { return status == 401 || status == 422 },
		},
	}
}

// appWorld plays its backend: answer gives status and body for a call.
func appWorld(t *testing.T, account upstream.Account, client *token.Client, answer func(call string) (int, string)) (w *world, calls func() string) {
	var mu sync.Mutex
	var list []string
	account.Username, account.Password = "svc", token.NewSecret("svcpass")
	w = newWorld(t, func(c *upstream.Config) {
		c.Dialect, c.Account, c.Client = appDialect(), &account, client
		c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			call := strings.TrimSpace(r.URL.Path[1:] + " " + r.Header.Get("Said"))
			if bearer := r.Header.Get("Authorization"); bearer != "" {
				call = "call " + strings.TrimPrefix(bearer, "Bearer ")
			}
			mu.Lock()
			defer mu.Unlock()
			list = append(list, call)
			status, body := answer(call)
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		})
	})
	return w, func() string {
		mu.Lock()
		defer mu.Unlock()
		defer func() { list = nil }()
		return strings.Join(list, ", ")
	}
}

func wantCalled(t *testing.T, got func() string, want string) {
	t.Helper()
	if calls := got(); calls != want {
		t.Errorf("calls = %s; want %s", calls, want)
	}
}

// minting answers the token calls with tokens that count up, and everything else
// with success.
func minting() func(call string) (int, string) {
	n := 0
	return func(call string) (int, string) {
		switch what, _, _ := strings.Cut(call, " "); what {
		case "login", "refresh":
			n++
			return 200, fmt.Sprintf("A%d R%d", n, n)
		case "application_token":
			n++
			return 200, fmt.Sprintf("APP%d", n)
		}
		return 200, ""
	}
}

func TestApplicationTokenServesForYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, calls := appWorld(t, upstream.Account{ApplicationToken: true}, nil, minting())
		w.wantGet(t, anyone, 200)
		wantCalled(t, calls, "login svc, application_token R1, call APP2")
		again := &world{Backend: upstream.New(w.config)}
		again.wantGet(t, anyone, 200)
		wantCalled(t, calls, "call APP2")
		w.store.Clear() // as a store does that keeps an unused record for 400 days
		advance(10 * 365 * 24 * time.Hour)
		w.wantGet(t, anyone, 200)
		again.wantGet(t, anyone, 200)
		wantCalled(t, calls, "call APP2, call APP2")
	})
}

func TestTokenThatNeverExpiresIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, calls := appWorld(t, upstream.Account{}, nil, func(call string) (int, string) {
			if strings.HasPrefix(call, "login") {
				return 200, "FOREVER"
			}
			return 200, ""
		})
		for range 10 {
			w.wantGet(t, anyone, 200)
			advance(365 * 24 * time.Hour)
		}
		wantCalled(t, calls, "login svc"+strings.Repeat(", call FOREVER", 10))
	})
}

func TestRefusedApplicationTokenIsReplacedOnce(t *testing.T) {
	for _, status := range []int{401, 422} {
		t.Run(fmt.Sprint(status), inBubble(func(t *testing.T) {
			mint := minting()
			refuse := ""
			w, calls := appWorld(t, upstream.Account{ApplicationToken: true}, nil, func(call string) (int, string) {
				if refuse != "" && strings.HasPrefix(call, refuse) {
					return status, "expired"
				}
				return mint(call)
			})
			w.wantGet(t, anyone, 200)
			refuse = "call APP2"
			w.wantGet(t, anyone, 200)
			wantCalled(t, calls, "login svc, application_token R1, call APP2, call APP2, login svc, application_token R3, call APP4")
			refuse = "call"
			advance(time.Minute)
			for range 5 {
				w.wantGet(t, anyone, status)
			}
			// APP4 was taken before: it is replaced once, and APP6 is refused on its first use.
			wantCalled(t, calls, "call APP4, login svc, application_token R5, call APP6, call APP6, call APP6, call APP6, call APP6")
		}))
	}
}

func TestRefusalToGiveAnApplicationToken(t *testing.T) {
	for _, tt := range []struct {
		status  int
		want    token.Kind
		outcome string
	}{
		{403, token.BadGateway, "login misconfigured"},
		{422, token.BadGateway, "login misconfigured"},
		{404, token.BadGateway, "login misconfigured"},
		{503, token.Unavailable, "login unavailable"},
		{429, token.Unavailable, "login unavailable"},
	} {
		t.Run(fmt.Sprint(tt.status), inBubble(func(t *testing.T) {
			mint := minting()
			w, calls := appWorld(t, upstream.Account{ApplicationToken: true}, nil, func(call string) (int, string) {
				if strings.HasPrefix(call, "application_token") {
					return tt.status, ""
				}
				return mint(call)
			})
			for range 4 {
				w.wantKind(t, anyone, tt.want)
			}
			wantCalled(t, calls, "login svc, application_token R1")
			for range 4 { // the password was right: it is tried again
				advance(6 * time.Minute)
				w.wantKind(t, anyone, tt.want)
			}
			if got := calls(); strings.Count(got, "login") != 4 {
				t.Errorf("calls = %s; want a login each time", got)
			}
			if !w.notes.has(tt.outcome) {
				t.Errorf("recorded %q; want %s", w.notes.all, tt.outcome)
			}
		}))
	}
}

func TestClientOfTheAccountProvesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := &token.Client{ID: "gate", Secret: token.NewSecret("sesame")}
		w, calls := appWorld(t, upstream.Account{}, gate, minting())
		w.wantGet(t, anyone, 200)
		advance(55 * time.Minute)
		w.wantGet(t, anyone, 200)
		synctest.Wait()
		wantCalled(t, calls, "login svc gate:sesame, call A1, call A1, refresh R1 A1 gate:sesame")

		// Tokens belong to their client: another one does not use them.
		c := w.config
		c.Client, c.LogoutAtDrain = &token.Client{ID: "another", Secret: gate.Secret}, true
		second := &world{Backend: upstream.New(c)}
		second.wantGet(t, anyone, 200)
		if err := second.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantCalled(t, calls, "login svc another:sesame, call A3, revoke R3 A3 another:sesame")
	})
}

func TestWrongClientSecretStopsUntilItIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, calls := appWorld(t, upstream.Account{}, &token.Client{ID: "gate", Secret: token.NewSecret("wrong")}, func(string) (int, string) { return 401, "" })
		for range 5 {
			w.wantKind(t, anyone, token.BadGateway)
			advance(time.Minute)
		}
		if n := strings.Count(calls(), "login"); n != 2 {
			t.Errorf("logins with a wrong secret = %d; want 2", n)
		}
		c := w.config
		c.Client = &token.Client{ID: "gate", Secret: token.NewSecret("right")}
		again := &world{Backend: upstream.New(c)}
		again.wantKind(t, anyone, token.BadGateway)
		wantCalled(t, calls, "login svc gate:right")
	})
}

// A backend that answers 401 to one call, whatever the token, does not have the
// account renewed as often as that is called.
func TestRefusalInUnknownWordsRenewsOncePerHalfMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd, body := false, ""
		mint := minting()
		w, calls := appWorld(t, upstream.Account{}, nil, func(call string) (int, string) {
			if odd && strings.HasPrefix(call, "call") {
				return 401, body
			}
			return mint(call)
		})
		count := func(calls string) int { return strings.Count(calls, "refresh") }
		for _, tt := range []struct {
			body string
			want int
		}{{"no idea", 1}, {"expired", 9}} {
			body = tt.body
			advance(time.Minute)
			for range 9 { // between others that go well, so that every token was accepted
				odd = false
				w.wantGet(t, anyone, 200)
				odd = true
				w.wantGet(t, anyone, 401)
				advance(3 * time.Second)
			}
			if got := count(calls()); got != tt.want {
				t.Errorf("%q: renewals in 27 s = %d; want %d", tt.body, got, tt.want)
			}
		}
	})
}

func TestUnknownWordsWithAnotherStatusAreRelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mint := minting()
		w, calls := appWorld(t, upstream.Account{}, nil, func(call string) (int, string) {
			if strings.HasPrefix(call, "call") {
				return 422, "a field is missing"
			}
			return mint(call)
		})
		for range 3 {
			w.wantGet(t, anyone, 422)
		}
		wantCalled(t, calls, "login svc, call A1, call A1, call A1")
	})
}
