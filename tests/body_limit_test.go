package tests

import (
	"net/http"
	"strings"
	"testing"
)

const bodyLimit = 64 << 10

// padded returns a request whose body is exactly n bytes long: spaces after a
// JSON object change nothing of it.
func padded(q request, n int) request {
	q.body += strings.Repeat(" ", n-len(q.body))
	return q
}

func TestTokenCallBodiesAreLimited(t *testing.T) {
	t.Parallel()
	g := start(t, newBackend(t).account(t))
	c := g.client(t)
	for _, tt := range []struct {
		name string
		call func() request
	}{
		{"login", func() request { return loginRequest("alice", userPassword) }},
		{"refresh", func() request { return refreshRequest(c.login(t, "alice", userPassword).refresh) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantStatus(t, "a body at the limit", c.must(t, padded(tt.call(), bodyLimit)), http.StatusOK)
			wantStatus(t, "one byte more", c.must(t, padded(tt.call(), bodyLimit+1)), http.StatusRequestEntityTooLarge)
		})
	}
}

// Other bodies stream to the backend without a limit.
func TestOrdinaryBodiesAreNotLimited(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b.account(t))
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	body := strings.Repeat("x", 4*bodyLimit)
	a := c.must(t, request{method: http.MethodPost, path: "/api/v7.0/jobs", body: body, header: bearer(p.access)})
	wantStatus(t, "POST", a, http.StatusOK)
	all := b.seen()
	if got := len(all[len(all)-1].body); got != len(body) {
		t.Errorf("the backend read %d bytes; want %d", got, len(body))
	}
}
