package upstream_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// The spoken vectors, run at the level of the round tripper: what a vector says
// of the gateway's front is not looked at.

type vector struct {
	ID       string
	Upstream struct {
		Profile, Username, Password string
		APIToken                    string `json:"api_token"`
	}
	Timeline []struct {
		Drive      *struct{ Method, Path string }
		ClientGets struct {
			Status  any
			Cookies map[string]string
		} `json:"client_gets"`
		Exchanges  []exchange
		Concurrent int
		Advance    float64
		Shutdown   bool
	}
}

type exchange struct {
	Expect struct {
		Method, Path string
		Body         *struct{ JSON map[string]any }
		Access       string `json:"carries_access_token"`
		Refresh      string `json:"carries_refresh_token"`
	}
	Reply struct {
		Status  int
		Headers [][2]string
		Body    *struct{ JSON any }
	}
	Repeat  int
	DelayMS int `json:"delay_ms"`
}

func loadVectors(t *testing.T) []vector {
	t.Helper()
	b, err := os.ReadFile("../dialect/testdata/ipfabric.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Spoken []vector }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Spoken) != 9 {
		t.Fatalf("spoken vectors = %d; want 9", len(file.Spoken))
	}
	return file.Spoken
}

// script is a backend that takes exactly the exchanges it is given.
type script struct {
	t    *testing.T
	mu   sync.Mutex
	left []exchange
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	x := s.take(r)
	time.Sleep(time.Duration(x.DelayMS) * time.Millisecond)
	resp := &http.Response{StatusCode: x.Reply.Status, Header: http.Header{}, Request: r, Body: http.NoBody}
	for _, h := range x.Reply.Headers {
		resp.Header.Add(h[0], h[1])
	}
	if x.Reply.Body != nil {
		b, err := json.Marshal(x.Reply.Body.JSON)
		if err != nil {
			return nil, err
		}
		resp.Header.Set("Content-Type", "application/json")
		resp.Body = io.NopCloser(strings.NewReader(string(b)))
	}
	return resp, nil
}

func (s *script) take(r *http.Request) exchange {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) == 0 {
		s.t.Errorf("unexpected exchange %s %s", r.Method, r.URL.Path)
		return exchange{}
	}
	x := s.left[0]
	if s.left[0].Repeat--; s.left[0].Repeat <= 0 {
		s.left = s.left[1:]
	}
	if r.Method != x.Expect.Method || !matches(x.Expect.Path, r.URL.Path) {
		s.t.Errorf("exchange is %s %s; want %s %s", r.Method, r.URL.Path, x.Expect.Method, x.Expect.Path)
	}
	s.carries(r, x)
	return x
}

func matches(want, got string) bool {
	if re, ok := strings.CutPrefix(want, "$re:"); ok {
		return regexp.MustCompile(re).MatchString(got)
	}
	return want == got
}

func (s *script) carries(r *http.Request, x exchange) {
	s.t.Helper()
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	bearer := r.Header.Get("Authorization") == "Bearer "+x.Expect.Access
	if x.Expect.Access != "" && !bearer && !hasCookie(r, "accessToken", x.Expect.Access) {
		s.t.Errorf("%s does not carry access token %s: %v", r.URL.Path, x.Expect.Access, r.Header)
	}
	if x.Expect.Refresh != "" && !hasCookie(r, "refreshToken", x.Expect.Refresh) && !strings.Contains(string(body), `"`+x.Expect.Refresh+`"`) {
		s.t.Errorf("%s does not carry refresh token %s: %v %s", r.URL.Path, x.Expect.Refresh, r.Header, body)
	}
	if x.Expect.Body == nil {
		return
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		s.t.Errorf("body %q: %v", body, err)
	}
	delete(x.Expect.Body.JSON, "$closed")
	for k, v := range x.Expect.Body.JSON {
		if got[k] != v || len(got) != len(x.Expect.Body.JSON) {
			s.t.Errorf("body = %s; want %v", body, x.Expect.Body.JSON)
		}
	}
}

func hasCookie(r *http.Request, name, value string) bool {
	c, err := r.Cookie(name)
	return err == nil && c.Value == value
}

func TestSpokenVectors(t *testing.T) {
	for _, v := range loadVectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runVector(t, v) })
		})
	}
}

func runVector(t *testing.T, v vector) {
	s := &script{t: t}
	w := newWorld(t, func(c *upstream.Config) {
		c.Transport, c.LogoutAtDrain = s, true
		c.Account = &upstream.Account{
			Username: v.Upstream.Username, Password: token.NewSecret(v.Upstream.Password),
			APIToken: token.NewSecret(v.Upstream.APIToken),
		}
	})
	shut := false
	for _, step := range v.Timeline {
		advance(time.Duration(step.Advance * float64(time.Second)))
		s.left = step.Exchanges
		if step.Shutdown {
			shut = true
			if err := w.Drain(t.Context()); err != nil {
				t.Errorf("Drain = %v", err)
			}
		}
		if step.Drive != nil {
			var wg sync.WaitGroup
			for range max(1, step.Concurrent) {
				wg.Go(func() { drive(t, w, step.Drive.Path, step.ClientGets.Status) })
			}
			wg.Wait()
		}
		synctest.Wait()
		if len(s.left) != 0 {
			t.Errorf("exchanges left over: %+v", s.left)
		}
	}
	if !shut { // the test's own clean-up logs out, which the vector does not know of
		s.left = []exchange{{}}
		s.left[0].Expect.Method, s.left[0].Expect.Path, s.left[0].Reply.Status = "POST", "$re:/auth/logout$", 204
	}
}

func drive(t *testing.T, w *world, path string, want any) {
	r := request(t, as(token.SID{1}), http.MethodGet, nil)
	r.URL.Path = path
	resp, err := w.RoundTrip(r)
	got := map[token.Kind]int{token.BadGateway: 502, token.Unavailable: 503}[kindOrInternal(err)]
	if err == nil {
		defer resp.Body.Close()
		got = resp.StatusCode
		if c := resp.Header["Set-Cookie"]; len(c) > 0 {
			t.Errorf("the client gets cookies %q", c)
		}
	}
	if !oneOf(want, got) {
		t.Errorf("status = %d (%v); want %v", got, err, want)
	}
	if err != nil && strings.Contains(err.Error(), "svcpass") {
		t.Errorf("the error holds the password: %v", err)
	}
}

func kindOrInternal(err error) token.Kind {
	if err == nil {
		return token.Internal
	}
	return token.KindOf(err)
}

func oneOf(want any, got int) bool {
	if list, ok := want.([]any); ok {
		for _, x := range list {
			if oneOf(x, got) {
				return true
			}
		}
		return false
	}
	return want == float64(got)
}
