package faults

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// outcome is how an answer counts.
type outcome string

const (
	ok          outcome = "ok"
	unavailable outcome = "503"     // with Retry-After: it comes again
	expired     outcome = "expired" // 401 as lives end; a refresh comes next
	broken      outcome = "broken"  // the connection broke, or nobody answered in time
	failed      outcome = "failed"  // any other answer
	lost        outcome = "lost"    // logged out
)

// sample is one answer.
type sample struct {
	at      time.Time // when it was asked
	took    time.Duration
	kind    kind
	outcome outcome
	status  int
	replica *replica
	clears  bool   // a cookie, in no answer to a logout
	detail  string // of broken and failed
}

// load plays scripts at a constant rate. How often is decided by the clock and
// not by the answers, so a gateway that stalls does not slow the questions down
// unless all scripts wait for it.
type load struct {
	*ledger
	http    *http.Client
	lb      *balancer
	scripts []*script
	rate    int // requests a second
	workers int

	turn          atomic.Uint64
	issued, taken atomic.Int64
	dropped       atomic.Int64 // not sent: all workers were busy
	idle          atomic.Int64 // not sent: all scripts were waiting
	late          atomic.Int64 // sent more than 100 ms after their time

	mu      sync.Mutex
	samples []sample
}

// run sends until ctx ends.
func (l *load) run(ctx context.Context) {
	slots := make(chan time.Time, l.rate) // a second of them
	var wg sync.WaitGroup
	for range l.workers {
		wg.Go(func() {
			for due := range slots {
				if time.Since(due) > 100*time.Millisecond {
					l.late.Add(1)
				}
				l.one(ctx)
			}
		})
	}
	for range 4 {
		wg.Go(func() { l.haunt(ctx) })
	}
	l.pace(ctx, slots)
	close(slots)
	wg.Wait()
}

// pace issues a slot for every request that is due.
func (l *load) pace(ctx context.Context, slots chan<- time.Time) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * float64(l.rate)); n < due; n++ {
			l.issued.Add(1)
			select {
			case slots <- began.Add(time.Duration(n) * time.Second / time.Duration(l.rate)):
			default:
				l.dropped.Add(1)
			}
		}
	}
}

// one plays one script once.
func (l *load) one(ctx context.Context) {
	for range 30 {
		s := l.scripts[l.turn.Add(1+rand.Uint64N(7))%uint64(len(l.scripts))]
		if !s.mu.TryLock() {
			continue
		}
		if time.Now().Before(s.notBefore) {
			s.mu.Unlock()
			continue
		}
		l.play(ctx, s)
		s.mu.Unlock()
		return
	}
	l.idle.Add(1)
}

// play sends what s wants to send.
func (l *load) play(ctx context.Context, s *script) {
	q := s.next(l.ledger)
	a := l.try(ctx, q)
	if ctx.Err() != nil && a.status == 0 {
		return // it broke because the load ends
	}
	l.taken.Add(1)
	l.keep(q, a, s.took(q, a, l.ledger))
}

// try sends a call to the next replica, and to another one if that does not even
// take the connection.
func (l *load) try(ctx context.Context, q call) answer {
	var a answer
	for range len(l.lb.replicas) + 1 {
		a = send(ctx, l.http, l.lb.next(), q)
		if !a.unsent {
			break
		}
		a.replica.ready.Store(false)
	}
	return a
}

