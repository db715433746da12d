package tests

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// openFront is a gateway in account mode whose /public/** needs no credential,
// and whose /admin/** nobody may call.
func openFront(t testing.TB, b *backend) *gateway {
	t.Helper()
	return start(t, b.account(t).with("CONFIG", writeFile(t, "gatehouse.yaml", `policy:
  - {path: /admin/**, deny: true}
  - {path: /public/**, public: true}
  - {path: /**}
`)))
}

// raw sends bytes over a connection of their own and returns all that comes back
// until the gateway closes or falls silent.
func (g *gateway) raw(t testing.TB, text string) string {
	t.Helper()
	c := g.dial(t)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(c) // a silence ends in the deadline
	return string(b)
}

func (g *gateway) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", g.settings["LISTEN"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// head builds a request that asks to close the connection.
func head(line string, fields ...string) string {
	return line + " HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n" + strings.Join(append(fields, "\r\n"), "\r\n")
}

// statusOf returns the status of the first final response in what came back.
func statusOf(t testing.TB, text string) int {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(text))
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("no response in %q: %v", text, err)
		}
		if resp.StatusCode >= 200 {
			return resp.StatusCode
		}
	}
}

func TestMethodsThatTunnelOrEchoAreRefused(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := openFront(t, b)
	for _, line := range []string{
		"TRACE /public/a", "TRACK /public/a", "CONNECT gate.test:80", "CONNECT /public/a", "PRI *", "get /public/a", "FOO /public/a",
	} {
		got := statusOf(t, g.raw(t, head(line)))
		if got != http.StatusBadRequest && got != http.StatusMethodNotAllowed && got != http.StatusNotImplemented {
			t.Errorf("%s = %d; want 400, 405 or 501", line, got)
		}
	}
	if n := len(b.seen()); n != 0 {
		t.Errorf("the backend saw %d requests; want 0", n)
	}
}

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := openFront(t, b)
	p := g.client(t).login(t, "alice", userPassword)
	auth := "Authorization: Bearer " + p.access
	before := len(b.seen())
	for _, tt := range []struct{ name, text string }{
		{"two Authorization headers", head("GET "+snapshots, auth, auth)},
		{"two Authorization headers in a public place", head("GET /public/a", auth, "Authorization: Bearer evil")},
		{"two hosts", "GET /public/a HTTP/1.1\r\nHost: gate.test\r\nHost: evil.test\r\nConnection: close\r\n\r\n"},
		{"no host", "GET /public/a HTTP/1.1\r\nConnection: close\r\n\r\n"},
		{"absolute form of another host", head("GET http://evil.test/public/a")},
		{"two lengths", head("POST /public/a", "Content-Length: 1", "Content-Length: 2") + "xx"},
		{"NUL in a value", head("GET /public/a", "X-Note: a\x00b")},
	} {
		if got := statusOf(t, g.raw(t, tt.text)); got != http.StatusBadRequest {
			t.Errorf("%s = %d; want 400", tt.name, got)
		}
	}
	if n := len(b.seen()) - before; n != 0 {
		t.Errorf("the backend saw %d requests; want 0", n)
	}
}

func TestPathTricksNeverReachTheBackend(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := openFront(t, b)
	for _, path := range []string{
		"/public/../admin", "/public/%2e%2e/admin", "/public/%2E%2E/admin", "/public/.%2e/admin", "/public/..%2fadmin", "/public/%2e%2e%2fadmin",
		"/public/..;/admin", "/public/a;x=1/b", "/public/a%3bb", "/public//admin", "//admin", "/./admin", "/public/./a",
		"/public/..%5cadmin", "/public/%5c..%5cadmin", `/public/..\admin`, "/public/a%00", "/public/a%0d%0aX:y", "/public/%252e%252e/admin",
		"/public/a%2fb", "/public/%zz", "/public/%", "/public/%c0%ae%c0%ae/admin", "/public/a%7f",
	} {
		if got := statusOf(t, g.raw(t, head("GET "+path))); got != http.StatusBadRequest {
			t.Errorf("%s = %d; want 400", path, got)
		}
	}
	if all := b.seen(); len(all) != 0 {
		t.Errorf("the backend saw %s and %d more; want nothing", all[0].uri, len(all)-1)
	}
}

