package faults

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/gatehouse-gateway/gatehouse/tests/redistest"
)

// form is how large the suite runs.
type form struct {
	Name     string
	sessions int
	life     time.Duration // of access tokens, the appliances' and the gateway's
	degraded time.Duration // DEGRADED_FOR
	long     bool
}

var (
	shortForm = form{Name: "short", sessions: 200, life: 5 * time.Second, degraded: 6 * time.Second}
	longForm  = form{Name: "long", sessions: 2000, life: 10 * time.Second, degraded: 60 * time.Second, long: true}
)

const (
	rate       = 500 // requests a second
	users      = 40  // of each mode
	password   = "user-pass-Vb93kQ0xTn"
	svcUser    = "svc-account"
	svcPass    = "svc-pass-Qm41xWz7Lr"
	rootSecret = "fault-suite-root-secret-0123456789abcdef"
)

// Hosts that only single scenarios use, beside those of the load.
const (
	hostRevoke = "revoke.test" // the account's, with access tokens that live long
	hostStrict = "strict.test" // pass-through, as hostPass, of an appliance of its own
)

// crashHosts are three accounts for the three moments at which a replica can be
// killed.
var crashHosts = []string{"crash-a.test", "crash-b.test", "crash-c.test"}

// field is three replicas before one Redis topology, their appliances, and the
// load.
type field struct {
	t    testing.TB
	name string
	form form

	redis    *redistest.Server     // nil in the other topologies
	clock    *clock                // of redis
	sentinel *redistest.Replicated // nil in the other topologies
	cluster  *redistest.Cluster    // nil in the other topologies

	appliances map[string]*appliance // by host
	lockedFile string                // of the locked account's password
	replicas   []*replica
	lb         *balancer
	load       *load
	stop       func()

	mu      sync.Mutex
	excuses []excuse
	last    time.Time // until then losses are accounted for
}

// excuse is a time in which what was made may get lost, as is promised.
type excuse struct {
	from, to time.Time
	why      string
	gone     bool // only sessions whose tokens the appliance sent then, perhaps to nobody
	all      bool // any session at all
}

func newField(t testing.TB, name string, f form) *field {
	t.Helper()
	x := &field{t: t, name: name, form: f, appliances: map[string]*appliance{}, last: time.Now()}
	for _, host := range append([]string{hostAccount, hostPass, hostBurst, hostLocked, hostStrict}, crashHosts...) {
		a := newAppliance(t, f.life)
		a.setPassword(svcUser, svcPass)
		for i := range users {
			a.setPassword(user(hostPass, i), password)
		}
		x.appliances[host] = a
	}
	return x
}

func user(host string, n int) string { return fmt.Sprintf("%s%02d", host[:1], n%users) }

// begin starts the replicas and the load. urls are each replica's Redis.
func (f *field) begin(urls []string, wires []*wire) {
	f.t.Helper()
	config := f.configure()
	for i, u := range urls {
		var w *wire
		if wires != nil {
			w = wires[i]
		}
		f.replicas = append(f.replicas, newReplica(f.t, i, w, map[string]string{
			"REDIS_URL": u, "SECRET": rootSecret, "CONFIG": config, "DEGRADED_FOR": f.form.degraded.String(),
			"ACCESS_TTL": f.form.life.String(), "LOG_LEVEL": "info",
		}))
	}
	for _, r := range f.replicas {
		r.start(f.t)
	}
	for _, r := range f.replicas {
		r.awaitReady(f.t)
	}
	f.lb = &balancer{replicas: f.replicas}
	f.load = &load{ledger: newLedger(), http: newHTTPClient(), lb: f.lb, rate: rate, workers: min(f.form.sessions, 1000)}
	for i := range f.form.sessions {
		host := []string{hostAccount, hostPass}[i%2]
		f.load.scripts = append(f.load.scripts, &script{
			host: host, user: user(host, i/2), password: password, eager: i%4 < 2, life: f.form.life,
		})
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { f.lb.watch(ctx, 200*time.Millisecond) })
	wg.Go(func() { f.load.run(ctx) })
	f.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	f.t.Cleanup(f.stop)
}

// configure writes the configuration that all replicas share.
func (f *field) configure() string {
	f.t.Helper()
	dir := f.t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			f.t.Fatal(err)
		}
		return path
	}
	write("svc", svcPass)
	f.lockedFile = write("locked", "not-"+svcPass)
	var b strings.Builder
	b.WriteString("backends:\n")
	for name, host := range map[string]string{"account": hostAccount, "burst": hostBurst, "crash-a": crashHosts[0], "crash-b": crashHosts[1], "crash-c": crashHosts[2]} {
		fmt.Fprintf(&b, "  %s: {url: %q, speak: ipfabric/7.0, account: {username: %s, password_file: svc}}\n", name, f.appliances[host].URL, svcUser)
	}
	fmt.Fprintf(&b, "  locked: {url: %q, speak: ipfabric/7.0, account: {username: %s, password_file: locked}}\n", f.appliances[hostLocked].URL, svcUser)
	for name, host := range map[string]string{"pass": hostPass, "strict": hostStrict} {
		fmt.Fprintf(&b, "  %s: {url: %q, speak: ipfabric/7.0}\n", name, f.appliances[host].URL)
	}
	b.WriteString("routes:\n")
	for _, name := range []string{"account", "pass"} {
		fmt.Fprintf(&b, "  - {host: %s.test, path: /, backend: %[1]s}\n", name)
	}
	for _, name := range []string{"burst", "locked", "strict", "crash-a", "crash-b", "crash-c"} {
		fmt.Fprintf(&b, "  - {host: %s.test, path: /, backend: %[1]s, access_ttl: 30m}\n", name)
	}
	fmt.Fprintf(&b, "  - {host: %s, path: /, backend: account, access_ttl: 30m}\n", hostRevoke)
	b.WriteString("identity:\n  users_file: users.yaml\n")
	write("users.yaml", usersYAML())
	return write("gatehouse.yaml", b.String())
}

