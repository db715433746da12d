package policy_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/policy"
)

var (
	alice = &policy.User{Name: "alice", ID: "1000000000001", Groups: []string{"ops"}, Scopes: []string{"read"}}
	root  = &policy.User{Name: "root", Groups: []string{"staff"}, Scopes: []string{"read", "write"}, Admin: true}
)

func compile(tb testing.TB, rules ...policy.Rule) policy.Rules {
	tb.Helper()
	r, errs := policy.Compile(rules)
	for _, err := range errs {
		tb.Errorf("Compile: %v", err)
	}
	if len(errs) > 0 {
		tb.FailNow()
	}
	return r
}

func get(path string, u *policy.User) policy.Question {
	return policy.Question{Host: "ipf.example.com", Method: "GET", Path: path, IP: netip.MustParseAddr("10.1.2.3"), User: u}
}

func TestZeroRulesRefuseEverything(t *testing.T) {
	for _, u := range []*policy.User{nil, alice, root} {
		if a := (policy.Rules{}).Decide(get("/", u)); a.Allowed || a.Rule != "" || a.Reason == "" {
			t.Errorf("Decide = %+v; want a refusal without a rule, with a reason", a)
		}
	}
}

func TestAbsentPolicyIsSignedInUsers(t *testing.T) {
	r := policy.SignedIn()
	if a := r.Decide(get("/x", nil)); a.Allowed {
		t.Errorf("not signed in: %+v; want refused", a)
	}
	if a := r.Decide(get("/x", alice)); !a.Allowed || !a.Inject || a.Public || a.Rule != "signed-in users" {
		t.Errorf("signed in: %+v; want allowed and injected", a)
	}
}

