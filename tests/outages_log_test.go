package tests

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// longCall is a call whose line in the log is long, so that some 2000 of them are
// more than a gateway keeps.
var longCall = snapshots + "/" + strings.Repeat("x", 4000)

// startOnto runs a gateway that logs to a file or a pipe.
func startOnto(t testing.TB, stderr *os.File) *gateway {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	g := prepare(t, newBackend(t).account(t))
	g.stderr = stderr
	g.run(t, bin, "serve")
	g.waitReady(t)
	return g
}

// logPipe is a pipe for a log.
func logPipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// callsAnswered makes n long calls, and fails the test if one is not answered
// with 200 soon.
func callsAnswered(t testing.TB, g *gateway, n int) {
	t.Helper()
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range n / 8 {
				began := time.Now()
				a, err := c.do(t.Context(), request{path: longCall, header: bearer(p.access)})
				if took := time.Since(began); err != nil || a.status != 200 || took > slowest {
					t.Errorf("call = %d, %v, after %v; want 200 within %v", a.status, errors.Unwrap(err), took, slowest) // the URL is long
					return
				}
			}
		})
	}
	all.Wait()
}

// value returns what a metric without labels stands at.
func (g *gateway) value(t testing.TB, metric string) int {
	t.Helper()
	_, rest, ok := strings.Cut(newClient(t, g.Admin).get(t, "/metrics", "").body, "\n"+metric+" ")
	text, _, _ := strings.Cut(rest, "\n")
	v, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil {
		t.Fatalf("the metric %s is %q, %v", metric, text, err)
	}
	return int(v)
}

const linesDropped = "gatehouse_log_lines_dropped_total"

// Whoever should read the log and does not costs lines and nothing else. When he
// reads again he finds how many.
func TestLogThatNobodyReadsHoldsNothingUp(t *testing.T) {
	const calls = 2000
	r, w := logPipe(t)
	g := startOnto(t, w)
	w.Close() // the gateway has its own
	callsAnswered(t, g, calls)
	dropped := g.value(t, linesDropped)
	if dropped == 0 || dropped >= calls {
		t.Errorf("%s = %d; want some of %d, not all", linesDropped, dropped, calls)
	}

	lines := make(chan string, 2*calls)
	go func() {
		defer close(lines)
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			lines <- line
		}
	}()
	logged, told := 0, 0
	for told < dropped {
		var line struct {
			Msg, Path string
			Lines     int
		}
		select {
		case text := <-lines:
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatalf("the log holds %.100q: %v", text, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the log tells of %d dropped lines; want %d", told, dropped)
		}
		if told += line.Lines; line.Path == longCall {
			logged++
		}
	}
	if told != dropped || logged+told < calls {
		t.Errorf("%d calls in the log, %d lines told to be dropped; want %d and all %d calls", logged, told, dropped, calls)
	}

	callsAnswered(t, g, 8)
	for range 8 {
		select {
		case text := <-lines:
			if strings.Contains(text, "dropped") {
				t.Errorf("still dropping: %s", text)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is logged any more")
		}
	}
	if n := g.value(t, linesDropped); n != dropped {
		t.Errorf("%s = %d; want %d as before", linesDropped, n, dropped)
	}
}

func TestLogThatNobodyReadsKeepsNobodyFromEnding(t *testing.T) {
	t.Parallel()
	_, w := logPipe(t)
	g := startOnto(t, w)
	callsAnswered(t, g, 80) // five times what a pipe holds
	g.signal(t, syscall.SIGTERM)
	g.exits(t, 5*time.Second)
}

// What is waiting when the gateway ends is written before.
func TestLogIsWholeAtTheEnd(t *testing.T) {
	t.Parallel()
	r, w := logPipe(t)
	g := startOnto(t, w)
	w.Close()
	callsAnswered(t, g, 80)
	g.signal(t, syscall.SIGTERM)
	eventually(t, 5*time.Second, "draining", func() bool { return g.readyStatus(t) != 200 })
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	g.exits(t, 5*time.Second)
	if n := strings.Count(string(text), longCall); n != 80 {
		t.Errorf("the log has %d of 80 calls", n)
	}
}

// A log that cannot be written at all is counted, and no reason to end.
func TestLogThatFailsHoldsNothingUp(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(testing.TB) (stderr *os.File, fail func())
	}{
		{"the reader is gone", func(t testing.TB) (*os.File, func()) {
			t.Helper()
			r, w := logPipe(t)
			go func() { _, _ = io.Copy(io.Discard, r) }() // until it is closed
			return w, func() { r.Close() }
		}},
		{"the disk is full", func(t testing.TB) (*os.File, func()) {
			t.Helper()
			f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Skipf("left out: no /dev/full, as on Linux: %v", err)
			}
			t.Cleanup(func() { f.Close() })
			return f, func() {}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			stderr, fail := c.open(t)
			g := startOnto(t, stderr)
			fail()
			callsAnswered(t, g, 80)
			eventually(t, 5*time.Second, "the lost lines are counted", func() bool { return g.value(t, linesDropped) >= 80 })
			wantStatus(t, "/readyz", newClient(t, g.Admin).get(t, "/readyz", ""), 200)
			g.signal(t, syscall.SIGTERM)
			g.exits(t, 5*time.Second)
		})
	}
}
