package faults

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// runCalm is the measure of all that comes after.
func runCalm(f *field, d time.Duration, r *result) {
	from := time.Now()
	wait(f.t.Context().Done(), d)
	w := f.load.window(from, time.Now())
	bad := w.count(failed, broken, unavailable, lost)
	r.require(bad == 0, "%d of %d requests did not succeed: %q", bad, len(w), w.details(5, failed, broken, lost))
	got := float64(len(w)) / d.Seconds()
	r.require(got >= 0.9*rate, "%.0f requests a second; want %d: this machine is too busy to say anything", got, rate)
	r.measured("%.0f requests a second, %s", got, w.times(ok))
}

// finish ends the load and reconciles the ledger: every token, session and POST.
func (f *field) finish(t *testing.T) []*result {
	t.Helper()
	f.stop()
	accounts := []*appliance{f.appliances[hostAccount], f.appliances[hostPass]}
	x := f.load.reconcile(accounts...)
	posts := &result{
		Name: "POSTs", Topology: f.name, Fault: "all of them", Promise: "no POST is executed twice, none that was acknowledged is missing", Bound: "0", Shown: true,
	}
	posts.require(len(x.twice) == 0, "executed twice: %q", x.twice)
	posts.require(len(x.missing) == 0, "acknowledged and never executed: %q", x.missing)
	posts.require(len(x.phantom) == 0, "executed and sent by nobody: %q", x.phantom)
	posts.require(len(x.wrongs) == 0, "answers to another's request: %q", x.wrongs)
	posts.measured("%d sent, %d acknowledged, %d executed, %d twice", x.posts, x.acknowledged, x.executed, len(x.twice))

	sessions := &result{
		Name: "sessions", Topology: f.name, Fault: "all of them", Promise: "no session is lost", Shown: true,
		Bound: "0, but those made in the last second before a crash or failover of Redis, and FLUSHALL",
	}
	broke, excused := f.verdict(f.load.since(time.Time{}))
	sessions.require(len(broke) == 0, "%d sessions lost", len(broke))
	sessions.measured("%d made, %d lost", f.load.loggedIn(hostAccount)+f.load.loggedIn(hostPass), len(broke))
	for why, n := range excused {
		sessions.measured("%d ended: %s", n, why)
	}
	all := []*result{posts, sessions, f.tokens(accounts), f.generator()}
	for _, r := range f.replicas {
		for _, line := range r.badLines() {
			posts.require(false, "%s", line)
		}
	}
	for _, r := range all {
		t.Run(r.Name, func(t *testing.T) {
			for _, m := range r.Failures {
				t.Error(m)
			}
		})
		progress("%s %-10s %-34s %6s  %s", map[bool]string{true: "ok  ", false: "FAIL"}[len(r.Failures) == 0], f.name, r.Name, "", strings.Join(r.Measured, "; "))
	}
	return all
}

// tokens tells of the backends' refresh tokens, and of credentials that were
// revoked by their clients.
func (f *field) tokens(as []*appliance) *result {
	r := &result{Name: "tokens", Topology: f.name, Fault: "all of them", Promise: "no refresh token is presented to the backend twice, but once its first use is in doubt", Bound: "no more than were in doubt"}
	doubled, renewed, doubt := 0, 0, 0
	for _, a := range as {
		a.mu.Lock()
		for _, x := range a.families {
			doubled, renewed = doubled+x.doubled, renewed+x.renewed
			if x.cut {
				doubt++
			}
			if x.doubled > 2 {
				r.require(false, "the backend session %d of %s had used tokens presented %d times", x.id, x.user, x.doubled)
			}
		}
		a.mu.Unlock()
	}
	lags := durations(f.load.lagsSince(time.Time{}))
	slices.Sort(lags)
	r.measured("%d renewals, %d presented twice, %d in doubt; %d logouts watched through all faults: %s", renewed, doubled, doubt, len(lags), lags)
	r.require(lags.at(1) <= f.form.degraded+lagSlack, "a revoked credential was accepted for %v", lags.at(1))
	return r
}

// generator tells whether the load was what it is said to be.
func (f *field) generator() *result {
	r := &result{Name: "load", Topology: f.name, Fault: "", Promise: "the load generator keeps its pace", Bound: "90 % of the requests sent within 100 ms of their time, those apart that no client had"}
	n := f.load.issued.Load()
	bad := f.load.dropped.Load() + f.load.late.Load()
	r.require(float64(bad) <= 0.1*float64(n), "%d of %d requests were not sent in time", bad, n)
	r.measured("%d requests sent, %d more than 100 ms late, %d dropped, %d not sent because all clients waited", f.load.taken.Load(), f.load.late.Load(), f.load.dropped.Load(), f.load.idle.Load())
	return r
}
