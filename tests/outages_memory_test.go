package tests

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// floodGoal is the memory limit that the runtime is given here, as it takes one
// from a container's. The pages of the binary come on top of it, and passwords
// that are being hashed may.
const floodLimit, floodGoal = 150 << 20, "100MiB"

// strangers sends n requests of callers nobody knows, each with another address,
// path and credential, and fails the test if one gets in or is not answered.
func strangers(t testing.TB, c *client, n int) {
	t.Helper()
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := range n / 16 {
				q := stranger(i)
				q.header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", w, i>>8&0xff, i&0xff))
				a, err := c.do(t.Context(), q)
				if err != nil || a.status < 300 && q.path != openPath || a.status >= 500 && a.status != http.StatusServiceUnavailable {
					t.Errorf("%s %.80s = %d, %v; want a refusal", q.method, q.path, a.status, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// openPath is what everybody may ask for.
const openPath = "/.gatehouse/sign-in"

// stranger is one request of many kinds.
func stranger(i int) request {
	junk := rand.Text()
	q := request{path: "/api/v7.0/" + rand.Text() + "?" + junk, header: http.Header{}}
	switch i % 8 {
	case 0:
		q.header = bearer(junk)
	case 1:
		q.header = bearer("eyJ" + junk + "." + junk + "." + junk)
	case 2:
		q.header.Set("X-API-Token", junk+junk)
	case 3:
		q.header.Set("Cookie", "accessToken="+junk+"; __Host-gatehouse="+junk)
	case 4:
		q = refreshRequest(junk + junk + junk)
		q.header = http.Header{}
	case 5:
		q.header.Set("Accept", "text/html") // a browser, which is sent to sign in
	case 6:
		q.path = openPath
		q.header.Set("Cookie", "__Host-gatehouse="+junk)
	case 7:
		q.method = http.MethodPost
		q.body = `{"a":"` + junk + `"}`
		q.host = junk + ".example.com"
	}
	if i%400 == 0 {
		q = loginRequest(junk, junk)
		q.header = http.Header{}
	}
	return q
}

// Whoever has no session may come as often and under as many names as he likes:
// the gateway remembers none of it without bound.
func TestFloodOfStrangersFillsNoMemory(t *testing.T) {
	const flood = 16000
	bin, err := plainBinary()
	if err != nil {
		t.Fatal(err)
	}
	server := startRedis(t)
	g := launchBinary(t, bin, newBackend(t).account(t).with(server.store()...).with("TRUSTED_PROXIES", "127.0.0.0/8", "USERS_FILE", dearUsersFile(t)).withPlain("GOMEMLIMIT", floodGoal))
	g.waitReady(t)
	c := g.client(t)
	p := c.login(t, "alice", userPassword)
	strangers(t, c, flood)
	first := peakMemory(t, g.cmd.Process.Pid)
	strangers(t, c, 2*flood)
	peak := peakMemory(t, g.cmd.Process.Pid)
	t.Logf("resident memory at its highest: %d MiB after %d requests, %d MiB after %d", first>>20, flood, peak>>20, 3*flood)
	if peak > floodLimit {
		t.Errorf("resident memory rose to %d MiB; want at most %d", peak>>20, floodLimit>>20)
	}
	if grown := peak - first; grown > 16<<20 {
		t.Errorf("twice as many strangers again took %d MiB more; want at most 16", grown>>20)
	}
	wantStatus(t, "call of the one who is known", c.get(t, snapshots, p.access), http.StatusOK)
}
