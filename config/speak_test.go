package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const speakYAML = `backends:
  wiki:
    url: https://wiki.example.net
    speak: jwt
    jwt: {audience: "https://wiki.example.net", ttl: 90s, issuer: gate}
    identity_headers: {user: X-Remote-User, id: X-Remote-Id, email: X-Remote-Email, groups: X-Remote-Groups, scopes: X_Scopes}
  plain: {url: https://plain.example.net, speak: jwt}
  key: {url: https://key.example.net, speak: static, static: {header: X-Api-Key, value_file: s.key}}
  basic: {url: https://basic.example.net, speak: static, static: {username: svc, password_env: BASIC}}
  bearer: {url: https://bearer.example.net, speak: static, static: {bearer_env: BEARER}}
  scheme: {url: https://scheme.example.net, speak: static, static: {header: Authorization, value_env: SCHEME}}
routes:
  - {path: /wiki, backend: wiki, serve: [ipfabric/7.0]}
  - {path: /plain, backend: plain}
  - {path: /key, backend: key}
  - {path: /basic, backend: basic}
  - {path: /bearer, backend: bearer}
  - {path: /scheme, backend: scheme}
policy: [{path: /**}]
`

func TestWaysToSpeak(t *testing.T) {
	folder(t, map[string]string{"gate.yaml": speakYAML, "users.yaml": usersYML, "s.key": "key 1\n"})
	c := mustLoad(t, "GATEHOUSE_CONFIG=gate.yaml", "GATEHOUSE_USERS_FILE=users.yaml", "GATEHOUSE_PUBLIC_URL=https://gate.example.com/",
		"BASIC=pass:wörd", "BEARER=b.tok", "SCHEME=Token abc")
	static := func(header, value string) *config.Static {
		return &config.Static{Header: header, Value: token.NewSecret(value)}
	}
	type way struct {
		Speak  string
		JWT    *config.JWT
		Static *config.Static
	}
	want := map[string]way{
		"wiki":   {"jwt", &config.JWT{Issuer: "gate", Audience: "https://wiki.example.net", TTL: 90 * time.Second}, nil},
		"plain":  {"jwt", &config.JWT{Issuer: "https://gate.example.com", Audience: "plain", TTL: 5 * time.Minute}, nil},
		"key":    {"static", nil, static("X-Api-Key", "key 1")},
		"basic":  {"static", nil, static("Authorization", "Basic c3ZjOnBhc3M6d8O2cmQ=")},
		"bearer": {"static", nil, static("Authorization", "Bearer b.tok")},
		"scheme": {"static", nil, static("Authorization", "Token abc")},
	}
	got := map[string]way{}
	for _, b := range c.Backends {
		got[b.Name] = way{b.Speak, b.JWT, b.Static}
	}
	if diff := cmp.Diff(got, want, cmp.Comparer(func(a, b token.Secret) bool { return a.Reveal() == b.Reveal() })); diff != "" {
		t.Errorf("Load (-got +want):\n%s", diff)
	}
	names := config.IdentityHeaders{User: "X-Remote-User", ID: "X-Remote-Id", Email: "X-Remote-Email", Groups: "X-Remote-Groups", Scopes: "X_Scopes"}
	if c.Backends[0].Identity != names {
		t.Errorf("identity headers = %+v; want %+v", c.Backends[0].Identity, names)
	}
	if serve := c.Routes[1].Serve; len(serve) != 0 {
		t.Errorf("a route to a backend without a token API serves %v by itself", serve)
	}
}

func TestStaticFromTheEnvironment(t *testing.T) {
	folder(t, map[string]string{"users.yaml": usersYML, "s.key": "from-file\n"})
	vars := []string{"GATEHOUSE_BACKEND_URL=https://x", "GATEHOUSE_BACKEND_SPEAK=static", "GATEHOUSE_USERS_FILE=users.yaml"}
	for _, tt := range []struct{ name, vars, header, value string }{
		{"basic", "USERNAME=svc PASSWORD=pw", "Authorization", "Basic c3ZjOnB3"},
		{"bearer", "API_TOKEN=tok", "Authorization", "Bearer tok"},
		{"header", "HEADER=X-Api-Key API_TOKEN_FILE=s.key", "X-Api-Key", "from-file"},
	} {
		more := []string{}
		for v := range strings.FieldsSeq(tt.vars) {
			more = append(more, "GATEHOUSE_BACKEND_"+v)
		}
		b := mustLoad(t, append(more, vars...)...).Backends[0]
		if b.Account != nil || b.Static == nil || b.Static.Header != tt.header || b.Static.Value.Reveal() != tt.value {
			t.Errorf("%s: account %v, static %+v; want %s: %s", tt.name, b.Account, b.Static, tt.header, tt.value)
		}
	}
}

