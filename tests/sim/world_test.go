package sim_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/tests/sim/store"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// What all seeds of a process share. It holds nothing that changes.
type common struct {
	engine  *store.Engine
	ring    *seal.Keyring
	spoken  *dialect.Dialect
	base    *url.URL
	scripts map[string]string // names of the product's scripts by digest
}

// world is everything in the bubble of one seed.
type world struct {
	*common
	seed  uint64
	begun time.Time
	plan  plan
	edit  *edit // what is done to a script; nil: nothing

	store    *store.Store
	net      *network
	vendor   *vendor
	replicas [3]*replica
	rules    *rules

	mu        sync.Mutex
	drawn     map[string]uint64 // guarded by mu: how often each chance was drawn
	events    []event           // guarded by mu
	talks     bool              // events are kept
	violation string            // guarded by mu: the first one, with its time; empty: none
	spoilt    bool              // guarded by mu: a known gap was hit
	figures   figures           // guarded by mu
	trouble   [3]time.Time      // guarded by mu: when a replica last lost a message, or may have
	calm      bool              // guarded by mu: no more faults
	losses    []loss            // guarded by mu: what failovers lost
}

// loss is the writes that a failover lost: those of a time.
type loss struct{ from, to time.Time }

// event is one line of the schedule.
type event struct {
	at   time.Duration
	what string
	args []any
}

// figures are what is counted in a seed, and added up over seeds.
type figures struct {
	Seeds, StoreCalls, FeedCalls, Expiries, Faults, Crashes, Failovers     int
	Logins, Calls, Posts, Refreshes, Renewals, Revocations, Probes, Probed int
	Excused                                                                map[string]int
	Open                                                                   map[string]int
}

func (f *figures) add(o figures) {
	f.Seeds += o.Seeds
	f.StoreCalls += o.StoreCalls
	f.FeedCalls += o.FeedCalls
	f.Expiries += o.Expiries
	f.Faults += o.Faults
	f.Crashes += o.Crashes
	f.Failovers += o.Failovers
	f.Logins += o.Logins
	f.Calls += o.Calls
	f.Posts += o.Posts
	f.Refreshes += o.Refreshes
	f.Renewals += o.Renewals
	f.Revocations += o.Revocations
	f.Probes += o.Probes
	f.Probed += o.Probed
	f.Excused, f.Open = sum(f.Excused, o.Excused), sum(f.Open, o.Open)
}

// sum adds b to a.
func sum(a, b map[string]int) map[string]int {
	if a == nil {
		a = map[string]int{}
	}
	for why, n := range b {
		a[why] += n
	}
	return a
}

// count changes the figures.
func (w *world) count(change func(*figures)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.figures)
}

func (w *world) excuse(why string) {
	w.count(func(f *figures) { f.Excused = sum(f.Excused, map[string]int{why: 1}) })
	w.note("excused: %s", why)
}

func (w *world) now() time.Duration { return time.Since(w.begun) }

// note writes a line of the schedule.
func (w *world) note(what string, args ...any) {
	if !w.talks {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event{w.now(), what, args})
}

// violate says that a rule is broken. Only the first time counts.
func (w *world) violate(format string, args ...any) { w.violateAs("", format, args...) }

// violateAs is violate. What belongs to a known gap of the product is counted, and
// the rest of the seed, which may follow from it, is not judged.
func (w *world) violateAs(open, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	kind := "VIOLATION"
	if open != "" {
		kind = "KNOWN GAP"
	}
	w.note("%s: %s", kind, text)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.spoilt || w.violation != "":
	case open != "" && !*strictFlag:
		w.spoilt = true
		w.figures.Open = sum(w.figures.Open, map[string]int{open: 1})
	default:
		w.violation = fmt.Sprintf("%s: %s", w.now(), text)
	}
}

// violated reports whether there is no sense in going on.
func (w *world) violated() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spoilt || w.violation != ""
}

// Known gaps of the product. With -strict they are violations.
const (
	openLease  = "a failover lost the lease, and another renewal began beside the one under way"
	openCommit = "a failover lost a commit, and the old refresh token was presented although a replica still had the new one"
)

// schedule is all that happened.
func (w *world) schedule() string {
	var b strings.Builder
	for _, e := range w.events {
		fmt.Fprintf(&b, "%14.6f  %s\n", e.at.Seconds(), fmt.Sprintf(e.what, e.args...))
	}
	return b.String()
}

