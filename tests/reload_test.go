package tests

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// soon is how often the gateways of these tests look at their files.
const soon = "100ms"

// replaceFile puts another file in the place of path at once, as Kubernetes does.
func replaceFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sample returns the value of one series of /metrics; -1 if it is not there.
func (g *gateway) sample(t testing.TB, series string) float64 {
	t.Helper()
	c := newClient(t, g.Admin)
	defer c.http.CloseIdleConnections() // each would be counted among the gateway's goroutines
	for line := range strings.Lines(c.get(t, "/metrics", "").body) {
		if text, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return -1
}

// reloads returns how many changes of the configuration came out so.
func (g *gateway) reloads(t testing.TB, outcome string) int {
	t.Helper()
	return int(g.sample(t, fmt.Sprintf("gatehouse_config_reloads_total{outcome=%q}", outcome)))
}

// reloaded does what changes files and waits until the gateway has taken it over.
func (g *gateway) reloaded(t testing.TB, change func()) {
	t.Helper()
	before := g.reloads(t, "ok")
	change()
	eventually(t, 10*time.Second, "the change is taken over", func() bool { return g.reloads(t, "ok") > before })
}

// degraded returns what /readyz says does not work as it should.
func (g *gateway) degraded(t testing.TB) string {
	t.Helper()
	a := newClient(t, g.Admin).get(t, "/readyz", "")
	wantStatus(t, "/readyz", a, http.StatusOK)
	var state struct{ Degraded []string }
	if err := json.Unmarshal([]byte(a.body), &state); err != nil {
		t.Fatal(err)
	}
	return strings.Join(state.Degraded, "\n")
}

func (g *gateway) signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := g.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// closeStatus reads until a WebSocket ends and returns the code of its close
// frame; -1 without one.
func closeStatus(ctx context.Context, c *websocket.Conn) websocket.StatusCode {
	for {
		if _, _, err := c.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func TestUsersFileIsFollowed(t *testing.T) {
	b := newBackend(t)
	b.other = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
		}
	}
	s := b.account(t).with("RELOAD_EVERY", soon)
	g := start(t, s)
	c := g.client(t)
	alice, rita := c.login(t, "alice", userPassword), c.login(t, "rita", userPassword)
	stream := dialWebSocket(t, g, bearer(alice.access))

	g.reloaded(t, func() {
		text := readFile(t, s["USERS_FILE"])
		replaceFile(t, s["USERS_FILE"], strings.NewReplacer("{name: alice, id: \"1001\"", "{name: nina, id: \"1009\"").Replace(text))
	})
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	if got := closeStatus(ctx, stream); got != websocket.StatusPolicyViolation {
		t.Errorf("the stream of a user who is gone ends with %d; want 1008 within 5s", got)
	}
	wantStatus(t, "a user who is gone", c.get(t, snapshots, alice.access), http.StatusUnauthorized)
	wantStatus(t, "a user who stays", c.get(t, snapshots, rita.access), http.StatusOK)
	wantStatus(t, "login of a user who is gone", c.must(t, loginRequest("alice", userPassword)), http.StatusUnauthorized)
	c.login(t, "nina", userPassword)
}

const ruledFile = `backends:
  fabric: {url: %q, speak: ipfabric/7.0, account: {username: svc-account, password_file: %q}}
routes:
  - {path: /, backend: fabric}
  %s
policy:
  - {name: all, path: /**, methods: [%s]}
`

func TestConfigurationFileIsFollowed(t *testing.T) {
	b := newBackend(t)
	password := writeFile(t, "password", servicePassword)
	text := func(route, methods string) string { return fmt.Sprintf(ruledFile, b.URL, password, route, methods) }
	file := writeFile(t, "gatehouse.yaml", text("", "GET, POST"))
	g := start(t, settings{"CONFIG": file, "USERS_FILE": usersFile(t), "RELOAD_EVERY": soon})
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	wantStatus(t, "call", c.get(t, snapshots, p.access), http.StatusOK)

	g.reloaded(t, func() {
		replaceFile(t, file, text("- {name: second, host: second.test, path: /, backend: fabric}", "POST"))
	})
	wantStatus(t, "call against the new rules, in the old session", c.get(t, snapshots, p.access), http.StatusForbidden)
	if got := g.sample(t, `gatehouse_http_requests_total{backend="fabric",code="2xx",method="GET",route="second"}`); got != 0 {
		t.Errorf("requests of the new route = %v; want 0", got)
	}
	g.reloaded(t, func() { replaceFile(t, file, text("", "GET, POST")) })
	wantStatus(t, "call under the old rules again", c.get(t, snapshots, p.access), http.StatusOK)
	if got := b.counted("login"); got != 1 {
		t.Errorf("backend logins = %d; want 1", got)
	}
}

func TestSecretFilesAreFollowed(t *testing.T) {
	b := newBackend(t)
	password, admin := writeFile(t, "password", servicePassword), writeFile(t, "admin", "first-admin-token")
	secret := writeFile(t, "secret", strings.Repeat("a", 32))
	s := b.account(t).with("BACKEND_PASSWORD_FILE", password, "ADMIN_TOKEN_FILE", admin, "SECRET_FILE", secret, "RELOAD_EVERY", soon)
	delete(s, "BACKEND_PASSWORD")
	g := start(t, s)
	c, ops := g.client(t), newClient(t, g.Admin)
	p := c.login(t, "alice", userPassword)
	wantStatus(t, "operator", ops.get(t, "/v1/sessions", "first-admin-token"), http.StatusOK)

	g.reloaded(t, func() { replaceFile(t, admin, "second-admin-token") })
	wantStatus(t, "operator with the old token", ops.get(t, "/v1/sessions", "first-admin-token"), http.StatusUnauthorized)
	wantStatus(t, "operator with the new token", ops.get(t, "/v1/sessions", "second-admin-token"), http.StatusOK)

	g.reloaded(t, func() { replaceFile(t, secret, strings.Repeat("b", 32)+"\n"+strings.Repeat("a", 32)) })
	wantStatus(t, "a token made under the old secret", c.get(t, snapshots, p.access), http.StatusOK)
	next := c.refresh(t, p.refresh)
	wantStatus(t, "its successor under the new secret", c.get(t, snapshots, next.access), http.StatusOK)

	b.forgetAll()
	g.reloaded(t, func() { replaceFile(t, password, "no-longer-right") })
	if a := c.get(t, snapshots, next.access); a.status/100 != 5 {
		t.Errorf("call with the wrong password at the backend = %d; want 5xx", a.status)
	}
	g.reloaded(t, func() { replaceFile(t, password, servicePassword) })
	wantStatus(t, "call with the right one again", c.get(t, snapshots, next.access), http.StatusOK)
}

func TestBackendAuthorityIsFollowed(t *testing.T) {
	b, ca := tlsBackend(t, "127.0.0.1")
	file := newAuthority(t).file
	g := start(t, b.account(t).with("BACKEND_CA_FILE", file, "RELOAD_EVERY", soon))
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	if a := c.get(t, snapshots, p.access); a.status/100 != 5 {
		t.Errorf("call to a backend of an unknown authority = %d; want 5xx", a.status)
	}
	g.reloaded(t, func() { replaceFile(t, file, readFile(t, ca.file)) })
	eventually(t, 10*time.Second, "the backend is believed", func() bool { return c.get(t, snapshots, p.access).status == http.StatusOK })
}

// What is wrong on disk changes nothing, and everybody can see that it is wrong.
func TestFaultyFilesKeepTheOldConfiguration(t *testing.T) {
	b := newBackend(t)
	s := b.account(t).with("RELOAD_EVERY", soon)
	g := start(t, s)
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	good := readFile(t, s["USERS_FILE"])
	for _, outcome := range []string{"ok", "refused", "unavailable"} {
		if got := g.reloads(t, outcome); got != 0 {
			t.Errorf("reloads that are %s at the start = %d; want 0", outcome, got)
		}
	}
	for n, bad := range []string{"users: [{name: alice, hash: nonsense}]", "", "users: {"} {
		replaceFile(t, s["USERS_FILE"], bad)
		eventually(t, 5*time.Second, "it is refused", func() bool { return g.reloads(t, "refused") == n+1 })
		if got := g.degraded(t); !strings.Contains(got, "configuration on disk is not the one in use: ") || !strings.Contains(got, s["USERS_FILE"]) {
			t.Errorf("/readyz is degraded by %q; want the place in the file", got)
		}
		wantStatus(t, "call meanwhile", c.get(t, snapshots, p.access), http.StatusOK)
	}
	if err := os.Remove(s["USERS_FILE"]); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "a missing file is refused", func() bool { return g.reloads(t, "refused") == 4 })
	if got := strings.Count(g.log.String(), "is not taken over"); got != 4 {
		t.Errorf("the log says so %d times; want 4", got)
	}
	replaceFile(t, s["USERS_FILE"], good)
	eventually(t, 5*time.Second, "all is well again", func() bool { return g.degraded(t) == "" })
	if got := g.reloads(t, "ok"); got != 0 {
		t.Errorf("reloads = %d; want 0, since the old file is back", got)
	}
	c.login(t, "rita", userPassword)
}

