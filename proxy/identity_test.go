package proxy_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/proxy"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func mustCompile(t testing.TB, rules ...policy.Rule) policy.Rules {
	t.Helper()
	r, errs := policy.Compile(rules)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return r
}

// Six spellings of each name that a careless backend takes for one.
func spellings(name string) []string {
	under := strings.ReplaceAll(name, "-", "_")
	mixed := strings.Replace(name, "-", "_", 1)
	return []string{name, strings.ToLower(name), strings.ToUpper(name), under, strings.ToLower(under), mixed}
}

func TestIdentityHeadersAreTheGatewaysAlone(t *testing.T) {
	b := &recording{}
	h := open(t, setup{
		transport: b,
		rules: mustCompile(t,
			policy.Rule{Path: "/public/**", Public: true},
			policy.Rule{Path: "/greet/**", Public: true, Inject: true},
			policy.Rule{Path: "/**"}),
		change: func(rt *proxy.Route) {
			rt.Identity = proxy.IdentityHeaders{User: "X-Legacy-Login", ID: "Legacy-Id", Scopes: "x_legacy_scopes", Groups: "X-Legacy-Groups"}
			rt.Private = []string{"X-Backend-Key"}
		},
	})
	at := h.login(t, "alice")
	ours := []string{"X-Legacy-Login", "Legacy-Id", "X-Legacy-Scopes", "X-Legacy-Groups", "X-Backend-Key"}
	for _, tt := range []struct {
		name, method, path, auth string
		want                     map[string]string
	}{
		{"signed in", "GET", "/x", at, map[string]string{"X-Legacy-Login": "alice", "Legacy-Id": "100000007", "X_legacy_scopes": "read"}},
		{"options", "OPTIONS", "/x", at, map[string]string{"X-Legacy-Login": "alice", "Legacy-Id": "100000007", "X_legacy_scopes": "read"}},
		{"anonymous", "GET", "/public/a", "", nil},
		{"signed in, where nothing is injected", "GET", "/public/a", at, nil},
		{"signed in, where all is injected", "GET", "/greet/a", at, map[string]string{"X-Legacy-Login": "alice", "Legacy-Id": "100000007", "X_legacy_scopes": "read"}},
		{"anonymous, where all is injected", "GET", "/greet/a", "", nil},
		{"a credential that is no good", "GET", "/greet/a", "junk", nil},
	} {
		headers := []string{"Connection", "X-Legacy-Login, x-legacy-scopes, Legacy-Id, X-Backend-Key"}
		if tt.auth != "" {
			headers = append(headers, "Authorization", "Bearer "+tt.auth)
		}
		r := newRequest(tt.method, tt.path, headers...)
		for _, name := range ours {
			for _, spelling := range spellings(name) {
				r.Header[spelling] = []string{"EVIL"} // as it is spelt, not canonical
			}
		}
		if rec := h.send(r); rec.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", tt.name, rec.Code, rec.Body)
		}
		got := map[string]string{}
		for name, values := range b.last(t).Header {
			folded := strings.ReplaceAll(strings.ToLower(name), "_", "-")
			if slices.ContainsFunc(ours, func(o string) bool { return strings.EqualFold(o, folded) }) {
				got[name] = strings.Join(values, "|")
			}
		}
		if len(got) != len(tt.want) {
			t.Errorf("%s: the backend got %v; want %v", tt.name, got, tt.want)
		}
		for name, want := range tt.want {
			if got[name] != want {
				t.Errorf("%s: %s = %q; want %q", tt.name, name, got[name], want)
			}
		}
	}
}

