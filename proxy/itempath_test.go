package proxy_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/proxy"
	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// servesItemPath has a route serve ItemPath, after what it serves already if beside.
func servesItemPath(t *testing.T, beside bool) func(*proxy.Route) {
	t.Helper()
	d, err := dialect.Open("itempath", dialect.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := session.LoadKeys(t.Context(), sessiontest.NewMemory(), seal.Random())
	if err != nil {
		t.Fatal(err)
	}
	return func(rt *proxy.Route) {
		iss := *rt.Serve[0].Issuer
		iss.Name, iss.Dialect, iss.Rotates = d.ID(), d.Name, false
		iss.AccessTTL, iss.RefreshTTL, iss.Shape = d.Tokens.AccessTTL, d.Tokens.RefreshTTL, d.Shape(keys.For(d.Name, iss.Source))
		served := proxy.Served{Dialect: d, Issuer: &iss}
		if !beside {
			rt.Serve = nil
		}
		rt.Serve = append(rt.Serve, served)
	}
}

func msg(t *testing.T, body string) string {
	t.Helper()
	var v struct{ Msg string }
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return v.Msg
}

func itemPathLogin(t *testing.T, h *house) (access, refresh string) {
	t.Helper()
	rec := h.do("POST", "/api/users/login", `{"username":"alice","password":"alice"}`)
	var v struct{ AccessToken, RefreshToken string }
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil || rec.Code != http.StatusOK {
		t.Fatalf("log in: %d %s", rec.Code, rec.Body)
	}
	return v.AccessToken, v.RefreshToken
}

func TestItemPathSchemeErrors(t *testing.T) {
	h := open(t, setup{transport: &recording{}, signedIn: true, change: servesItemPath(t, false)})
	access, refresh := itemPathLogin(t, h)
	const noBearer = "Missing 'Bearer' type in 'Authorization' header. Expected 'Authorization: Bearer <JWT>'"
	const badHeader = "Bad Authorization header. Expected 'Authorization: Bearer <JWT>'"
	for _, c := range []struct {
		authorization string
		status        int
		msg           string
	}{
		{"", 401, "Missing Authorization Header"},
		{"Basic YWxpY2U6YWxpY2U=", 401, noBearer},
		{"bearer " + access, 401, noBearer},
		{"Bearer", 422, badHeader},
		{"Bearer " + access + " x", 422, badHeader},
		{"Bearer abc", 422, "Not enough segments"},
		{"Bearer " + refresh, 422, "Only non-refresh tokens are allowed"},
	} {
		for _, call := range [][2]string{{"GET", "/api/stations"}, {"POST", "/api/users/refresh"}, {"POST", "/api/users/application-token"}} {
			if c.authorization == "Bearer "+refresh && call[0] == "POST" {
				continue // where it belongs
			}
			headers := []string{"Authorization", c.authorization}
			if c.authorization == "" {
				headers = nil
			}
			rec := h.do(call[0], call[1], "", headers...)
			if rec.Code != c.status || msg(t, rec.Body.String()) != c.msg {
				t.Errorf("%s with %.20q: %d %s; want %d %s", call[1], c.authorization, rec.Code, rec.Body, c.status, c.msg)
			}
		}
	}
}

// TestItemPathForwardsNoClientsCredential: in whatever scheme it came.
func TestItemPathForwardsNoClientsCredential(t *testing.T) {
	rules, errs := policy.Compile([]policy.Rule{{Path: "/**", Public: true}})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	backend := &recording{}
	h := open(t, setup{transport: backend, rules: rules, change: func(rt *proxy.Route) {
		servesItemPath(t, false)(rt)
		rt.Spoken, rt.Transport = nil, backend
	}})
	access, _ := itemPathLogin(t, h)
	for _, authorization := range []string{"Bearer " + access, "bearer " + access, "Basic YTpi", "Bearer", "Bearer a b", "Digest x", access} {
		if rec := h.do("GET", "/api/stations", "", "Authorization", authorization); rec.Code != http.StatusOK {
			t.Errorf("%.20q: %d %s", authorization, rec.Code, rec.Body)
		}
		if got, ok := backend.last(t).Header["Authorization"]; ok {
			t.Errorf("%.20q reaches the backend as %.20q", authorization, got)
		}
	}
}

// TestItemPathBesideAnotherDialect: a scheme that is none of ItemPath's is the
// other's, whichever is served first.
func TestItemPathBesideAnotherDialect(t *testing.T) {
	for name, first := range map[string]bool{"first": true, "second": false} {
		h := open(t, setup{transport: &recording{}, signedIn: true, change: func(rt *proxy.Route) {
			servesItemPath(t, true)(rt)
			if first {
				rt.Serve[0], rt.Serve[1] = rt.Serve[1], rt.Serve[0]
			}
		}})
		access, _ := itemPathLogin(t, h)
		for _, authorization := range []string{"Basic YWxpY2U6YWxpY2U=", "Bearer " + access, "Bearer " + h.login(t, "alice"), "bearer " + access} {
			if rec := h.do("GET", "/x", "", "Authorization", authorization); rec.Code != http.StatusOK {
				t.Errorf("%s: %.20q: %d %s", name, authorization, rec.Code, rec.Body)
			}
		}
	}
}

func TestItemPathApplicationTokenInPassThrough(t *testing.T) {
	backend := &recording{}
	h := open(t, setup{transport: backend, signedIn: true, change: func(rt *proxy.Route) {
		servesItemPath(t, false)(rt)
		rt.Own = func(context.Context, token.Secret) (token.Identity, error) { return token.Identity{}, nil }
		rt.Serve[0].Issuer.Backend = idle{}
	}})
	_, refresh := itemPathLogin(t, h)
	rec := h.do("POST", "/api/users/application-token", "", "Authorization", "Bearer "+refresh)
	if rec.Code != http.StatusForbidden || !strings.Contains(msg(t, rec.Body.String()), "passes each login on") || len(backend.got) != 0 {
		t.Errorf("%d %s after %d calls to the backend; want 403 and none", rec.Code, rec.Body, len(backend.got))
	}
	// One of the backend's own is not known here.
	rec = h.do("GET", "/api/stations", "", "Authorization", "Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.AAAA")
	if rec.Code != http.StatusUnprocessableEntity || msg(t, rec.Body.String()) != "Signature verification failed" {
		t.Errorf("the backend's own token: %d %s", rec.Code, rec.Body)
	}
}

// idle is a session.Backend that does nothing.
type idle struct{}

func (idle) Renew(context.Context, token.SID, token.Grant) error { return nil }
func (idle) End(token.SID)                                       {}
func (idle) Poll(context.Context, string) (token.Challenge, error) {
	return token.Challenge{}, nil
}
