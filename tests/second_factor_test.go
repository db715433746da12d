package tests

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const factorSeed = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

// appCode is what an authenticator app shows now (RFC 6238).
func appCode(t *testing.T) string {
	t.Helper()
	key, err := base32.StdEncoding.DecodeString(factorSeed)
	if err != nil {
		t.Fatal(err)
	}
	step := time.Now().Unix() / 30
	h := hmac.New(sha1.New, key)
	h.Write([]byte{0, 0, 0, 0, byte(step >> 24), byte(step >> 16), byte(step >> 8), byte(step)})
	sum := h.Sum(nil)
	at := sum[sum[19]&15:]
	n := (uint32(at[0])<<24 | uint32(at[1])<<16 | uint32(at[2])<<8 | uint32(at[3])) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000)
}

// factorGateway has three users with a second factor: alice an app, rita
// texts, and root an app that the IP Fabric API does without.
func factorGateway(t *testing.T, b *backend, sent chan<- string) *gateway {
	t.Helper()
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var call struct{ User, To, Method, Code string }
		if json.NewDecoder(r.Body).Decode(&call) == nil && call.User == "rita" && call.To == "+43 1" && call.Method == "sms" {
			sent <- call.Code
		}
	}))
	t.Cleanup(hook.Close)
	users := writeFile(t, "users.yaml", fmt.Sprintf(`users:
  - {name: alice, id: "1001", hash: %[1]q, scopes: [read], second_factor: {methods: [ftm], totp_secret_file: %[2]s}}
  - {name: rita, id: "1002", hash: %[1]q, scopes: [read], second_factor: {methods: [sms], phone: "+43 1"}}
  - {name: root, id: "1003", hash: %[1]q, scopes: [read], second_factor: {methods: [ftm], totp_secret_file: %[2]s}, allow_without_factor: [ipfabric]}
`, userHash, writeFile(t, "seeds", "alice "+factorSeed+"\nroot "+factorSeed+"\n")))
	conf := writeFile(t, "gatehouse.yaml", fmt.Sprintf(`
second_factor:
  webhook: {url: %s, secret_file: %s}
policy:
  - {name: safe, path: /inventory/safe, require: otp}
  - {name: rest}
`, hook.URL, writeFile(t, "hook-secret", "a secret of the webhook")))
	return start(t, b.account(t).with("USERS_FILE", users, "CONFIG", conf))
}

// half signs in by the form up to the second factor and returns its cookie.
func half(t *testing.T, g *gateway, c *client, user string) string {
	t.Helper()
	fields := credentials("/inventory/safe")
	fields.Set("username", user)
	in := c.must(t, form(g.URL, "/.gatehouse/sign-in", "", fields))
	wantStatus(t, "the password of "+user, in, http.StatusSeeOther)
	if in.cookie("__Host-gatehouse") != "" || in.header.Get("Location") != "/.gatehouse/second-factor?return_to=%2Finventory%2Fsafe" {
		t.Fatalf("headers = %v; want no session, and the page for the second factor", in.header)
	}
	return "__Host-gatehouse-factor=" + in.cookie("__Host-gatehouse-factor")
}

// answerFactor sends the form of the second factor.
func answerFactor(t *testing.T, g *gateway, c *client, ticket, code string) answer {
	t.Helper()
	q := form(g.URL, "/.gatehouse/second-factor", "", url.Values{"code": {code}, "return_to": {"/inventory/safe"}})
	q.header.Set("Cookie", ticket)
	return c.must(t, q)
}

func TestSecondFactorInTheBrowser(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	sent := make(chan string, 10)
	g := factorGateway(t, b, sent)
	c := g.client(t)
	for user, code := range map[string]func() string{"alice": func() string { return appCode(t) }, "rita": func() string { return <-sent }} {
		ticket := half(t, g, c, user)
		q := navigation("/.gatehouse/second-factor", "")
		q.header.Set("Cookie", ticket)
		wantStatus(t, "the page", c.must(t, q), http.StatusOK)
		wantStatus(t, "a wrong code", answerFactor(t, g, c, ticket, "00000x"), http.StatusUnauthorized)
		text := code()
		done := answerFactor(t, g, c, ticket, text)
		wantStatus(t, "the right code", done, http.StatusSeeOther)
		if got := done.header.Get("Location"); got != "/inventory/safe" {
			t.Errorf("Location = %q; want the page that was asked for", got)
		}
		wantStatus(t, "a page that requires it", c.must(t, navigation("/inventory/safe", done.cookie("__Host-gatehouse"))), http.StatusOK)
		wantStatus(t, "the same code again", answerFactor(t, g, c, ticket, text), http.StatusUnauthorized)
		if strings.Contains(g.log.String(), text) {
			t.Error("the log shows the code")
		}
	}
}

func TestHalfAProofPassesNowhere(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := factorGateway(t, b, make(chan string, 10))
	c := g.client(t)
	ticket := half(t, g, c, "alice")
	_, value, _ := strings.Cut(ticket, "=")
	before := len(b.seen())
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+userPassword))
	for name, h := range map[string]http.Header{
		"ticket as it is":      {"Cookie": {ticket}},
		"ticket as a session":  {"Cookie": {"__Host-gatehouse=" + value}},
		"ticket as a bearer":   {"Authorization": {"Bearer " + value}},
		"ticket as a token":    {"Cookie": {"accessToken=" + value}},
		"ticket as API token":  {"X-API-Token": {value}},
		"password by Basic":    {"Authorization": {basic}},
		"Basic with a ticket":  {"Authorization": {basic}, "Cookie": {ticket}},
		"Basic on a WebSocket": {"Authorization": {basic}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}},
	} {
		wantStatus(t, name, c.must(t, request{path: "/api/v7.0/snapshots", header: h}), http.StatusUnauthorized)
	}
	if n := len(b.seen()) - before; n != 0 {
		t.Errorf("the backend saw %d requests; want none", n)
	}
	login := c.must(t, loginRequest("alice", userPassword))
	wantStatus(t, "the login call", login, http.StatusUnauthorized)
	if login.code() != "API_INVALID_CREDENTIALS" || !strings.Contains(login.body, "second factor") || login.cookie("accessToken") != "" {
		t.Errorf("login = %s; want the ordinary failure, saying that a second factor is needed", login.body)
	}
}

func TestPasswordThatIsAllowedToDoIsStillNoSecondFactor(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := factorGateway(t, b, make(chan string, 10))
	c := g.client(t)
	p := c.login(t, "root", userPassword)
	h := http.Header{"Authorization": {"Bearer " + p.access}, "Cookie": {"__Host-gatehouse-factor=CANARY"}}
	wantStatus(t, "a call without demands", c.must(t, request{path: "/inventory", header: h}), http.StatusOK)
	wantStatus(t, "a call that requires a second factor", c.must(t, request{path: "/inventory/safe", header: h}), http.StatusForbidden)
	for _, s := range b.seen() {
		if strings.Contains(fmt.Sprint(s.header), "CANARY") {
			t.Errorf("the backend saw the cookie of a sign-in: %v", s.header)
		}
	}
}
