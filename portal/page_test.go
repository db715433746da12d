package portal

import (
	"encoding/xml"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// pages returns one answer of every kind of page.
func pages(t *testing.T) map[string]*http.Response {
	t.Helper()
	g := newGate(t)
	off := newGate(t)
	off.issuer.LocalAuthOff = true
	insecure := newGate(t, func(o *Options) { o.Insecure = func(*http.Request) bool { return true } })
	throttled := newGate(t)
	throttled.sessions.deny = &token.Error{Kind: token.Throttled}
	m := map[string]*http.Response{
		"sign-in":       g.get(t, signInPath),
		"wrong":         g.post(t, signInPath, alice("no")),
		"throttled":     throttled.post(t, signInPath, alice("no")),
		"passwords off": off.get(t, signInPath),
		"insecure":      insecure.get(t, signInPath),
		"signed-out":    g.get(t, DefaultBasePath+"/signed-out"),
		"no such page":  g.get(t, DefaultBasePath+"/nothing"),
	}
	for _, status := range []int{400, 401, 403, 404, 405, 410, 413, 415, 421, 429, 500, 502, 503, 504, 418} {
		w := httptest.NewRecorder()
		g.ErrorPage(w, nil, status, "What <b>was</b> wrong.", "0a1b")
		m["error "+http.StatusText(status)] = w.Result()
	}
	return m
}

func TestPagesHaveHeadersAndNoScript(t *testing.T) {
	script := regexp.MustCompile(`(?i)<script|javascript:|\son[a-z]+=|<iframe|<object|style=|https?://[^&]`)
	for name, res := range pages(t) {
		t.Run(name, func(t *testing.T) {
			wantHeader(t, res, "Content-Type", "text/html; charset=utf-8")
			wantHeader(t, res, "Cache-Control", "no-store")
			wantHeader(t, res, "X-Content-Type-Options", "nosniff")
			wantHeader(t, res, "Referrer-Policy", "same-origin")
			csp := res.Header.Get("Content-Security-Policy")
			for _, part := range []string{"default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'"} {
				if !strings.Contains(csp, part) {
					t.Errorf("Content-Security-Policy lacks %s", part)
				}
			}
			body := text(t, res)
			if m := script.FindString(body); m != "" {
				t.Errorf("body has %q", m)
			}
			for _, part := range []string{`<!DOCTYPE html>`, `<html lang="en">`, `<h1>`, `<svg`, DefaultBasePath + "/" + styleName} {
				if strings.Count(body, part) != 1 {
					t.Errorf("body has %s %d times; want once", part, strings.Count(body, part))
				}
			}
			wellFormed(t, body)
		})
	}
}

// wellFormed checks that every element is closed in order.
func wellFormed(t *testing.T, body string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(body))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	d.AutoClose = append(d.AutoClose, "meta", "input", "link")
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, body)
		}
	}
}

func TestSignInFormServesPasswordManagersAndScreenReaders(t *testing.T) {
	body := text(t, newGate(t).get(t, signInPath))
	for _, part := range []string{
		`<label for="username">`, `<label for="password">`, `id="username"`, `id="password"`,
		`autocomplete="username"`, `autocomplete="current-password"`, `autocapitalize="none"`, `method="post"`, "to <strong>Fabric &lt;1&gt;</strong>",
	} {
		if !strings.Contains(body, part) {
			t.Errorf("form lacks %s", part)
		}
	}
	if strings.Contains(body, `role="alert"`) || strings.Contains(body, "aria-invalid") {
		t.Error("a fresh form shows a problem")
	}
}

func TestErrorPageSaysWhatWhyAndWhich(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Retry-After", "7")
	New(Options{}).ErrorPage(w, nil, http.StatusBadGateway, `The backend's "answer" <x>`, "0a1b2c")
	res := w.Result()
	wantHeader(t, res, "Retry-After", "7")
	if res.StatusCode != http.StatusBadGateway {
		t.Errorf("status = %d; want 502", res.StatusCode)
	}
	body := text(t, res)
	if strings.Contains(body, "<x>") {
		t.Error("the message is not escaped")
	}
	for _, part := range []string{"The system behind is in trouble", `The backend's "answer" <x>`, "<code>0a1b2c</code>", "502"} {
		if !strings.Contains(html.UnescapeString(body), part) {
			t.Errorf("page lacks %s:\n%s", part, body)
		}
	}
}

func TestOwnErrorsCarryTheRequestID(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("X-Request-Id", "feed42")
	newGate(t).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, DefaultBasePath+"/nothing", nil))
	want(t, w.Result(), http.StatusNotFound, "<code>feed42</code>")
}

func TestForbiddenPageOffersToSignOut(t *testing.T) {
	w := httptest.NewRecorder()
	New(Options{}).ErrorPage(w, nil, http.StatusForbidden, "No.", "")
	want(t, w.Result(), http.StatusForbidden, `<form method="post" action="/.gatehouse/sign-out">`)
}

func TestStyleIsKeptForEverUnderItsHash(t *testing.T) {
	res := newGate(t).get(t, DefaultBasePath+"/"+styleName)
	wantHeader(t, res, "Content-Type", "text/css; charset=utf-8")
	wantHeader(t, res, "Cache-Control", "public, max-age=31536000, immutable")
	want(t, res, http.StatusOK, "color-scheme: light dark")
	if !regexp.MustCompile(`^style-[0-9a-f]{12}\.css$`).MatchString(styleName) {
		t.Errorf("name = %q", styleName)
	}
	want(t, newGate(t).get(t, DefaultBasePath+"/style-000000000000.css"), http.StatusNotFound, "")
}

func TestPagesTakeOnlyTheirMethods(t *testing.T) {
	for _, c := range []struct{ method, page, allow string }{
		{http.MethodPut, "/sign-in", "GET, HEAD, POST"},
		{http.MethodGet, "/sign-out", "POST"},
		{http.MethodPost, "/signed-out", "GET, HEAD"},
		{http.MethodDelete, "/" + styleName, "GET, HEAD"},
	} {
		res := newGate(t).do(httptest.NewRequestWithContext(t.Context(), c.method, DefaultBasePath+c.page, nil))
		want(t, res, http.StatusMethodNotAllowed, "")
		wantHeader(t, res, "Allow", c.allow)
	}
}

func TestBasePathMoves(t *testing.T) {
	g := newGate(t, func(o *Options) { o.BasePath = "/-/gate" })
	want(t, g.get(t, "/-/gate/sign-in"), http.StatusOK, `action="/-/gate/sign-in"`)
	want(t, g.get(t, "/-/gate/sign-in"), http.StatusOK, `href="/-/gate/style-`)
	want(t, g.get(t, "/.gatehouse/sign-in"), http.StatusNotFound, "")
	want(t, g.get(t, "/sign-in"), http.StatusNotFound, "")
}
