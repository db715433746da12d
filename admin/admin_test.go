package admin

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/token"
)

func newHandler(state Readiness, secret string) http.Handler {
	return New(Options{
		Ready:   func() Readiness { return state },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "some_metric 1\n") }),
		Token:   token.NewSecret(secret),
	})
}

func call(t *testing.T, h http.Handler, method, path, authorization string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func want(t *testing.T, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status || w.Body.String() != body {
		t.Errorf("answer = %d %q; want %d %q", w.Code, w.Body, status, body)
	}
}

func TestHealthIsOK(t *testing.T) {
	want(t, call(t, newHandler(Readiness{}, ""), http.MethodGet, "/healthz", ""), 200, "ok\n")
}

func TestReadinessSaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name   string
		state  Readiness
		status int
		body   string
	}{
		{"zero is not ready", Readiness{}, 503, `{"ready":false,"degraded":[],"waiting":[]}`},
		{"waiting", Readiness{Waiting: []string{"redis"}}, 503, `{"ready":false,"degraded":[],"waiting":["redis"]}`},
		{"ready", Readiness{Ready: true}, 200, `{"ready":true,"degraded":[],"waiting":[]}`},
		{"degraded", Readiness{Ready: true, Degraded: []string{"journal", "clock"}}, 200, `{"ready":true,"degraded":["journal","clock"],"waiting":[]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := call(t, newHandler(c.state, ""), http.MethodGet, "/readyz", "")
			want(t, w, c.status, c.body+"\n")
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type = %q", got)
			}
		})
	}
}

func TestMetricsAreServedWithoutToken(t *testing.T) {
	want(t, call(t, newHandler(Readiness{}, "s3cret"), http.MethodGet, "/metrics", ""), 200, "some_metric 1\n")
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	h := newHandler(Readiness{Ready: true}, "")
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		w := call(t, h, http.MethodPost, path, "")
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s = %d, Allow %q; want 405, GET, HEAD", path, w.Code, w.Header().Get("Allow"))
		}
		if w := call(t, h, http.MethodHead, path, ""); w.Code != http.StatusOK {
			t.Errorf("HEAD %s = %d; want 200", path, w.Code)
		}
	}
}

func TestOtherPathsNeedTheTokenAndWithoutOneAreNotThere(t *testing.T) {
	for _, c := range []struct {
		name, token, authorization string
		status                     int
	}{
		{"no token set", "", "", 404},
		{"no token set, one sent", "", "Bearer x", 404},
		{"no token set, empty one sent", "", "Bearer ", 404},
		{"none sent", "s3cret", "", 401},
		{"empty", "s3cret", "Bearer ", 401},
		{"wrong", "s3cret", "Bearer s3creT", 401},
		{"longer", "s3cret", "Bearer s3cret ", 401},
		{"other scheme", "s3cret", "Basic s3cret", 401},
		{"right", "s3cret", "Bearer s3cret", 404},
		{"scheme in lower case", "s3cret", "bearer s3cret", 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, path := range []string{"/", "/sessions", "/healthz/", "/metrics/x", "/debug/pprof/"} {
				w := call(t, newHandler(Readiness{}, c.token), http.MethodPost, path, c.authorization)
				if w.Code != c.status {
					t.Errorf("%s = %d; want %d", path, w.Code, c.status)
				}
				if challenged := w.Header().Get("WWW-Authenticate") != ""; challenged != (c.status == 401) {
					t.Errorf("%s: challenged = %v", path, challenged)
				}
			}
		})
	}
}

func TestHealthcheckAsksTheRunningGateway(t *testing.T) {
	srv := httptest.NewServer(newHandler(Readiness{}, ""))
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, listen := range []string{"127.0.0.1:" + port, ":" + port, "0.0.0.0:" + port, "localhost:" + port} {
		if err := Healthcheck(t.Context(), listen); err != nil {
			t.Errorf("Healthcheck(%s) = %v; want nil", listen, err)
		}
	}
}

func TestHealthcheckFailsWhereNothingIsHealthy(t *testing.T) {
	sick := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(sick.Close)
	moved := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusFound))
	t.Cleanup(moved.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, listen := range map[string]string{
		"404":      sick.Listener.Addr().String(),
		"redirect": moved.Listener.Addr().String(),
		"closed":   gone.Listener.Addr().String(),
		"no port":  "127.0.0.1",
		"empty":    "",
	} {
		err := Healthcheck(t.Context(), listen)
		if err == nil || !strings.HasPrefix(err.Error(), "admin: healthcheck: ") {
			t.Errorf("%s: Healthcheck = %v; want an error of admin", name, err)
		}
	}
}

func TestLocal(t *testing.T) {
	for listen, want := range map[string]string{
		":9090": "127.0.0.1:9090", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1", "[::1]:1": "[::1]:1", "10.0.0.1:1": "10.0.0.1:1", "gate:http": "gate:http",
	} {
		if got, err := Local(listen); err != nil || got != want {
			t.Errorf("Local(%q) = %q, %v; want %q", listen, got, err, want)
		}
	}
}
