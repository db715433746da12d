package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/policy"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	secret32 = "0123456789abcdef0123456789abcdef"
	hash     = "$argon2id$v=19$m=8,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$J5L9qf3Gg0R/SDGCa3AT3YtCqSs82pvC3aTZR36BU8M"
	usersYML = "- name: alice\n  hash: " + hash + "\n"
)

// folder makes a folder with files, by name, and goes there.
func folder(tb testing.TB, files map[string]string) {
	tb.Helper()
	tb.Chdir(tb.TempDir())
	for name, text := range files {
		write(tb, name, text)
	}
}

func write(tb testing.TB, name, text string) {
	tb.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// backendVars are the two variables that are enough.
func backendVars(more ...string) []string {
	return append([]string{"GATEHOUSE_BACKEND_URL=https://fabric.example.com", "GATEHOUSE_BACKEND_SPEAK=ipfabric/7.0"}, more...)
}

func mustLoad(tb testing.TB, environ ...string) *config.Config {
	tb.Helper()
	c, faults := config.Load(environ)
	if len(faults) > 0 {
		tb.Fatalf("Load:\n%v", faults)
	}
	return c
}

func TestAccountOfEveryKind(t *testing.T) {
	folder(t, map[string]string{"users.yaml": usersYML, "pw": "pass word"})
	want := &config.Account{
		Username: "svc", Password: token.NewSecret("pass word"), TOTPSecret: token.NewSecret("jbsw y3dp ehpk 3pxp"),
	}
	same := cmp.Comparer(func(a, b token.Secret) bool { return a.Reveal() == b.Reveal() })

	env := mustLoad(t, backendVars("GATEHOUSE_USERS_FILE=users.yaml", "GATEHOUSE_BACKEND_USERNAME=svc", "GATEHOUSE_BACKEND_PASSWORD_FILE=pw",
		"GATEHOUSE_BACKEND_TOTP_SECRET=jbsw y3dp ehpk 3pxp")...)
	if diff := cmp.Diff(env.Backends[0].Account, want, same); diff != "" {
		t.Errorf("account of the environment (-got +want):\n%s", diff)
	}

	write(t, "gate.yaml", `backends:
  x:
    url: https://x.example.com
    speak: ipfabric
    account: {username: svc, password_file: pw, totp_secret_env: SEED}
routes: [{path: /, backend: x}]
`)
	file := mustLoad(t, "GATEHOUSE_USERS_FILE=users.yaml", "GATEHOUSE_CONFIG=gate.yaml", "SEED=jbsw y3dp ehpk 3pxp")
	if diff := cmp.Diff(file.Backends[0].Account, want, same); diff != "" {
		t.Errorf("account of the file (-got +want):\n%s", diff)
	}
}

func TestTwoVariablesAreEnough(t *testing.T) {
	folder(t, nil)
	got := mustLoad(t, backendVars("PATH=/bin", "GATEHOUSE_PUBLIC_URL=", "GATEHOUSE_NO_SUCH=")...)
	want := &config.Config{
		Listen: ":8080", AdminListen: "127.0.0.1:9090", DegradedFor: time.Minute, PagesPath: "/.gatehouse",
		Log:      config.Log{Level: slog.LevelInfo, Format: "json"},
		Drain:    config.Drain{Timeout: 25 * time.Second},
		Tokens:   config.Tokens{RefreshGrace: 10 * time.Second},
		Backends: []config.Backend{{Name: "backend", URL: mustURL("https://fabric.example.com"), Speak: "ipfabric/7.0", HeaderTimeout: 2 * time.Minute}},
		Routes: []config.Route{{
			Name: "default", Path: "/", Backend: "backend", Serve: []string{"ipfabric/7.0"}, Tokens: config.Tokens{RefreshGrace: 10 * time.Second},
		}},
		Warnings: []string{
			"sessions live in this process alone and end with it: set GATEHOUSE_REDIS_URL to keep them",
			"callers reach this gateway over plain http, where browsers do not keep secure cookies: browser sign-in and cookie profiles will work from this machine only; set GATEHOUSE_TLS_CERT_FILE, or GATEHOUSE_PUBLIC_URL to the https address of what stands in front",
		},
	}
	compare(t, got, want)
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func compare(tb testing.TB, got, want *config.Config) {
	tb.Helper()
	opts := cmp.Options{
		cmp.Comparer(func(a, b token.Secret) bool { return a.Reveal() == b.Reveal() }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmpopts.EquateEmpty(),
	}
	if diff := cmp.Diff(got, want, opts); diff != "" {
		tb.Errorf("Load (-got +want):\n%s", diff)
	}
}

const goodYAML = `# What stands behind the gate.
backends:
  fabric:
    url: https://ipf.example.net/base
    speak: ipfabric/7.0
    account: {username: svc, password_file: fabric.secret}
    ca_file: ca.pem
    server_name: ipf.internal
    preserve_host: true
    header_timeout: 30s
    call_timeout: 5m
    lease: 1m
    max_sessions: 1000000
  lab:
    url: http://10.0.0.5:8080
    speak: ipfabric/6.1
    insecure_skip_verify: true
  tokens:
    url: https://t.example.net
    speak: ipfabric
    account: {api_token_env: LAB_TOKEN}
routes:
  - {host: IPF.example.com, path: /, backend: fabric}
  - name: lab
    host: "*.lab.example.com"
    path: /api/
    backend: lab
    serve: [ipfabric/6.1]
    access_ttl: 5m
    refresh_ttl: 2h
    refresh_grace: 0s
    on_reuse: refuse
    logout: vendor
    local_auth: false
    refresh_length: 64
    missing_token_code: API_INVALID_ACCESS_TOKEN
    encoded_slash: true
    max_body: 10MiB
  - {path: /t, backend: tokens, serve: []}
policy:
  - {path: /api/**, methods: [GET], scopes: [read]}
  - name: operators
    path: /api/**
    when: 'user.admin && request.ip in net("10.0.0.0/8")'
identity:
  users_file: users.yaml
`

func TestGoodFile(t *testing.T) {
	cert, key := certificate(t)
	folder(t, map[string]string{
		"gate.yaml": goodYAML, "users.yaml": usersYML, "fabric.secret": "pass word\r\n", "ca.pem": cert, "key.pem": key,
		"redis": "rediss://user:pw@r1:6380/0\n", "secrets": secret32 + "1\n" + secret32 + "2\n",
	})
	got := mustLoad(t,
		"GATEHOUSE_CONFIG=gate.yaml", "LAB_TOKEN=lab-token", "GATEHOUSE_LISTEN=0.0.0.0:443", "GATEHOUSE_ADMIN_LISTEN=:9090",
		"GATEHOUSE_ADMIN_TOKEN=adm-0123456789ab", "GATEHOUSE_PUBLIC_URL=https://gate.example.com/", "GATEHOUSE_REDIS_URL_FILE=redis",
		"GATEHOUSE_SECRET_FILE=secrets", "GATEHOUSE_DATA_DIR=.", "GATEHOUSE_TRUSTED_PROXIES=10.0.0.0/8, 192.0.2.7",
		"GATEHOUSE_DEGRADED_FOR=0s", "GATEHOUSE_LOG_LEVEL=DEBUG", "GATEHOUSE_LOG_FORMAT=text", "GATEHOUSE_TLS_CERT_FILE=ca.pem",
		"GATEHOUSE_TLS_KEY_FILE=key.pem", "GATEHOUSE_PAGES_PATH=/gate/", "GATEHOUSE_ACCESS_TTL=10m", "GATEHOUSE_DRAIN_TIMEOUT=5s",
		"GATEHOUSE_LOGOUT_AT_DRAIN=true", "GATEHOUSE_ON_REUSE=refuse",
	)
	base := config.Tokens{AccessTTL: 10 * time.Minute, RefreshGrace: 10 * time.Second, RefuseReuse: true}
	want := &config.Config{
		Listen: "0.0.0.0:443", AdminListen: ":9090", AdminToken: token.NewSecret("adm-0123456789ab"), PublicURL: mustURL("https://gate.example.com"),
		RedisURL:       token.NewSecret("rediss://user:pw@r1:6380/0"),
		Secrets:        []token.Secret{token.NewSecret(secret32 + "1"), token.NewSecret(secret32 + "2")},
		DataDir:        ".",
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")},
		Log:            config.Log{Level: slog.LevelDebug, Format: "text"},
		TLS:            config.TLS{CertFile: "ca.pem", KeyFile: "key.pem"},
		PagesPath:      "/gate", Tokens: base, UsersFile: "users.yaml", HasPolicy: true,
		Drain: config.Drain{Timeout: 5 * time.Second, LogoutBackends: true},
		Backends: []config.Backend{
			{
				Name: "fabric", URL: mustURL("https://ipf.example.net/base"), Speak: "ipfabric/7.0", CAFile: "ca.pem", ServerName: "ipf.internal",
				Account: &config.Account{Username: "svc", Password: token.NewSecret("pass word")}, PreserveHost: true, HeaderTimeout: 30 * time.Second,
				Keeping: config.Keeping{CallTimeout: 5 * time.Minute, Lease: time.Minute, MaxSessions: 1_000_000},
			},
			{Name: "lab", URL: mustURL("http://10.0.0.5:8080"), Speak: "ipfabric/6.1", Insecure: true, HeaderTimeout: 2 * time.Minute},
			{Name: "tokens", URL: mustURL("https://t.example.net"), Speak: "ipfabric/7.0", Account: &config.Account{APIToken: token.NewSecret("lab-token")}, HeaderTimeout: 2 * time.Minute},
		},
		Routes: []config.Route{
			{Name: "fabric", Host: "ipf.example.com", Path: "/", Backend: "fabric", Serve: []string{"ipfabric/7.0"}, Tokens: base},
			{
				Name: "lab", Host: "*.lab.example.com", Path: "/api", Backend: "lab", Serve: []string{"ipfabric/6.1"}, EncodedSlash: true, MaxBody: 10 << 20,
				Tokens: config.Tokens{
					AccessTTL: 5 * time.Minute, RefreshTTL: 2 * time.Hour, RefuseReuse: true, VendorLogout: true, LocalAuthOff: true,
					RefreshLength: 64, MissingTokenCode: "API_INVALID_ACCESS_TOKEN",
				},
			},
			{Name: "tokens", Path: "/t", Backend: "tokens", Tokens: base},
		},
		Policy: []policy.Rule{
			{Path: "/api/**", Methods: []string{"GET"}, Scopes: []string{"read"}},
			{Name: "operators", Path: "/api/**", When: `user.admin && request.ip in net("10.0.0.0/8")`},
		},
		Warnings: []string{"the certificate of backend lab is not checked: whoever stands between can read and change everything; use ca_file instead"},
	}
	compare(t, got, want)
}

// certificate makes a pair in PEM.
func certificate(tb testing.TB) (cert, key string) {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gate"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		tb.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		tb.Fatal(err)
	}
	enc := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return enc("CERTIFICATE", der), enc("PRIVATE KEY", kder)
}

func TestPolicyThatIsPresentAndEmptyRefuses(t *testing.T) {
	for text, want := range map[string]bool{"policy:\n": true, "policy: []\n": true, "# policy:\n": false, "identity:\n": false, "": false} {
		folder(t, map[string]string{"gate.yaml": text})
		c := mustLoad(t, backendVars("GATEHOUSE_CONFIG=gate.yaml")...)
		if c.HasPolicy != want || len(c.Policy) != 0 {
			t.Errorf("%q: HasPolicy = %t with %d rules; want %t and none", text, c.HasPolicy, len(c.Policy), want)
		}
	}
}

func TestFileMayLeadToTheBackendOfTheEnvironment(t *testing.T) {
	folder(t, map[string]string{"gate.yaml": "routes:\n  - {name: api, path: /api, backend: backend}\n"})
	c := mustLoad(t, backendVars("GATEHOUSE_CONFIG=gate.yaml")...)
	if len(c.Routes) != 1 || c.Routes[0].Name != "api" {
		t.Errorf("routes = %+v; want the one of the file", c.Routes)
	}
}

func TestRoutesWithoutNamesGetThem(t *testing.T) {
	folder(t, map[string]string{"gate.yaml": "routes:\n  - {path: /a, backend: backend}\n  - {path: /b, backend: backend}\n"})
	c := mustLoad(t, backendVars("GATEHOUSE_CONFIG=gate.yaml")...)
	if c.Routes[0].Name != "backend" || c.Routes[1].Name != "backend-2" {
		t.Errorf("names = %q, %q; want backend and backend-2", c.Routes[0].Name, c.Routes[1].Name)
	}
}

func TestPathsOfTheFileAreRelativeToIt(t *testing.T) {
	folder(t, nil)
	if err := os.Mkdir("etc", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, "etc/gate.yaml", "identity: {users_file: users.yaml}\n")
	write(t, "etc/users.yaml", usersYML)
	if c := mustLoad(t, backendVars("GATEHOUSE_CONFIG=etc/gate.yaml")...); c.UsersFile != "etc/users.yaml" {
		t.Errorf("UsersFile = %q; want etc/users.yaml", c.UsersFile)
	}
}

func TestRedisURLsOfEveryForm(t *testing.T) {
	folder(t, nil)
	for _, u := range []string{
		"redis://r", "redis://:pw@r:6379/0", "rediss://r:6380?ca_file=x", "redis+sentinel://master@h1,h2:26379/0?password=a/b",
		"rediss+sentinel://master@h1", "redis+cluster://h1:1,h2:2", "rediss+cluster://u:p@h1,[::1]:6379",
	} {
		c := mustLoad(t, backendVars("GATEHOUSE_SECRET="+secret32, "GATEHOUSE_REDIS_URL="+u)...)
		if got := c.RedisURL.Reveal(); got != u {
			t.Errorf("RedisURL = %s; want %s", got, u)
		}
	}
}

func TestWarningOfPlainHTTP(t *testing.T) {
	folder(t, nil)
	for _, tt := range []struct {
		name string
		vars []string
		want bool
	}{
		{"any interface", nil, true},
		{"loopback", []string{"GATEHOUSE_LISTEN=127.0.0.1:80"}, false},
		{"loopback by name", []string{"GATEHOUSE_LISTEN=localhost:80"}, false},
		{"loopback, version 6", []string{"GATEHOUSE_LISTEN=[::1]:80"}, false},
		{"https in front", []string{"GATEHOUSE_PUBLIC_URL=https://a.example.com"}, false},
		{"http in front", []string{"GATEHOUSE_PUBLIC_URL=http://a.example.com"}, true},
	} {
		c := mustLoad(t, backendVars(tt.vars...)...)
		if got := strings.Contains(strings.Join(c.Warnings, "\n"), "plain http"); got != tt.want {
			t.Errorf("%s: warned %t; want %t", tt.name, got, tt.want)
		}
	}
}

func TestReferenceTellsEveryVariable(t *testing.T) {
	told := map[string]config.Setting{}
	for _, s := range config.Reference() {
		if s.Doc == "" || told[s.Name].Name != "" {
			t.Errorf("%s is told twice or not at all", s.Name)
		}
		told[s.Name] = s
	}
	folder(t, nil)
	for name, s := range told {
		_, faults := config.Load([]string{name + "=x"})
		if strings.Contains(faults.Error(), "no such setting") {
			t.Errorf("%s is told and not read", name)
		}
		if _, faults = config.Load([]string{name + "_FILE=x"}); s.Secret == strings.Contains(faults.Error(), "no such setting") {
			t.Errorf("%s_FILE: secret is %t, and the fault is %v", name, s.Secret, faults)
		}
	}
	if len(told) != 49 {
		t.Errorf("%d variables are told; want 49", len(told))
	}
	if d := told["GATEHOUSE_LISTEN"].Default; d != ":8080" {
		t.Errorf("default of GATEHOUSE_LISTEN = %q", d)
	}
}

func FuzzLoadFile(f *testing.F) {
	f.Add(goodYAML)
	f.Add(speakYAML)
	f.Add("policy:\n  - {path: /x, when: user.admin}\n")
	f.Add("routes: &r\n  - {path: /, backend: b}\nbackends: {b: {url: 'http://x', speak: none}}\npolicy: *r\n")
	f.Add("a: &a [*a, *a]\nroutes: *a\n")
	f.Add("---\n---\n")
	folder(f, map[string]string{"fabric.secret": "x"})
	f.Fuzz(func(t *testing.T, text string) {
		write(t, "gate.yaml", text)
		c, faults := config.Load(backendVars("GATEHOUSE_CONFIG=gate.yaml"))
		if (c == nil) != (len(faults) > 0) {
			t.Fatalf("Load = %v, %v; want one of both", c, faults)
		}
		for _, fault := range faults {
			if fault.Place == "" || fault.Msg == "" {
				t.Errorf("a fault without place or message: %q", fault)
			}
		}
		if c == nil {
			return
		}
		if _, errs := policy.Compile(c.Policy); len(errs) > 0 {
			t.Errorf("a good file has rules that do not compile: %v", errs)
		}
	})
}

func TestLimits(t *testing.T) {
	sized := func(n int) string { return strings.Repeat("x", n) }
	// A policy of one rule with a list: six values are the document, the file, the
	// section, the rule, its path and the list itself.
	values := func(n int) string {
		return "policy:\n  - path: /x\n    users: [" + strings.Repeat("a,", n-7) + "a]\n"
	}
	tests := []struct {
		name   string
		vars   []string
		file   string
		secret string // the content of the file "secret"
		ok     bool
	}{
		{name: "secret of 32", vars: []string{"GATEHOUSE_SECRET=" + sized(32)}, ok: true},
		{name: "secret of 31", vars: []string{"GATEHOUSE_SECRET=" + sized(31)}},
		{name: "grace of 60s", vars: []string{"GATEHOUSE_REFRESH_GRACE=60s"}, ok: true},
		{name: "grace over 60s", vars: []string{"GATEHOUSE_REFRESH_GRACE=60.001s"}},
		{name: "grace of 0", vars: []string{"GATEHOUSE_REFRESH_GRACE=0"}, ok: true},
		{name: "degraded for 10m", vars: []string{"GATEHOUSE_DEGRADED_FOR=10m"}, ok: true},
		{name: "degraded for over 10m", vars: []string{"GATEHOUSE_DEGRADED_FOR=601s"}},
		{name: "drain of 10m", vars: []string{"GATEHOUSE_DRAIN_TIMEOUT=10m"}, ok: true},
		{name: "drain of over 10m", vars: []string{"GATEHOUSE_DRAIN_TIMEOUT=601s"}},
		{name: "life of 400 days", vars: []string{"GATEHOUSE_REFRESH_TTL=9600h"}, ok: true},
		{name: "life of over 400 days", vars: []string{"GATEHOUSE_REFRESH_TTL=9600h1s"}},
		{name: "port 65535", vars: []string{"GATEHOUSE_LISTEN=:65535"}, ok: true},
		{name: "port 65536", vars: []string{"GATEHOUSE_LISTEN=:65536"}},
		{name: "admin token of 16", vars: []string{"GATEHOUSE_ADMIN_TOKEN=y" + sized(15)}, ok: true},
		{name: "admin token of 15", vars: []string{"GATEHOUSE_ADMIN_TOKEN=y" + sized(14)}},
		{name: "admin token of 4096", vars: []string{"GATEHOUSE_ADMIN_TOKEN=y" + sized(4095)}, ok: true},
		{name: "admin token of 4097", vars: []string{"GATEHOUSE_ADMIN_TOKEN=y" + sized(4096)}},
		{name: "secret file of 64 KiB", vars: []string{"GATEHOUSE_SECRET_FILE=secret"}, secret: sized(64 << 10), ok: true},
		{name: "secret file over 64 KiB", vars: []string{"GATEHOUSE_SECRET_FILE=secret"}, secret: sized(64<<10 + 1)},
		{name: "file of 1 MiB", file: "#" + sized(1<<20-1), ok: true},
		{name: "file over 1 MiB", file: "#" + sized(1<<20)},
		{name: "100000 values", file: values(100_000), ok: true},
		{name: "100001 values", file: values(100_001)},
		{name: "route name of 64", file: "routes: [{path: /, backend: backend, name: " + sized(64) + "}]\n", ok: true},
		{name: "route name of 65", file: "routes: [{path: /, backend: backend, name: " + sized(65) + "}]\n"},
		{name: "body of 1 byte", file: "routes: [{path: /, backend: backend, max_body: 1}]\n", ok: true},
		{name: "body of 0 bytes", file: "routes: [{path: /, backend: backend, max_body: 0}]\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder(t, map[string]string{"gate.yaml": tt.file, "secret": tt.secret})
			_, faults := config.Load(backendVars(append(tt.vars, "GATEHOUSE_CONFIG=gate.yaml")...))
			if (len(faults) == 0) != tt.ok || len(faults) > 1 {
				t.Errorf("Load: %v; want ok %t and at most one fault", faults, tt.ok)
			}
		})
	}
}
