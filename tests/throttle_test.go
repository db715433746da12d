package tests

import (
	"net/http"
	"strconv"
	"testing"
)

// Ten failures in 15 minutes, then the account is refused for a while, also with
// the right password; other accounts from other addresses are not.
func TestTenWrongPasswordsAreEnough(t *testing.T) {
	t.Parallel()
	g := start(t, newBackend(t).account(t))
	c := g.client(t)
	for i := range 10 {
		wantStatus(t, "failure "+strconv.Itoa(i+1), c.must(t, loginRequest("alice", "wrong")), http.StatusUnauthorized)
	}
	a := c.must(t, loginRequest("alice", userPassword))
	wantStatus(t, "the login after ten failures", a, http.StatusTooManyRequests)
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 || n > 900 {
		t.Errorf("Retry-After = %q; want 1 to 900 seconds", a.header.Get("Retry-After"))
	}
	basic := c.must(t, request{path: snapshots, header: http.Header{"Authorization": {basicAuth("alice", userPassword)}}})
	wantStatus(t, "Basic after ten failures", basic, http.StatusTooManyRequests)
}

func TestUnknownUserAndWrongPasswordLookAlike(t *testing.T) {
	t.Parallel()
	g := start(t, newBackend(t).account(t))
	c := g.client(t)
	wrong, unknown := c.must(t, loginRequest("alice", "wrong")), c.must(t, loginRequest("nobody", "wrong"))
	if wrong.status != unknown.status || wrong.body != unknown.body {
		t.Errorf("wrong password: %d %s; unknown user: %d %s; want the same", wrong.status, wrong.body, unknown.status, unknown.body)
	}
}
