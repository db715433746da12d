package tests

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

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
