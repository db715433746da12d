package tests

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// client sends requests to one base URL. It follows no redirect and keeps no
// cookie. It is safe for concurrent use.
type client struct {
	base string
	http *http.Client
}

func newClient(t testing.TB, base string) *client {
	t.Helper()
	return newTLSClient(t, base, nil)
}

func newTLSClient(t testing.TB, base string, conf *tls.Config) *client {
	t.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: 100, TLSClientConfig: conf, DisableCompression: true, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{base: base, http: &http.Client{
		Transport:     tr,
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (g *gateway) client(t testing.TB) *client {
	t.Helper()
	return newClient(t, g.URL)
}

// request is what a test sends. Method is GET if empty; a body is JSON unless
// header says otherwise.
type request struct {
	method, path, body string
	host               string // empty: that of the URL
	header             http.Header
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// cookie returns the value of a Set-Cookie; empty if there is none.
func (a answer) cookie(name string) string {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// code returns the vendor's error code; empty if the body has none.
func (a answer) code() string {
	var e struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal([]byte(a.body), &e) // no JSON, no code
	return e.Code
}

// do sends one request. It may be called outside the test's goroutine.
func (c *client) do(ctx context.Context, q request) (answer, error) {
	if q.method == "" {
		q.method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(ctx, q.method, c.base+q.path, strings.NewReader(q.body))
	if err != nil {
		return answer{}, err
	}
	for k, vs := range q.header {
		r.Header[k] = vs
	}
	if q.host != "" {
		r.Host = q.host
	}
	if q.body != "" && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(b)}, err
}

// must sends one request and ends the test if there is no answer.
func (c *client) must(t testing.TB, q request) answer {
	t.Helper()
	a, err := c.do(t.Context(), q)
	if err != nil {
		t.Fatalf("%s %s: %v", q.method, q.path, err)
	}
	return a
}

// pair is what a login or a refresh yields.
type pair struct{ access, refresh string }

func (a answer) pair() pair { return pair{a.cookie("accessToken"), a.cookie("refreshToken")} }

// login signs in by the IP Fabric call and ends the test if that fails.
func (c *client) login(t testing.TB, user, password string) pair {
	t.Helper()
	a := c.must(t, loginRequest(user, password))
	p := a.pair()
	if a.status != http.StatusOK || p.access == "" || p.refresh == "" {
		t.Fatalf("login of %s = %d %s; want 200 and both cookies", user, a.status, a.body)
	}
	return p
}

func loginRequest(user, password string) request {
	body, _ := json.Marshal(map[string]string{"username": user, "password": password}) // strings always marshal
	return request{method: http.MethodPost, path: "/api/auth/login", body: string(body)}
}

func refreshRequest(token string) request {
	body, _ := json.Marshal(map[string]string{"refreshToken": token}) // strings always marshal
	return request{method: http.MethodPost, path: "/api/auth/token", body: string(body)}
}

// refresh rotates and ends the test if that fails.
func (c *client) refresh(t testing.TB, token string) pair {
	t.Helper()
	a := c.must(t, refreshRequest(token))
	if a.status != http.StatusOK || a.pair().access == "" {
		t.Fatalf("refresh = %d %s; want 200", a.status, a.body)
	}
	return a.pair()
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}}
}

// get calls a path with an access token; an empty one is left away.
func (c *client) get(t testing.TB, path, access string) answer {
	t.Helper()
	q := request{path: path}
	if access != "" {
		q.header = bearer(access)
	}
	return c.must(t, q)
}

// wantStatus fails the test if an answer has another status.
func wantStatus(t testing.TB, what string, a answer, want int) {
	t.Helper()
	if a.status != want {
		t.Errorf("%s = %d %s; want %d", what, a.status, a.body[:min(len(a.body), 300)], want)
	}
}
