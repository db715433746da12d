package tests

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// An upgrade that is not WebSocket would be a tunnel with our credential in it.
func TestOnlyWebSocketIsTunnelled(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.other = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", r.Header.Get("Upgrade"))
			w.WriteHeader(http.StatusSwitchingProtocols)
		}
	}
	g := openFront(t, b)
	for _, tt := range []struct{ name, text string }{
		{"foo", "GET /public/a HTTP/1.1\r\nHost: gate.test\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n"},
		{"h2c", "GET /public/a HTTP/1.1\r\nHost: gate.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"},
		{"websocket by POST", "POST /public/a HTTP/1.1\r\nHost: gate.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 0\r\n\r\n"},
	} {
		c := g.dial(t)
		if _, err := c.Write([]byte(tt.text)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			t.Errorf("%s was tunnelled", tt.name)
		}
	}
	for _, r := range b.seen() {
		if r.header.Get("Upgrade") != "" {
			t.Errorf("the backend got Upgrade: %s", r.header.Get("Upgrade"))
		}
	}
}

// echo answers every message with itself.
func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }() // whoever is first closes
	for {
		kind, b, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if err := c.Write(r.Context(), kind, b); err != nil {
			return
		}
	}
}

func TestWebSocketPasses(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.other = echo
	g := openFront(t, b)
	client := g.client(t)
	p := client.login(t, "alice", userPassword)
	c := dialWebSocket(t, g, bearer(p.access))
	for _, text := range []string{"one", strings.Repeat("long ", 3000)} {
		if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		_, got, err := c.Read(t.Context())
		if err != nil || string(got) != text {
			t.Fatalf("echo = %.20q, %v; want %.20q", got, err, text)
		}
	}
	if _, resp, err := websocket.Dial(t.Context(), g.URL+"/api/v7.0/events", nil); err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("anonymous handshake: %v, %v; want 401", resp, err)
	}
}

func dialWebSocket(t testing.TB, g *gateway, h http.Header) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), g.URL+"/api/v7.0/events", &websocket.DialOptions{HTTPHeader: h})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() }) // the gateway may have been first
	c.SetReadLimit(1 << 20)
	return c
}

// A stream is closed within 5 s of its session's end.
func TestLogoutClosesTheWebSocket(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.other = echo
	g := openFront(t, b)
	client := g.client(t)
	p := client.login(t, "alice", userPassword)
	c := dialWebSocket(t, g, bearer(p.access))
	out := client.must(t, request{method: http.MethodPost, path: "/api/auth/logout", header: bearer(p.access)})
	if out.status/100 != 2 {
		t.Fatalf("logout = %d %s; want 2xx", out.status, out.body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if got := closeStatus(ctx, c); got != websocket.StatusPolicyViolation {
		t.Errorf("the stream ends with %d; want 1008 within 5s", got)
	}
}

func TestCrossOriginWebSocketByCookieIsRefused(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.other = echo
	g := openFront(t, b)
	p := g.client(t).login(t, "alice", userPassword)
	_, resp, err := websocket.Dial(t.Context(), g.URL+"/api/v7.0/events", &websocket.DialOptions{HTTPHeader: http.Header{
		"Cookie": {"accessToken=" + p.access}, "Origin": {"https://evil.test"},
	}})
	if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("handshake from another origin: %v, %v; want 403", resp, err)
	}
}

func TestServerSentEventsArriveAsTheyAreSent(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	second := make(chan struct{})
	b.other = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: one\n\n")
		_ = http.NewResponseController(w).Flush() // the reader below would miss it
		select {
		case <-second:
			fmt.Fprint(w, "data: two\n\n")
		case <-r.Context().Done():
		}
	}
	g := openFront(t, b)
	c := g.dial(t)
	fmt.Fprint(c, head("GET /public/events", "Accept: text/event-stream"))
	r := bufio.NewReader(c)
	readUntil(t, r, "data: one")
	close(second) // only now: the first event was not held back
	readUntil(t, r, "data: two")
}

func readUntil(t testing.TB, r *bufio.Reader, want string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if strings.Contains(line, want) {
			return
		}
		if err != nil {
			t.Fatalf("the stream ended before %q: %v", want, err)
		}
	}
}