func TestIdentityHeaderValuesAreVisibleASCII(t *testing.T) {
	names := proxy.IdentityHeaders{User: "U", ID: "I", Email: "E", Groups: "G", Scopes: "S"}
	for _, tt := range []struct {
		s    session.Session
		want http.Header
	}{
		{
			session.Session{
				Identity: token.Identity{Name: "alice", ID: "1", Email: "a@b.example", Groups: []string{"ops", "Domain Admins"}, Scopes: []string{"read", "write"}},
				Scopes:   []string{"read", "list"},
			},
			http.Header{"U": {"alice"}, "I": {"1"}, "E": {"a@b.example"}, "G": {"ops,Domain Admins"}, "S": {"read list"}},
		},
		{
			session.Session{
				Identity: token.Identity{Name: "Smith, Jürgen\r\nX-Admin: 1", ID: " 7 ", Email: "100%\x00@\xff", Groups: []string{"a,b", "c", "é"}},
				Scopes:   []string{"a b", "%"},
			},
			http.Header{"U": {"Smith, J%C3%BCrgen%0D%0AX-Admin: 1"}, "I": {"%207%20"}, "E": {"100%25%00@%FF"}, "G": {"a%2Cb,c,%C3%A9"}, "S": {"a%20b %25"}},
		},
		{session.Session{Identity: token.Identity{Name: "x"}}, http.Header{"U": {"x"}}},
	} {
		h := http.Header{}
		proxy.SetIdentity(names, h, &tt.s)
		if len(h) != len(tt.want) {
			t.Errorf("headers = %v; want %v", h, tt.want)
		}
		for name := range tt.want {
			if h.Get(name) != tt.want.Get(name) {
				t.Errorf("%s = %q; want %q", name, h.Get(name), tt.want.Get(name))
			}
		}
	}
}

// FuzzFieldText: whatever somebody is called, the value is one that a field may
// have, and says exactly that name.
func FuzzFieldText(f *testing.F) {
	for _, s := range []string{"alice", "Jürgen", "a\r\nb", " a ", "%41", "a,b", "\xff\x00", ""} {
		f.Add(s, byte(','))
		f.Add(s, byte(' '))
		f.Add(s, byte(0))
	}
	f.Fuzz(func(t *testing.T, s string, by byte) {
		separator := ""
		if by == ',' || by == ' ' {
			separator = string(by)
		}
		got := proxy.FieldText(s, separator)
		if strings.ContainsFunc(got, func(c rune) bool { return c < ' ' || c >= 0x7f }) || got != strings.TrimSpace(got) {
			t.Errorf("FieldText(%q) = %q: not the value of a field", s, got)
		}
		if separator != "" && strings.Contains(got, separator) {
			t.Errorf("FieldText(%q) = %q: the list would be cut in it", s, got)
		}
		if back, err := url.PathUnescape(got); err != nil || back != s {
			t.Errorf("FieldText(%q) = %q, which is %q, %v", s, got, back, err)
		}
	})
}

func TestPublicKeysAreThereOnEveryHost(t *testing.T) {
	h := open(t, setup{transport: &recording{}, signedIn: true, change: func(rt *proxy.Route) { rt.Host = "fabric.example.com" }})
	for _, tt := range []struct {
		method, path string
		want         int
		body         string
	}{
		{"GET", "/.gatehouse/jwks.json", 200, `{"keys":[]}`},
		{"HEAD", "/.gatehouse/jwks.json", 200, ""},
		{"GET", "/.gatehouse/jwks.json?x=1", 200, `{"keys":[]}`},
		{"POST", "/.gatehouse/jwks.json", 405, ""},
		{"OPTIONS", "/.gatehouse/jwks.json", 405, ""},
		{"TRACE", "/.gatehouse/jwks.json", 405, ""},
		{"GET", "/.gatehouse/jwks.json/", 421, ""},
		{"GET", "/x", 421, ""},
	} {
		rec := h.do(tt.method, tt.path, "")
		if rec.Code != tt.want || tt.body != "" && rec.Body.String() != tt.body {
			t.Errorf("%s %s = %d %s; want %d %s", tt.method, tt.path, rec.Code, rec.Body, tt.want, tt.body)
		}
		if tt.want != 200 {
			continue
		}
		hd := rec.Header()
		if hd.Get("Content-Type") != "application/jwk-set+json" || hd.Get("Cache-Control") != "public, max-age=300" || hd.Get("Content-Length") != "11" {
			t.Errorf("%s %s: %v", tt.method, tt.path, hd)
		}
		if tt.method == "HEAD" && rec.Body.Len() > 0 {
			t.Errorf("HEAD has a body: %s", rec.Body)
		}
	}
	if rec := h.do("POST", "/.gatehouse/jwks.json", ""); rec.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow = %q", rec.Header().Get("Allow"))
	}
}