func TestFaultsOfWaysToSpeak(t *testing.T) {
	users := "GATEHOUSE_USERS_FILE=users.yaml"
	env := func(more ...string) []string {
		return append([]string{"GATEHOUSE_BACKEND_URL=https://x", users}, more...)
	}
	backend := func(keys string) string {
		return "backends:\n  x: {url: https://x, " + keys + "}\nroutes: [{path: /, backend: x}]\n"
	}
	const forms = "give it one of: header and value_file, username and password_file, bearer_file; a variable is named by _env instead of _file"
	testFaults(t, []faultCase{
		{"jwt without public url", env("GATEHOUSE_BACKEND_SPEAK=jwt"), "", []string{
			"GATEHOUSE_PUBLIC_URL: it is missing, and it is the issuer of the JWTs for backend backend: set it to scheme and host of the gateway, or issuer under jwt in the file",
		}},
		{"jwt with a wrong public url", env("GATEHOUSE_BACKEND_SPEAK=jwt", "GATEHOUSE_PUBLIC_URL=ftp://x"), "", []string{
			"GATEHOUSE_PUBLIC_URL: its scheme is neither http nor https: write one like https://host.example.com",
		}},
		{"jwt without users", []string{"GATEHOUSE_BACKEND_URL=https://x", "GATEHOUSE_BACKEND_SPEAK=jwt", "GATEHOUSE_PUBLIC_URL=https://g"}, "", []string{
			"GATEHOUSE_USERS_FILE: it is missing, and the JWTs for backend backend are about them: name a file of users; gatehouse hash-password makes the hashes",
		}},
		{"jwt with an account", env("GATEHOUSE_BACKEND_SPEAK=jwt", "GATEHOUSE_PUBLIC_URL=https://g", "GATEHOUSE_BACKEND_USERNAME=svc"), "", []string{
			"GATEHOUSE_BACKEND_USERNAME: there is an account, and with speak jwt the gateway logs in to nothing: take it out; a static credential is written under static",
		}},
		{"jwt settings", []string{users}, backend("speak: jwt, jwt: {issuer: 'a b', audience: 'ü', ttl: 999ms}"), []string{
			"gate.yaml:2 backends.x.jwt.issuer: it is no good name: write a URL or a word of at most 256 ASCII characters, without spaces",
			"gate.yaml:2 backends.x.jwt.audience: it is no good name: write a URL or a word of at most 256 ASCII characters, without spaces",
			"gate.yaml:2 backends.x.jwt.ttl: 999ms is out of range: take 1s to 24h",
		}},
		{"jwt for nothing", []string{users}, backend("speak: none, jwt: {ttl: 1m}"), []string{
			"gate.yaml:2 backends.x.jwt: it is there, and the backend is not spoken to by jwt: set speak: jwt, or take it out",
		}},
		{"static for nothing", []string{users, "K=hunter2"}, backend("speak: ipfabric, static: {bearer_env: K}"), []string{
			"gate.yaml:2 backends.x.static.header: a static credential is there, and the backend is not spoken to by static: set speak to static, or take it out",
		}},
		{"header for nothing", env("GATEHOUSE_BACKEND_SPEAK=ipfabric", "GATEHOUSE_BACKEND_HEADER=X-Key"), "", []string{
			"GATEHOUSE_BACKEND_HEADER: it is for a backend that is spoken to by static: set GATEHOUSE_BACKEND_SPEAK to static, or unset it",
		}},
		{"static without users", []string{"GATEHOUSE_BACKEND_URL=https://x", "GATEHOUSE_BACKEND_SPEAK=static", "GATEHOUSE_BACKEND_API_TOKEN=hunter2"}, "", []string{
			"GATEHOUSE_USERS_FILE: it is missing, and clients share the credential of backend backend: name a file of users; gatehouse hash-password makes the hashes",
		}},
		{"static without a credential", env("GATEHOUSE_BACKEND_SPEAK=static"), "", []string{
			"GATEHOUSE_BACKEND_SPEAK: there is no credential to send: set GATEHOUSE_BACKEND_USERNAME and _PASSWORD_FILE, or _API_TOKEN_FILE, and beside it _HEADER where it is not a Bearer token",
		}},
		{"static of the file without a credential", []string{users}, backend("speak: static"), []string{
			"gate.yaml:2 backends.x.static: there is no credential to send: " + forms,
		}},
		{"static of two kinds", []string{users, "K=hunter2"}, backend("speak: static, static: {header: X-Key, value_env: K, bearer_env: K}"), []string{
			"gate.yaml:2 backends.x.static: it has credentials of more than one kind: " + forms,
		}},
		{"static by halves", []string{users, "K=hunter2"}, "backends:\n  a: {url: https://x, speak: static, static: {header: X-Key}}\n  b: {url: https://x, speak: static, static: {value_env: K}}\n  c: {url: https://x, speak: static, static: {username: svc}}\n  d: {url: https://x, speak: static, static: {password_env: K}}\n  e: {url: https://x, speak: static, static: {username: 's:vc', password_env: K}}\nroutes: [{path: /a, backend: a}, {path: /b, backend: b}, {path: /c, backend: c}, {path: /d, backend: d}, {path: /e, backend: e}]\n", []string{
			"gate.yaml:2 backends.a.static.value: the header has no value: name the file or the variable that holds it",
			"gate.yaml:3 backends.b.static.header: the value has no header: name the header that it goes in",
			"gate.yaml:4 backends.c.static.password: the user has no password: name the file or the variable that holds it",
			"gate.yaml:5 backends.d.static.username: a password needs a user name without a colon: give it one",
			"gate.yaml:6 backends.e.static.username: a password needs a user name without a colon: give it one",
		}},
		{"static file absent", []string{users}, backend("speak: static, static: {header: X-Key, value_file: absent}"), []string{
			"gate.yaml:2 backends.x.static.value_file: there is no file absent: is it mounted, and the path right?",
		}},
		{"static token file absent", env("GATEHOUSE_BACKEND_SPEAK=static", "GATEHOUSE_BACKEND_API_TOKEN_FILE=absent"), "", []string{
			"GATEHOUSE_BACKEND_API_TOKEN_FILE: there is no file absent: is it mounted, and the path right?",
		}},
		{"static that cannot be sent", env("GATEHOUSE_BACKEND_SPEAK=static", "GATEHOUSE_BACKEND_API_TOKEN=hunter2\r\nX-Evil: 1"), "", []string{
			"GATEHOUSE_BACKEND_API_TOKEN: the secret cannot be sent in a header: it must be one line of ASCII characters without spaces around it",
		}},
		{"static in a header with a meaning", env("GATEHOUSE_BACKEND_SPEAK=static", "GATEHOUSE_BACKEND_HEADER=Cookie", "GATEHOUSE_BACKEND_API_TOKEN=hunter2"), "", []string{
			"GATEHOUSE_BACKEND_HEADER: Cookie has a meaning of its own: use another, like X-Remote-User",
		}},
		{"static written out", []string{users}, "backends:\n  x:\n    url: https://x\n    speak: none\n    static: {value: hunter2, bearer: hunter2}\nroutes: [{path: /, backend: x}]\n", []string{
			"gate.yaml:5 backends.x.static.value: this file names secrets and does not hold them: use value_file with the name of a file, or value_env with that of a variable",
			"gate.yaml:5 backends.x.static.bearer: this file names secrets and does not hold them: use bearer_file with the name of a file, or bearer_env with that of a variable",
			"gate.yaml:5 backends.x.static.header: a static credential is there, and the backend is not spoken to by static: set speak to static, or take it out",
		}},
		{"identity headers with a meaning", []string{users}, backend("speak: none, identity_headers: {user: authorization, id: Content-Id, email: X_Forwarded_Email, groups: 'X-A:b', scopes: transfer_encoding}"), []string{
			"gate.yaml:2 backends.x.identity_headers.user: authorization has a meaning of its own: use another, like X-Remote-User",
			"gate.yaml:2 backends.x.identity_headers.id: Content-Id has a meaning of its own: use another, like X-Remote-User",
			"gate.yaml:2 backends.x.identity_headers.email: X_Forwarded_Email has a meaning of its own: use another, like X-Remote-User",
			`gate.yaml:2 backends.x.identity_headers.groups: "X-A:b" is no name of a header: use 1 to 64 letters, digits, - and _, beginning with a letter, like X-Remote-User`,
			"gate.yaml:2 backends.x.identity_headers.scopes: transfer_encoding has a meaning of its own: use another, like X-Remote-User",
		}},
		{"identity headers twice", []string{users, "K=hunter2"}, backend("speak: static, static: {header: X-Key, value_env: K}, identity_headers: {user: X-Remote-User, id: x_remote_user, email: x-KEY}"), []string{
			"gate.yaml:2 backends.x.identity_headers.id: x_remote_user carries user already: give it a header of its own",
			"gate.yaml:2 backends.x.identity_headers.email: x-KEY carries the static credential already: give it a header of its own",
		}},
		{"identity header of a credential", nil, backend("speak: ipfabric, identity_headers: {user: X-API-Token}"), []string{
			"gate.yaml:2 backends.x.identity_headers.user: X-API-Token carries a credential of ipfabric already: give it a header of its own",
		}},
	})
}

