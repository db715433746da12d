package tests

import (
	"crypto/tls"
	"net/http"
	"testing"
	"time"
)

// vendorClient behaves as IP Fabric's own clients from 6.1 on do: its jar drops
// the access token at its Max-Age; it then calls without any credential and
// refreshes only if the 401 says API_EXPIRED_ACCESS_TOKEN, by an empty body and
// the refresh cookie; the repeated call has its whole Cookie header replaced.
type vendorClient struct {
	*client
	jar       map[string]jarCookie
	refreshes int
}

type jarCookie struct {
	value, path string
	expires     time.Time
}

// keep takes over the cookies of an answer.
func (v *vendorClient) keep(t testing.TB, a answer) {
	t.Helper()
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if !c.Secure || !c.HttpOnly || c.MaxAge <= 0 || c.SameSite != http.SameSiteStrictMode {
			t.Errorf("Set-Cookie %s lacks an attribute of the vendor's: %s", c.Name, c.Raw)
		}
		v.jar[c.Name] = jarCookie{c.Value, c.Path, time.Now().Add(time.Duration(c.MaxAge) * time.Second)}
	}
}

// cookies is the Cookie header for a path, of what has not run out.
func (v *vendorClient) cookies(path string) http.Header {
	h := http.Header{}
	for name, c := range v.jar {
		if time.Now().Before(c.expires) && (c.path == "/" || c.path == path) {
			h.Add("Cookie", name+"="+c.value)
		}
	}
	return h
}

// call does one call, with a refresh if the answer asks for one.
func (v *vendorClient) call(t testing.TB, path string) answer {
	t.Helper()
	a := v.must(t, request{path: path, header: v.cookies(path)})
	if a.status != http.StatusUnauthorized || a.code() != "API_EXPIRED_ACCESS_TOKEN" {
		return a
	}
	const refreshPath = "/api/auth/token"
	r := v.must(t, request{method: http.MethodPost, path: refreshPath, header: v.cookies(refreshPath)})
	if r.status != http.StatusOK {
		t.Fatalf("refresh by cookie = %d %s; want 200", r.status, r.body)
	}
	v.keep(t, r)
	v.refreshes++
	return v.must(t, request{path: path, header: http.Header{"Cookie": {"accessToken=" + r.cookie("accessToken")}}})
}

func TestVendorClientLivesThroughThreeExpiries(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.issue(t, "127.0.0.1")
	g := start(t, newBackend(t).account(t).with(
		"ACCESS_TTL", "2s", "TLS_CERT_FILE", cert, "TLS_KEY_FILE", key))
	v := &vendorClient{client: newTLSClient(t, g.URL, &tls.Config{RootCAs: ca.pool}), jar: map[string]jarCookie{}}
	a := v.must(t, loginRequest("alice", userPassword))
	wantStatus(t, "login", a, http.StatusOK)
	v.keep(t, a)

	calls := 0
	eventually(t, 30*time.Second, "three access tokens have expired", func() bool {
		calls++
		a := v.call(t, snapshots)
		if a.status != http.StatusOK {
			t.Fatalf("call %d, after %d refreshes, = %d %s; want 200", calls, v.refreshes, a.status, a.body)
		}
		return v.refreshes >= 3
	})
}
