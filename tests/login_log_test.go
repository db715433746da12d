package tests

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The log says whose login failed if there is such a user. What else was typed as
// a name may be a password.
func TestLogNamesWhoFailedToLogIn(t *testing.T) {
	t.Parallel()
	const typed = "canary-typed-in-the-wrong-field"
	account, through := start(t, newBackend(t).account(t)), start(t, newBackend(t).settings())
	for _, tt := range []struct {
		name   string
		g      *gateway
		q      request
		status int
		want   string
	}{
		{"right", account, loginRequest("alice", userPassword), 200, "alice"},
		{"wrong password", account, loginRequest("alice", "wrong-canary"), 401, "alice"},
		{"no such user", account, loginRequest(typed, "wrong-canary"), 401, "unknown"},
		{"Basic, wrong password", account, request{path: snapshots, header: http.Header{"Authorization": {basicAuth("rita", "wrong-canary")}}}, 401, "rita"},
		{"Basic, no such user", account, request{path: snapshots, header: http.Header{"Authorization": {basicAuth(typed, "wrong-canary")}}}, 401, "unknown"},
		{"pass-through, right", through, loginRequest(backendUser, backendPassword), 200, backendUser},
		{"pass-through, wrong", through, loginRequest(typed, "wrong-canary"), 401, "unknown"},
	} {
		a := tt.g.client(t).must(t, tt.q)
		wantStatus(t, tt.name, a, tt.status)
		id := a.header.Get("X-Request-Id")
		var line struct{ Login string }
		eventually(t, 2*time.Second, "the request is in the log", func() bool {
			for text := range strings.Lines(tt.g.log.String()) {
				if strings.Contains(text, `"request":"`+id+`"`) {
					return json.Unmarshal([]byte(text), &line) == nil
				}
			}
			return false
		})
		if line.Login != tt.want {
			t.Errorf("%s: login = %q; want %q", tt.name, line.Login, tt.want)
		}
	}
	if log := account.log.String() + through.log.String(); strings.Contains(log, "canary") {
		t.Error("the log holds what was typed")
	}
}
