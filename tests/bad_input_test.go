package tests

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// outcome is how a command ended.
type outcome struct {
	code   int
	output string // both streams
}

// runCommand runs a command to its end, as another user if uid is not 0.
func runCommand(t testing.TB, s settings, uid uint32, args ...string) outcome {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = s.environ()
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	_ = cmd.Run() // how it ended is in ProcessState
	if ctx.Err() != nil {
		t.Fatalf("gatehouse %v did not end by itself:\n%s", args, out)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String()}
}

// line returns the one line of the output that holds all of want; empty if there
// is none.
func (o outcome) line(want ...string) string {
	for line := range strings.Lines(o.output) {
		if containsAll(line, want) {
			return line
		}
	}
	return ""
}

func containsAll(s string, want []string) bool {
	for _, w := range want {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}

// good is a configuration without a fault.
func good(t testing.TB) settings {
	t.Helper()
	return settings{
		"BACKEND_URL": "http://127.0.0.1:9", "BACKEND_SPEAK": "ipfabric/7.0",
		"LISTEN": freeAddress(t), "ADMIN_LISTEN": freeAddress(t),
	}
}

func TestEachFaultHasOneLineWithPlaceAndRemedy(t *testing.T) {
	t.Parallel()
	yaml := func(text string) []string { return []string{"CONFIG", writeFile(t, "gatehouse.yaml", text)} }
	for _, tt := range []struct {
		name string
		set  []string
		want []string // in one line
	}{
		{"unknown setting", []string{"BACKEND_ULR", "x"}, []string{"GATEHOUSE_BACKEND_ULR", "GATEHOUSE_BACKEND_URL"}},
		{"unknown YAML key", yaml("polcy: []\n"), []string{"gatehouse.yaml:1", "polcy", "policy"}},
		{"unknown key in a rule", yaml("policy:\n  - path: /a/**\n    sopes: [read]\n"), []string{"gatehouse.yaml:3", "sopes"}},
		{"second document", yaml("policy: []\n---\npolicy: []\n"), []string{"gatehouse.yaml"}},
		{"Redis without a secret", []string{"REDIS_URL", "redis://127.0.0.1:6379/0"}, []string{"GATEHOUSE_SECRET"}},
		{"short secret", []string{"REDIS_URL", "redis://127.0.0.1:6379/0", "SECRET", strings.Repeat("x", 31)}, []string{"GATEHOUSE_SECRET", "32"}},
		{"secret twice", []string{"SECRET", rootSecret, "SECRET_FILE", writeFile(t, "s", rootSecret)}, []string{"GATEHOUSE_SECRET", "GATEHOUSE_SECRET_FILE"}},
		{"missing file", []string{"USERS_FILE", "/nonexistent/users.yaml"}, []string{"GATEHOUSE_USERS_FILE", "/nonexistent/users.yaml"}},
		{"missing secret file", []string{"SECRET_FILE", "/nonexistent/secret"}, []string{"GATEHOUSE_SECRET_FILE", "/nonexistent/secret"}},
		{"backend URL without a scheme", []string{"BACKEND_URL", "ipf.example.net"}, []string{"GATEHOUSE_BACKEND_URL", "http"}},
		{"backend URL with a password", []string{"BACKEND_URL", "https://u:p@ipf.example.net"}, []string{"GATEHOUSE_BACKEND_URL"}},
		{"Redis URL of another scheme", []string{"REDIS_URL", "http://127.0.0.1", "SECRET", rootSecret}, []string{"GATEHOUSE_REDIS_URL", "redis://"}},
		{"Redis URL with an unknown query", []string{"REDIS_URL", "redis://127.0.0.1/0?foo=1", "SECRET", rootSecret}, []string{"GATEHOUSE_REDIS_URL", "query"}},
		{"Redis with a missing CA file", []string{"REDIS_URL", "rediss://127.0.0.1/0?ca_file=/nope", "SECRET", rootSecret}, []string{"GATEHOUSE_REDIS_URL", "/nope"}},
		{"one address for both", []string{"LISTEN", "127.0.0.1:9", "ADMIN_LISTEN", "127.0.0.1:9"}, []string{"GATEHOUSE_ADMIN_LISTEN", "GATEHOUSE_LISTEN", "port"}},
		{"unknown dialect", []string{"BACKEND_SPEAK", "ipfabrik"}, []string{"GATEHOUSE_BACKEND_SPEAK", "ipfabric"}},
		{"unknown profile", []string{"BACKEND_SPEAK", "ipfabric/9.9"}, []string{"GATEHOUSE_BACKEND_SPEAK", "7.0"}},
		{"no duration", []string{"ACCESS_TTL", "soon"}, []string{"GATEHOUSE_ACCESS_TTL"}},
		{"grace over a minute", []string{"REFRESH_GRACE", "61s"}, []string{"GATEHOUSE_REFRESH_GRACE", "61s", "take 0s to"}},
		{"account without users", []string{"BACKEND_USERNAME", "svc", "BACKEND_PASSWORD", "p"}, []string{"USERS_FILE"}},
		{"user name without password", []string{"BACKEND_USERNAME", "svc", "USERS_FILE", usersFile(t)}, []string{"GATEHOUSE_BACKEND_PASSWORD"}},
		{"certificate without key", []string{"TLS_CERT_FILE", writeFile(t, "c", "x")}, []string{"GATEHOUSE_TLS_KEY_FILE"}},
		{"routes that collide", yaml(`backends:
  one: {url: http://127.0.0.1:9, speak: none}
routes:
  - {host: a.example.com, path: /, backend: one}
  - {host: A.example.com, path: /, backend: one}
`), []string{"gatehouse.yaml:5", "a.example.com"}},
		{"route to nowhere", yaml("routes:\n  - {path: /, backend: nobody}\n"), []string{"gatehouse.yaml:2", "nobody"}},
		{"condition that does not compile", yaml("policy:\n  - {path: /a, when: user.admn}\n"), []string{"gatehouse.yaml:2", "admn"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conf := good(t).with(tt.set...)
			for _, command := range []string{"check", "serve"} {
				o := runCommand(t, conf, 0, command)
				if o.code != 2 {
					t.Errorf("%s: exit code %d; want 2\n%s", command, o.code, o.output)
				}
				if o.line(tt.want...) == "" {
					t.Errorf("%s: no line names all of %q:\n%s", command, tt.want, o.output)
				}
			}
		})
	}
}

func TestCheckNamesAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	conf := good(t).with(
		"BACKEND_URL", "not a url", "BACKEND_ULR", "x", "REDIS_URL", "redis://127.0.0.1:6379/0", "SECRET", "short", "USERS_FILE", "/nonexistent/u",
		"CONFIG", writeFile(t, "gatehouse.yaml", "polcy: []\npolicy:\n  - {path: /a, when: user.admn}\n"))
	o := runCommand(t, conf, 0, "check")
	if o.code != 2 {
		t.Errorf("exit code %d; want 2", o.code)
	}
	for _, want := range [][]string{
		{"GATEHOUSE_BACKEND_URL"},
		{"GATEHOUSE_BACKEND_ULR"},
		{"GATEHOUSE_SECRET", "32"},
		{"GATEHOUSE_USERS_FILE"},
		{"gatehouse.yaml:1", "polcy"},
		{"gatehouse.yaml:3", "admn"},
	} {
		if o.line(want...) == "" {
			t.Errorf("no line names all of %q:\n%s", want, o.output)
		}
	}
	if strings.Contains(o.output, "short") && o.line("short", "SECRET") != "" && strings.Contains(o.line("short", "SECRET"), `"short"`) {
		t.Error("the output shows the secret")
	}
}

