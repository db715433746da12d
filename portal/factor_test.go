package portal

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/token"
)

const factorPage0 = DefaultBasePath + "/second-factor?return_to=%2Fapi%2Fx%3Fy%3D1"

// halfway signs in up to the second factor and returns its cookie.
func halfway(t *testing.T, g *gate, method string) string {
	t.Helper()
	g.sessions.method = method
	res := g.post(t, signInPath, alice("secret"))
	want(t, res, http.StatusSeeOther, "")
	wantHeader(t, res, "Location", factorPage0)
	wantHeader(t, res, "Set-Cookie", FactorCookie+"=TICKET; Path=/; Max-Age=300; HttpOnly; Secure; SameSite=Lax")
	if len(g.sessions.live) != 0 {
		t.Error("a session was opened before the second factor")
	}
	return FactorCookie + "=TICKET"
}

// factor makes a request for the page of the second factor.
func (g *gate) factor(t *testing.T, method, code string, cookies ...string) *http.Response {
	t.Helper()
	target, body := factorPage0, ""
	if method == http.MethodPost {
		target, body = DefaultBasePath+"/second-factor", url.Values{"code": {code}, "return_to": {"/api/x?y=1"}}.Encode()
	}
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range cookies {
		r.Header.Add("Cookie", c)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Result()
}

func TestSecondFactorHasAPageOfItsOwn(t *testing.T) {
	for method, says := range map[string]string{
		"ftm": "authenticator app", "ftk": "your token", "sms": "to your phone", "email": "mail address", "dual": "and to your mail address",
	} {
		g := newGate(t)
		ticket := halfway(t, g, method)
		res := g.factor(t, http.MethodGet, "", ticket)
		wantHeader(t, res, "Refresh", "")
		wantHeader(t, res, "Cache-Control", "no-store")
		body := text(t, res)
		for _, s := range []string{says, `value="/api/x?y=1"`, `autocomplete="one-time-code"`, `<label for="code">`, "Fabric &lt;1&gt;"} {
			if res.StatusCode != http.StatusOK || !strings.Contains(body, s) {
				t.Errorf("%s: status %d, body lacks %s:\n%s", method, res.StatusCode, s, body)
			}
		}
		if strings.Contains(body, "<script") || strings.Contains(body, "TICKET") {
			t.Errorf("body shows what it must not:\n%s", body)
		}
	}
}

func TestRightCodeOpensTheSession(t *testing.T) {
	g := newGate(t)
	ticket := halfway(t, g, "ftm")
	old, access := g.sessions.open()
	res := g.factor(t, http.MethodPost, "123456", ticket, CookieName+"="+access)
	want(t, res, http.StatusSeeOther, "")
	wantHeader(t, res, "Location", "/api/x?y=1")
	set := res.Header.Values("Set-Cookie")
	if len(set) != 2 || !strings.HasPrefix(set[0], FactorCookie+"=; Path=/; Max-Age=0") || !strings.HasPrefix(set[1], CookieName+"=") {
		t.Errorf("Set-Cookie = %q; want the ticket dropped and a session", set)
	}
	if g.sessions.live[old] || len(g.sessions.live) != 1 || strings.Contains(strings.Join(set, ""), access) {
		t.Error("the earlier session lives, or is the new one")
	}
	if got := g.sessions.resume[0].Address; got != "192.0.2.1" {
		t.Errorf("Address = %q; want the caller's", got)
	}
}

// As after a password alone: the page is what stands before another site.
func TestAPageStandsBeforeAnotherSiteAfterTheCodeToo(t *testing.T) {
	g := newGate(t, func(o *Options) { o.Outward = func(path string) bool { return path == "/api/x?y=1" } })
	res := g.factor(t, http.MethodPost, "123456", halfway(t, g, "ftm"))
	want(t, res, http.StatusOK, `href="/api/x?y=1"`)
	wantHeader(t, res, "Refresh", "0; url=/api/x?y=1")
	wantHeader(t, res, "Location", "")
}

func TestWrongCodeAsksAgain(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		says   string
	}{"000000": {http.StatusUnauthorized, msgWrongCode}, "": {http.StatusBadRequest, msgNoCode}} {
		g := newGate(t)
		res := g.factor(t, http.MethodPost, code, halfway(t, g, "ftm"))
		if res.Header.Get("Set-Cookie") != "" || len(g.sessions.live) != 0 {
			t.Error("a wrong code changed a cookie or opened a session")
		}
		want(t, res, c.status, `role="alert">`+c.says)
	}
}

