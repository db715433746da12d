package tests

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// runLimited runs a gateway that may have so many files and connections open.
func runLimited(t testing.TB, s settings, descriptors int) *gateway {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	g := prepare(t, s)
	g.run(t, "/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" serve`, descriptors), bin)
	g.waitReady(t)
	return g
}

// mute opens connections that never say anything whole.
func mute(t testing.TB, g *gateway, n int) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = g.dial(t)
	}
	return conns
}

// processorTime returns how long a process has been at work.
func processorTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skipf("left out: processor time is read from /proc, as on Linux: %v", err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}

// More connections than the process may have keep neither the operator out nor the
// others for long, and need no restart.
func TestCrowdOfConnectionsLeavesRoomForTheOperator(t *testing.T) {
	const limit, each = 64, 16 // half of it is reserved, the rest shared with backends
	server := startRedis(t)
	g := runLimited(t, newBackend(t).account(t).with(server.store()...), limit)
	ops := newClient(t, g.Admin)
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	if n := g.value(t, "gatehouse_client_connections_limit"); n != each {
		t.Fatalf("gatehouse_client_connections_limit = %d; want %d", n, each)
	}

	conns := mute(t, g, 3*each)
	eventually(t, 5*time.Second, "the operator is told", func() bool {
		a := ops.get(t, "/readyz", "")
		return a.status == http.StatusOK && strings.Contains(a.body, "limit of open files")
	})
	before := processorTime(t, g.cmd.Process.Pid)
	for range 20 {
		began := time.Now()
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			wantStatus(t, path, newClient(t, g.Admin).get(t, path, ""), http.StatusOK) // by a connection of its own
		}
		if took := time.Since(began); took > slowest {
			t.Errorf("the admin port answers after %v; want %v", took, slowest)
		}
		<-time.After(50 * time.Millisecond)
	}
	if used := processorTime(t, g.cmd.Process.Pid) - before; used > 500*time.Millisecond {
		t.Errorf("full, the gateway worked for %v of a second", used)
	}
	if n := g.value(t, "gatehouse_client_connections"); n > each {
		t.Errorf("gatehouse_client_connections = %d; want at most %d", n, each)
	}

	// Whoever says nothing is cut off after five seconds, so that others get their turn.
	wantStatus(t, "call in the crowd", g.client(t).get(t, snapshots, p.access), http.StatusOK)

	for _, conn := range conns {
		conn.Close()
	}
	wantStatus(t, "call afterwards", g.client(t).get(t, snapshots, p.access), http.StatusOK)
	eventually(t, 5*time.Second, "the operator is told that it is over", func() bool {
		return !strings.Contains(ops.get(t, "/readyz", "").body, "limit of open files")
	})
	if !strings.Contains(g.log.String(), "limit of open files") {
		t.Error("the log does not say so")
	}
	if strings.Contains(g.log.String(), "too many open files") {
		t.Error("the process ran out of descriptors all the same")
	}
}

// Connections that are kept between requests keep nobody out.
func TestIdleConnectionsMakeRoomForOthers(t *testing.T) {
	t.Parallel()
	const limit, each = 64, 16
	server := startRedis(t)
	g := runLimited(t, newBackend(t).account(t).with(server.store()...), limit)
	p := g.client(t).login(t, "alice", userPassword)
	for i := range 5 * each {
		conn := g.dial(t) // and keep it
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer %s\r\n\r\n", snapshots, p.access)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("connection %d: %v, %v; want 200", i, resp, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
}
