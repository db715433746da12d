package portal

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	signInPath  = DefaultBasePath + "/sign-in"
	signOutPath = DefaultBasePath + "/sign-out"
	dropped     = CookieName + "=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"
)

func TestSignInSetsHostCookieAndReturns(t *testing.T) {
	g := newGate(t)
	res := g.post(t, signInPath, alice("secret"))
	want(t, res, http.StatusSeeOther, "")
	wantHeader(t, res, "Location", "/api/x?y=1")
	wantHeader(t, res, "Cache-Control", "no-store")
	got := res.Header.Values("Set-Cookie")
	if len(got) != 1 {
		t.Fatalf("Set-Cookie = %q; want one", got)
	}
	value, attributes, _ := strings.Cut(got[0], "; ")
	if attributes != "Path=/; HttpOnly; Secure; SameSite=Lax" {
		t.Errorf("attributes = %q", attributes)
	}
	access := strings.TrimPrefix(value, CookieName+"=")
	if res := g.get(t, signInPath, access); res.StatusCode != http.StatusSeeOther {
		t.Errorf("status with the new cookie = %d; want 303", res.StatusCode)
	}
}

func TestLoginKnowsTheCallersAddress(t *testing.T) {
	g := newGate(t, func(o *Options) { o.ClientIP = func(*http.Request) string { return "192.0.2.7" } })
	g.post(t, signInPath, alice("secret"))
	if got := g.sessions.logins[0].Address; got != "192.0.2.7" {
		t.Errorf("Address = %q; want 192.0.2.7", got)
	}
	plain := newGate(t)
	plain.post(t, signInPath, alice("secret"))
	if got := plain.sessions.logins[0].Address; got != "192.0.2.1" { // httptest's
		t.Errorf("Address = %q; want that of the connection", got)
	}
}

func TestSignInEndsTheSessionOfAnEarlierCookie(t *testing.T) {
	g := newGate(t)
	old, access := g.sessions.open()
	res := g.post(t, signInPath, alice("secret"), access)
	want(t, res, http.StatusSeeOther, "")
	if g.sessions.live[old] {
		t.Error("the earlier session lives")
	}
	if len(g.sessions.live) != 1 || strings.Contains(res.Header.Get("Set-Cookie"), access) {
		t.Errorf("the new session is not a new one: %v, %s", g.sessions.live, res.Header.Get("Set-Cookie"))
	}
}

func TestFailedSignInKeepsTheEarlierSession(t *testing.T) {
	g := newGate(t)
	old, access := g.sessions.open()
	res := g.post(t, signInPath, alice("wrong"), access)
	want(t, res, http.StatusUnauthorized, msgWrong)
	if !g.sessions.live[old] || res.Header.Get("Set-Cookie") != "" {
		t.Error("a wrong password touched the earlier session")
	}
}

func TestWrongPasswordKeepsUserNameEscapedAndNeverPassword(t *testing.T) {
	g := newGate(t)
	res := g.post(t, signInPath, url.Values{"username": {`"><script>x`}, "password": {"CANARY-pass"}, "return_to": {"/a"}})
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("status = %d; want 401", res.StatusCode)
	}
	body := text(t, res)
	for _, s := range []string{`value="&#34;&gt;&lt;script&gt;x"`, `value="/a"`, `role="alert"`, `aria-invalid="true"`, msgWrong} {
		if !strings.Contains(body, s) {
			t.Errorf("body lacks %s", s)
		}
	}
	if strings.Contains(body, "CANARY") || strings.Contains(body, "<script") {
		t.Errorf("body shows what it must not:\n%s", body)
	}
}

func TestRefusalsOfEveryCauseReadTheSame(t *testing.T) {
	first := ""
	for _, kind := range []token.Kind{token.BadCredentials, token.Malformed, token.Missing, token.Denied} {
		g := newGate(t)
		g.sessions.deny = token.Fail(kind, "cause "+kind.String(), nil)
		res := g.post(t, signInPath, alice("x"))
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%v: status = %d; want 401", kind, res.StatusCode)
		}
		body := text(t, res)
		if first == "" {
			first = body
		}
		if body != first {
			t.Errorf("%v: body differs from that of a wrong password", kind)
		}
	}
}

