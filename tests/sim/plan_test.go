package sim_test

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse-gateway/gatehouse/upstream"
)

// plan is what a seed decides beforehand.
type plan struct {
	length    time.Duration // of the scenario
	long      bool          // it is long enough for the ceiling of 15 s
	skew      time.Duration // of the store's clock
	degraded  time.Duration
	accessTTL time.Duration // of the gateway's tokens
	grace     time.Duration
	life      time.Duration // of the backend's access tokens
	familyEnd bool          // the backend ends a session whose used refresh token it sees again
	limits    upstream.Limits
	weather   weather
	faults    []fault
}

// weather is how often, in thousandths, something goes wrong with a message to the
// store, or with a call of the backend's token API.
type weather struct {
	loseRequest, loseReply, slow, cut int
	busy, hang, unheard, crawl        int
}

// fault is one that is to happen at a time.
type fault struct {
	kind    string
	at      time.Duration
	during  time.Duration // how long it lasts, or how much is lost
	replica int
	script  string // the one it waits for
}

// The kinds of fault. Those after "next" wait for the next message about a script,
// or for the next call to the backend that brings tokens.
const (
	faultCrash       = "crash"
	faultFailover    = "failover"
	faultPartition   = "partition"
	faultStall       = "stall"
	faultCut         = "cut"
	faultLoseRequest = "next request lost"
	faultLoseReply   = "next reply lost"
	faultCrashBefore = "crash before next"
	faultCrashAfter  = "crash after next"
	faultLateRequest = "next request late"
	faultRotated     = "crash once the backend rotated"
	faultUnheard     = "backend's next answer lost"
	faultHang        = "backend hangs on the next"
	faultBusy        = "backend is busy"
	faultSilence     = "announcements lost"
	faultHeldBack    = "cut off before the next commit"
)

var kinds = []string{
	faultPartition, faultPartition, faultStall, faultCut, faultLoseRequest, faultLoseReply, faultLoseReply, faultCrashBefore,
	faultCrashAfter, faultLateRequest, faultRotated, faultUnheard, faultHang, faultBusy, faultSilence,
	faultHeldBack, faultHeldBack,
}

var targets = []string{
	"session_create", "session_rotate", "session_rotate", "session_revoke", "backend_acquire", "backend_commit", "backend_commit", "backend_commit",
	"backend_release", "backend_end", "backend_attempt", "backend_due_add",
}

func pick[T any](w *world, name string, of ...T) T { return of[w.draw(name)%uint64(len(of))] }

func (w *world) makePlan() plan {
	p := plan{
		length: w.between("length", 7*time.Second, 11*time.Second), long: w.chance("long", 60),
		skew:      pick[time.Duration](w, "skew", 0, 0, 2*time.Second, -2*time.Second),
		degraded:  pick(w, "degraded", 2*time.Second, 4*time.Second),
		accessTTL: pick(w, "accessTTL", 2*time.Second, 3*time.Second, 4*time.Second),
		grace:     pick(w, "grace", 0, 10*time.Second, 10*time.Second, 30*time.Second),
		life:      pick(w, "life", 5*time.Second, 6*time.Second),
		familyEnd: w.chance("familyEnd", 500),
		limits:    upstream.Limits{Call: 2 * time.Second, Lease: 900 * time.Millisecond, Sweep: 2 * time.Second},
	}
	switch w.draw("weather") % 4 {
	case 0: // fair
	case 1:
		p.weather = weather{loseRequest: 2, loseReply: 2, slow: 4, busy: 30, crawl: 100}
	case 2:
		p.weather = weather{loseRequest: 5, loseReply: 5, slow: 10, cut: 3, busy: 60, hang: 10, unheard: 10, crawl: 150}
	case 3:
		p.weather = weather{slow: 20, crawl: 300, hang: 20}
	}
	if p.long {
		p.length, p.accessTTL = 32*time.Second, 40*time.Second
	}
	p.faults = w.makeFaults(p.length)
	return p
}

func (w *world) makeFaults(length time.Duration) []fault {
	kind := pick(w, "first", faultCrash, faultFailover)
	var faults []fault
	for range 3 + w.draw("how many")%4 {
		f := fault{kind: kind, at: w.between("at", time.Second, length-time.Second), replica: int(w.draw("whose") % 3), script: pick(w, "target", targets...)}
		switch kind {
		case faultFailover:
			f.during = w.between("lag", 20*time.Millisecond, 900*time.Millisecond)
		case faultHeldBack:
			f.script, f.during = "backend_commit", w.between("lag", 2*time.Second, 6*time.Second)
		case faultPartition:
			f.during = w.between("lag", 200*time.Millisecond, 4*time.Second)
		case faultStall:
			f.during = w.between("lag", 100*time.Millisecond, 2500*time.Millisecond)
		case faultBusy:
			f.during = w.between("lag", 200*time.Millisecond, 3*time.Second)
		case faultSilence:
			f.during = w.between("lag", time.Second, 5*time.Second)
		}
		faults = append(faults, f)
		kind = pick(w, "kind", append(kinds, faultCrash, faultFailover)...)
	}
	return faults
}

// startFaults has the faults happen.
func (w *world) startFaults(ctx context.Context, wg *sync.WaitGroup) {
	for _, f := range w.plan.faults {
		wg.Go(func() {
			if pass(ctx, f.at) && !w.isCalm() {
				w.strike(ctx, f)
			}
		})
	}
}

func (w *world) isCalm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

func (w *world) strike(ctx context.Context, f fault) {
	w.note("fault: %s of r%d %s %v", f.kind, f.replica, f.script, f.during)
	r := w.replicas[f.replica]
	switch f.kind {
	case faultCrash:
		w.crash(ctx, r)
		return
	case faultFailover:
		w.failover(ctx, f.during)
		return
	case faultPartition:
		w.net.part(f.replica, time.Now().Add(f.during))
		w.troubled(f.replica)
		w.count(func(f *figures) { f.Faults++ })
		_ = pass(ctx, f.during)
		w.troubled(f.replica)
		return
	case faultStall:
		w.net.stall(time.Now().Add(f.during))
	case faultCut:
		if p := r.up(); p != nil {
			p.cutAll()
		}
	case faultBusy:
		w.vendor.busyUntil(time.Now().Add(f.during))
	case faultSilence:
		w.net.silence(f.replica, time.Now().Add(f.during))
	default:
		w.net.arm(f)
		return // it counts when it happens
	}
	for i := range w.replicas {
		w.troubled(i)
	}
	w.count(func(f *figures) { f.Faults++ })
}

// crash has a replica crash and come back.
func (w *world) crash(ctx context.Context, r *replica) {
	if r.up() == nil {
		return
	}
	r.crash()
	if pass(ctx, w.between("restart", 200*time.Millisecond, 1500*time.Millisecond)) {
		r.start(0)
	}
}

// failover puts a copy in the store's place that lacks the writes of the last time.
func (w *world) failover(ctx context.Context, lag time.Duration) {
	copied, at := w.store.Copy(), time.Now()
	if !pass(ctx, lag) || w.isCalm() {
		return
	}
	w.note("failover: writes of the last %v are lost", lag)
	w.mu.Lock()
	w.losses = append(w.losses, loss{at, time.Now()})
	w.mu.Unlock()
	w.rules.failover(at)
	w.vendor.failover(at)
	for i := range w.replicas {
		w.troubled(i)
	}
	w.count(func(f *figures) { f.Failovers++; f.Faults++ })
	w.store.Restart(copied, "run-"+time.Now().String())
}