func TestLimitsOfWaysToSpeak(t *testing.T) {
	for _, tt := range []struct {
		name, keys string
		ok         bool
	}{
		{"ttl of 1s", "jwt: {ttl: 1s}", true},
		{"ttl under 1s", "jwt: {ttl: 999ms}", false},
		{"ttl of 24h", "jwt: {ttl: 24h}", true},
		{"ttl over 24h", "jwt: {ttl: 24h1s}", false},
		{"audience of 256", "jwt: {audience: " + strings.Repeat("a", 256) + "}", true},
		{"audience of 257", "jwt: {audience: " + strings.Repeat("a", 257) + "}", false},
		{"header of 64", "identity_headers: {user: " + strings.Repeat("X", 64) + "}", true},
		{"header of 65", "identity_headers: {user: " + strings.Repeat("X", 65) + "}", false},
	} {
		folder(t, map[string]string{"users.yaml": usersYML, "gate.yaml": "backends: {x: {url: https://x, speak: jwt, " + tt.keys + "}}\nroutes: [{path: /, backend: x}]\n"})
		_, faults := config.Load([]string{"GATEHOUSE_CONFIG=gate.yaml", "GATEHOUSE_USERS_FILE=users.yaml", "GATEHOUSE_PUBLIC_URL=https://g"})
		if (len(faults) == 0) != tt.ok {
			t.Errorf("%s: %v; want ok %t", tt.name, faults, tt.ok)
		}
	}
}

