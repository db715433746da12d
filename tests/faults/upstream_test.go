package faults

import (
	"slices"
	"time"
)

// Bounds under faults of the backend.
const (
	callsInAll    = 16 // to renew one backend session, in five minutes of 5xx
	callsAMinute  = 2  // after the first minute
	callsShort    = 8  // in the short form, which ends before the pauses are long
	callTimeout   = 10 * time.Second
	hangingAnswer = callTimeout + 5*time.Second
)

// sick has the appliances of the load suffer for a time.
func (f *field) sick(d time.Duration, how trouble) window {
	from := time.Now()
	for _, host := range []string{hostAccount, hostPass} {
		f.appliances[host].suffer(how)
	}
	wait(f.t.Context().Done(), d)
	for _, host := range []string{hostAccount, hostPass} {
		f.appliances[host].heal()
	}
	return f.load.window(from, time.Now())
}

// runDown has every refresh and login at the backend answered 503.
func runDown(f *field, d time.Duration, r *result) {
	from := time.Now()
	w := f.sick(d, trouble{down: true})
	most, later, sessions := 0, 0, 0
	for _, host := range []string{hostAccount, hostPass} {
		for _, tries := range f.appliances[host].triesSince(from) {
			sessions++
			most = max(most, len(tries))
			later = max(later, densest(tries, from.Add(time.Minute)))
		}
	}
	bound := callsShort
	if f.form.long {
		bound = callsInAll
	}
	r.require(sessions > 1, "no renewal was tried: this has tested nothing")
	r.require(most <= bound, "%d calls for one backend session; bound %d", most, bound)
	r.require(later <= callsAMinute, "%d calls in a minute after the first; bound %d", later, callsAMinute)
	r.require(w.count(failed, broken) == 0, "%q", w.details(3, failed, broken))
	r.measured("%d backend sessions, at most %d calls each, %d in any minute after the first", sessions, most, later)
}

// triesSince returns, for each family, its refreshes since then that were
// answered with trouble.
func (a *appliance) triesSince(t time.Time) [][]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all [][]time.Time
	for _, f := range a.families {
		tries := slices.DeleteFunc(slices.Clone(f.tries), func(x time.Time) bool { return x.Before(t) })
		if len(tries) > 0 {
			all = append(all, tries)
		}
	}
	return all
}

// densest returns the most of sorted times within one minute, from a time on.
func densest(times []time.Time, from time.Time) int {
	most := 0
	for i, t := range times {
		n := 0
		for _, u := range times[i:] {
			if !t.Before(from) && u.Sub(t) < time.Minute {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// runFlapping has every second refresh answered 503.
func runFlapping(f *field, d time.Duration, r *result) {
	pass := f.appliances[hostPass]
	from, renewed, calls := time.Now(), pass.count("refresh"), pass.count("refresh call")
	w := f.sick(d, trouble{flaps: true})
	renewed, calls = pass.count("refresh")-renewed, pass.count("refresh call")-calls
	most := 0
	for _, tries := range pass.triesSince(from) {
		most = max(most, len(tries))
	}
	r.require(renewed > 10, "only %d renewals", renewed)
	r.require(calls <= 3*renewed, "%d calls for %d renewals; bound 3 each", calls, renewed)
	r.require(w.count(failed, broken) == 0, "%q", w.details(3, failed, broken))
	r.measured("%d calls for %d renewals, at most %d refused for one session", calls, renewed, most)
}

// runHTML has refreshes answered by a page.
func runHTML(f *field, d time.Duration, r *result) {
	w := f.sick(d, trouble{html: true})
	r.require(w.count(failed, broken) == 0, "%q", w.details(3, failed, broken))
	r.measured("%d good and %d times 503 meanwhile", w.count(ok), w.count(unavailable))
}

// runHang has refreshes and logins hang.
func runHang(f *field, d time.Duration, r *result) {
	w := f.sick(d, trouble{hangs: true})
	times := w.times(ok, unavailable, expired, failed, broken, lost)
	r.require(times.at(1) <= hangingAnswer, "an answer took longer than %v: %s", hangingAnswer, w.slowest(5))
	r.require(w.count(failed, broken) == 0, "%q", w.details(3, failed, broken))
	r.measured("%d good and %d times 503 meanwhile, max %s", w.count(ok), w.count(unavailable), ms(times.at(1)))
}

// runCut has one refresh in four rotate and its answer get lost.
func runCut(f *field, d time.Duration, r *result) {
	logins := f.appliances[hostAccount].count("login")
	w := f.sick(d, trouble{cuts: 4})
	r.require(w.count(broken) == 0, "%q", w.details(3, broken))
	f.settle(time.Now())
	again := f.appliances[hostAccount].count("login") - logins
	cut := 0
	pass := f.appliances[hostPass]
	pass.mu.Lock()
	for _, x := range pass.families {
		if x.cut {
			cut++
		}
	}
	pass.mu.Unlock()
	r.require(cut > 0, "no answer was cut: this has tested nothing")
	r.measured("%d backend sessions cut, %d logins of the account", cut, again)
}

// runCutPost has POSTs executed and their connections cut.
func runCutPost(f *field, d time.Duration, r *result) {
	w := f.sick(d, trouble{cutPost: true})
	n := 0
	for _, x := range w {
		if x.kind == kindPost && (x.outcome == failed || x.outcome == broken) {
			n++
		}
	}
	r.require(n >= 3, "only %d POSTs were cut", n)
	x := f.load.reconcile(f.appliances[hostAccount], f.appliances[hostPass])
	r.require(len(x.twice) == 0, "executed twice: %q", x.twice)
	r.measured("%d POSTs executed without an answer, none twice", n)
}

// runClock moves the appliances' clocks.
func runClock(f *field, d time.Duration, r *result) {
	pass := f.appliances[hostPass]
	for _, skew := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		calls := pass.count("refresh call")
		w := f.sick(d/2, trouble{skew: skew})
		calls = pass.count("refresh call") - calls
		// Half of the sessions are pass-through; a session needs one renewal a life.
		need := float64(f.form.sessions) / 2 * (d / 2).Seconds() / f.form.life.Seconds()
		r.require(float64(calls) <= 3*need, "%d refreshes with the clock at %+v; about %.0f are needed", calls, skew, need)
		r.require(w.count(failed, broken) == 0, "%q", w.details(3, failed, broken))
		r.measured("%+d min: %d refreshes", int(skew.Minutes()), calls)
	}
}