func TestCheckIsContentWithAGoodConfiguration(t *testing.T) {
	t.Parallel()
	if o := runCommand(t, good(t), 0, "check"); o.code != 0 {
		t.Errorf("exit code %d; want 0\n%s", o.code, o.output)
	}
}

func TestWithoutConfigurationItSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	o := runCommand(t, settings{}, 0, "serve")
	if o.code != 2 || o.line("GATEHOUSE_BACKEND_URL") == "" || o.line("demo") == "" {
		t.Errorf("exit code %d; want 2 and lines that name GATEHOUSE_BACKEND_URL and demo:\n%s", o.code, o.output)
	}
	if n := strings.Count(o.output, "\n"); n > 5 {
		t.Errorf("%d lines; want a few", n)
	}
}

// Compose mounts secret files as they are on the host, so a file that only root
// may read is the most common mistake of all.
func TestUnreadableFileNamesUserAndMode(t *testing.T) {
	t.Parallel()
	const uid = 65532
	if os.Getuid() != 0 {
		t.Skip("left out: only root can run a process as another user")
	}
	secret := writeFile(t, "secret", rootSecret)
	if err := errors.Join(os.Chmod(secret, 0o400), os.Chmod(filepath.Dir(filepath.Dir(secret)), 0o755)); err != nil {
		t.Fatal(err)
	}
	o := runCommand(t, good(t).with("SECRET_FILE", secret), uid, "check")
	if o.code != 2 || o.line("GATEHOUSE_SECRET_FILE", secret, "65532", "0400") == "" {
		t.Errorf("exit code %d; want 2 and one line that names setting, path, uid and mode:\n%s", o.code, o.output)
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, setting := range []string{"LISTEN", "ADMIN_LISTEN"} {
		o := runCommand(t, good(t).with(setting, l.Addr().String()), 0, "serve")
		if o.code == 0 || o.line("GATEHOUSE_"+setting, l.Addr().String()) == "" {
			t.Errorf("exit code %d; want a failure and one line that names GATEHOUSE_%s and the address:\n%s", o.code, setting, o.output)
		}
	}
}

func TestRedisThatComesLaterIsWaitedFor(t *testing.T) {
	t.Parallel()
	bin := requireProgram(t, "redis-server", "apt-get install redis-server, or ./tests/run where it may install")
	r := &realRedis{Addr: freeAddress(t), Password: "the-password-of-later"}
	g := launch(t, newBackend(t).account(t).with(r.store()...))
	eventually(t, 10*time.Second, "the gateway says that it is not ready", func() bool {
		return g.readyStatus(t) == http.StatusServiceUnavailable
	})
	eventually(t, 5*time.Second, "the log names the setting", func() bool {
		return strings.Contains(g.log.String(), "GATEHOUSE_REDIS_URL")
	})
	wantStatus(t, "liveness", newClient(t, g.Admin).get(t, "/healthz", ""), http.StatusOK)
	wantStatus(t, "a call meanwhile", g.client(t).must(t, loginRequest("alice", userPassword)), http.StatusServiceUnavailable)

	r.run(t, bin)
	g.waitReady(t)
	g.client(t).login(t, "alice", userPassword)
}

func TestWrongRedisPasswordIsNamed(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	wrong := &realRedis{Addr: r.Addr, Password: "not-the-password"}
	g := launch(t, newBackend(t).account(t).with(wrong.store()...))
	eventually(t, 10*time.Second, "the log says that the password is wrong", func() bool {
		o := outcome{output: g.log.String()}
		return o.line("GATEHOUSE_REDIS_URL", "password") != ""
	})
	if strings.Contains(g.log.String(), wrong.Password) {
		t.Error("the log shows the password")
	}
	if got := g.readyStatus(t); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz = %d; want 503", got)
	}
}

func TestUselessBackendIsNamed(t *testing.T) {
	t.Parallel()
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html><body>It works!</body></html>")) // the caller may be gone
	}))
	t.Cleanup(html.Close)
	for _, tt := range []struct{ name, url, cause string }{
		{"nobody listens", "http://" + freeAddress(t), "connection refused"},
		{"it answers HTML", html.URL, "HTML"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBackend(t)
			g := start(t, b.account(t).with("BACKEND_URL", tt.url))
			c := g.client(t)
			p := c.login(t, "alice", userPassword)
			a := c.get(t, snapshots, p.access)
			if a.status != http.StatusBadGateway && a.status != http.StatusServiceUnavailable {
				t.Errorf("call = %d %s; want 502 or 503", a.status, a.body)
			}
			if strings.Contains(a.body, "It works!") {
				t.Error("the client was shown the backend's page")
			}
			eventually(t, 2*time.Second, "one log line names backend, cause and remedy", func() bool {
				o := outcome{output: g.log.String()}
				return o.line("WARN", `"backend":"backend"`, tt.cause, "check") != ""
			})
		})
	}
}