func TestLoginFailuresHaveTheirPages(t *testing.T) {
	for _, c := range []struct {
		name   string
		fail   *token.Error
		status int
		says   string
		retry  string
	}{
		{"throttled", &token.Error{Kind: token.Throttled, RetryAfter: 12*time.Minute + time.Millisecond}, 429, "Try again in 13 minutes.", "721"},
		{"throttled for a second", &token.Error{Kind: token.Throttled, RetryAfter: time.Second}, 429, "Try again in 1 second.", "1"},
		{"throttled for 90 seconds", &token.Error{Kind: token.Throttled, RetryAfter: 90 * time.Second}, 429, "Try again in 90 seconds.", "90"},
		{"throttled for 91 seconds", &token.Error{Kind: token.Throttled, RetryAfter: 91 * time.Second}, 429, "Try again in 2 minutes.", "91"},
		{"unavailable", &token.Error{Kind: token.Unavailable, RetryAfter: 3 * time.Second}, 503, msgUnavailable, "3"},
		{"unavailable, not told when", &token.Error{Kind: token.Unavailable}, 503, msgUnavailable, "5"},
		{"backend in trouble", &token.Error{Kind: token.BadGateway}, 503, msgUnavailable, "5"},
		{"passwords off", &token.Error{Kind: token.LocalAuthOff}, 403, msgAuthOff, ""},
		{"a bug", &token.Error{Kind: token.Internal}, 500, msgInternal, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate(t)
			g.sessions.deny = c.fail
			_, access := g.sessions.open()
			res := g.post(t, signInPath, alice("secret"), access)
			want(t, res, c.status, c.says)
			wantHeader(t, res, "Retry-After", c.retry)
			wantHeader(t, res, "Set-Cookie", "")
			if len(g.sessions.ended) != 0 {
				t.Error("a failed sign-in ended a session")
			}
		})
	}
}

func TestPasswordsOffOffersNoForm(t *testing.T) {
	g := newGate(t)
	g.issuer.LocalAuthOff = true
	res := g.get(t, signInPath)
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("status = %d; want 403", res.StatusCode)
	}
	if body := text(t, res); strings.Contains(body, "<form") || !strings.Contains(body, msgAuthOff) {
		t.Errorf("body:\n%s", body)
	}
}

func TestIncompleteFormIsNoAttempt(t *testing.T) {
	for _, fields := range []url.Values{{"username": {"alice"}}, {"password": {"x"}}, {}} {
		g := newGate(t)
		want(t, g.post(t, signInPath, fields), http.StatusBadRequest, msgIncomplete)
		if len(g.sessions.logins) != 0 {
			t.Errorf("%v was tried as a login", fields)
		}
	}
}

func TestFormIsReadFromTheBodyAlone(t *testing.T) {
	g := newGate(t)
	res := g.post(t, signInPath+"?username=alice&password=secret", url.Values{})
	want(t, res, http.StatusBadRequest, msgIncomplete)
}

func TestFormRefusesWhatItCannotRead(t *testing.T) {
	const ours = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, media, body string
		status            int
	}{
		{"with charset", ours + "; charset=utf-8", "username=alice&password=secret", 303},
		{"json", "application/json", `{"username":"alice"}`, 415},
		{"text", "text/plain", "username=alice&password=secret", 415},
		{"no type", "", "username=alice&password=secret", 415},
		{"broken type", ours + "; =", "username=alice&password=secret", 415},
		{"two user names", ours, "username=alice&username=bob&password=secret", 400},
		{"two passwords", ours, "username=alice&password=secret&password=x", 400},
		{"broken escape", ours, "username=alice&password=%zz", 400},
		{"semicolon", ours, "username=alice;password=secret", 400},
		{"64 KiB", ours, "username=alice&password=" + strings.Repeat("x", 64<<10-24), 401},
		{"64 KiB and one", ours, "username=alice&password=" + strings.Repeat("x", 64<<10-23), 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate(t)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, signInPath, strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.media)
			want(t, g.do(r), c.status, "")
		})
	}
	t.Run("coded", func(t *testing.T) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, signInPath, strings.NewReader("username=a&password=b"))
		r.Header.Set("Content-Type", ours)
		r.Header.Set("Content-Encoding", "gzip")
		want(t, newGate(t).do(r), http.StatusUnsupportedMediaType, "")
	})
}

func TestSignedInGoesStraightOn(t *testing.T) {
	g := newGate(t)
	_, access := g.sessions.open()
	res := g.get(t, signInPath+"?return_to=%2Fapi%2Fx", access)
	want(t, res, http.StatusSeeOther, "")
	wantHeader(t, res, "Location", "/api/x")
}

func TestFormCarriesTheReturnPath(t *testing.T) {
	g := newGate(t)
	want(t, g.get(t, signInPath+"?return_to=%2Fapi%2Fx%3Fa%3D1%26b%3D2"), http.StatusOK, `value="/api/x?a=1&amp;b=2"`)
	want(t, g.get(t, signInPath+"?return_to=https%3A%2F%2Fevil.example"), http.StatusOK, `name="return_to" value="/"`)
}

func TestForeignReturnPathInTheFormGoesHome(t *testing.T) {
	g := newGate(t)
	fields := alice("secret")
	fields.Set("return_to", "//evil.example/")
	wantHeader(t, g.post(t, signInPath, fields), "Location", "/")
}

func TestJunkCookieIsAnonymous(t *testing.T) {
	_, good := newSessions().open()
	for _, junk := range []string{"", "x", good, good[:29], good + "A", `"` + good + `"`, strings.Repeat("é", 15), "%00"} {
		res := newGate(t).get(t, signInPath, junk)
		want(t, res, http.StatusOK, "<form")
		wantHeader(t, res, "Set-Cookie", "")
	}
}

