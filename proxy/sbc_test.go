package proxy_test

import (
	"crypto/tls"
	"encoding/base64"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/proxy"
)

// servesSBC makes the route serve oracle-sbc instead.
func servesSBC(t testing.TB, set dialect.Settings) func(*proxy.Route) {
	t.Helper()
	d, err := dialect.Open("oracle-sbc", set)
	if err != nil {
		t.Fatal(err)
	}
	return func(rt *proxy.Route) {
		iss := *rt.Serve[0].Issuer
		iss.Name, iss.Dialect, iss.Rotates, iss.VoidsAccess = d.ID(), d.Name, d.Tokens.Rotates, d.Tokens.VoidsAccess
		iss.AccessTTL, iss.RefreshTTL, iss.Shape, iss.Grace = d.Tokens.AccessTTL, d.Tokens.RefreshTTL, d.Shape(nil), 10*time.Second
		rt.Serve, rt.Spoken = []proxy.Served{{Dialect: d, Issuer: &iss}}, d
	}
}

func basicOf(name string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+name))
}

// sbcToken asks for a token of alice, with a body for a renewal, and returns it.
func (h *house) sbcToken(t testing.TB, body string) string {
	t.Helper()
	rec := h.do("POST", "/rest/v1.2/auth/token", body, "Authorization", basicOf("alice"), "Content-Type", "x-www-form-urlencoded")
	_, rest, _ := strings.Cut(rec.Body.String(), "<accessToken>")
	at, _, ok := strings.Cut(rest, "<")
	if rec.Code != 200 || !ok {
		t.Fatalf("token: %d %s", rec.Code, rec.Body)
	}
	return at
}

func TestRenewalByPasswordAndToken(t *testing.T) {
	h := open(t, setup{transport: &recording{}, signedIn: true, change: servesSBC(t, dialect.Settings{})})
	first := h.sbcToken(t, "")
	second := h.sbcToken(t, "accessToken="+first)
	for at, want := range map[string]int{first: 401, second: 200} {
		if rec := h.do("GET", "/rest/v1.0/system/status", "", "Authorization", "Bearer "+at); rec.Code != want {
			t.Errorf("with the token of before %t: %d %s; want %d", at == first, rec.Code, rec.Body, want)
		}
	}
	if again := h.sbcToken(t, first); again != second {
		t.Error("a repeat got another token")
	}
	rec := h.do("POST", "/rest/v1.2/auth/token", "t="+second, "Authorization", basicOf("bob"), "Content-Type", "x-www-form-urlencoded")
	if rec.Code != 401 || !strings.Contains(rec.Body.String(), "<errorMessage>Client not authorized.<") {
		t.Errorf("renewing another's token = %d %s", rec.Code, rec.Body)
	}
}