// One rule, one question: does the rule match?
func TestConditions(t *testing.T) {
	with := func(f func(*policy.Question)) policy.Question {
		q := get("/api/v1/things", alice)
		f(&q)
		return q
	}
	host := func(h string) policy.Question { return with(func(q *policy.Question) { q.Host = h }) }
	method := func(m string) policy.Question { return with(func(q *policy.Question) { q.Method = m }) }
	ip := func(s string) policy.Question {
		return with(func(q *policy.Question) { q.IP, _ = netip.ParseAddr(s) })
	}
	inTen := policy.Rule{When: `request.ip in net("10.0.0.0/8")`}
	tests := []struct {
		name string
		rule policy.Rule
		q    policy.Question
		want bool
	}{
		{"no condition", policy.Rule{}, get("/", alice), true},

		{"host", policy.Rule{Host: "ipf.example.com"}, host("ipf.example.com"), true},
		{"host case", policy.Rule{Host: "IPF.example.com"}, host("ipf.EXAMPLE.com"), true},
		{"host port", policy.Rule{Host: "ipf.example.com"}, host("ipf.example.com:8443"), true},
		{"host trailing dot", policy.Rule{Host: "ipf.example.com"}, host("ipf.example.com."), true},
		{"host trailing dot and port", policy.Rule{Host: "ipf.example.com."}, host("ipf.example.com.:80"), true},
		{"host other", policy.Rule{Host: "ipf.example.com"}, host("ipf.example.org"), false},
		{"host longer", policy.Rule{Host: "example.com"}, host("ipf.example.com"), false},
		{"host folds only ASCII", policy.Rule{Host: "kiosk.example.com"}, host("\u212aiosk.example.com"), false},
		{"host empty", policy.Rule{Host: "example.com"}, host(""), false},
		{"host IPv6", policy.Rule{Host: "[::1]"}, host("[::1]:8080"), true},
		{"host wildcard", policy.Rule{Host: "*.example.com"}, host("ipf.example.com"), true},
		{"host wildcard two levels", policy.Rule{Host: "*.example.com"}, host("a.b.Example.com:1"), true},
		{"host wildcard apex", policy.Rule{Host: "*.example.com"}, host("example.com"), false},
		{"host wildcard dot only", policy.Rule{Host: "*.example.com"}, host(".example.com"), false},
		{"host wildcard no dot", policy.Rule{Host: "*.example.com"}, host("evilexample.com"), false},

		{"path exact", policy.Rule{Path: "/api"}, get("/api", alice), true},
		{"path case", policy.Rule{Path: "/api"}, get("/API", alice), false},
		{"path trailing slash", policy.Rule{Path: "/api"}, get("/api/", alice), false},
		{"path below", policy.Rule{Path: "/api"}, get("/api/x", alice), false},
		{"path longer", policy.Rule{Path: "/api"}, get("/apix", alice), false},
		{"path with slash", policy.Rule{Path: "/api/"}, get("/api/", alice), true},
		{"path with slash, without", policy.Rule{Path: "/api/"}, get("/api", alice), false},
		{"path root", policy.Rule{Path: "/"}, get("/", alice), true},
		{"path root below", policy.Rule{Path: "/"}, get("/x", alice), false},
		{"path tree", policy.Rule{Path: "/api/**"}, get("/api/v1/x", alice), true},
		{"path tree itself", policy.Rule{Path: "/api/**"}, get("/api", alice), true},
		{"path tree slash", policy.Rule{Path: "/api/**"}, get("/api/", alice), true},
		{"path tree sibling", policy.Rule{Path: "/api/**"}, get("/apix/y", alice), false},
		{"path tree parent", policy.Rule{Path: "/api/**"}, get("/", alice), false},
		{"path everything", policy.Rule{Path: "/**"}, get("/a/b", alice), true},
		{"path everything root", policy.Rule{Path: "/**"}, get("/", alice), true},
		{"path not from root", policy.Rule{Path: "/**"}, get("*", alice), false},
		{"path empty", policy.Rule{Path: "/**"}, get("", alice), false},
		{"segment", policy.Rule{Path: "/api/*/users"}, get("/api/v7.0/users", alice), true},
		{"segment two", policy.Rule{Path: "/api/*/users"}, get("/api/v7/x/users", alice), false},
		{"segment empty", policy.Rule{Path: "/api/*/users"}, get("/api//users", alice), false},
		{"segment last", policy.Rule{Path: "/api/*"}, get("/api/x", alice), true},
		{"segment last empty", policy.Rule{Path: "/api/*"}, get("/api/", alice), false},
		{"segment and tree", policy.Rule{Path: "/api/*/users/**"}, get("/api/v7/users/me", alice), true},
		{"encoded", policy.Rule{Path: "/a%20b"}, get("/a%20b", alice), true},

		{"method", policy.Rule{Methods: []string{"GET"}}, method("GET"), true},
		{"GET implies HEAD", policy.Rule{Methods: []string{"GET"}}, method("HEAD"), true},
		{"HEAD does not imply GET", policy.Rule{Methods: []string{"HEAD"}}, method("GET"), false},
		{"POST does not imply HEAD", policy.Rule{Methods: []string{"POST"}}, method("HEAD"), false},
		{"method case", policy.Rule{Methods: []string{"GET"}}, method("get"), false},
		{"method OPTIONS", policy.Rule{Methods: []string{"GET", "POST"}}, method("OPTIONS"), false},
		{"method own", policy.Rule{Methods: []string{"PROPFIND"}}, method("PROPFIND"), true},

		{"user", policy.Rule{Users: []string{"bob", "alice"}}, get("/", alice), true},
		{"user other", policy.Rule{Users: []string{"bob"}}, get("/", alice), false},
		{"user case", policy.Rule{Users: []string{"Alice"}}, get("/", alice), false},
		{"group any", policy.Rule{Groups: []string{"dev", "ops"}}, get("/", alice), true},
		{"group none", policy.Rule{Groups: []string{"dev"}}, get("/", alice), false},
		{"scope", policy.Rule{Scopes: []string{"read"}}, get("/", alice), true},
		{"scopes all", policy.Rule{Scopes: []string{"read", "write"}}, get("/", root), true},
		{"scopes one lacking", policy.Rule{Scopes: []string{"read", "write"}}, get("/", alice), false},
		{"admin", policy.Rule{Admin: true}, get("/", root), true},
		{"admin not", policy.Rule{Admin: true}, get("/", alice), false},
		{"all must hold", policy.Rule{Path: "/api/**", Methods: []string{"POST"}, Groups: []string{"ops"}}, get("/api/x", alice), false},

		{"anonymous", policy.Rule{}, get("/", nil), false},
		{"anonymous public", policy.Rule{Public: true}, get("/", nil), true},
		{"anonymous public elsewhere", policy.Rule{Public: true, Path: "/x"}, get("/", nil), false},
		{"anonymous when true", policy.Rule{When: "true"}, get("/", nil), false},
		{"anonymous public when", policy.Rule{Public: true, When: `user.name == ""`}, get("/", nil), true},

		{"ip in net", inTen, ip("10.255.0.1"), true},
		{"ip not in net", inTen, ip("11.0.0.1"), false},
		{"mapped ip in net", inTen, ip("::ffff:10.0.0.1"), true},
		{"no ip", inTen, ip("bad"), false},
		{"not in", policy.Rule{When: `request.ip not in net("10.0.0.0/8")`}, ip("11.0.0.1"), true},
		{"zone", policy.Rule{When: `request.ip in net("fe80::/10")`}, ip("fe80::1%eth0"), true},
		{"single address", policy.Rule{When: `request.ip in net("10.1.2.3")`}, ip("10.1.2.3"), true},
		{"net of a variable", policy.Rule{When: `request.ip in net(user.email)`}, with(func(q *policy.Question) {
			q.User = &policy.User{Email: "10.0.0.0/8"}
		}), true},
		{"design example, admin", policy.Rule{Path: "/api/**", When: `user.admin && request.ip in net("10.0.0.0/8")`}, get("/api/x", root), true},
		{"design example, user", policy.Rule{Path: "/api/**", When: `user.admin && request.ip in net("10.0.0.0/8")`}, get("/api/x", alice), false},
		{"group in when", policy.Rule{When: `"ops" in user.groups and not ("write" in user.scopes)`}, get("/", alice), true},
		{"request facts", policy.Rule{When: `request.method == "GET" && request.path startsWith "/api/" && request.host == "ipf.example.com"`}, host("IPF.example.com:80"), true},
		{"user facts", policy.Rule{When: `user.name + user.id + user.email + user.realm == "a1er"`}, with(func(q *policy.Question) {
			q.User = &policy.User{Name: "a", ID: "1", Email: "e", Realm: "r"}
		}), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := compile(t, tt.rule)
			a := r.Decide(tt.q)
			if a.Allowed != tt.want {
				t.Errorf("Decide = %+v; want Allowed %t", a, tt.want)
			}
			steps := r.Explain(tt.q)
			if len(steps) != 1 || steps[0].Matched != tt.want || steps[0].Why == "" {
				t.Errorf("Explain = %+v; want one step, matched %t, with a reason", steps, tt.want)
			}
		})
	}
}

