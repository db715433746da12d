package proxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/proxy"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestPassThroughForwardsTheBackendsOwnAPITokenAsItCame(t *testing.T) {
	b := &recording{}
	asked := 0
	h := open(t, setup{transport: b, signedIn: true, change: func(rt *proxy.Route) {
		rt.Own = func(_ context.Context, own token.Secret) (token.Identity, error) {
			asked++
			if own.Reveal() != "backend-issued" {
				return token.Identity{}, token.Fail(token.InvalidAPIToken, "the API token is not known", nil)
			}
			return token.Identity{Name: "carol", ID: "1"}, nil
		}
	}})
	if rec := h.do("GET", "/x", "", "X-API-Token", "junk"); rec.Code != 401 || code(rec) != "API_INVALID_API_TOKEN" {
		t.Errorf("an unknown API token = %d %s", rec.Code, rec.Body)
	}
	if rec := h.do("GET", "/x", "", "X-API-Token", "backend-issued"); rec.Code != 200 || asked != 2 {
		t.Errorf("a backend's API token = %d after %d questions", rec.Code, asked)
	}
}

func TestDeadBackendSessionEndsThePassThroughSession(t *testing.T) {
	dead := roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, token.Fail(token.InvalidAccess, "the session at the backend has ended; log in again", nil)
	})
	h := open(t, setup{transport: dead, signedIn: true, change: func(rt *proxy.Route) {
		rt.Own = func(context.Context, token.Secret) (token.Identity, error) {
			return token.Identity{}, errors.New("not asked")
		}
	}})
	auth := "Bearer " + h.login(t, "alice")
	for range 2 {
		if rec := h.do("GET", "/x", "", "Authorization", auth); rec.Code != 401 || code(rec) != "API_INVALID_ACCESS_TOKEN" {
			t.Errorf("= %d %s; want 401 in the vendor's form", rec.Code, rec.Body)
		}
	}
	if rec := h.do("GET", "/api/v7.0/users/me", "", "Authorization", auth); rec.Code != 401 {
		t.Errorf("the session lives on: %d", rec.Code)
	}
}

func TestEarlyHintsAndTrailersOfABackendEndAtTheGateway(t *testing.T) {
	hostile := roundTrip(func(r *http.Request) (*http.Response, error) {
		if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(103, textproto.MIMEHeader{"Set-Cookie": {"__Host-gatehouse=EVIL"}}); err != nil {
				return nil, err
			}
		}
		if len(r.Trailer) > 0 {
			t.Errorf("the backend was told of trailers %v", r.Trailer)
		}
		res := respond(r, http.Header{"Set-Cookie": {"accessToken=LEAK", "__Host-gatehouse=EVIL; Path=/", "lang=en"}}, "x")
		res.Trailer = http.Header{"Set-Cookie": {"__Host-gatehouse=EVIL"}}
		return res, nil
	})
	h := open(t, setup{transport: hostile, signedIn: true})
	rec := h.do("GET", "/x", "", "Authorization", "Bearer "+h.login(t, "alice"))
	res := rec.Result()
	if got := strings.Join(res.Header["Set-Cookie"], "|"); got != "lang=en" || len(res.Trailer) > 0 {
		t.Errorf("Set-Cookie = %q, trailer = %v", got, res.Trailer)
	}
	if rec.Code != 200 || rec.Header().Get("X-Request-Id") == "" {
		t.Errorf("the gateway's own headers are gone: %d %v", rec.Code, rec.Header())
	}
	if got := rec.Header().Get("Cache-Control"); got != "private, no-cache" {
		t.Errorf("Cache-Control = %q", got)
	}
}

func TestGRPCTrailersPassAndOnlyThose(t *testing.T) {
	b := roundTrip(func(r *http.Request) (*http.Response, error) {
		res := respond(r, http.Header{"Content-Type": {"application/grpc"}}, "msg")
		res.Trailer = http.Header{"Grpc-Status": {"0"}, "Set-Cookie": {"EVIL"}}
		return res, nil
	})
	h := open(t, setup{transport: b, signedIn: true})
	res := h.do("POST", "/svc/Call", "x", "Authorization", "Bearer "+h.login(t, "alice"), "Content-Type", "application/grpc", "Te", "trailers").Result()
	if res.Trailer.Get("Grpc-Status") != "0" || res.Trailer.Get("Set-Cookie") != "" {
		t.Errorf("trailer = %v", res.Trailer)
	}
}

