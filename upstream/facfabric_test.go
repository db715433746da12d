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

	"github.com/gatehouse-gateway/gatehouse/demo"
	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// appliance is a FortiAuthenticator whose access tokens are good until they are
// voided.
type appliance struct {
	mu      sync.Mutex
	void    bool              // the next call is refused
	onLogin http.Handler      // answers logins; nil: success
	onToken http.Handler      // answers refreshes; nil: success
	counts  map[string]int    // of logins, refreshes and calls
	last    map[string]string // body of the last token call
}

const (
	facTokens  = `{"access_token":"AT","expires_in":0,"message":"m","refresh_token":"RT","scope":"read","success":"true","token_type":"Bearer"}`
	facRefused = `{"message":"x"}`
)

func (a *appliance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !strings.HasSuffix(r.URL.Path, "/api/fabric/authenticate") {
		a.counts["call"]++
		if a.void {
			a.void = false
			says(401, "application/json", facRefused).ServeHTTP(w, r)
			return
		}
		says(200, "application/json", `{"status":"ok"}`).ServeHTTP(w, r)
		return
	}
	b, _ := io.ReadAll(r.Body)
	a.last = map[string]string{}
	_ = json.Unmarshal(b, &a.last)
	what, h := "login", a.onLogin
	if a.last["grant_type"] == "refresh_token" {
		what, h = "refresh", a.onToken
	}
	a.counts[what]++
	if h == nil {
		h = says(200, "application/json", facTokens)
	}
	h.ServeHTTP(w, r)
}

func (a *appliance) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// wantCalls checks how many logins and refreshes there were.
func (a *appliance) wantCalls(t *testing.T, logins, refreshes int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.counts["login"] != logins || a.counts["refresh"] != refreshes {
		t.Errorf("%d logins and %d refreshes; want %d and %d", a.counts["login"], a.counts["refresh"], logins, refreshes)
	}
}

func newAppliance(t *testing.T, change func(*upstream.Config)) (*appliance, *world) {
	t.Helper()
	d, err := dialect.Open("fac-fabric", dialect.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	a := &appliance{counts: map[string]int{}}
	return a, newWorld(t, func(c *upstream.Config) {
		c.Dialect, c.Transport = d, demo.Local{Handler: a}
		if change != nil {
			change(c)
		}
	})
}

// TestRefusedRefreshWithoutACodeLogsInAgain: this vendor has no code, and its
// access tokens never expire, so nothing else would ever say so.
func TestRefusedRefreshWithoutACodeLogsInAgain(t *testing.T) {
	for name, h := range map[string]http.Handler{
		"401":                says(401, "application/json", facRefused),
		"401 without a body": says(401, "", ""),
		"success false":      says(200, "application/json", `{"success":"false","message":"x"}`),
		"OAuth's word":       says(400, "application/json", `{"error":"invalid_grant"}`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, w := newAppliance(t, nil)
				w.wantGet(t, anyone, 200)
				a.set(func() { a.void, a.onToken = true, h })
				w.wantGet(t, anyone, 200)
				a.wantCalls(t, 2, 1)
			})
		})
	}
}

func TestTroubleWithARefreshIsNoRefusal(t *testing.T) {
	for name, h := range map[string]http.Handler{
		"401 of a web page":    says(401, "text/html", "<html>"),
		"401 in plain text":    says(401, "text/plain", "Unauthorized"),
		"400":                  says(400, "application/json", facRefused),
		"403":                  says(403, "application/json", facRefused),
		"503":                  says(503, "application/json", facRefused),
		"a negative life":      says(200, "application/json", strings.Replace(facTokens, `:0`, `:-1`, 1)),
		"a life of 2^31":       says(200, "application/json", strings.Replace(facTokens, `:0`, `:2147483648`, 1)),
		"a life in words":      says(200, "application/json", strings.Replace(facTokens, `:0`, `:"0"`, 1)),
		"no access token":      says(200, "application/json", `{"success":"true","expires_in":0}`),
		"an array":             says(200, "application/json", `[]`),
		"HTML with status 200": says(200, "text/html", "<html>"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, w := newAppliance(t, nil)
				w.wantGet(t, anyone, 200)
				a.set(func() { a.void, a.onToken = true, h })
				if status, err := w.get(t, anyone); err == nil && status < 400 {
					t.Errorf("GET = %d; want a failure", status)
				}
				a.wantCalls(t, 1, 1)
				advance(time.Minute)
				a.set(func() { a.void, a.onToken = true, nil })
				w.wantGet(t, anyone, 200)
				a.wantCalls(t, 1, 2)
				if got := a.last["refresh_token"]; got != "RT" {
					t.Errorf("the second refresh is with %q; want the token that was kept", got)
				}
			})
		})
	}
}

func TestLoginRefusedIn200IsNotTriedAThirdTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, w := newAppliance(t, nil)
		a.onLogin = says(200, "application/json", `{"success":"false","message":"no"}`)
		for range 5 {
			e := w.wantKind(t, anyone, token.BadGateway)
			if !strings.Contains(e.Msg, "refuses the gateway's own account") {
				t.Errorf("the client is told %q; want that the account is refused", e.Msg)
			}
			advance(time.Minute)
		}
		a.wantCalls(t, 2, 0)
	})
}

func TestFabricTokensServeForYearsAcrossRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, w := newAppliance(t, nil)
		w.wantGet(t, anyone, 200)
		advance(10 * 365 * 24 * time.Hour)
		w.wantGet(t, anyone, 200)
		again := upstream.New(w.config)
		resp, err := again.RoundTrip(request(t, anyone, http.MethodGet, nil))
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("GET after a restart = %v, %v", resp, err)
		}
		resp.Body.Close()
		a.wantCalls(t, 1, 0)
	})
}

// TestFabricPassThrough: the name goes as it was typed, the appliance's tokens
// say what the user may, and a session whose tokens are refused is over.
func TestFabricPassThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, w := newAppliance(t, passThrough)
		sid := token.NewSID()
		g := token.Grant{Op: token.OpLogin, Username: "user@name.com@realm", RealmInName: true, Password: token.NewSecret("p")}
		id, err := w.Verify(t.Context(), sid, g)
		if err != nil || id.Name != "user@name.com@realm" || len(id.Permissions) != 1 || id.Permissions[0] != "widget" {
			t.Fatalf("Verify = %+v, %v; want the name as typed and the permission widget", id, err)
		}
		if got := a.last["username"]; got != "user@name.com@realm" {
			t.Errorf("the appliance is asked about %q", got)
		}
		w.store.OpenSession(sid, 100*365*24*time.Hour)
		advance(10 * 365 * 24 * time.Hour)
		w.wantGet(t, as(sid), 200)
		if err := w.Renew(t.Context(), sid, token.Grant{}); err != nil {
			t.Errorf("Renew = %v; want nothing to do", err)
		}
		a.wantCalls(t, 1, 0)
		a.set(func() { a.void = true })
		w.wantGet(t, as(sid), 200)
		a.wantCalls(t, 1, 1)
		advance(time.Minute)
		a.set(func() { a.void, a.onToken = true, says(401, "application/json", facRefused) })
		w.wantKind(t, as(sid), token.InvalidAccess)
		a.wantCalls(t, 1, 2)
	})
}
