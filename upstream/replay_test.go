package upstream_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// onlyReader hides what else a body can do, as a server's does.
type onlyReader struct{ io.Reader }

func TestReplayRules(t *testing.T) {
	body := func(n int) func() io.Reader {
		return func() io.Reader { return onlyReader{bytes.NewReader(bytes.Repeat([]byte("x"), n))} }
	}
	none := func() io.Reader { return nil }
	for _, tt := range []struct {
		name   string
		method string
		body   func() io.Reader
		header string
		want   int
	}{
		{"GET", "GET", none, "", 200},
		{"HEAD", "HEAD", none, "", 200},
		{"POST without a body", "POST", none, "", 200},
		{"POST", "POST", body(5), "", 200},
		{"POST of 64 KiB", "POST", body(64 << 10), "", 200},
		{"POST of 64 KiB and 1", "POST", body(64<<10 + 1), "", 401},
		{"PUT of a megabyte", "PUT", body(1 << 20), "", 401},
		{"DELETE with a body", "DELETE", body(1), "", 200},
		{"Upgrade", "GET", none, "Upgrade: websocket", 401},
		{"Expect", "POST", body(5), "Expect: 100-continue", 401},
		{"gRPC", "POST", body(5), "Content-Type: application/grpc+proto", 401},
		{"gRPC without a body", "POST", none, "Content-Type: application/grpc", 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.wantGet(t, anyone, 200)
				w.fabric.VoidAccess()
				calls := w.fabric.Count("call")
				r := request(t, anyone, tt.method, tt.body())
				if name, value, ok := strings.Cut(tt.header, ": "); ok {
					r.Header.Set(name, value)
				}
				if got, err := w.do(r); err != nil || got != tt.want {
					t.Errorf("status = %d, %v; want %d", got, err, tt.want)
				}
				synctest.Wait()
				w.wantCounts(t, 1, 1, 0) // renewed for the next one, at least
				if replayed := w.fabric.Count("call") - calls; (replayed == 1) != (tt.want == 200) {
					t.Errorf("calls that went through = %d", replayed)
				}
				w.wantGet(t, anyone, 200)
			})
		})
	}
}

func TestReplaySendsTheWholeBodyAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		const text = "the body, from its first byte to its last"
		var got []string
		w.fabric.Override(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/auth/") {
				w.fabric.Override(nil)
				w.fabric.ServeHTTP(rw, r)
				w.fabric.Override(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					got = append(got, string(b))
				}))
				return
			}
			part := make([]byte, 10) // the backend answers before it has read all
			n, _ := io.ReadFull(r.Body, part)
			got = append(got, string(part[:n]))
			jsonSays(401, "API_EXPIRED_ACCESS_TOKEN").ServeHTTP(rw, r)
		}))
		if status, err := w.do(request(t, anyone, "POST", onlyReader{strings.NewReader(text)})); err != nil || status != 200 {
			t.Fatalf("POST = %d, %v; want 200", status, err)
		}
		if len(got) != 2 || got[0] != text[:10] || got[1] != text {
			t.Errorf("the backend read %q; want the first ten bytes, then everything", got)
		}
	})
}

func TestRefusalForEverIsOneRenewalAndOneReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		w := newWorld(t, func(c *upstream.Config) {
			inner := c.Transport
			c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := inner.RoundTrip(r)
				if !strings.Contains(r.URL.Path, "/auth/") {
					calls++
					resp.StatusCode = 401
					resp.Body = io.NopCloser(strings.NewReader(`{"code":"API_INVALID_ACCESS_TOKEN"}`))
				}
				return resp, err
			})
		})
		w.wantGet(t, anyone, 401)
		w.wantCounts(t, 1, 1, 0)
		if calls != 2 {
			t.Errorf("calls = %d; want the first and its replay", calls)
		}
		for range 29 {
			w.wantGet(t, anyone, 401)
			advance(time.Second)
		}
		w.wantCounts(t, 1, 1, 0)
		if !w.notes.has("replay held") {
			t.Errorf("recorded %q; want replay held", w.notes.all)
		}
		advance(2 * time.Second)
		w.wantGet(t, anyone, 401)
		w.wantCounts(t, 1, 2, 0)
	})
}

func TestAcceptedTokenIsRenewedTheMomentItIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		for n := range 5 {
			w.fabric.VoidAccess()
			w.wantGet(t, anyone, 200)
			w.wantCounts(t, 1, n+1, 0)
		}
	})
}

func TestRefusedOldTokenIsNotRenewedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld(t, func(c *upstream.Config) {
			inner := c.Transport
			c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodPut {
					<-release // a call that takes long, and meets a token renewed meanwhile
				}
				return inner.RoundTrip(r)
			})
		})
		w.wantGet(t, anyone, 200)
		done := make(chan int)
		go func() {
			status, _ := w.do(request(t, anyone, http.MethodPut, strings.NewReader("x")))
			done <- status
		}()
		synctest.Wait()
		w.fabric.VoidAccess()
		w.wantGet(t, anyone, 200)
		w.store.Break("Acquire", errors.New("store is down")) // memory knows it
		close(release)
		if got := <-done; got != 200 {
			t.Errorf("PUT = %d; want 200 with the token renewed meanwhile", got)
		}
		w.wantCounts(t, 1, 1, 0)
	})
}

