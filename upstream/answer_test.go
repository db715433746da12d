package upstream_test

import (
	"testing"
	"testing/synctest"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// Whatever a backend answers to a login, a request gets a backend's answer or a
// failure of a kind that does not blame the client.
func FuzzLoginAnswer(f *testing.F) {
	f.Add(200, "application/json", `{"accessToken":"A","refreshToken":"R"}`)
	f.Add(200, "text/html", "<html>")
	f.Add(200, "application/json", `{"accessToken":"A","accessToken":"B"}`)
	f.Add(401, "application/json", `{"code":"API_INVALID_CREDENTIALS"}`)
	f.Add(429, "", "")
	f.Add(302, "", "")
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *upstream.Config) { c.Dialect = profile(t, "5.0") })
			w.overrideAuth(says(status, contentType, body))
			_, err := w.get(t, anyone)
			if k := kindOrInternal(err); err != nil && k != token.Unavailable && k != token.BadGateway {
				t.Errorf("status %d, body %q: %v", status, body, err)
			}
		})
	})
}