const warnBackends = `backends:
  own: {url: https://own, speak: ipfabric}
  svc: {url: https://svc, speak: ipfabric, account: {api_token_env: K}}
  fix: {url: https://fix, speak: static, static: {bearer_env: K}}
  jwt: {url: https://jwt, speak: jwt}
  none: {url: https://none, speak: none}
routes:
  - {host: own.example.com, path: /app, backend: own}
  - {host: "*.own.example.com", path: /, backend: own}
  - {path: /svc, backend: svc}
  - {path: /fix, backend: fix}
  - {path: /jwt, backend: jwt}
  - {path: /none, backend: none}
`

func TestWarningsOfPolicy(t *testing.T) {
	const remedy = "; write policy into the file of GATEHOUSE_CONFIG"
	inject := func(rule string) string {
		return "rule " + rule + " has public and inject, but clients of backend own use credentials of their own: anonymous requests can only be answered 401; take inject out, or give the backend an account"
	}
	for _, tt := range []struct {
		name, policy string
		want         []string
	}{
		{"no policy", "", []string{
			"there is no policy: signed-in users may call everything of backend svc as the service account" + remedy,
			"there is no policy: signed-in users may call everything of backend fix with the gateway's own credential" + remedy,
			"there is no policy: signed-in users may call everything of backend jwt, which alone decides by their JWTs" + remedy,
		}},
		{"empty policy", "policy: []\n", nil},
		{"inject anywhere", "policy: [{public: true, inject: true}]\n", []string{inject("#1")}},
		{"inject elsewhere", "policy: [{host: own.example.com, path: /svc/**, public: true, inject: true}, {host: x.example.com, public: true, inject: true}, {host: own.example.com, path: /ap/x, public: true, inject: true}, {host: own.example.com, path: /, public: true, inject: true}]\n", nil},
		{"inject on the host", "policy: [{path: /x}, {name: open, host: A.Own.example.com., path: /x/**, public: true, inject: true}]\n", []string{inject("open")}},
		{"inject on hosts", "policy: [{host: '*.example.com', path: '/*/x', public: true, inject: true}]\n", []string{inject("#1")}},
		{"inject below the host", "policy: [{host: '*.b.own.example.com', path: /y, public: true, inject: true}]\n", []string{inject("#1")}},
		{"public alone", "policy: [{public: true}]\n", nil},
	} {
		folder(t, map[string]string{"users.yaml": usersYML, "gate.yaml": warnBackends + tt.policy})
		c := mustLoad(t, "GATEHOUSE_CONFIG=gate.yaml", "GATEHOUSE_USERS_FILE=users.yaml", "GATEHOUSE_PUBLIC_URL=https://g", "K=k",
			"GATEHOUSE_REDIS_URL=redis://r", "GATEHOUSE_SECRET="+secret32)
		if diff := cmp.Diff(c.Warnings, tt.want); diff != "" {
			t.Errorf("%s: warnings (-got +want):\n%s", tt.name, diff)
		}
	}
}