func TestRefusalAboutSomethingElseIsRelayedUnchanged(t *testing.T) {
	long := strings.Repeat("x", 40<<10)
	for _, tt := range []struct {
		name string
		h    http.Handler
		want int
		body string
	}{
		{"wrong old password", jsonSays(401, "API_INVALID_CREDENTIALS"), 401, `{"code":"API_INVALID_CREDENTIALS","message":"the backend's own words"}`},
		{"forbidden", jsonSays(403, "API_INSUFFICIENT_RIGHTS"), 403, `{"code":"API_INSUFFICIENT_RIGHTS","message":"the backend's own words"}`},
		{"long", says(401, "application/json", `{"code":"API_INVALID_CREDENTIALS","message":"`+long+`"}`), 401, `{"code":"API_INVALID_CREDENTIALS","message":"` + long + `"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.wantGet(t, anyone, 200)
				w.overrideCalls(tt.h)
				resp, err := w.RoundTrip(request(t, anyone, http.MethodGet, nil))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != tt.want {
					t.Errorf("status = %d, %v; want %d", resp.StatusCode, err, tt.want)
				}
				if tt.name != "long" && string(got) != tt.body {
					t.Errorf("body = %q; want %q", got, tt.body)
				}
				if tt.name == "long" && len(got) != len(tt.body) {
					t.Errorf("body has %d bytes; want all %d", len(got), len(tt.body))
				}
			})
		})
	}
}

func TestFailedForcedRenewalIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.wantGet(t, anyone, 200)
		w.fabric.VoidAccess()
		w.overrideAuth(says(503, "text/plain", "x"))
		w.wantKind(t, anyone, token.Unavailable)
		if !w.notes.has("replay failed") {
			t.Errorf("recorded %q; want replay failed", w.notes.all)
		}
	})
}

func TestIdempotencyKeyStaysAndDoesNotReplay(t *testing.T) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		w := newWorld(t, func(c *upstream.Config) {
			c.Dialect = nil
			c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if _, ok := r.Header[name]; ok {
					t.Errorf("%s goes out under the name that http.Transport looks for", name)
				}
				if got := r.Header[strings.ToLower(name)]; len(got) != 1 || got[0] != "k" {
					t.Errorf("%s = %q; want it passed on", name, got)
				}
				return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
			})
		})
		r := request(t, anyone, "POST", nil)
		r.Header.Set(name, "k")
		if _, err := w.do(r); err != nil {
			t.Error(err)
		}
	}
}

func TestAnonymousRequestsGetNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := w.do(r); err != nil || got != 401 {
			t.Errorf("anonymous = %d, %v; want the backend's 401", got, err)
		}
		w.wantCounts(t, 0, 0, 0)
	})
}

func TestBodyIsClosedInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		closing := func() (*http.Request, *closer) {
			c := &closer{Reader: strings.NewReader("x")}
			return request(t, anyone, "POST", c), c
		}
		r, c := closing()
		w.overrideAuth(says(503, "text/plain", "x"))
		if _, err := w.do(r); err == nil {
			t.Fatal("POST without tokens got through")
		}
		if !c.closed {
			t.Error("the body of a request that was not sent stays open")
		}
		w.overrideAuth(nil)
		advance(time.Minute)
		r, c = closing()
		if got, err := w.do(r); err != nil || got != 200 || !c.closed {
			t.Errorf("POST = %d, %v, body closed %v; want 200 and closed", got, err, c.closed)
		}
		w.fabric.VoidAccess()
		r, c = closing()
		if got, err := w.do(r); err != nil || got != 200 || !c.closed {
			t.Errorf("replayed POST = %d, %v, body closed %v; want 200 and closed", got, err, c.closed)
		}
	})
}

type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error {
	c.closed = true
	return nil
}

func TestBrokenBodyOfARefusalStaysBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broke := errors.New("broke")
		w := newWorld(t, func(c *upstream.Config) {
			c.Account.APIToken = token.NewSecret("UPTOKEN")
			c.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 401, Header: http.Header{}, Body: io.NopCloser(io.MultiReader(
					strings.NewReader(`{"code":"API_INVALID_CREDENTIALS"}`), failing{broke}))}, nil
			})
		})
		if got, err := w.get(t, anyone); got != 401 || !errors.Is(err, broke) {
			t.Errorf("GET = %d, %v; want 401 whose body breaks off", got, err)
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestStaticTokenThatIsRefusedDoesNotLoop(t *testing.T) {
	for _, code := range []string{"API_EXPIRED_API_TOKEN", "API_INVALID_API_TOKEN"} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			w := newWorld(t, func(c *upstream.Config) {
				c.Account = &upstream.Account{APIToken: token.NewSecret("UPTOKEN")}
				inner := c.Transport
				c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
					calls++
					return inner.RoundTrip(r)
				})
			})
			w.wantGet(t, anyone, 200)
			w.fabric.Override(jsonSays(401, code))
			w.wantKind(t, anyone, token.BadGateway)
			if calls != 2 {
				t.Errorf("calls = %d; want 2", calls)
			}
		})
	}
}