func TestSBCCallsAtTheGate(t *testing.T) {
	b := &recording{}
	rules, errs := policy.Compile([]policy.Rule{{Name: "open", Path: "/**", Public: true}})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	signedIn := open(t, setup{transport: b, signedIn: true, change: servesSBC(t, dialect.Settings{})})
	public := open(t, setup{transport: b, rules: rules, change: servesSBC(t, dialect.Settings{})})
	bearer := []string{"Authorization", "Bearer " + signedIn.sbcToken(t, "")}
	for _, c := range []struct {
		name, method, path string
		h                  *house
		headers            []string
		body               string
		want               int
		says               string
	}{
		{name: "versions", method: "GET", path: "/rest/api/supportedversions", headers: bearer, want: 200, says: "<latestVersion>v1.2</latestVersion><otherVersions><version>v1.0</version><version>v1.1</version>"},
		{name: "versions as JSON", method: "GET", path: "/rest/api/supportedversions", headers: append([]string{"Accept", "application/json"}, bearer...), want: 406, says: "application/xml"},
		{name: "versions without a bearer", method: "GET", path: "/rest/api/supportedversions", want: 401, says: "Client not authorized."},
		{name: "versions by Basic", method: "GET", path: "/rest/api/supportedversions", headers: []string{"Authorization", basicOf("alice")}, want: 401, says: "Client not authorized."},
		{name: "versions of nobody where all may pass", h: public, method: "GET", path: "/rest/api/supportedversions", want: 401, says: "Client not authorized."},
		{name: "versions under a version", method: "GET", path: "/rest/v1.2/api/supportedversions", headers: bearer, want: 404, says: "<errorMessage>"},
		{name: "another verb", method: "GET", path: "/rest/v1.2/auth/token", want: 405, says: "<errorMessage>"},
		{name: "another version", method: "POST", path: "/rest/v2.0/auth/token", want: 404, says: "Unsupported versionId in URI."},
		{name: "another spelling", method: "POST", path: "/REST/v1.2/auth/token/", headers: bearer, want: 404, says: "<errorMessage>"},
		{name: "a body over 64 KiB", method: "POST", path: "/rest/v1.2/auth/token", body: strings.Repeat("a", 64<<10+1), headers: []string{"Authorization", basicOf("alice"), "Content-Type", "x-www-form-urlencoded"}, want: 413, says: "64 KiB"},
		{name: "a body of 64 KiB", method: "POST", path: "/rest/v1.2/auth/token", body: strings.Repeat("a", 64<<10), headers: []string{"Authorization", basicOf("alice"), "Content-Type", "x-www-form-urlencoded"}, want: 400, says: "one form field"},
		{name: "Basic on a resource", method: "GET", path: "/rest/v1.2/system/status", headers: []string{"Authorization", basicOf("alice")}, want: 401, says: "Client not authorized."},
	} {
		h := c.h
		if h == nil {
			h = signedIn
		}
		rec := h.do(c.method, c.path, c.body, c.headers...)
		if rec.Code != c.want || !strings.Contains(rec.Body.String(), c.says) || rec.Header().Get("Content-Type") != "application/xml" {
			t.Errorf("%s: %d %v %s; want %d with %q", c.name, rec.Code, rec.Header(), rec.Body, c.want, c.says)
		}
	}
	if rec := signedIn.do("HEAD", "/rest/v1.2/system/status", ""); rec.Code != 401 || rec.Body.Len() > 0 {
		t.Errorf("HEAD = %d with %d bytes", rec.Code, rec.Body.Len())
	}
	if len(b.got) > 0 {
		t.Errorf("the backend got %s", b.got[0].URL)
	}
}

// TestWhoAmINeedsSomebody: a rule that lets everybody pass does not make a person
// of nobody.
func TestWhoAmINeedsSomebody(t *testing.T) {
	rules, errs := policy.Compile([]policy.Rule{{Name: "open", Path: "/**", Public: true}})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	h := open(t, setup{transport: &recording{}, rules: rules})
	for _, path := range []string{"/api/v7.0/users/me", "/api/v7.0/api-tokens"} {
		if rec := h.do("GET", path, ""); rec.Code != 401 {
			t.Errorf("GET %s of nobody = %d %s; want 401", path, rec.Code, rec.Body)
		}
	}
}

func TestHTTPSOnly(t *testing.T) {
	b := &recording{}
	h := open(t, setup{transport: b, signedIn: true, change: servesSBC(t, dialect.Settings{HTTPSOnly: true})})
	for _, c := range []struct{ method, path string }{
		{"POST", "/rest/v1.2/auth/token"}, {"GET", "/rest/v1.2/system/status"}, {"GET", "/elsewhere"},
	} {
		rec := h.do(c.method, c.path, "", "Authorization", basicOf("alice"), "X-Forwarded-Proto", "https") // of a peer whom nobody trusts
		if rec.Code != 426 || !strings.Contains(rec.Body.String(), "<errorMessage>Client must connect with HTTPS.</errorMessage>") ||
			rec.Header().Get("Upgrade") == "" {
			t.Errorf("%s %s = %d %v %s; want 426", c.method, c.path, rec.Code, rec.Header(), rec.Body)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/rest/v1.2/auth/token", nil)
	r.Host, r.TLS = "gateway.test", &tls.ConnectionState{}
	r.Header.Set("Authorization", basicOf("alice"))
	rec := httptest.NewRecorder()
	if h.ServeHTTP(rec, r); rec.Code != 200 {
		t.Errorf("over TLS = %d %s", rec.Code, rec.Body)
	}
	if len(b.got) > 0 {
		t.Errorf("the backend got %s", b.got[0].URL)
	}
}