// What policy saw is byte for byte what the backend gets.
func TestUnreservedCharactersAreDecodedOnce(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := openFront(t, b)
	for _, tt := range []struct {
		path   string
		status int
		sent   string // to the backend; empty: nothing
	}{
		{"/public/%61%7Eb", http.StatusOK, "/public/a~b"},
		{"/public/a%20b?x=%61;y&z=1;2", http.StatusOK, "/public/a%20b?x=%61;y&z=1;2"},
		{"/%61dmin/x", http.StatusForbidden, ""},
		{"/%70ublic/a", http.StatusOK, "/public/a"},
	} {
		before := len(b.seen())
		got := statusOf(t, g.raw(t, head("GET "+tt.path)))
		if got != tt.status && (tt.status != http.StatusForbidden || got != http.StatusUnauthorized) {
			t.Errorf("%s = %d; want %d", tt.path, got, tt.status)
		}
		sent := ""
		if all := b.seen()[before:]; len(all) > 0 {
			sent = all[0].uri
		}
		if sent != tt.sent {
			t.Errorf("%s reached the backend as %q; want %q", tt.path, sent, tt.sent)
		}
	}
}

func TestForgedIdentityHeadersAreStripped(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := openFront(t, b)
	p := g.client(t).login(t, "alice", userPassword)
	forged := []string{
		"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Access-Token", "X-Forwarded-Uri", "X-Forwarded-Prefix",
		"X-Forwarded-Port", "X_Forwarded_User", "X-Forwarded_User", "x_forwarded_for", "X-Auth-Request-User", "Remote-User", "X-Real-IP",
		"True-Client-IP", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "Proxy",
	}
	for _, path := range []string{snapshots, "/public/a"} {
		fields := []string{"Authorization: Bearer " + p.access}
		for _, name := range forged {
			fields = append(fields, name+": evil.test")
		}
		before := len(b.seen())
		if got := statusOf(t, g.raw(t, head("GET "+path, fields...))); got == http.StatusBadRequest {
			continue // refused is as good as stripped
		}
		for _, r := range b.seen()[before:] {
			for name, values := range r.header {
				if strings.Contains(strings.Join(values, " "), "evil") {
					t.Errorf("%s: the backend got %s: %s", path, name, values)
				}
			}
		}
	}
}

// A client names our headers as hop-by-hop, so that they be dropped.
func TestConnectionHeaderDropsNothingOfOurs(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := openFront(t, b)
	p := g.client(t).login(t, "alice", userPassword)
	text := "GET " + snapshots + " HTTP/1.1\r\nHost: gate.test\r\nConnection: close, Authorization, X-Forwarded-For, Cookie\r\nAuthorization: Bearer " + p.access + "\r\n\r\n"
	if got := statusOf(t, g.raw(t, text)); got != http.StatusOK {
		t.Fatalf("call = %d; want 200", got)
	}
	all := b.seen()
	last := all[len(all)-1].header
	if last.Get("Authorization") == "" && last.Get("Cookie") == "" {
		t.Error("the backend's credential was dropped")
	}
	if last.Get("X-Forwarded-For") == "" {
		t.Error("X-Forwarded-For was dropped")
	}
}

// Carriers are the gateway's: none of the client's credentials, live or forged,
// goes on to the backend; other cookies do, as they are.
func TestClientCredentialsStayAtTheGate(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := openFront(t, b)
	p := g.client(t).login(t, "alice", userPassword)
	g.raw(t, head("GET "+snapshots, "Cookie: a=1; accessToken="+p.access+"; __Host-gatehouse=evil; refreshToken="+p.refresh+"; b=2"))
	all := b.seen()
	last := all[len(all)-1]
	for name, values := range last.header {
		for _, secret := range []string{p.access, p.refresh, "evil"} {
			if strings.Contains(strings.Join(values, " "), secret) {
				t.Errorf("the backend got a credential of the client in %s", name)
			}
		}
	}
	if got := strings.Join(last.header["Cookie"], "; "); !strings.Contains(got, "a=1") || !strings.Contains(got, "b=2") {
		t.Errorf("Cookie at the backend = %q; want a=1 and b=2 in it", got)
	}
}

func TestUnknownHostIsMisdirected(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, settings{"CONFIG": writeFile(t, "gatehouse.yaml", `backends:
  one: {url: "`+b.URL+`", speak: ipfabric/7.0}
routes:
  - {host: gate.test, path: /, backend: one}
`)})
	if got := statusOf(t, g.raw(t, head("GET "+snapshots))); got != http.StatusUnauthorized {
		t.Errorf("known host = %d; want 401", got)
	}
	other := strings.Replace(head("GET "+snapshots), "gate.test", "other.test", 1)
	if got := statusOf(t, g.raw(t, other)); got != http.StatusMisdirectedRequest {
		t.Errorf("unknown host = %d; want 421", got)
	}
}
