package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// runKill kills one replica after the other under load.
func runKill(f *field, d time.Duration, r *result) {
	from := time.Now()
	for n := 0; n < 3 || time.Since(from) < d; n++ {
		x := f.replicas[n%len(f.replicas)]
		x.kill()
		f.killed(time.Now())
		wait(f.t.Context().Done(), 300*time.Millisecond)
		x.start(f.t)
		x.awaitReady(f.t)
	}
	w := f.load.window(from, time.Now())
	r.require(w.count(failed) == 0, "%q", w.details(3, failed))
	r.measured("%d requests broke with their replica", w.count(broken))
}

// runRolling ends and starts each replica in turn, as a rollout does.
func runRolling(f *field, _ time.Duration, r *result) {
	account, pass := f.appliances[hostAccount], f.appliances[hostPass]
	from, accounts := time.Now(), account.count("login")
	logins, asked := pass.count("login"), f.load.loggedIn(hostPass)
	for _, x := range f.replicas {
		began := time.Now()
		state := x.stop()
		r.require(state.Success(), "%s ended by %v", x.name, state)
		r.measured("drained in %s", ms(time.Since(began)))
		x.start(f.t)
		x.awaitReady(f.t)
	}
	wait(f.t.Context().Done(), time.Second) // so that what was begun is counted
	w := f.load.window(from, time.Now())
	bad := w.count(failed, broken, unavailable, lost)
	r.require(bad == 0, "%d of %d requests did not succeed: %q", bad, len(w), append(w.details(5, failed, broken), w.statuses(unavailable)))
	accounts, logins, asked = account.count("login")-accounts, pass.count("login")-logins, f.load.loggedIn(hostPass)-asked
	r.require(accounts == 0, "%d logins of the account", accounts)
	r.require(logins-asked <= 1, "%d logins at the pass-through backend, of which clients made %d", logins, asked)
	r.measured("%d requests, %d failed, %d backend logins", len(w), bad, accounts+max(0, logins-asked-1))
}

// statuses counts answers of one outcome by kind and replica.
func (w window) statuses(how outcome) string {
	n := map[string]int{}
	for _, x := range w {
		if x.outcome == how {
			n[fmt.Sprintf("%s at %s", x.kind, x.replica.name)]++
		}
	}
	if len(n) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %v", how, n)
}

// runLocked asks for a backend whose password is wrong, while replicas crash.
func runLocked(f *field, d time.Duration, r *result) {
	p, err := f.login(hostLocked, user(hostAccount, 3))
	if err != nil {
		r.failed(err)
		return
	}
	asked := 0
	for from := time.Now(); time.Since(from) < d; asked++ {
		a := p.get(f.replicas[asked%len(f.replicas)])
		r.require(a.status != 200, "a call was answered with the wrong password")
		wait(f.t.Context().Done(), 100*time.Millisecond)
	}
	n := f.appliances[hostLocked].count("rejected")
	r.require(n >= 1 && n <= 2, "%d login attempts at the backend; want 1 or 2", n)
	r.measured("%d calls at replicas that crash, %d login attempts at the backend", asked, n)
}

// runUnlocked corrects the password, and has the replicas take it.
func runUnlocked(f *field, d time.Duration, r *result) {
	p, err := f.login(hostLocked, user(hostAccount, 3))
	if err != nil {
		r.failed(err)
		return
	}
	r.failed(os.WriteFile(f.lockedFile, []byte(svcPass), 0o600))
	began := f.appliances[hostLocked].count("rejected")
	x := f.replicas[0]
	x.stop()
	x.start(f.t)
	x.awaitReady(f.t)
	from := time.Now()
	out, a := p.persist(d, x)
	n := f.appliances[hostLocked].count("rejected") - began
	r.require(out == ok, "with the right password the call is answered %d %s", a.status, a.body)
	r.require(n == 0, "%d more attempts were rejected", n)
	r.measured("works %s after the replica that knows the right password is ready", ms(time.Since(from)))
}

// runReload sends SIGHUP to every replica ten times a second, with files that
// change.
func runReload(f *field, d time.Duration, r *result) {
	from := time.Now()
	users := filepath.Join(filepath.Dir(f.lockedFile), "users.yaml")
	text, err := os.ReadFile(users)
	r.failed(err)
	n := 0
	for ; time.Since(from) < d; n++ {
		r.failed(os.WriteFile(users+".new", append(text, []byte("# "+strings.Repeat("x", n%7)+"\n")...), 0o600))
		r.failed(os.Rename(users+".new", users))
		for _, x := range f.replicas {
			hup(x)
		}
		wait(f.t.Context().Done(), 100*time.Millisecond)
	}
	w := f.load.window(from, time.Now())
	bad := w.count(failed, broken, unavailable, lost)
	r.require(bad == 0, "%d of %d requests did not succeed: %q", bad, len(w), append(w.details(3, failed, broken), w.statuses(unavailable)))
	done := 0.0
	for _, x := range f.replicas {
		done += x.metric(f.t.Context(), `gatehouse_config_reloads_total{outcome="ok"}`)
	}
	r.require(done >= 1, "no replica has read its configuration again: this has tested nothing")
	r.measured("%d signals to each replica, %.0f reloads in all, %d requests, %d failed", n, done, len(w), bad)
}

// runPause stops a replica in the midst of a renewal, for longer than its lease.
func runPause(f *field, d time.Duration, r *result) {
	a, name := f.appliances[hostStrict], unique("paused-")
	a.setPassword(name, password)
	p, err := f.login(hostStrict, name)
	if err == nil {
		err = p.warm(f.replicas...)
	}
	if err != nil {
		r.failed(err)
		return
	}
	made := time.Now()
	held, release := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	a.suffer(trouble{before: func(u string) bool {
		if u == name && first.CompareAndSwap(false, true) {
			close(held)
			wait(release, callTimeout*4)
		}
		return false
	}})
	defer a.heal()
	wait(f.t.Context().Done(), time.Until(made.Add(f.form.life*93/100)))
	var wg sync.WaitGroup
	wg.Go(func() { p.get(f.replicas[0]) }) // waits for the renewal
	select {
	case <-held:
	case <-time.After(5 * time.Second):
		r.require(false, "no renewal was begun")
		return
	}
	f.replicas[0].signal(syscall.SIGSTOP)
	f.replicas[0].ready.Store(false)
	stopped := time.Now()
	other := *p
	var out outcome
	var last answer
	wg.Go(func() { out, last = other.persist(d+3*callTimeout, f.replicas[1], f.replicas[2]) })
	wait(f.t.Context().Done(), d-time.Second)
	close(release)
	wait(f.t.Context().Done(), time.Until(stopped.Add(d)))
	f.replicas[0].signal(syscall.SIGCONT)
	wg.Wait()
	r.require(out == ok, "at another replica the session ended with %s: %d %s", out, last.status, last.body)
	out, last = other.persist(callTimeout, f.replicas[0])
	r.require(out == ok, "at the replica that was stopped the session ended with %s: %d %s", out, last.status, last.body)
	n := a.newest(name).doubled
	r.require(n <= 1, "a refresh token was presented %d times after its use", n)
	r.measured("session kept, %d refresh tokens presented twice", n)
}