func (l *load) keep(q call, a answer, how outcome) {
	x := sample{at: a.began, took: a.took, kind: q.kind, outcome: how, status: a.status, replica: a.replica}
	x.clears = q.kind != kindLogout && a.clears()
	switch {
	case a.err != nil:
		x.detail = fmt.Sprintf("%s at %s: %v", q.kind, a.replica.name, a.err)
	case how == failed, how == unavailable:
		x.detail = fmt.Sprintf("%s %s at %s: %d %.200s", q.kind, q.host, a.replica.name, a.status, a.body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, x)
}

// haunt looks for ended sessions: it presents their access tokens until they are
// refused.
func (l *load) haunt(ctx context.Context) {
	for {
		var g ghost
		select {
		case <-ctx.Done():
			return
		case g = <-l.ghosts:
		}
		var accepted time.Duration
		for ctx.Err() == nil && time.Since(g.at) < 20*time.Second {
			a := send(ctx, l.http, l.lb.next(), getCall(g.host, g.access))
			if a.status == http.StatusUnauthorized {
				break
			}
			if a.status == http.StatusOK {
				accepted = a.began.Sub(g.at)
			}
			wait(ctx.Done(), 20*time.Millisecond)
		}
		l.seen(lag{at: g.at, took: max(accepted, 0)})
	}
}

// waiting reports whether a script still waits to try something again.
func (l *load) waiting() bool {
	return slices.ContainsFunc(l.scripts, func(s *script) bool {
		if !s.mu.TryLock() {
			return false // it is at it
		}
		defer s.mu.Unlock()
		return s.tried > 0
	})
}

// window is what was answered between two times.
type window []sample

// since returns all that was asked from a time on and is answered.
func (l *load) window(from, to time.Time) window {
	l.mu.Lock()
	defer l.mu.Unlock()
	var w window
	for _, x := range l.samples {
		if !x.at.Before(from) && x.at.Before(to) {
			w = append(w, x)
		}
	}
	return w
}

// count returns how many answers ended so.
func (w window) count(hows ...outcome) int {
	n := 0
	for _, x := range w {
		if slices.Contains(hows, x.outcome) {
			n++
		}
	}
	return n
}

// details returns up to so many of what went wrong, each once.
func (w window) details(most int, hows ...outcome) []string {
	var all []string
	for _, x := range w {
		if slices.Contains(hows, x.outcome) && x.detail != "" && len(all) < most && !slices.Contains(all, x.detail) {
			all = append(all, x.at.Format("15:04:05.000 ")+x.detail)
		}
	}
	return all
}

// times returns how long the answers took that ended so, shortest first.
func (w window) times(hows ...outcome) durations {
	var d durations
	for _, x := range w {
		if slices.Contains(hows, x.outcome) {
			d = append(d, x.took)
		}
	}
	slices.Sort(d)
	return d
}

// slowest tells of the answers that took longest.
func (w window) slowest(n int) string {
	some := slices.Clone(w)
	slices.SortFunc(some, func(a, b sample) int { return cmp.Compare(b.took, a.took) })
	var all []string
	for _, x := range some[:min(n, len(some))] {
		all = append(all, fmt.Sprintf("%s at %s at %s: %s after %v", x.kind, x.replica.name, x.at.Format("15:04:05.000"), x.outcome, x.took.Round(time.Millisecond)))
	}
	return strings.Join(all, "; ")
}

// clears returns how many answers took a cookie away.
func (w window) clears() int {
	n := 0
	for _, x := range w {
		if x.clears {
			n++
		}
	}
	return n
}

// kinds counts answers by what they were for and how they ended.
func (w window) kinds() map[string]int {
	n := map[string]int{}
	for _, x := range w {
		n[string(x.kind)+" "+string(x.outcome)]++
	}
	return n
}

// first returns when the first answer of a kind that is ok had come; zero if
// there is none.
func (w window) first(kinds ...kind) time.Time {
	var t time.Time
	for _, x := range w {
		at := x.at.Add(x.took)
		if x.outcome == ok && slices.Contains(kinds, x.kind) && (t.IsZero() || at.Before(t)) {
			t = at
		}
	}
	return t
}

// durations are sorted, shortest first.
type durations []time.Duration

// at returns a quantile, exactly: all values are kept.
func (d durations) at(q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

func (d durations) String() string {
	return fmt.Sprintf("median %s, p99 %s, max %s", ms(d.at(0.5)), ms(d.at(0.99)), ms(d.at(1)))
}

// ms writes a time as people compare it.
func ms(d time.Duration) string {
	if d >= 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
}