// draw returns a random number that depends on the seed, on a name, and on how
// often that name was drawn before, so that the order of what happens at the same
// instant does not change what happens later.
func (w *world) draw(name string) uint64 {
	w.mu.Lock()
	n := w.drawn[name]
	w.drawn[name] = n + 1
	w.mu.Unlock()
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	x := h.Sum64() ^ w.seed*0x9e3779b97f4a7c15 ^ n*0xd1b54a32d192ed03
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// chance is true in so many of a thousand cases.
func (w *world) chance(name string, thousandths int) bool {
	return thousandths > 0 && w.draw(name)%1000 < uint64(thousandths)
}

// between returns a time from low up to high, to the nanosecond, so that hardly
// ever two things happen at the same instant.
func (w *world) between(name string, low, high time.Duration) time.Duration {
	return low + time.Duration(w.draw(name)%uint64(high-low))
}

// pass lets time pass, as long as ctx lasts.
func pass(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// troubled notes that a replica lost a message, or that it may have.
func (w *world) troubled(replica int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble[replica] = time.Now()
}

// clean reports whether none of the replicas was in trouble since a time.
func (w *world) clean(since time.Time, replicas ...int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range replicas {
		if !w.trouble[r].Before(since) {
			return false
		}
	}
	return true
}

// lost reports whether what was written at a time was lost by a failover, which
// happened up to a little later than it was told.
func (w *world) lost(at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.losses, func(l loss) bool { return !at.Before(l.from) && !at.After(l.to) })
}

// outcome is how a seed went.
type outcome struct {
	violation string
	schedule  string
	figures   figures
}

// simulate runs one seed.
func (c *common) simulate(t *testing.T, seed uint64, e *edit, talks bool) (o outcome) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
	//lint:ignore SA1019 the client library draws its back off from it
	rand.Seed(int64(seed)) //nolint:staticcheck // the same
	synctest.Test(t, func(t *testing.T) {
		w := &world{common: c, seed: seed, begun: time.Now(), edit: e, talks: talks, drawn: map[string]uint64{}}
		w.run(t)
		o = outcome{w.violation, w.schedule(), w.figures}
	})
	return o
}

// run makes the world, lets it be, and takes it down.
func (w *world) run(t *testing.T) {
	t.Helper()
	w.plan = w.makePlan()
	w.store = store.New(w.engine, "run-0")
	w.rules = newRules(w)
	w.store.After = w.rules.after
	if w.edit != nil {
		w.store.Edit = w.edit.apply
	}
	w.store.Advance(w.plan.skew)
	w.net = &network{w: w}
	w.vendor = newVendor(w)
	for i := range w.replicas {
		w.replicas[i] = newReplica(w, i)
		w.replicas[i].start(w.between("start", time.Millisecond, 90*time.Millisecond))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var faults, scripts sync.WaitGroup
	w.startFaults(ctx, &faults)
	w.startScripts(ctx, &scripts)
	scripts.Wait()
	cancel()
	faults.Wait()
	for _, r := range w.replicas {
		r.stop()
	}
	<-time.After(time.Second) // the client library's goroutines sleep before they see that all is over
	w.figures.Seeds = 1
}

// makeCommon makes what seeds share. It is slow.
func makeCommon(t *testing.T) *common {
	t.Helper()
	ring, err := seal.New([]token.Secret{token.NewSecret(strings.Repeat("s", seal.MinSecret))})
	if err != nil {
		t.Fatal(err)
	}
	spoken, err := dialect.Open("ipfabric/7.0", dialect.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse("https://backend.example.net")
	if err != nil {
		t.Fatal(err)
	}
	return &common{engine: store.NewEngine(), ring: ring, spoken: spoken, base: base, scripts: readScripts(t)}
}

// diary is where the product's log goes: into the schedule.
type diary struct {
	w    *world
	name string
}

func (d diary) Enabled(context.Context, slog.Level) bool { return d.w.talks }
func (d diary) WithAttrs([]slog.Attr) slog.Handler       { return d }
func (d diary) WithGroup(string) slog.Handler            { return d }

func (d diary) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	r.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&b, " %s=%v", a.Key, a.Value); return true })
	d.w.note("%s log: %s%s", d.name, r.Message, b.String())
	return nil
}
