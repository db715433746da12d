package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/demo"
	"github.com/gatehouse-gateway/gatehouse/dialect/vectors"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// facGateway runs a test against a whole gateway that serves fac-fabric.
func facGateway(t *testing.T, tokens config.Tokens, test func(*testing.T, *issuer)) {
	t.Helper()
	keys := sessiontest.NewMemory()
	warmKeys(t, keys)
	var f vectors.File
	for _, file := range loadVectors(t) {
		if file.Family.Name == "fac-fabric" {
			f = file
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := &issuer{t: t, file: f, outside: memoryOutside(t, f, keys, demo.Local{Handler: demo.FortiAuthenticator()})}
		s.cfg = &config.Config{
			Secrets: []token.Secret{token.NewSecret(vectorSecret)}, PagesPath: "/.gatehouse", Tokens: tokens, DegradedFor: time.Minute,
			Backends: []config.Backend{{Name: "backend", URL: &url.URL{Scheme: "http", Host: "backend.test"}, Speak: "none"}},
			Routes:   []config.Route{{Name: "route", Path: "/", Backend: "backend", Serve: []string{"fac-fabric/6.x"}, Tokens: tokens}},
		}
		s.start()
		defer func() { s.halt() }()
		test(t, s)
	})
}

// facAnswer is an answer of the token call, of either kind.
type facAnswer struct {
	status  int
	Access  string `json:"access_token"`
	Expires int    `json:"expires_in"`
	Refresh string `json:"refresh_token"`
	Success string
	Message string
}

func (s *issuer) facPost(body string) (a facAnswer) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "/api/fabric/authenticate", strings.NewReader(body))
	rec := s.do(r)
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil || (a.Success == "true") != (rec.Code == 200) {
		s.t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	if rec.Code != 200 && strings.Contains(rec.Body.String(), "access_token") {
		s.t.Errorf("a failure speaks of an access token: %s", rec.Body)
	}
	a.status = rec.Code
	return a
}

func (s *issuer) facLogin(name string) facAnswer {
	s.t.Helper()
	return s.facPost(fmt.Sprintf(`{"username":%q,"password":"12345678"}`, name))
}

func (s *issuer) facRefresh(text string) facAnswer {
	s.t.Helper()
	return s.facPost(fmt.Sprintf(`{"grant_type":"refresh_token","refresh_token":%q}`, text))
}

// facCall makes an ordinary call and returns its status.
func (s *issuer) facCall(access string) int {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, "/api/fabric/device/status", nil)
	r.Header.Set("Authorization", "Bearer "+access)
	return s.do(r).Code
}

func wantStatus(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %d; want %d", what, got, want)
	}
}

// TestFabricRefreshSparesCopiesOfTheAccessToken: it is pasted onto other
// devices, which know nothing of the refresh.
func TestFabricRefreshSparesCopiesOfTheAccessToken(t *testing.T) {
	facGateway(t, config.Tokens{}, func(t *testing.T, s *issuer) {
		first := s.facLogin("tfadmin")
		next := s.facRefresh(first.Refresh)
		wantStatus(t, "refresh", next.status, 200)
		wantStatus(t, "the new access token", s.facCall(next.Access), 200)
		wantStatus(t, "the access token before it", s.facCall(first.Access), 200)
		wantStatus(t, "a refresh token as an access token", s.facCall(next.Refresh), 401)
		wantStatus(t, "an access token as a refresh token", s.facRefresh(next.Access).status, 401)

		wantStatus(t, "the used refresh token", s.facRefresh(first.Refresh).status, 401)
		wantStatus(t, "an access token after the reuse", s.facCall(next.Access), 401)
		wantStatus(t, "the refresh token after the reuse", s.facRefresh(next.Refresh).status, 401)
	})
}

func TestFabricTokensWithALife(t *testing.T) {
	facGateway(t, config.Tokens{AccessTTL: time.Hour}, func(t *testing.T, s *issuer) {
		set := s.facLogin("tfadmin")
		wantStatus(t, "expires_in", set.Expires, 3600)
		time.Sleep(time.Hour - time.Second)
		wantStatus(t, "before its end", s.facCall(set.Access), 200)
		time.Sleep(time.Second)
		wantStatus(t, "at its end", s.facCall(set.Access), 401)
		s.pass(10 * 365 * 24 * time.Hour)
		next := s.facRefresh(set.Refresh)
		wantStatus(t, "expires_in after a refresh ten years later", next.Expires, 3600)
		wantStatus(t, "after the refresh", s.facCall(next.Access), 200)
	})
}

// TestFabricNeedsThePermission, and does not tell whether the password was right.
func TestFabricNeedsThePermission(t *testing.T) {
	facGateway(t, config.Tokens{}, func(t *testing.T, s *issuer) {
		right, wrong := s.facLogin("readonly"), s.facPost(`{"username":"readonly","password":"wrong"}`)
		if right != wrong || right.status != 401 {
			t.Errorf("a user without the permission is answered %+v, with a wrong password %+v; want one 401", right, wrong)
		}
		for range 8 {
			wantStatus(t, "no permission", s.facLogin("readonly").status, 401)
		}
		wantStatus(t, "after ten failures", s.facLogin("readonly").status, 429)
	})
}

func TestFabricAliasesAreOneUser(t *testing.T) {
	facGateway(t, config.Tokens{}, func(t *testing.T, s *issuer) {
		for i := range 10 {
			name := []string{"user@name.com", "user@name.com@realm"}[i%2]
			wantStatus(t, name, s.facPost(fmt.Sprintf(`{"username":%q,"password":"wrong"}`, name)).status, 401)
		}
		for _, name := range []string{"user@name.com", "user@name.com@realm"} {
			wantStatus(t, name+" after ten failures", s.facLogin(name).status, 429)
		}
	})
}

func TestFabricRefusalsAreInTheVendorsForm(t *testing.T) {
	facGateway(t, config.Tokens{}, func(t *testing.T, s *issuer) {
		padded := func(n int) string {
			const frame = `{"username":"tfadmin","password":"12345678","x":""}`
			return strings.Replace(frame, `""`, `"`+strings.Repeat("x", n-len(frame))+`"`, 1)
		}
		for _, c := range []struct {
			name, method, path, kind, body string
			want                           int
		}{
			{"64 KiB", "POST", "/api/fabric/authenticate", "", padded(64 << 10), 200},
			{"a byte more", "POST", "/api/fabric/authenticate", "", padded(64<<10 + 1), 413},
			{"GET", "GET", "/api/fabric/authenticate", "", "", 405},
			{"GET with a slash", "GET", "/api/fabric/authenticate/", "", "", 405},
			{"another path of the call", "POST", "/api/v1/fabric/authenticate", "", "{}", 404},
			{"a form", "POST", "/api/fabric/authenticate", "application/x-www-form-urlencoded", "username=tfadmin&password=12345678", 415},
			{"another grant", "POST", "/api/fabric/authenticate/", "", `{"grant_type":"authorization_code"}`, 400},
			{"nothing", "POST", "/api/fabric/authenticate", "", "", 400},
			{"no token", "GET", "/api/v1/fabric/widget", "", "", 401},
		} {
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
			if c.kind != "" {
				r.Header.Set("Content-Type", c.kind)
			}
			rec := s.do(r)
			var a facAnswer
			err := json.Unmarshal(rec.Body.Bytes(), &a)
			if rec.Code != c.want || err != nil || a.Message == "" || (a.Success == "true") != (c.want == 200) {
				t.Errorf("%s: %d %.200s; want %d", c.name, rec.Code, rec.Body, c.want)
			}
		}
	})
}