// A backend that folds letter case, trailing slashes, dots or spaces must not be
// reached around a deny rule.
func TestDenyIsNotEscapedBySpelling(t *testing.T) {
	r := compile(t,
		policy.Rule{Path: "/admin/**", Deny: true},
		policy.Rule{Path: "/setup", Deny: true},
		policy.Rule{Path: "/hidden/", Deny: true},
		policy.Rule{Path: "/", Deny: true},
		policy.Rule{Path: "/**"},
	)
	for _, path := range []string{
		"/admin", "/ADMIN", "/admin/", "/admin.", "/admin%20", "/admin.%20./x", "/Admin/x", "/admin/x/",
		"/setup", "/Setup", "/setup/", "/setup.", "/hidden", "/HIDDEN/", "/",
	} {
		if a := r.Decide(get(path, root)); a.Allowed {
			t.Errorf("%s: %+v; want refused", path, a)
		}
	}
	for _, path := range []string{"/administrator", "/setup/x", "/x", "/a.dmin"} {
		if a := r.Decide(get(path, root)); !a.Allowed {
			t.Errorf("%s: %+v; want allowed", path, a)
		}
	}
}

func TestFirstMatchDecides(t *testing.T) {
	r := compile(t,
		policy.Rule{Name: "no delete", Methods: []string{"DELETE"}, Deny: true},
		policy.Rule{Name: "version", Path: "/api/version", Public: true},
		policy.Rule{Name: "status", Path: "/api/status", Public: true, Inject: true},
		policy.Rule{Path: "/api/**", Scopes: []string{"read"}},
	)
	tests := []struct {
		name string
		q    policy.Question
		want policy.Answer
	}{
		{"deny wins over a later allow", policy.Question{Method: "DELETE", Path: "/api/x", User: alice}, policy.Answer{Rule: "no delete", Reason: `refused by rule "no delete"`}},
		{"deny meets anonymous", policy.Question{Method: "DELETE", Path: "/api/version"}, policy.Answer{Rule: "no delete", Reason: `refused by rule "no delete"`}},
		{"public injects nothing", get("/api/version", nil), policy.Answer{Allowed: true, Public: true, Rule: "version", Reason: `public by rule "version"`}},
		{"public injects nothing for users either", get("/api/version", alice), policy.Answer{Allowed: true, Public: true, Rule: "version", Reason: `public by rule "version"`}},
		{"public with inject", get("/api/status", nil), policy.Answer{Allowed: true, Public: true, Inject: true, Rule: "status", Reason: `public by rule "status"`}},
		{"numbered rule", get("/api/x", alice), policy.Answer{Allowed: true, Inject: true, Rule: "#4", Reason: "allowed by rule #4"}},
		{"nothing matches", get("/x", alice), policy.Answer{Reason: "no rule matches"}},
		{"nothing matches anonymous", get("/x", nil), policy.Answer{Reason: "no rule lets callers pass who are not signed in"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(r.Decide(tt.q), tt.want); diff != "" {
				t.Errorf("Decide (-got +want):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(r.Names(), []string{"no delete", "version", "status", "#4"}); diff != "" {
		t.Errorf("Names (-got +want):\n%s", diff)
	}
}

func TestExplainTellsTheFirstFailingCondition(t *testing.T) {
	r := compile(t,
		policy.Rule{Host: "other.example.com"},
		policy.Rule{Methods: []string{"POST"}},
		policy.Rule{Path: "/x/**"},
		policy.Rule{Users: []string{"bob"}},
		policy.Rule{Groups: []string{"dev"}},
		policy.Rule{Scopes: []string{"write"}},
		policy.Rule{Admin: true},
		policy.Rule{When: `user.realm == "x"`},
		policy.Rule{Name: "last"},
		policy.Rule{Name: "never looked at"},
	)
	want := []policy.Step{
		{Rule: "#1", Why: `host "ipf.example.com" is not other.example.com`},
		{Rule: "#2", Why: `method "GET" is not among POST`},
		{Rule: "#3", Why: `path "/api" does not match /x/**`},
		{Rule: "#4", Why: `user "alice" is not among bob`},
		{Rule: "#5", Why: `user "alice" is in none of the groups dev`},
		{Rule: "#6", Why: `the credential of "alice" lacks one of the scopes write`},
		{Rule: "#7", Why: `user "alice" is no administrator`},
		{Rule: "#8", Why: `when is false: user.realm == "x"`},
		{Rule: "last", Matched: true, Why: `allowed by rule "last"`},
	}
	if diff := cmp.Diff(r.Explain(get("/api", alice)), want); diff != "" {
		t.Errorf("Explain (-got +want):\n%s", diff)
	}
	steps := r.Explain(get("/api", nil))
	if len(steps) != 10 || steps[8].Why != "the caller is not signed in and the rule is not public" {
		t.Errorf("Explain, not signed in = %+v", steps)
	}
	deny := compile(t, policy.Rule{Deny: true, Groups: []string{"x"}})
	if s := deny.Explain(get("/", nil)); s[0].Matched || s[0].Why != "the caller is not signed in" {
		t.Errorf("Explain of a deny rule, not signed in = %+v", s)
	}
}

func TestRunTimeErrorRefusesAndDoesNotFallThrough(t *testing.T) {
	for _, when := range []string{`user.groups[5] == "x"`, `int(user.name) > 1`, `all(1..1000000, # > 0)`, `request.ip in net(user.name)`} {
		r := compile(t, policy.Rule{Name: "broken", When: when}, policy.Rule{Name: "open"})
		a := r.Decide(get("/", alice))
		if a.Allowed || a.Rule != "broken" || !strings.Contains(a.Reason, `the when of rule "broken" cannot be evaluated: `) {
			t.Errorf("%s: Decide = %+v; want refused by the broken rule", when, a)
		}
		if strings.Contains(a.Reason, "\n") {
			t.Errorf("%s: reason has more than one line: %q", when, a.Reason)
		}
		if s := r.Explain(get("/", alice)); len(s) != 1 || s[0].Matched || s[0].Why != a.Reason {
			t.Errorf("%s: Explain = %+v; want one step that tells the error", when, s)
		}
		deny := compile(t, policy.Rule{When: when, Deny: true}, policy.Rule{})
		if a := deny.Decide(get("/", alice)); a.Allowed {
			t.Errorf("%s in a deny rule: %+v; want refused", when, a)
		}
	}
}

func TestCompileNamesEveryFault(t *testing.T) {
	tests := []struct {
		name string
		rule policy.Rule
		want string
	}{
		{"typo", policy.Rule{Name: "ops", When: "user.admn"}, "rule #2 \"ops\": when: type policy.user has no field admn (1:6)\n | user.admn\n | .....^"},
		{"not a bool", policy.Rule{When: "user.name"}, "rule #2: when: expected bool, but got string"},
		{"untyped", policy.Rule{When: `get($env, "x")`}, "rule #2: when: expected bool, but got unknown"},
		{"clock", policy.Rule{When: "now() > now()"}, "rule #2: when: unknown name now (1:1)\n | now() > now()\n | ^"},
		{"bad net", policy.Rule{When: `request.ip in net("10.0.0/8")`}, "rule #2: when: net wants an address or a network like \"10.0.0.0/8\" (1:19)\n | request.ip in net(\"10.0.0/8\")\n | ..................^"},
		{"net with host bits", policy.Rule{When: `request.ip in net("10.0.0.1/8")`}, "rule #2: when: 10.0.0.1/8 has bits beyond its prefix; did you mean 10.0.0.0/8? (1:19)\n | request.ip in net(\"10.0.0.1/8\")\n | ..................^"},
		{"path without slash", policy.Rule{Path: "api"}, `rule #2: path must begin with "/"`},
		{"stars inside", policy.Rule{Path: "/**/x"}, `rule #2: path may have "**" only as its last segment`},
		{"star in a segment", policy.Rule{Path: "/api/v*"}, `rule #2: path may have "*" only as a whole segment, or "/**" at the end`},
		{"empty segment", policy.Rule{Path: "/a//b"}, "rule #2: path has an empty segment"},
		{"dots", policy.Rule{Path: "/a/../b"}, `rule #2: path has a segment ".."`},
		{"query", policy.Rule{Path: "/a?b"}, "rule #2: path has the character '?'; write it percent-encoded, as it travels"},
		{"encoded needlessly", policy.Rule{Path: "/a%2Db"}, "rule #2: path has %2D where '-' travels"},
		{"encoded in small letters", policy.Rule{Path: "/a%c3%A9"}, `rule #2: path has a % in "a%c3%A9" that is not followed by two capital hex digits`},
		{"encoded by half", policy.Rule{Path: "/a%2"}, `rule #2: path has a % in "a%2" that is not followed by two capital hex digits`},
		{"host with port", policy.Rule{Host: "a.example.com:80"}, `rule #2: host must be a name like "api.example.com" or "*.example.com", without scheme, port or path`},
		{"host with scheme", policy.Rule{Host: "https://a"}, `rule #2: host must be a name like "api.example.com" or "*.example.com", without scheme, port or path`},
		{"lower-case method", policy.Rule{Methods: []string{"get"}}, `rule #2: method "get" is not one: methods are upper-case words like GET`},
		{"joined methods", policy.Rule{Methods: []string{"GET,POST"}}, `rule #2: method "GET,POST" is not one: methods are upper-case words like GET`},
		{"deny and public", policy.Rule{Deny: true, Public: true}, "rule #2: deny and public exclude each other: a deny rule meets callers who are not signed in anyway"},
		{"inject alone", policy.Rule{Inject: true}, "rule #2: inject belongs to public rules: other rules inject anyway, and a deny rule lets nothing pass"},
		{"public and groups", policy.Rule{Public: true, Groups: []string{"x"}}, "rule #2: public excludes users, groups, scopes and admin, which nobody has who is not signed in"},
		{"empty list", policy.Rule{Users: []string{}}, "rule #2: an empty list of methods, users, groups or scopes holds for nobody: leave it out for any"},
		{"empty name in list", policy.Rule{Users: []string{""}}, "rule #2: users, groups and scopes must not hold empty names"},
		{"same name", policy.Rule{Name: "first"}, `rule #2 "first": has the name of rule #1`},
		{"name like a number", policy.Rule{Name: "#1"}, `rule #2 "#1": name must be 1 to 64 printable characters and not begin with #`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, errs := policy.Compile([]policy.Rule{{Name: "first"}, tt.rule})
			if len(errs) == 0 || errs[0].Error() != tt.want {
				t.Fatalf("Compile:\n got %v\nwant %v", errs, tt.want)
			}
			if a := r.Decide(get("/", alice)); a.Allowed {
				t.Errorf("rules with a fault let pass: %+v", a)
			}
		})
	}
	_, errs := policy.Compile([]policy.Rule{{Path: "x", Host: "a/b"}, {When: "1"}})
	if len(errs) != 3 {
		t.Errorf("Compile found %d faults; want all 3: %v", len(errs), errs)
	}
}

func TestLimits(t *testing.T) {
	long := func(n int) policy.Rule { return policy.Rule{Name: strings.Repeat("n", n)} }
	when := func(n int) policy.Rule { return policy.Rule{When: "true" + strings.Repeat(" ", n-4)} }
	// A list of n elements in a list of n+1 nodes, beside "1 in".
	nodes := func(n int) policy.Rule {
		return policy.Rule{When: "1 in [" + strings.Repeat("1,", n-4) + "1]"}
	}
	tests := []struct {
		name string
		rule policy.Rule
		ok   bool
	}{
		{"name of 64", long(64), true},
		{"name of 65", long(65), false},
		{"when of 4096 bytes", when(4096), true},
		{"when of 4097 bytes", when(4097), false},
		{"when of 500 nodes", nodes(500), true},
		{"when of 501 nodes", nodes(501), false},
	}
	for _, tt := range tests {
		if _, errs := policy.Compile([]policy.Rule{tt.rule}); (len(errs) == 0) != tt.ok {
			t.Errorf("%s: %v; want ok %t", tt.name, errs, tt.ok)
		}
	}
}

func FuzzDecide(f *testing.F) {
	f.Add("/api/**", "GET", "*.example.com", "user.admin", "a.example.com:1", "/api/x", true)
	f.Add("/a/*", "POST", "", `request.ip in net("::/0")`, "[::1]", "", false)
	f.Add("/", "", "[", `user.groups[1] == ""`, "]:", "//", false)
	f.Fuzz(func(t *testing.T, pattern, method, hostPattern, when, host, path string, deny bool) {
		rule := policy.Rule{Path: pattern, Host: hostPattern, When: when, Deny: deny}
		if method != "" {
			rule.Methods = []string{method}
		}
		rules, errs := policy.Compile([]policy.Rule{rule, {}})
		q := policy.Question{Host: host, Method: method, Path: path}
		if a := rules.Decide(q); a.Allowed {
			t.Fatalf("a caller who is not signed in was let pass without a public rule: %+v", a)
		}
		q.User = alice
		a := rules.Decide(q)
		if len(errs) > 0 && a.Allowed {
			t.Fatalf("rules with faults let pass: %+v", a)
		}
		steps := rules.Explain(q)
		if a.Rule == "" {
			return
		}
		last := steps[len(steps)-1]
		if last.Rule != a.Rule || last.Why != a.Reason || a.Allowed && !last.Matched {
			t.Fatalf("Explain ends in %+v; Decide says %+v", last, a)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	rules := make([]policy.Rule, 19, 20)
	for i := range rules {
		rules[i] = policy.Rule{Host: "*.example.com", Path: "/api/*/thing" + strings.Repeat("x", i) + "/**", Methods: []string{"GET", "POST"}, Groups: []string{"ops"}}
	}
	plain := compile(b, append(rules, policy.Rule{Path: "/api/**", Scopes: []string{"read"}})...)
	when := compile(b, append(rules, policy.Rule{Path: "/api/**", When: `"ops" in user.groups && request.ip in net("10.0.0.0/8")`})...)
	for name, r := range map[string]policy.Rules{"20rules": plain, "20rules_when": when} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			q := get("/api/v7.0/snapshots/12", alice)
			for b.Loop() {
				if !r.Decide(q).Allowed {
					b.Fatal("refused")
				}
			}
		})
	}
}

func TestDenyHoldsForEverySpellingOfItsPath(t *testing.T) {
	r := compile(t,
		policy.Rule{Path: "/api/job:run", Deny: true},
		policy.Rule{Path: "/api/secret/**", Deny: true},
		policy.Rule{Path: "/a%20b", Deny: true},
		policy.Rule{Public: true},
	)
	for path, want := range map[string]bool{
		"/api/job:run": false, "/api/job%3Arun": false, "/api/job%3arun": false, "/api/job:run%20": false,
		"/api/secret/x": false, "/api%2Fsecret/x": false, "/api/secret%2Fx": false, "/a%20b": false,
		"/api/job": true, "/api/secrets": true, "/a": true,
	} {
		if got := r.Decide(policy.Question{Method: "GET", Path: path}).Allowed; got != want {
			t.Errorf("GET %s allowed = %v; want %v", path, got, want)
		}
	}
}
