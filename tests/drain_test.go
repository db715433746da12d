package tests

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Told to end, a gateway finishes the requests under way, says not-ready
// meanwhile, and does not wait for streams, which would never end.
func TestTerminationFinishesRequestsAndCutsStreams(t *testing.T) {
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

// Logging in is open to everybody, so nobody may hold a connection by sending a
// body that never ends.
func TestBodyOfALoginHasToArrive(t *testing.T) {
	g := start(t, newBackend(t).account(t))
	c := g.dial(t)
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, head("POST /api/auth/login", "Content-Type: application/json", "Content-Length: 100")+`{"username":`)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	wantStatus(t, "a body that does not arrive", answer{status: resp.StatusCode}, http.StatusBadRequest)
}
