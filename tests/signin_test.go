package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// navigation is what a browser sends when a person follows a link.
func navigation(path, cookie string) request {
	h := http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
	if cookie != "" {
		h.Set("Cookie", "__Host-gatehouse="+cookie)
	}
	return request{path: path, header: h}
}

// form is what a browser sends when a person submits one of our pages.
func form(origin, path, cookie string, fields url.Values) request {
	q := navigation(path, cookie)
	q.method, q.body = http.MethodPost, fields.Encode()
	q.header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.header.Set("Origin", origin)
	q.header.Set("Sec-Fetch-Site", "same-origin")
	if strings.Contains(origin, "evil") {
		q.header.Set("Sec-Fetch-Site", "cross-site")
	}
	return q
}

func credentials(returnTo string) url.Values {
	return url.Values{"username": {"alice"}, "password": {userPassword}, "return_to": {returnTo}}
}

func TestSignInAndOutByForm(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b.account(t))
	c := g.client(t)

	away := c.must(t, navigation("/inventory?site=Prague", ""))
	wantStatus(t, "navigation without a session", away, http.StatusFound)
	if got := away.header.Get("Location"); !strings.HasPrefix(got, "/.gatehouse/sign-in?") {
		t.Fatalf("Location = %q; want the sign-in page", got)
	}
	page := c.must(t, navigation(away.header.Get("Location"), ""))
	wantStatus(t, "sign-in page", page, http.StatusOK)
	if strings.Contains(page.body, "<script") || !strings.Contains(page.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the page has a script, or no closed Content-Security-Policy: %q", page.header.Get("Content-Security-Policy"))
	}

	in := c.must(t, form(g.URL, "/.gatehouse/sign-in", "", credentials("/inventory?site=Prague")))
	wantStatus(t, "signing in", in, http.StatusSeeOther)
	if got := in.header.Get("Location"); got != "/inventory?site=Prague" {
		t.Errorf("Location = %q; want the page that was asked for", got)
	}
	session := in.cookie("__Host-gatehouse")
	set := in.header.Get("Set-Cookie")
	if session == "" || !containsAll(set, []string{"HttpOnly", "Secure", "SameSite=", "Path=/"}) || strings.Contains(set, "Domain") {
		t.Fatalf("Set-Cookie = %q", set)
	}
	wantStatus(t, "the page, signed in", c.must(t, navigation("/inventory?site=Prague", session)), http.StatusOK)

	wantStatus(t, "signing out by GET", c.must(t, navigation("/.gatehouse/sign-out", session)), http.StatusMethodNotAllowed)
	wantStatus(t, "signing out", c.must(t, form(g.URL, "/.gatehouse/sign-out", session, nil)), http.StatusSeeOther)
	wantStatus(t, "the page, signed out", c.must(t, navigation("/inventory", session)), http.StatusFound)
}

func TestFormsFromElsewhereAreRefused(t *testing.T) {
	t.Parallel()
	g := start(t, newBackend(t).account(t))
	c := g.client(t)
	in := c.must(t, form("https://evil.test", "/.gatehouse/sign-in", "", credentials("/")))
	wantStatus(t, "signing in from another origin", in, http.StatusForbidden)
	if in.cookie("__Host-gatehouse") != "" {
		t.Error("a session was opened")
	}
	session := c.must(t, form(g.URL, "/.gatehouse/sign-in", "", credentials("/"))).cookie("__Host-gatehouse")
	wantStatus(t, "signing out from another origin", c.must(t, form("https://evil.test", "/.gatehouse/sign-out", session, nil)), http.StatusForbidden)
	wantStatus(t, "an unsafe call from another origin", c.must(t, form("https://evil.test", "/api/v7.0/jobs", session, url.Values{})), http.StatusForbidden)
	wantStatus(t, "the session meanwhile", c.must(t, navigation("/inventory", session)), http.StatusOK)
}

func TestReturnPathStaysHere(t *testing.T) {
	t.Parallel()
	g := start(t, newBackend(t).account(t))
	c := g.client(t)
	for _, to := range []string{
		"//evil.test", `/\evil.test`, "/%09/evil.test", "https://evil.test", "https:evil.test", `\\evil.test`, "javascript:alert(1)",
		"/\t/evil.test", "/a\r\nX: y", "/.gatehouse/sign-in",
	} {
		in := c.must(t, form(g.URL, "/.gatehouse/sign-in", "", credentials(to)))
		wantStatus(t, "signing in", in, http.StatusSeeOther)
		if got := in.header.Get("Location"); got != "/" {
			t.Errorf("return_to %q led to %q; want /", to, got)
		}
	}
}

// Off loopback a browser keeps no secure cookie that came over plain http. The
// page says so instead of sending people in circles.
func TestPlainHTTPOffLoopbackIsExplained(t *testing.T) {
	t.Parallel()
	g := start(t, newBackend(t).account(t).with("PUBLIC_URL", "http://gate.example.com", "LISTEN", freeAddressOn(t, "0.0.0.0")))
	if o := (outcome{output: g.log.String()}); o.line("WARN", "GATEHOUSE_PUBLIC_URL", "https") == "" {
		t.Errorf("no warning names the setting:\n%s", g.log)
	}
	q := navigation("/.gatehouse/sign-in", "")
	text := g.raw(t, strings.Replace(head("GET "+q.path, "Accept: text/html", "Sec-Fetch-Mode: navigate"), "gate.test", "gate.example.com", 1))
	if !strings.Contains(text, "https") || strings.Contains(text, "<form") {
		t.Errorf("the page does not explain itself, or asks for a password:\n%s", text)
	}
}