func TestOtherUpgradesAreNotTunnelled(t *testing.T) {
	b := &recording{}
	h := open(t, setup{transport: b, signedIn: true})
	h.do("GET", "/x", "", "Authorization", "Bearer "+h.login(t, "alice"), "Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c", "HTTP2-Settings", "AAMAAABk")
	r := b.last(t)
	for _, name := range []string{"Upgrade", "Connection", "Http2-Settings"} {
		if got := r.Header.Get(name); got != "" {
			t.Errorf("%s = %q reached the backend", name, got)
		}
	}
}

func TestBodiesHaveTheirLimits(t *testing.T) {
	b := &recording{}
	h := open(t, setup{transport: b, signedIn: true, change: func(rt *proxy.Route) { rt.Forwarding.MaxBody = 10 }})
	auth := "Bearer " + h.login(t, "alice")
	for n, want := range map[int]int{10: 200, 11: 413} {
		if rec := h.do("POST", "/x", strings.Repeat("a", n), "Authorization", auth); rec.Code != want {
			t.Errorf("a body of %d bytes = %d; want %d", n, rec.Code, want)
		}
	}
	pad := func(n int) string {
		head, tail := `{"username":"alice","password":"alice"`, "}"
		return head + strings.Repeat(" ", n-len(head)-len(tail)) + tail
	}
	for n, want := range map[int]int{64 << 10: 200, 64<<10 + 1: 413} {
		if rec := h.do("POST", "/api/auth/login", pad(n), "Content-Type", "application/json"); rec.Code != want {
			t.Errorf("a login of %d bytes = %d; want %d", n, rec.Code, want)
		}
	}
	if rec := h.do("POST", "/api/auth/login", "x", "Content-Encoding", "gzip"); rec.Code != 415 {
		t.Errorf("a compressed login = %d; want 415", rec.Code)
	}
}

func TestFailuresOfTheBackendAreToldApart(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want int
	}{
		"refused":     {errors.New("connection refused: secret-host:443"), 502},
		"timeout":     {context.DeadlineExceeded, 504},
		"unavailable": {token.Fail(token.Unavailable, "the backend login is being renewed; try again", nil), 503},
	} {
		h := open(t, setup{signedIn: true, transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, tt.err })})
		rec := h.do("GET", "/x", "", "Authorization", "Bearer "+h.login(t, "alice"))
		if rec.Code != tt.want || strings.Contains(rec.Body.String(), "secret-host") {
			t.Errorf("%s = %d %s; want %d", name, rec.Code, rec.Body, tt.want)
		}
		if tt.want == 503 && rec.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", name)
		}
	}
}

func TestPanicIsAPlain500WithARequestID(t *testing.T) {
	h := open(t, setup{signedIn: true, transport: roundTrip(func(*http.Request) (*http.Response, error) { panic("CANARY") })})
	rec := h.do("GET", "/x", "", "Authorization", "Bearer "+h.login(t, "alice"))
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "CANARY") || rec.Header().Get("X-Request-Id") == "" {
		t.Errorf("= %d %s", rec.Code, rec.Body)
	}
	if !strings.Contains(h.log.String(), "CANARY") {
		t.Error("the log does not say what happened")
	}
}

func TestLogHasOneLineARequestAndNoSecret(t *testing.T) {
	h := open(t, setup{transport: &recording{}, signedIn: true})
	at := h.login(t, "alice")
	h.do("GET", "/x?password=in-a-query", "", "Authorization", "Bearer "+at)
	lines := strings.Split(strings.TrimSpace(h.log.String()), "\n")
	if len(lines) != 2 {
		t.Errorf("%d lines; want one for each of 2 requests", len(lines))
	}
	for _, secret := range []string{at, at[len(at)-20:], "in-a-query"} {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("the log has %.12s…", secret)
		}
	}
	var last map[string]any
	if err := json.Unmarshal([]byte(lines[1]), &last); err != nil || last["user"] != "alice" || last["route"] != "fabric" || last["status"] != float64(200) {
		t.Errorf("line = %v, %v", last, err)
	}
}

func TestUnknownHostIsMisdirected(t *testing.T) {
	h := open(t, setup{transport: &recording{}, signedIn: true, change: func(rt *proxy.Route) { rt.Host = "fabric.example.com" }})
	if rec := h.do("GET", "/x", ""); rec.Code != 421 {
		t.Errorf("= %d; want 421", rec.Code)
	}
}