func TestTwoDifferentCookiesAreRefusedAndCleared(t *testing.T) {
	g := newGate(t)
	_, a := g.sessions.open()
	_, b := g.sessions.open()
	for name, res := range map[string]*http.Response{
		"two header lines": g.get(t, signInPath, a, b),
		"one header line":  g.get(t, signInPath, a+"; "+CookieName+"="+b),
		"form":             g.post(t, signInPath, alice("secret"), a, b),
	} {
		t.Run(name, func(t *testing.T) {
			want(t, res, http.StatusBadRequest, "two different sign-in cookies")
			wantHeader(t, res, "Set-Cookie", dropped)
		})
	}
	if len(g.sessions.logins) != 0 {
		t.Error("the form was tried as a login")
	}
	want(t, g.get(t, signInPath, a, a), http.StatusSeeOther, "")
}

func TestCookieOfAnotherNameIsNotOurs(t *testing.T) {
	g := newGate(t)
	_, access := g.sessions.open()
	for _, name := range []string{"\t" + CookieName, "\u2000" + CookieName, `"` + CookieName + `"`, "__host-gatehouse", "x" + CookieName, CookieName + " "} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, signInPath, nil)
		r.Header["Cookie"] = []string{"a=b;" + name + "=" + access}
		if res := g.do(r); res.StatusCode != http.StatusOK {
			t.Errorf("%q: status = %d; want 200, the form", name, res.StatusCode)
		}
	}
}

func TestManyCookiesHideNothing(t *testing.T) {
	g := newGate(t)
	_, access := g.sessions.open()
	want(t, g.get(t, signInPath, access+strings.Repeat("; a=b", 3001)), http.StatusSeeOther, "")
}

func TestStoreFailureOnSignInPageKeepsCookie(t *testing.T) {
	g := newGate(t)
	_, access := g.sessions.open()
	g.sessions.down = true
	res := g.get(t, signInPath, access)
	want(t, res, http.StatusServiceUnavailable, "You have not been signed out")
	wantHeader(t, res, "Retry-After", "5")
	wantHeader(t, res, "Set-Cookie", "")
	want(t, g.get(t, signInPath), http.StatusOK, "<form") // nobody has to be asked
}

func TestSignInWorksThoughTheEarlierSessionCannotBeEnded(t *testing.T) {
	fake := newSessions()
	g := newGate(t, func(o *Options) { o.Sessions = endless{fake} })
	_, access := fake.open()
	want(t, g.post(t, signInPath, alice("secret"), access), http.StatusSeeOther, "")
}

// endless cannot end sessions.
type endless struct{ *sessions }

func (endless) End(context.Context, token.SID, string) error { return errDown }

func TestInsecurePageExplainsAndNeverRedirects(t *testing.T) {
	g := newGate(t, func(o *Options) { o.Insecure = func(r *http.Request) bool { return r.TLS == nil } })
	_, access := g.sessions.open()
	for name, res := range map[string]*http.Response{
		"get":  g.get(t, signInPath+"?return_to=%2Fx", access),
		"post": g.post(t, signInPath, alice("secret")),
	} {
		t.Run(name, func(t *testing.T) {
			wantHeader(t, res, "Location", "")
			wantHeader(t, res, "Set-Cookie", "")
			want(t, res, http.StatusForbidden, "GATEHOUSE_PUBLIC_URL=https://")
		})
	}
	if len(g.sessions.logins) != 0 {
		t.Error("a password sent in the clear was tried")
	}
	want(t, g.get(t, "https://gate.example"+signInPath), http.StatusOK, "<form")
}

func TestSecretsStayOutOfTheLog(t *testing.T) {
	var log strings.Builder
	g := newGate(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	_, access := g.sessions.open()
	g.sessions.down = true
	g.post(t, signInPath, url.Values{"username": {"CANARY-user"}, "password": {"CANARY-password"}}, access)
	g.post(t, signOutPath, nil, access)
	if !strings.Contains(log.String(), "sign-in could not be checked") {
		t.Fatalf("log = %q; want the cause", log.String())
	}
	if strings.Contains(log.String(), "CANARY") || strings.Contains(log.String(), access) {
		t.Errorf("log shows a secret: %s", log.String())
	}
}

// Browsers hold form-action against redirects that answer a form, so the way to
// another site begins with a page of its own.
func TestAPageStandsBeforeTheWayToAnotherSite(t *testing.T) {
	g := newGate(t, func(o *Options) { o.Outward = func(path string) bool { return path == "/api/x?y=1" } })
	res := g.post(t, signInPath, alice("secret"))
	want(t, res, http.StatusOK, `href="/api/x?y=1"`)
	wantHeader(t, res, "Refresh", "0; url=/api/x?y=1")
	if res.Header.Get("Location") != "" || len(res.Header.Values("Set-Cookie")) != 1 {
		t.Errorf("headers = %v; want a cookie and no redirect", res.Header)
	}
}