func TestApprovalIsLookedForByThePageItself(t *testing.T) {
	g := newGate(t)
	ticket := halfway(t, g, "ftm-push")
	res := g.factor(t, http.MethodGet, "", ticket)
	wantHeader(t, res, "Refresh", "3; url="+factorPage0)
	if body := text(t, res); res.StatusCode != http.StatusOK || !strings.Contains(body, "waits to be approved") || strings.Contains(body, "<form") {
		t.Errorf("status %d; want a page without a form, which looking again would wipe out:\n%s", res.StatusCode, body)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, factorPage0+"&by=code", nil)
	r.Header.Set("Cookie", ticket)
	res = g.do(r)
	wantHeader(t, res, "Refresh", "")
	want(t, res, http.StatusOK, `name="code"`)
	res = g.factor(t, http.MethodPost, "000000", ticket)
	wantHeader(t, res, "Refresh", "") // it would wipe out what is said, and typed
	want(t, res, http.StatusUnauthorized, msgWrongCode)

	g.sessions.status = "success"
	res = g.factor(t, http.MethodGet, "", ticket)
	want(t, res, http.StatusSeeOther, "")
	wantHeader(t, res, "Location", "/api/x?y=1")
	if len(g.sessions.live) != 1 {
		t.Error("no session was opened")
	}
}

func TestSignInThatCannotGoOnBeginsAgain(t *testing.T) {
	gone := FactorCookie + "=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"
	for name, c := range map[string]struct {
		prepare func(*gate)
		cookies []string
		says    string
	}{
		"denied":        {func(g *gate) { g.sessions.status = "denied" }, []string{FactorCookie + "=TICKET"}, msgNotApproved},
		"no ticket":     {nil, nil, msgTooLate},
		"two tickets":   {nil, []string{FactorCookie + "=TICKET", FactorCookie + "=OTHER"}, msgTooLate},
		"forged ticket": {nil, []string{FactorCookie + "=FORGED"}, msgTooLate},
		"old ticket":    {func(g *gate) { g.sessions.deny = token.Fail(token.ExpiredAccess, "", nil) }, []string{FactorCookie + "=TICKET"}, msgTooLate},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			if c.prepare != nil {
				c.prepare(g)
			}
			res := g.factor(t, http.MethodGet, "", c.cookies...)
			wantHeader(t, res, "Set-Cookie", gone)
			want(t, res, http.StatusUnauthorized, c.says)
		})
	}
}

func TestTicketIsKeptWhileNothingCanBeAsked(t *testing.T) {
	for name, c := range map[string]struct {
		deny   *token.Error
		status int
	}{
		"down":      {nil, http.StatusServiceUnavailable},
		"throttled": {&token.Error{Kind: token.Throttled, RetryAfter: 1}, http.StatusTooManyRequests},
		"broken":    {token.Fail(token.Internal, "", nil), http.StatusInternalServerError},
	} {
		g := newGate(t)
		g.sessions.down, g.sessions.deny = c.deny == nil, c.deny
		res := g.factor(t, http.MethodPost, "123456", FactorCookie+"=TICKET")
		if res.StatusCode != c.status || res.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: status %d, Set-Cookie %q; want %d and the cookie kept", name, res.StatusCode, res.Header.Get("Set-Cookie"), c.status)
		}
	}
}

func TestTicketIsNoSession(t *testing.T) {
	g := newGate(t)
	halfway(t, g, "ftm")
	res := g.get(t, signInPath, "TICKET") // as the cookie of a session
	want(t, res, http.StatusOK, `name="password"`)
}

func TestFactorThatCannotBeAskedForIsSaid(t *testing.T) {
	g := newGate(t)
	g.sessions.deny = token.Fail(token.FactorNeeded, "", nil)
	want(t, g.post(t, signInPath, alice("secret")), http.StatusUnauthorized, msgFactor)
}

func TestSecondFactorRefusesOtherMethodsAndPlainHTTP(t *testing.T) {
	g := newGate(t)
	for _, m := range []string{http.MethodHead, http.MethodPut, http.MethodDelete} {
		if res := g.factor(t, m, "", FactorCookie+"=TICKET"); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: status %d; want 405", m, res.StatusCode)
		}
	}
	g = newGate(t, func(o *Options) { o.Insecure = func(*http.Request) bool { return true } })
	if res := g.factor(t, http.MethodGet, "", FactorCookie+"=TICKET"); res.StatusCode != http.StatusForbidden || len(g.sessions.resume) != 0 {
		t.Errorf("plain http: status %d; want 403 and nothing asked", res.StatusCode)
	}
}
