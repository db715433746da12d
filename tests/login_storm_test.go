package tests

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A password hash costs 19 MiB, so logins that nobody bounds are a way to fill
// the memory and to starve everybody else.
func TestWrongPasswordsInParallelDisturbNobody(t *testing.T) {
	bin, err := plainBinary()
	if err != nil {
		t.Fatal(err)
	}
	g := launchBinary(t, bin, newBackend(t).account(t).with("USERS_FILE", dearUsersFile(t)))
	g.waitReady(t)
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	wantStatus(t, "call before", c.get(t, snapshots, p.access), http.StatusOK)

	ctx, stop := context.WithCancel(t.Context())
	calls := make(chan map[int]int)
	go func() { calls <- countCalls(ctx, c, p.access) }()
	statuses := storm(t, c, 200)
	stop()

	for status, n := range statuses {
		switch status {
		case http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		default:
			t.Errorf("%d wrong logins were answered %d; want 401, 429 or 503", n, status)
		}
	}
	during := <-calls
	if during[http.StatusOK] == 0 {
		t.Error("no call of the signed-in client was made during the storm")
	}
	delete(during, http.StatusOK)
	if len(during) > 0 {
		t.Errorf("calls of the signed-in client by status, other than 200: %v", during)
	}
	if got, limit := peakMemory(t, g.cmd.Process.Pid), 150<<20; got > limit {
		t.Errorf("resident memory rose to %d MiB; want under %d", got>>20, limit>>20)
	}
}

// storm sends n logins with wrong passwords at once and counts the statuses. A
// refusal for the time being must say when to come again.
func storm(t testing.TB, c *client, n int) map[int]int {
	t.Helper()
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			a, err := c.do(t.Context(), loginRequest(fmt.Sprintf("user%d", i%20), "wrong"))
			if err != nil {
				t.Errorf("login: %v", err)
				return
			}
			if a.status != http.StatusUnauthorized && a.header.Get("Retry-After") == "" {
				t.Errorf("%d without Retry-After", a.status)
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[a.status]++
		})
	}
	wg.Wait()
	return statuses
}

// countCalls calls until ctx ends and counts the statuses, 0 for no answer.
func countCalls(ctx context.Context, c *client, access string) map[int]int {
	statuses := map[int]int{}
	for ctx.Err() == nil {
		a, err := c.do(ctx, request{path: snapshots, header: bearer(access)})
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			a.status = 0
		}
		statuses[a.status]++
	}
	return statuses
}

// peakMemory returns the highest resident memory of a process, in bytes.
func peakMemory(t testing.TB, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("left out: resident memory is read from /proc, as on Linux: %v", err)
	}
	_, rest, ok := strings.Cut(string(b), "VmHWM:")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 2 || fields[1] != "kB" {
		t.Fatalf("/proc/%d/status has no VmHWM in kB", pid)
	}
	kb, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