// usersYAML makes the cheapest hash that is taken: what logging in costs is no
// part of this.
func usersYAML() string {
	salt := []byte("fault-suite-salt")
	key := argon2.IDKey([]byte(password), salt, 1, 64, 1, 32)
	enc := base64.RawStdEncoding.EncodeToString
	hash := fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=1$%s$%s", enc(salt), enc(key))
	var b strings.Builder
	b.WriteString("users:\n")
	for i := range users {
		fmt.Fprintf(&b, "  - {name: %s, id: \"%d\", hash: %q, scopes: [read, write]}\n", user(hostAccount, i), 1000+i, hash)
	}
	return b.String()
}

// excuse says what may get lost.
func (f *field) excuse(x excuse) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.excuses = append(f.excuses, x)
}

// verdict parts losses into those that break a promise and those that do not,
// by reason.
func (f *field) verdict(losses []loss) (broken []loss, excused map[string]int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	excused = map[string]int{}
	for _, l := range losses {
		if why := f.pardon(l); why != "" {
			excused[why]++
		} else {
			broken = append(broken, l)
		}
	}
	return broken, excused
}

func (f *field) pardon(l loss) string {
	a := f.appliances[l.host]
	if l.host == hostPass && a.gone(l.family) {
		return "its tokens never left the backend"
	}
	i := slices.IndexFunc(f.excuses, func(x excuse) bool {
		switch {
		case x.all:
			return l.created.Before(x.to) && l.at.After(x.from)
		case x.gone:
			return l.host == hostPass && a.unreadBetween(l.family, x.from, x.to)
		}
		return !l.created.Before(x.from) && !l.created.After(x.to)
	})
	if i < 0 {
		return ""
	}
	return f.excuses[i].why
}

// killed excuses sessions whose renewal was under way when a replica was killed.
func (f *field) killed(at time.Time) {
	f.excuse(excuse{from: at.Add(-300 * time.Millisecond), to: at.Add(300 * time.Millisecond), gone: true, why: "its renewal was under way in a killed replica"})
}

// settle waits until half a second has passed in which all was well, and returns
// how long that took; false if it never was.
func (f *field) settle(from time.Time) (time.Duration, bool) {
	const calm = 500 * time.Millisecond
	for time.Since(from) < settleLimit {
		wait(f.t.Context().Done(), 50*time.Millisecond)
		now := time.Now()
		w := f.load.window(now.Add(-calm), now)
		if now.Sub(from) >= calm && !f.load.waiting() && w.count(ok) >= 100 && w.count(unavailable, failed, broken, lost) == 0 {
			return max(0, now.Sub(from)-calm), true
		}
	}
	return time.Since(from), false
}

// revive starts what has ended and should run.
func (f *field) revive() {
	for _, r := range f.replicas {
		if !r.runs() {
			r.start(f.t)
			r.awaitReady(f.t)
		}
	}
}

// person is a client of a scenario's own.
type person struct {
	f               *field
	host, user      string
	access, refresh string
}

// login signs a person in, at any replica that takes it.
func (f *field) login(host, user string) (*person, error) {
	p := &person{f: f, host: host, user: user}
	var a answer
	for range 20 {
		a = send(f.t.Context(), f.load.http, f.lb.next(), loginCall(host, user, password))
		if a.status == 200 {
			p.access, p.refresh = a.cookie("accessToken"), a.cookie("refreshToken")
			return p, nil
		}
		wait(f.t.Context().Done(), 200*time.Millisecond)
	}
	return nil, fmt.Errorf("login of %s at %s: %d %s %w", user, host, a.status, a.body, a.err)
}

func (p *person) get(r *replica) answer {
	return send(p.f.t.Context(), p.f.load.http, r, getCall(p.host, p.access))
}

// persist does what a script does until its call is answered: the result is ok,
// lost, or unavailable if it takes longer than the limit.
func (p *person) persist(limit time.Duration, rs ...*replica) (outcome, answer) {
	var a answer
	refreshed := false
	for n, began := 0, time.Now(); time.Since(began) < limit; n++ {
		a = p.get(rs[n%len(rs)])
		switch {
		case a.status == 200:
			return ok, a
		case a.status == 401 && refreshed:
			return lost, a
		case a.status == 401:
			a = send(p.f.t.Context(), p.f.load.http, rs[n%len(rs)], refreshCall(p.host, p.refresh))
			switch a.status {
			case 200:
				p.access, p.refresh, refreshed = a.cookie("accessToken"), a.cookie("refreshToken"), true
				continue
			case 401:
				return lost, a
			}
		}
		wait(p.f.t.Context().Done(), 250*time.Millisecond)
	}
	return unavailable, a
}

// hup tells a replica to read its configuration again.
func hup(r *replica) { r.signal(syscall.SIGHUP) }

// unique is a name that no other person has.
func unique(prefix string) string { return prefix + rand.Text()[:8] }