// Without polling a signal does it, and an unchanged configuration is left alone.
func TestSignalReloads(t *testing.T) {
	s := newBackend(t).account(t).with("RELOAD_EVERY", "0")
	g := start(t, s)
	c := g.client(t)
	g.signal(t, syscall.SIGHUP)
	eventually(t, 5*time.Second, "the log says that nothing has changed", func() bool {
		return strings.Contains(g.log.String(), "has not changed")
	})
	replaceFile(t, s["USERS_FILE"], strings.ReplaceAll(readFile(t, s["USERS_FILE"]), "name: alice,", "name: nina,"))
	wantStatus(t, "login before the signal", c.must(t, loginRequest("nina", userPassword)), http.StatusUnauthorized)
	g.reloaded(t, func() { g.signal(t, syscall.SIGHUP) })
	c.login(t, "nina", userPassword)
	if got := g.reloads(t, "ok"); got != 1 {
		t.Errorf("reloads = %d; want 1", got)
	}
}

// A reload while the store cannot be asked would lose what memory serves; it is
// made up for when the store is back.
func TestReloadWaitsForTheStore(t *testing.T) {
	r := startRedis(t)
	s := newBackend(t).account(t).with(r.store()...).with("RELOAD_EVERY", soon)
	g := start(t, s)
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	wantStatus(t, "call before", c.get(t, snapshots, p.access), http.StatusOK)
	r.signal(t, syscall.SIGSTOP)
	defer r.signal(t, syscall.SIGCONT)
	replaceFile(t, s["USERS_FILE"], strings.ReplaceAll(readFile(t, s["USERS_FILE"]), "name: rita,", "name: nina,"))
	eventually(t, 10*time.Second, "the reload is put off", func() bool { return g.reloads(t, "unavailable") >= 1 })
	wantStatus(t, "call from memory", c.get(t, snapshots, p.access), http.StatusOK)
	r.signal(t, syscall.SIGCONT)
	eventually(t, 20*time.Second, "the reload is made up for", func() bool { return g.reloads(t, "ok") == 1 })
	c.login(t, "nina", userPassword)
	wantStatus(t, "call afterwards", c.get(t, snapshots, p.access), http.StatusOK)
}

