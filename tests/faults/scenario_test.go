package faults

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// scenario is one fault as data. A form whose time is zero leaves it out.
type scenario struct {
	name    string
	fault   string // what is done
	promise string // what must hold
	bound   string // the figure that is asserted
	short   time.Duration
	long    time.Duration
	shown   bool // it is one of the figures on top of the page
	run     func(f *field, d time.Duration, r *result)
	beside  []scenario // run at the same time: they touch nothing of this one
}

// result is what was found out about one scenario. It is safe for concurrent
// use.
type result struct {
	Name, Topology, Fault, Promise, Bound string
	Lasted                                string // how long the fault did, as it was set
	Shown                                 bool
	Measured, Failures                    []string
	LeftOut                               string // why; empty: it was run

	mu sync.Mutex
}

// require notes a failure unless holds.
func (r *result) require(holds bool, format string, args ...any) {
	if holds {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Failures = append(r.Failures, fmt.Sprintf(format, args...))
}

// measured notes a figure for the table.
func (r *result) measured(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Measured = append(r.Measured, fmt.Sprintf(format, args...))
}

// leftOut says why a scenario cannot be run here.
func (r *result) leftOut(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.LeftOut = why
}

// failed notes an error.
func (r *result) failed(err error) { r.require(err == nil, "%v", err) }

// settleLimit is how long everything may take to be well again after a fault: a
// backend is left alone for up to 36 s, and clients are told to wait as long.
const settleLimit = 90 * time.Second

// play runs a scenario and what stands beside it, then checks what holds after
// every fault. It returns their results.
func (f *field) play(t *testing.T, s scenario) []*result {
	t.Helper()
	all := append([]scenario{s}, s.beside...)
	results := make([]*result, len(all))
	began := time.Now()
	var wg sync.WaitGroup
	for i, x := range all {
		d := x.short
		if f.form.long {
			d = x.long
		}
		r := &result{Name: x.name, Topology: f.name, Fault: x.fault, Promise: x.promise, Bound: x.bound, Lasted: short(d), Shown: x.shown}
		results[i] = r
		if d > 0 {
			wg.Go(func() { x.run(f, d, r) })
		}
	}
	wg.Wait()
	f.after(began, results[0])
	for _, r := range results {
		took := time.Since(began).Round(100 * time.Millisecond)
		t.Run(r.Name, func(t *testing.T) {
			for _, m := range r.Failures {
				t.Error(m)
			}
			if r.LeftOut != "" {
				t.Skip("left out: " + r.LeftOut)
			}
		})
		mark := "ok  "
		if len(r.Failures) > 0 {
			mark = "FAIL"
		}
		progress("%s %-10s %-34s %6s  %s", mark, f.name, r.Name, took, strings.Join(r.Measured, "; "))
	}
	return results
}

// after checks what must hold after every scenario.
func (f *field) after(began time.Time, r *result) {
	for _, x := range f.replicas {
		for _, fell := range x.falls() {
			r.require(false, "%s", fell)
		}
	}
	f.revive()
	healed := time.Now()
	took, calm := f.settle(healed)
	r.require(calm, "%v after the fault not all is well: %s", took.Round(time.Second),
		strings.Join(f.load.window(healed.Add(took-time.Second), time.Now()).details(3, unavailable, failed, broken, lost), "; "))
	if took > 200*time.Millisecond {
		r.measured("all well after %s", ms(took))
	}
	w := f.load.window(began, time.Now())
	r.require(w.clears() == 0, "%d answers took a cookie away", w.clears())
	broke, excused := f.verdict(f.load.since(began))
	for i, l := range broke {
		if i == 3 {
			r.require(false, "and %d more", len(broke)-i)
			break
		}
		r.require(false, "%s", l)
	}
	if len(broke) > 0 {
		r.measured("%d sessions lost", len(broke))
	}
	for why, n := range excused {
		r.measured("%d sessions ended: %s", n, why)
	}
}

// short writes a time as one would.
func short(d time.Duration) string {
	s := d.String()
	for _, unit := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, unit) {
			s = strings.TrimSuffix(s, unit[1:])
		}
	}
	return s
}
