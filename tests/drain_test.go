package tests

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// exits waits for a gateway to end by itself, without a failure.
func (g *gateway) exits(t testing.TB, within time.Duration) {
	t.Helper()
	select {
	case <-g.done:
	case <-time.After(within):
		t.Fatalf("the gateway still runs after %v", within)
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code = %d; want 0", code)
	}
}

// closings counts the codes with which WebSockets end.
type closings struct {
	mu    sync.Mutex
	codes map[websocket.StatusCode]int // guarded by mu
	open  sync.WaitGroup
}

func (c *closings) watch(ctx context.Context, conn *websocket.Conn) {
	c.open.Go(func() {
		code := closeStatus(ctx, conn)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.codes == nil {
			c.codes = map[websocket.StatusCode]int{}
		}
		c.codes[code]++
	})
}

// want fails the test unless all have ended, with that code.
func (c *closings) want(t testing.TB, who string, code websocket.StatusCode, n int) {
	t.Helper()
	c.open.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.codes) != 1 || c.codes[code] != n {
		t.Errorf("%s heard these codes, so often: %v; want %d, %d times", who, c.codes, code, n)
	}
}

// What stands in front notices in time that a gateway ends, so nobody is turned
// away; WebSockets are told.
func TestTerminationUnderLoadFailsNothing(t *testing.T) {
	const streams = 50
	var atBackend closings
	b := newBackend(t)
	b.other = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			answerJSON(w, http.StatusOK, `{}`)
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		atBackend.watch(t.Context(), c)
		atBackend.open.Wait()
	}
	g := start(t, b.account(t).with("DRAIN_DELAY", "2s"))
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	var atClient closings
	for range streams {
		atClient.watch(t.Context(), dialWebSocket(t, g, bearer(p.access)))
	}
	l := startLoad(t, c, 5*time.Millisecond, request{path: snapshots, header: bearer(p.access)})
	eventually(t, 10*time.Second, "the load is on", func() bool { return l.sent.Load() > 100 })
	began := time.Now()
	g.signal(t, syscall.SIGTERM)
	eventually(t, time.Second, "not ready", func() bool { return g.readyStatus(t) == http.StatusServiceUnavailable })
	seen := l.sent.Load()
	eventually(t, 2*time.Second, "some more requests come", func() bool { return l.sent.Load() >= seen+50 })
	l.end(t) // as a load balancer does when it has noticed
	atClient.want(t, "clients", websocket.StatusGoingAway, streams)
	if d := time.Since(began); d < 2*time.Second {
		t.Errorf("streams ended after %v; want the delay of 2s first", d)
	}
	atBackend.want(t, "the backend", websocket.StatusGoingAway, streams)
	g.exits(t, 10*time.Second)
}

// While it drains a gateway answers, and has its clients connect elsewhere.
func TestDrainingGatewayAnswersAndSendsClientsAway(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "127.0.0.1")
	g := start(t, newBackend(t).account(t).with("TLS_CERT_FILE", cert, "TLS_KEY_FILE", key, "DRAIN_DELAY", "2s"))
	one, two := newTLSClient(t, g.URL, &tls.Config{RootCAs: ca.pool, NextProtos: []string{"http/1.1"}}), newTLSClient(t, g.URL, &tls.Config{RootCAs: ca.pool})
	p := one.login(t, "alice", userPassword)
	wantStatus(t, "call over HTTP/2 before", two.get(t, snapshots, p.access), http.StatusOK)

	g.signal(t, syscall.SIGTERM)
	eventually(t, time.Second, "not ready", func() bool { return g.readyStatus(t) == http.StatusServiceUnavailable })
	a := one.get(t, snapshots, p.access)
	wantStatus(t, "call over HTTP/1.1", a, http.StatusOK)
	wantStatus(t, "call over HTTP/2", two.get(t, snapshots, p.access), http.StatusOK)
	for name, c := range map[string]*client{"HTTP/1.1": one, "HTTP/2": two} {
		eventually(t, time.Second, "clients of "+name+" connect anew", func() bool {
			reused := true
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
			a, err := c.do(ctx, request{path: snapshots, header: bearer(p.access)})
			return err == nil && a.status == http.StatusOK && !reused
		})
	}
	g.exits(t, 10*time.Second)
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	g := start(t, newBackend(t).account(t).with("DRAIN_DELAY", "1m"))
	g.signal(t, syscall.SIGTERM)
	eventually(t, 5*time.Second, "draining", func() bool { return g.readyStatus(t) == http.StatusServiceUnavailable })
	g.signal(t, syscall.SIGTERM)
	select {
	case <-g.done:
	case <-time.After(5 * time.Second):
		t.Error("the gateway drains on")
	}
}

// Told to end, a gateway finishes the requests under way, says not-ready
// meanwhile, and does not wait for streams, which would never end.
func TestTerminationFinishesRequestsAndCutsStreams(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	release, asked := make(chan struct{}), make(chan struct{}, 1)
	b.other = func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/slow") {
			asked <- struct{}{}
			<-release
			answerJSON(w, http.StatusOK, `{"slow":true}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: one\n\n")
		_ = http.NewResponseController(w).Flush() // the reader below would miss it
		<-r.Context().Done()
	}
	g := openFront(t, b)
	stream := g.dial(t)
	fmt.Fprint(stream, head("GET /public/events", "Accept: text/event-stream"))
	readUntil(t, bufio.NewReader(stream), "data: one")
	slow := make(chan answer, 1)
	c := g.client(t)
	go func() {
		a, _ := c.do(t.Context(), request{path: "/public/slow"}) // its status says what went wrong
		slow <- a
	}()
	<-asked

	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "not ready", func() bool { return g.readyStatus(t) == http.StatusServiceUnavailable })
	close(release)
	wantStatus(t, "the request under way", <-slow, http.StatusOK)
	select {
	case <-g.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the gateway still waits for a stream")
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code = %d; want 0", code)
	}
}

// Whoever may send a body to the gateway itself need not have logged in, so
// nobody may hold a connection by one that never ends, whatever it is answered.
func TestBodyThatNeverEndsHoldsNoConnection(t *testing.T) {
	t.Parallel()
	g := openFront(t, newBackend(t))
	for name, tt := range map[string]struct {
		line, fields string
		want         int
	}{
		"log in":           {"POST /api/auth/login", "Content-Type: application/json\r\n", 400},
		"log in, chunked":  {"POST /api/auth/login", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", 400},
		"log out":          {"POST /api/auth/logout", "", 401},
		"a call":           {"POST /api/v7.0/snapshots", "", 401},
		"the sign-in form": {"POST /.gatehouse/sign-in", "Content-Type: application/x-www-form-urlencoded\r\n", 0},
		"the edge":         {"POST /a//b", "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := g.dial(t)
			if err := c.SetDeadline(time.Now().Add(40 * time.Second)); err != nil {
				t.Fatal(err)
			}
			length := "Content-Length: 100\r\n"
			if strings.Contains(tt.fields, "chunked") {
				length = ""
			}
			fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n5\r\n{", tt.line, tt.fields, length)
			r := bufio.NewReader(c)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			if resp.Body.Close(); tt.want != 0 && resp.StatusCode != tt.want {
				t.Errorf("status = %d; want %d", resp.StatusCode, tt.want)
			}
			if _, err := io.Copy(io.Discard, r); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the connection is held: %v", err)
			}
		})
	}
}