// load sends requests of one client at a rate until stop is closed, and counts
// those that fail.
type load struct {
	sent, failed atomic.Int64
	first        atomic.Pointer[string] // what went wrong first
	stop         chan struct{}
	under        sync.WaitGroup
}

func startLoad(t testing.TB, c *client, every time.Duration, q request) *load {
	t.Helper()
	l := &load{stop: make(chan struct{})}
	l.under.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-tick.C:
			}
			l.under.Go(func() { l.one(t, c, q) })
		}
	})
	return l
}

func (l *load) one(t testing.TB, c *client, q request) {
	l.sent.Add(1)
	a, err := c.do(t.Context(), q)
	if err == nil && a.status == http.StatusOK {
		return
	}
	l.failed.Add(1)
	why := fmt.Sprintf("%d %.200s %v", a.status, a.body, err)
	l.first.CompareAndSwap(nil, &why)
}

// end waits for the last answer and fails the test if any request failed.
func (l *load) end(t testing.TB) {
	t.Helper()
	close(l.stop)
	l.under.Wait()
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", n, l.sent.Load(), *l.first.Load())
	}
	t.Logf("%d requests", l.sent.Load())
}

func TestStormOfReloadsFailsNoRequest(t *testing.T) {
	b := newBackend(t)
	s := b.account(t).with("RELOAD_EVERY", soon)
	g := start(t, s)
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	good := readFile(t, s["USERS_FILE"])
	l := startLoad(t, c, 5*time.Millisecond, request{path: snapshots, header: bearer(p.access)})
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := range 30 {
		<-tick.C
		replaceFile(t, s["USERS_FILE"], strings.ReplaceAll(good, "name: rita,", fmt.Sprintf("name: rita%d,", n)))
		g.signal(t, syscall.SIGHUP)
	}
	tries := time.NewTicker(time.Second) // ten failures in a minute are too many
	defer tries.Stop()
	eventually(t, 10*time.Second, "the newest configuration is in use", func() bool {
		<-tries.C
		return c.must(t, loginRequest("rita29", userPassword)).status == http.StatusOK
	})
	l.end(t)
	if got := g.reloads(t, "ok"); got < 2 {
		t.Errorf("reloads = %d; want several", got)
	}
	if got := b.counted("login"); got != 1 {
		t.Errorf("backend logins = %d; want 1", got)
	}
}

