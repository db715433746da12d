package dialect_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func TestMatchFindsTheCall(t *testing.T) {
	for _, c := range []struct {
		profile, method, path string
		op                    token.Op
		known                 bool
	}{
		{"7.0", "POST", "/api/auth/login", token.OpLogin, true},
		{"7.0", "POST", "/api/v7.0/auth/login", token.OpLogin, true},
		{"5.0", "POST", "/api/v1/auth/login", token.OpLogin, true},
		{"7.0", "GET", "/api/auth/login", "", true},
		{"7.0", "POST", "/api/auth/login/", "", false},
		{"7.0", "POST", "/api/AUTH/login", "", false},
		{"7.0", "POST", "/api//auth/login", "", false},
		{"7.0", "POST", "/api/vx/auth/login", "", false},
		{"7.0", "POST", "/api/v7./auth/login", "", false},
		{"7.0", "POST", "/api/v7.0.1/auth/login", "", false},
		{"7.0", "POST", "/auth/login", "", false},
		{"7.0", "POST", "", "", false},
		{"7.0", "POST", "/", "", false},
		{"5.0", "POST", "/api/v5.0/auth/token", token.OpRefresh, true},
		{"6.1", "POST", "/api/v6.9/auth/token", token.OpRefresh, true},
		{"7.0", "POST", "/api/auth/token", token.OpRefresh, true},
		{"7.0", "POST", "/api/v7.0/auth/token", "", false},
		{"7.5", "POST", "/api/v7.5/auth/token", "", false},
		{"7.5", "POST", "/api/v5.0/auth/logout", token.OpLogout, true},
		{"5.0", "GET", "/api/v7.0/users/me", token.OpWhoAmI, true},
		{"7.0", "HEAD", "/api/v7.0/users/me", token.OpWhoAmI, true},
		{"7.0", "PUT", "/api/v7.0/users/me", "", true},
		{"7.0", "GET", "/api/users/me", "", false},
		{"7.5", "GET", "/api/users/me", token.OpWhoAmI, true},
		{"7.0", "GET", "/api/v7.0/users/1", "", false},
		{"7.0", "GET", "/api/v7.0/api-tokens", token.OpListAPITokens, true},
		{"7.0", "POST", "/api/v7.0/api-tokens", token.OpCreateAPIToken, true},
		{"7.0", "DELETE", "/api/v7.0/api-tokens", "", true},
		{"7.0", "DELETE", "/api/v7.0/api-tokens/11", token.OpDeleteAPIToken, true},
		{"7.0", "DELETE", "/api/v7.0/api-tokens/11/x", "", false},
		{"7.0", "GET", "/api/version", token.OpVersion, true},
		{"7.0", "GET", "/api/v7.0/snapshots", "", false},
	} {
		d := mustOpen(t, "ipfabric/"+c.profile, dialect.Settings{})
		r := httptest.NewRequestWithContext(t.Context(), c.method, "/", nil)
		r.URL.Path = c.path
		call, known := d.Match(r)
		got := token.Op("")
		if call != nil {
			got = call.Op
		}
		if got != c.op || known != c.known {
			t.Errorf("%s: Match(%s %s) = %q, %v; want %q, %v", c.profile, c.method, c.path, got, known, c.op, c.known)
		}
	}
}

func TestMatchSetsPathValues(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.0", dialect.Settings{})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/api/v7.0/api-tokens/a%20b", nil)
	call, _ := d.Match(r)
	if call == nil || r.PathValue("version") != "v7.0" || r.PathValue("id") != "a b" {
		t.Fatalf("Match = %v, version %q, id %q; want v7.0 and a b", call, r.PathValue("version"), r.PathValue("id"))
	}
	g, err := call.ReadRequest(r)
	if err != nil || g.APIToken.ID != "a b" {
		t.Errorf("ReadRequest = %v, %v; want the id a b", g.APIToken, err)
	}
	if got := call.SpokenPath("7.0", g); got != "/api/v7.0/api-tokens/a%20b" {
		t.Errorf("SpokenPath = %q", got)
	}
}

