package upstream_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// oauthServer is a backend that answers the grants of clients that say secret.
type oauthServer struct {
	mu     sync.Mutex
	secret string // guarded by mu
	grants []string
	dead   bool // refresh tokens are no good; guarded by mu
}

// set changes what the server does.
func (s *oauthServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// seen returns the grants that came, and forgets them.
func (s *oauthServer) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.grants, " ")
	s.grants = nil
	return all
}

// RoundTrip implements http.RoundTripper.
func (s *oauthServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, body := http.StatusOK, `{}`
	switch {
	case r.URL.Path == "/api/v1/oauth/token/":
		status, body = s.grant(r)
	case r.Header.Get("Authorization") != "Bearer AT":
		status, body = http.StatusUnauthorized, `{"error":"invalid_token"}`
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

// grant is called with mu held.
func (s *oauthServer) grant(r *http.Request) (int, string) {
	var g map[string]string
	if err := json.NewDecoder(r.Body).Decode(&g); err != nil {
		return http.StatusBadRequest, `{"error":"invalid_request"}`
	}
	s.grants = append(s.grants, g["grant_type"])
	switch {
	case g["client_id"] != "gw" || g["client_secret"] != s.secret:
		return http.StatusUnauthorized, `{"error":"invalid_client"}`
	case g["grant_type"] == "refresh_token" && s.dead:
		return http.StatusBadRequest, `{"error":"invalid_grant"}`
	case g["grant_type"] == "password" && g["password"] != "svcpass":
		return http.StatusBadRequest, `{"error":"invalid_grant"}`
	}
	return http.StatusOK, `{"access_token":"AT","expires_in":3600,"refresh_token":"RT","token_type":"Bearer","status":"success","scope":"read"}`
}

func oauthWorld(t testing.TB, s *oauthServer, password string) *world {
	t.Helper()
	return newWorld(t, func(c *upstream.Config) {
		d, err := dialect.Open("fac-oauth", dialect.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		c.Dialect, c.Transport = d, s
		c.Account.Password = token.NewSecret(password)
		c.Client = &token.Client{ID: "gw", Secret: token.NewSecret("gwsecret")}
	})
}

// TestRefusedClientCostsNothing: no password was judged, so it is tried again
// once the backend knows the client, and no token is given up for it.
func TestRefusedClientCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oauthServer{secret: "another"}
		w := oauthWorld(t, s, "svcpass")
		for range 5 {
			if e := w.wantKind(t, anyone, token.BadGateway); !strings.Contains(e.Msg, "OAuth client") {
				t.Errorf("the client is told %q; want what is wrong", e.Msg)
			}
			advance(time.Minute)
		}
		s.set(func() { s.secret = "gwsecret" })
		w.wantGet(t, anyone, 200)
		s.seen()
		s.set(func() { s.secret = "another" })
		advance(59 * time.Minute)
		w.wantGet(t, anyone, 200) // the old token serves while its renewal is refused
		if got := s.seen(); strings.Contains(got, "password") {
			t.Errorf("grants = %q; want no login for a refused client", got)
		}
		s.set(func() { s.secret = "gwsecret" })
		advance(30 * time.Second)
		w.wantGet(t, anyone, 200)
		if got := s.seen(); strings.Contains(got, "password") || got == "" {
			t.Errorf("grants = %q; want a refresh with the token there was", got)
		}
	})
}

// TestInvalidGrantMeansWhatWasPresented: of a refresh the refresh token, of a
// login the password.
func TestInvalidGrantMeansWhatWasPresented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oauthServer{secret: "gwsecret"}
		w := oauthWorld(t, s, "svcpass")
		w.wantGet(t, anyone, 200)
		s.set(func() { s.dead = true })
		advance(time.Hour + time.Minute)
		w.wantGet(t, anyone, 200)
		if got := s.seen(); got != "password refresh_token password" {
			t.Errorf("grants = %q; want a login after a dead refresh token", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &oauthServer{secret: "gwsecret"}
		w := oauthWorld(t, s, "wrong")
		for range 5 {
			w.wantKind(t, anyone, token.BadGateway)
			advance(time.Minute)
		}
		if got := s.seen(); got != "password password" {
			t.Errorf("grants = %q; want no third try of a password that was refused twice", got)
		}
	})
}