func TestReloadsLeaveNothingBehind(t *testing.T) {
	s := newBackend(t).account(t).with("RELOAD_EVERY", "0")
	g := start(t, s)
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	good := readFile(t, s["USERS_FILE"])
	reload := func(n int) {
		g.reloaded(t, func() {
			replaceFile(t, s["USERS_FILE"], good+strings.Repeat("#\n", n+1))
			g.signal(t, syscall.SIGHUP)
		})
		wantStatus(t, "call", c.get(t, snapshots, p.access), http.StatusOK)
	}
	reload(0)
	before := g.sample(t, "go_goroutines")
	for n := range 50 {
		reload(n + 1)
	}
	after := 0.0
	defer func() { t.Logf("goroutines: %v before, %v after 50 reloads", before, after) }()
	eventually(t, 10*time.Second, "what was replaced has ended", func() bool {
		after = g.sample(t, "go_goroutines")
		return after <= before+5
	})
}

// Each replaced configuration is kept for its streams, four at most.
func TestStreamsOutliveFourReloads(t *testing.T) {
	b := newBackend(t)
	b.other = echo
	s := b.account(t).with("RELOAD_EVERY", soon)
	g := start(t, s)
	p := g.client(t).login(t, "alice", userPassword)
	good := readFile(t, s["USERS_FILE"])
	var streams []*websocket.Conn
	for n := range 5 {
		if n == 4 {
			talk(t, streams[0])
		}
		streams = append(streams, dialWebSocket(t, g, bearer(p.access)))
		g.reloaded(t, func() { replaceFile(t, s["USERS_FILE"], good+strings.Repeat("#\n", n+1)) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if got := closeStatus(ctx, streams[0]); got != websocket.StatusServiceRestart {
		t.Errorf("the oldest stream ends with %d; want 1012", got)
	}
	for _, c := range streams[1:] {
		talk(t, c)
	}
}

// talk has a message echoed.
func talk(t testing.TB, c *websocket.Conn) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte("still there?")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(t.Context()); err != nil || string(got) != "still there?" {
		t.Fatalf("echo = %q, %v", got, err)
	}
}

// A new certificate is shown to new connections; those that are open go on.
func TestCertificateIsFollowed(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert, key := ca.issue(t, "127.0.0.1")
	g := start(t, newBackend(t).account(t).with("TLS_CERT_FILE", cert, "TLS_KEY_FILE", key, "RELOAD_EVERY", soon))
	kept := dialTLS(t, g, ca.pool)
	ask := func() int {
		fmt.Fprint(kept, "GET /public/a HTTP/1.1\r\nHost: gate.test\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(kept), nil)
		if err != nil {
			t.Fatalf("on the connection from before: %v", err)
		}
		defer resp.Body.Close()
		if resp.Close {
			t.Error("the connection is being closed")
		}
		return resp.StatusCode
	}
	first := ask()

	otherCert, otherKey := other.issue(t, "127.0.0.1")
	replaceFile(t, key, readFile(t, otherKey)) // for a moment they are no pair
	eventually(t, 5*time.Second, "half a pair is refused", func() bool { return g.reloads(t, "refused") == 1 })
	g.reloaded(t, func() { replaceFile(t, cert, readFile(t, otherCert)) })
	dialTLS(t, g, other.pool).Close()
	if got := ask(); got != first {
		t.Errorf("on the connection from before = %d; want %d", got, first)
	}
	if end := time.Unix(int64(g.sample(t, "gatehouse_tls_certificate_expiry_seconds")), 0); time.Until(end) < time.Minute {
		t.Errorf("the certificate expires at %v", end)
	}
	if !strings.Contains(g.log.String(), "the certificate of the front door expires") {
		t.Error("nobody is warned of a certificate that ends within the day")
	}
}

func dialTLS(t testing.TB, g *gateway, pool *x509.CertPool) net.Conn {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}}
	c, err := d.DialContext(t.Context(), "tcp", g.settings["LISTEN"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}