func TestGuardsEverySpellingOfATokenCall(t *testing.T) {
	for _, profile := range profilesOf(t, "ipfabric") {
		d := mustOpen(t, "ipfabric/"+profile, dialect.Settings{})
		for path, want := range map[string]token.Op{
			"/api/auth/login":                     token.OpLogin,
			"/api/v9.99/auth/login":               token.OpLogin,
			"/api/latest/auth/login":              token.OpLogin,
			"/auth/login":                         token.OpLogin,
			"/v7.0/auth/login/":                   token.OpLogin,
			"/API/V7.0/Auth/LOGIN":                token.OpLogin,
			"//api//auth//login//":                token.OpLogin,
			"/api/./auth/x/../login":              token.OpLogin,
			"/api/auth/login;a=b":                 token.OpLogin,
			"/api;x/auth;y/login":                 token.OpLogin,
			"/api/x/..;/auth/login":               token.OpLogin,
			"/api/auth/login%20":                  token.OpLogin,
			"/api/auth/login.":                    token.OpLogin,
			"/api/auth%2Flogin":                   token.OpLogin,
			"/api/%61uth/login":                   token.OpLogin,
			"/api/%2561uth/login":                 token.OpLogin,
			`/api\auth\login`:                     token.OpLogin,
			"api/auth/login":                      token.OpLogin,
			"/api/auth/login/anything":            token.OpLogin,
			"/api/auth/token":                     token.OpRefresh,
			"/api/v7.0/auth/token":                token.OpRefresh,
			"/api/v5.0/auth/logout":               token.OpLogout,
			"/api/users/me":                       token.OpWhoAmI,
			"/api/v7.0/users/me/password":         token.OpWhoAmI,
			"/api/api-tokens":                     token.OpListAPITokens,
			"/api/v7.0/api-tokens/":               token.OpListAPITokens,
			"/api/v7.0/api-tokens/11":             token.OpDeleteAPIToken,
			"/api/v7.0/api-tokens/11/regenerate":  token.OpDeleteAPIToken,
			"/api/v7.0/%41PI-tokens%2f11%2f..%2f": token.OpListAPITokens,
		} {
			if got, ok := d.Guards(path); got != want || !ok {
				t.Errorf("%s: Guards(%q) = %q, %v; want %q", profile, path, got, ok, want)
			}
		}
	}
}

func TestGuardsNothingElse(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.0", dialect.Settings{})
	for _, path := range []string{
		"", "/", "/api", "/api/", "/api/version", "/api/v7.0/version", "/api/v7.0/snapshots", "/api/v7.0/users", "/api/v7.0/users/11",
		"/api/v7.0/users/men", "/api/v7.0/auth", "/api/v7.0/auth/logins", "/api/v7.0/xauth/login", "/api/v7.0/api-tokens-x",
		"/a/b/c/d/e/auth/login", "/api/v7.0/api-tokens/..", "/api/v7.0/tables/%zz",
	} {
		if op, ok := d.Guards(path); ok {
			t.Errorf("Guards(%q) = %q; want nothing", path, op)
		}
	}
}

// TestGuardsCallsWithCapitals: a vendor may write its paths in any letter case.
func TestGuardsCallsWithCapitals(t *testing.T) {
	d := &dialect.Dialect{Calls: []dialect.Call{
		{Op: token.OpLogin, Paths: []string{"/rest/v1/SessionService/Sessions"}},
		{Op: token.OpLogout, Paths: []string{"/rest/v1/SessionService/Sessions/{id}"}},
	}}
	for path, want := range map[string]token.Op{
		"/rest/v1/SessionService/Sessions":        token.OpLogin,
		"/rest/v1/sessionservice/sessions":        token.OpLogin,
		"/REST/V2/SESSIONSERVICE/SESSIONS/":       token.OpLogin,
		"/rest/v1/SessionService/Sessions/6":      token.OpLogout,
		"/rest/v1/SessionService/Sessions/6/More": token.OpLogout,
	} {
		if got, ok := d.Guards(path); got != want || !ok {
			t.Errorf("Guards(%q) = %q, %v; want %q", path, got, ok, want)
		}
	}
}

// TestGuardsWhatItServes: no path that the gateway answers may reach the
// appliance in another profile's or letter case's disguise.
func TestGuardsWhatItServes(t *testing.T) {
	for _, f := range dialect.All {
		for _, profile := range f.Profiles {
			d := mustOpen(t, f.Name+"/"+profile, dialect.Settings{})
			for i := range d.Calls {
				c := &d.Calls[i]
				path := c.SpokenPath(profile, token.Grant{APIToken: &token.APITokenRequest{ID: "11"}})
				if _, ok := d.Guards(path); ok == c.Public {
					t.Errorf("%s: Guards(%q) = %v", d.ID(), path, ok)
				}
			}
		}
	}
}

// FuzzGuards: what Match finds and is not public, Guards guards.
func FuzzGuards(f *testing.F) {
	for _, seed := range []string{"/api/auth/login", "/api/v7.0/users/me", "/API/%61uth;/..", "//", `\`} {
		f.Add(seed)
	}
	d := mustOpen(f, "ipfabric/7.5", dialect.Settings{})
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.URL.Path = path
		_, guarded := d.Guards(path)
		if call, known := d.Match(r); known && !guarded && (call == nil || !call.Public) && path != "/api/version" {
			t.Errorf("Match knows %q and Guards does not", path)
		}
	})
}

func BenchmarkMatchOrdinaryCall(b *testing.B) {
	d := mustOpen(b, "ipfabric/7.0", dialect.Settings{})
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v7.0/tables/inventory/devices", nil)
	b.ReportAllocs()
	for b.Loop() {
		if c, _ := d.Match(r); c != nil {
			b.Fatal("matched")
		}
	}
}

func BenchmarkGuardsOrdinaryCall(b *testing.B) {
	d := mustOpen(b, "ipfabric/7.0", dialect.Settings{})
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := d.Guards("/api/v7.0/tables/inventory/devices"); ok {
			b.Fatal("guarded")
		}
	}
}
