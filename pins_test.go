package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/dialect/vectors"
	"github.com/gatehouse-gateway/gatehouse/session/sessiontest"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// locking is a token API with a lock that belongs to an access token.
var locking = dialect.Family{
	Name: "locking", Profiles: []string{"1"}, Default: "1",
	Open: func(_ string, s dialect.Settings) (*dialect.Dialect, error) {
		call := dialect.Call{
			Op: token.OpLogin, Also: []token.Op{token.OpRenew}, Method: http.MethodPost, Paths: []string{"/{version}/token"},
			WriteRequest: func(r *http.Request, g token.Grant) error {
				r.Header.Set("Renews", s.RenewalField+g.Access.Reveal())
				return nil
			},
			ReadResponse: func(r *http.Response) (token.Set, error) {
				b, err := io.ReadAll(r.Body)
				return token.Set{Access: token.NewSecret(string(b)), ExpiresIn: 10 * time.Minute}, err
			},
		}
		return &dialect.Dialect{
			Name: "locking", Profile: "1", Calls: []dialect.Call{call}, Versions: s.Versions,
			Carriers: []dialect.Carried{{Carrier: dialect.Bearer{}, Use: dialect.UseAccess}},
			Errors: dialect.Errors{
				Read:      func(int, http.Header, []byte) *token.Error { return token.Fail(token.BadGateway, "", nil) },
				MayExpire: func(int) bool { return false },
			},
			Pin: &dialect.Pin{
				Step: func(r *http.Request) dialect.PinStep {
					if r.URL.Path == "/lock" {
						return dialect.PinTake
					}
					return dialect.PinNone
				},
				Release: func(version string) (string, string) { return http.MethodPost, "/v" + version + "/unlock" },
			},
		}, nil
	},
}

// lockingBackend is a backend that speaks it.
type lockingBackend struct {
	callLog
	n int
}

func (b *lockingBackend) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rec := httptest.NewRecorder()
	with := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") + r.Header.Get("Renews")
	b.calls = append(b.calls, strings.TrimSpace(r.URL.Path+" "+with))
	if strings.HasSuffix(r.URL.Path, "/token") {
		b.n++
		fmt.Fprintf(rec, "T%d", b.n)
	}
	return rec.Result(), nil
}

// A lock lives as long as the session that took it, on whatever gateway, and no
// longer.
func TestLockEndsWithItsSession(t *testing.T) {
	before := dialect.All
	dialect.All = append(slices.Clone(dialect.All), locking)
	t.Cleanup(func() { dialect.All = before })
	keys := sessiontest.NewMemory()
	warmKeys(t, keys)
	for _, tt := range []struct {
		name string
		end  func(s *issuer, cookie string)
		wait time.Duration
	}{
		{"signed out", func(s *issuer, cookie string) {
			r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "/.gatehouse/sign-out", nil)
			r.Host = "localhost"
			r.Header.Set("Cookie", cookie)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			if rec := s.do(r); rec.Code != http.StatusSeeOther {
				s.t.Fatalf("sign-out = %d; want 303", rec.Code)
			}
		}, 0},
		{"expired", func(*issuer, string) {}, portalLife + 5*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up := &lockingBackend{}
				cfg := &config.Config{
					Secrets: []token.Secret{token.NewSecret(vectorSecret)}, PagesPath: "/.gatehouse", DegradedFor: time.Minute,
					Backends: []config.Backend{{
						Name: "backend", URL: &url.URL{Scheme: "https", Host: "backend.test"}, Speak: "locking/1",
						Versions: []string{"3"}, RenewalField: "field=",
						Account: &config.Account{Username: "svc", Password: token.NewSecret("svcpass")},
					}},
					Routes: []config.Route{{Name: "route", Path: "/", Backend: "backend"}},
				}
				s := &issuer{t: t, cfg: cfg, outside: memoryOutside(t, vectors.File{}, keys, up)}
				s.start()
				other := &issuer{t: t, cfg: cfg, outside: s.outside}
				other.start()
				defer other.halt()
				cookie := signedIn(s)
				get := func(s *issuer, path string) {
					r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil)
					r.Host = "localhost"
					r.Header.Set("Cookie", cookie)
					r.Header.Set("Sec-Fetch-Site", "same-origin")
					if rec := s.do(r); rec.Code != http.StatusOK {
						t.Fatalf("%s = %d; want 200\n%s", path, rec.Code, rec.Body)
					}
				}
				get(s, "/lock")
				get(other, "/write")
				s.halt()
				if err := drained(t, s); err != nil {
					t.Fatal(err)
				}
				time.Sleep(500 * time.Second)
				synctest.Wait()
				up.want(t, "/v3/token field=", "/lock T1", "/write T1", "/v3/token field=T1")
				tt.end(other, cookie)
				time.Sleep(tt.wait)
				synctest.Wait()
				up.mu.Lock()
				last := up.calls[len(up.calls)-1]
				up.calls = nil
				newest := fmt.Sprintf("T%d", up.n)
				up.mu.Unlock()
				if want := "/v3/unlock " + newest; last != want {
					t.Errorf("last call = %s; want %s", last, want)
				}
				time.Sleep(time.Hour)
				up.want(t) // nothing more
			})
		})
	}
}

// signedIn returns the cookie of a new browser session.
func signedIn(s *issuer) string {
	s.t.Helper()
	form := url.Values{"username": {"c1"}, "password": {"c1-password"}}.Encode()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "/.gatehouse/sign-in", strings.NewReader(form))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range s.do(r).Result().Cookies() {
		if c.Value != "" && c.Name == "__Host-gatehouse" {
			return c.Name + "=" + c.Value
		}
	}
	s.t.Fatal("signing in gave no cookie")
	return ""
}

// drained ends a gateway in good order.
func drained(t *testing.T, s *issuer) error {
	t.Helper()
	for _, b := range s.gateway.backends {
		if err := b.Drain(t.Context()); err != nil {
			return err
		}
	}
	return nil
}
