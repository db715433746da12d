// Package redistest runs real Redis servers for tests: one alone, one with a
// replica under Sentinels, a Cluster. All of it listens on loopback only, on
// free ports and with a password drawn for the test, keeps an append-only file
// in a folder of the test's own, and ends with the test.
package redistest

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/tests/kit"
)

// startLimit is how long a server or a whole topology may take to be ready.
const startLimit = 30 * time.Second

// Server is one redis-server process. Its methods that take a testing.TB fail
// the test if they cannot do what they say.
type Server struct {
	Addr, Password string

	conf string // the path of its configuration
	mode []string
	cmd  *exec.Cmd
	log  *kit.LogBuffer
	done chan struct{} // closed when the process has ended
}

// Standalone runs one server and waits until it answers. Each line is a
// directive of redis.conf, for instance "maxmemory 3mb".
func Standalone(t testing.TB, lines ...string) *Server {
	t.Helper()
	s := newServer(t, rand.Text(), lines...)
	s.start(t)
	s.waitReady(t)
	return s
}

// newServer writes the configuration of a server, which is not started.
func newServer(t testing.TB, password string, lines ...string) *Server {
	t.Helper()
	s := &Server{Addr: freeAddress(t), Password: password}
	s.configure(t, append([]string{
		"requirepass " + password, "masterauth " + password,
		"appendonly yes", "appendfsync everysec", `save ""`, "maxmemory-policy noeviction",
		"repl-diskless-sync yes", "repl-diskless-sync-delay 0",
	}, lines...))
	return s
}

// configure writes the configuration to a file: servers under Sentinel and in a
// cluster note in it what has become of them.
func (s *Server) configure(t testing.TB, lines []string) {
	t.Helper()
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lines = append([]string{"bind 127.0.0.1", "port " + port, "dir " + dir}, lines...)
	s.conf = filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(s.conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) start(t testing.TB) {
	t.Helper()
	bin := program(t, "redis-server")
	cmd := exec.CommandContext(t.Context(), bin, append([]string{s.conf}, s.mode...)...)
	log, done := &kit.LogBuffer{}, make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // ended by a signal
		close(done)
	}()
	s.cmd, s.log, s.done = cmd, log, done
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // also one that is paused
		<-done
		if t.Failed() {
			t.Logf("end of the log of Redis on %s:\n%s", s.Addr, tail(log))
		}
	})
}

func (s *Server) waitReady(t testing.TB) {
	t.Helper()
	rdb := s.Client(t)
	defer rdb.Close()
	wait(t, "Redis on "+s.Addr+" answers", func() bool {
		if s.ended() {
			t.Fatalf("Redis on %s ended at its start:\n%s", s.Addr, tail(s.log))
		}
		return rdb.Ping(t.Context()).Err() == nil
	})
}

// ended reports whether the process has ended.
func (s *Server) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Kill ends the process with SIGKILL, as a crash does, and waits for its end.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGKILL)
	<-s.done
}

// Pause stops the process with SIGSTOP: connections stay open and nobody answers.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
}

// Resume lets a paused process go on.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGCONT)
}

// Start runs a killed server again, on the same port and with what its
// append-only file holds, and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.start(t)
	s.waitReady(t)
}

// Empty throws away what a killed server has stored, as losing its volume does.
func (s *Server) Empty(t testing.TB) {
	t.Helper()
	dir := filepath.Dir(s.conf)
	for _, name := range []string{"appendonlydir", "dump.rdb"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *Server) signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("Redis on %s: %v", s.Addr, err)
	}
}

// Client returns a client of this one server that tries each command once and
// waits for a second.
func (s *Server) Client(t testing.TB) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{
		Addr: s.Addr, Password: s.Password, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: time.Second, ReadTimeout: time.Second, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { _ = rdb.Close() }) // nothing is left to do about it
	return rdb
}

// URL is the address of the server for GATEHOUSE_REDIS_URL.
func (s *Server) URL() string { return s.URLBy(s.Addr) }

// URLBy is URL by way of another address: that of a proxy before the server.
func (s *Server) URLBy(addr string) string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("", s.Password), Host: addr, Path: "/0"}
	return u.String()
}

// info returns one field of INFO replication; nothing if the server does not answer.
func (s *Server) info(t testing.TB, rdb *redis.Client, field string) string {
	t.Helper()
	text, err := rdb.Info(t.Context(), "replication").Result()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return v
		}
	}
	return ""
}

// program finds a program, or leaves the test out; with CI=true it fails.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	const remedy = "apt-get install redis-server, or ./tests/run where it may install"
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is missing: %s", name, remedy)
	default:
		t.Skipf("left out: %s is missing: %s", name, remedy)
	}
	return path
}

// wait polls until ok holds.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(startLimit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v it does not hold that %s", startLimit, what)
		}
		<-tick.C
	}
}

// freeAddress returns a loopback address nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// tail returns the last lines of what a process printed.
func tail(printed *kit.LogBuffer) string {
	lines := strings.SplitAfter(printed.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "")
}

func hostPort(t testing.TB, addr string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s", host, port)
}
