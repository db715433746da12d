package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// ReverseProxy passes a backend's 1xx answers and trailers around every filter;
// through either of them a backend could set a session cookie.
func TestEarlyHintsAndTrailersSetNothing(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.other = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "__Host-gatehouse=EVIL; Path=/; Secure")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Set-Cookie")
		w.Header().Set("Trailer", "Set-Cookie, X-Evil")
		w.WriteHeader(http.StatusOK)
		fmt.Fprint(w, "body")
		w.Header().Set("Set-Cookie", "__Host-gatehouse=EVIL; Path=/; Secure")
		w.Header().Set("X-Evil", "EVIL")
		w.Header().Set(http.TrailerPrefix+"X-Other", "EVIL")
	}
	g := openFront(t, b)
	text := g.raw(t, head("GET /public/a", "TE: trailers"))
	if got := statusOf(t, text); got != http.StatusOK {
		t.Fatalf("status = %d; want 200:\n%s", got, text)
	}
	if strings.Contains(text, "EVIL") || !strings.Contains(text, "body") {
		t.Errorf("the answer holds what a backend may not send, or lacks its body:\n%s", text)
	}
}

// A backend on the same host must not be able to set or clear our cookies.
func TestBackendCannotSetTheGatewaysCookies(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.other = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "__Host-gatehouse=EVIL; Path=/; Secure")
		w.Header().Add("Set-Cookie", "theme=dark; Domain=ipf.example.net; Path=/")
	}
	g := openFront(t, b)
	text := g.raw(t, head("GET /public/a"))
	if strings.Contains(text, "EVIL") {
		t.Errorf("the backend set the session cookie:\n%s", text)
	}
	if !strings.Contains(text, "theme=dark") || strings.Contains(text, "ipf.example.net") {
		t.Errorf("want the backend's own cookie without its Domain:\n%s", text)
	}
}

func TestRedirectsNameTheGateway(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.other = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", b.URL+"/public/there?x=1")
		w.WriteHeader(http.StatusFound)
	}
	g := start(t, b.settings().with(
		"PUBLIC_URL", "https://ipf.example.com", "CONFIG", writeFile(t, "gatehouse.yaml", "policy:\n  - {path: /public/**, public: true}\n")))
	text := g.raw(t, strings.Replace(head("GET /public/a"), "gate.test", "ipf.example.com", 1))
	if want := "Location: https://ipf.example.com/public/there?x=1\r\n"; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}

func TestErrorsHaveARequestID(t *testing.T) {
	t.Parallel()
	g := start(t, settings{"USERS_FILE": usersFile(t), "CONFIG": writeFile(t, "gatehouse.yaml", `backends:
  plain: {url: "`+newBackend(t).URL+`", speak: none}
routes:
  - {path: /, backend: plain}
`)})
	a := g.client(t).get(t, "/anything", "")
	wantStatus(t, "anonymous call", a, http.StatusUnauthorized)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type = %q; want application/problem+json", got)
	}
	if a.header.Get("X-Request-Id") == "" && !strings.Contains(a.body, "request") {
		t.Errorf("no request id in %v %s", a.header, a.body)
	}
}
