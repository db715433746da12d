package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/journal"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
	"github.com/gatehouse-gateway/gatehouse/upstream/upstreamtest"
)

var errCut = errors.New("the store cannot be asked")

// cut is the way of one process to the store. Commits fail while it is down.
type cut struct {
	*upstreamtest.Memory
	down atomic.Bool
	// lost says that commits are made and only their answers are lost.
	lost  atomic.Bool
	asked atomic.Int32
}

func (c *cut) Commit(ctx context.Context, commit upstream.Commit) (upstream.Answer, error) {
	c.asked.Add(1)
	if c.lost.Load() {
		if _, err := c.Memory.Commit(ctx, commit); err != nil {
			return upstream.Answer{}, err
		}
	}
	if c.down.Load() || c.lost.Load() {
		return upstream.Answer{}, errCut
	}
	return c.Memory.Commit(ctx, commit)
}

func (n *notes) JournalReplay(_, outcome string) { n.add("journal", outcome) }

// process is a world whose process has a journal and may die.
type process struct {
	*world
	way     *cut
	journal *journal.Journal
	log     *strings.Builder
}

// newProcess starts the first process, or with a dead one the next on the same
// machine.
func newProcess(t *testing.T, dead *process, dir string, change func(*upstream.Config)) *process {
	t.Helper()
	p := &process{log: &strings.Builder{}}
	p.journal = journal.Open(journal.Options{Dir: dir, Keyring: keys})
	t.Cleanup(p.journal.Close)
	p.world = newWorld(t, func(c *upstream.Config) {
		if change != nil {
			change(c)
		}
		c.Journal = p.journal
		if dead != nil {
			c.Transport = dead.config.Transport
		}
		p.way = &cut{Memory: storeOf(t, dead, c)}
		c.Store, c.Pins, c.Duties, c.Challenges = p.way, p.way, p.way, p.way
	})
	if dead != nil {
		p.fabric = dead.fabric
	}
	p.store = p.way.Memory
	return p
}

func storeOf(t *testing.T, dead *process, c *upstream.Config) *upstreamtest.Memory {
	t.Helper()
	if dead != nil {
		return dead.store
	}
	m, ok := c.Store.(*upstreamtest.Memory)
	if !ok {
		t.Fatalf("the store is a %T", c.Store)
	}
	return m
}

// die ends a process: it reaches nothing any more, and its locks are free.
func (p *process) die() {
	p.way.lost.Store(false)
	p.way.down.Store(true)
	p.journal.Close()
}

// replay replays what other processes left and returns how much stays.
func (p *process) replay(t *testing.T) int {
	t.Helper()
	r := upstream.NewReplayer([]*upstream.Backend{p.Backend}, p.notes, slog.New(slog.NewTextHandler(p.log, nil)))
	return p.journal.Replay(t.Context(), func(ctx context.Context, rec journal.Record) error {
		return r.Replay(ctx, rec.Text, rec.Written)
	})
}

// wantReplay replays and wants one outcome, as often as said.
func (p *process) wantReplay(t *testing.T, outcome string, times int) {
	t.Helper()
	if left := p.replay(t); left != 0 {
		t.Errorf("records that stay = %d; want 0", left)
	}
	if got := p.notes.count("journal " + outcome); got != times {
		t.Errorf("replays that were %s = %d; want %d; all: %v", outcome, got, times, p.notes.all)
	}
}

// renewedAndKilled lets an account log in, has its tokens renewed, and ends the process
// before the renewed ones are stored.
func renewedAndKilled(t *testing.T, dir string) *process {
	t.Helper()
	p := newProcess(t, nil, dir, nil)
	p.wantGet(t, as(token.NewSID()), 200)
	advance(31 * time.Minute)
	p.way.down.Store(true)
	p.wantGet(t, as(token.NewSID()), 200)
	p.wantCounts(t, 1, 1, 0)
	p.die()
	return p
}

func TestRenewedTokensOutliveTheirProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		dead := renewedAndKilled(t, dir)
		next := newProcess(t, dead, dir, nil)
		advance(10 * time.Minute)
		next.wantReplay(t, "stored", 1)
		next.wantGet(t, as(token.NewSID()), 200)
		next.wantCounts(t, 1, 1, 0)
		// Ten of the thirty minutes had passed when they were stored.
		advance(21 * time.Minute)
		next.wantGet(t, as(token.NewSID()), 200)
		next.wantCounts(t, 1, 2, 0)
		next.wantReplay(t, "stored", 1)
	})
}

// leaseOver is longer than a lease of the dead.
const leaseOver = 15 * time.Second

// Without the journal the backend's only copy of the refresh token is lost.
func TestWithoutAJournalTheAccountLogsInAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := renewedAndKilled(t, t.TempDir())
		next := newProcess(t, dead, t.TempDir(), nil)
		advance(leaseOver)
		next.wantGet(t, as(token.NewSID()), 200)
		next.wantCounts(t, 2, 1, 0)
	})
}

func TestAPassThroughSessionOutlivesItsProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p := newProcess(t, nil, dir, passThrough)
		sid := p.signIn(t)
		advance(31 * time.Minute)
		p.way.down.Store(true)
		p.wantGet(t, as(sid), 200)
		p.die()
		next := newProcess(t, p, dir, passThrough)
		next.wantReplay(t, "stored", 1)
		advance(31 * time.Minute)
		next.wantGet(t, as(sid), 200)
		next.wantCounts(t, 1, 2, 0)
	})
}

func TestTokensOfASessionThatIsOverAreLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p := newProcess(t, nil, dir, passThrough)
		sid := p.signIn(t)
		advance(31 * time.Minute)
		p.way.down.Store(true)
		p.wantGet(t, as(sid), 200)
		p.die()
		p.store.RevokeSession(sid)
		next := newProcess(t, p, dir, passThrough)
		next.wantReplay(t, "discarded", 1)
		next.wantCounts(t, 1, 1, 1)
	})
}

func TestTokensThatLostToOthersAreLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		dead := renewedAndKilled(t, dir)
		other := newProcess(t, dead, t.TempDir(), nil)
		advance(leaseOver)
		other.wantGet(t, as(token.NewSID()), 200) // logs in, since the refresh token is used
		next := newProcess(t, dead, dir, nil)
		next.wantReplay(t, "discarded", 1)
		next.wantCounts(t, 2, 1, 1)
		next.wantGet(t, as(token.NewSID()), 200)
		next.wantCounts(t, 2, 1, 1)
	})
}

// The process was killed after the store had taken the tokens, and before it
// heard so.
func TestTokensThatWereStoredAfterAllAreLeftAlone(t *testing.T) {
	for name, renew := range map[string]bool{"as they are": false, "renewed since": true} {
		t.Run(name, inBubble(func(t *testing.T) {
			dir := t.TempDir()
			p := newProcess(t, nil, dir, nil)
			p.wantGet(t, as(token.NewSID()), 200)
			advance(31 * time.Minute)
			p.way.lost.Store(true)
			p.wantGet(t, as(token.NewSID()), 200)
			p.die()
			next := newProcess(t, p, dir, nil)
			outcome, refreshes := "stored", 1
			if renew {
				outcome, refreshes = "superseded", 2
				advance(31 * time.Minute)
				next.wantGet(t, as(token.NewSID()), 200)
			}
			next.wantReplay(t, outcome, 1)
			next.wantGet(t, as(token.NewSID()), 200)
			next.wantCounts(t, 1, refreshes, 0)
		}))
	}
}

// The process was killed after the backend had answered a login, and before it had
// stored the tokens or logged out again.
func TestALoginThatNobodyHeardOfIsLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var killed atomic.Bool
		dying := make(chan struct{})
		p := newProcess(t, nil, dir, func(c *upstream.Config) {
			passThrough(c)
			fabric := c.Transport
			c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if strings.HasSuffix(r.URL.Path, "/auth/logout") && !killed.Load() {
					<-dying
					return nil, errCut
				}
				return fabric.RoundTrip(r)
			})
		})
		p.way.down.Store(true)
		if _, err := p.Verify(t.Context(), token.NewSID(), login("alicepass")); err == nil {
			t.Fatal("Verify without a store = nil; want an error")
		}
		p.die()
		close(dying)
		synctest.Wait()
		killed.Store(true)
		next := newProcess(t, p, dir, passThrough)
		next.wantReplay(t, "discarded", 1)
		next.wantCounts(t, 1, 0, 1)
	})
}

// A lock goes over to the renewed token, so it is given back with it.
func TestALockOfASessionThatIsOverIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := &box{password: "svcpass"}
		change := func(c *upstream.Config) { c.Dialect, c.Transport = boxDialect(), b }
		p := newProcess(t, nil, dir, change)
		w := &boxWorld{world: p.world, box: b}
		sid := w.client()
		w.want(t, sid, lock, 204)
		advance(boxLife * 85 / 100)
		p.way.down.Store(true)
		w.want(t, sid, status, 200)
		b.wantLock(t, "T2")
		p.die()
		p.store.RevokeSession(sid)
		next := newProcess(t, p, dir, change)
		next.wantReplay(t, "discarded", 1)
		b.wantLock(t, "")
	})
}

func TestWhatTheStoreCannotBeAskedAboutWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		dead := renewedAndKilled(t, dir)
		next := newProcess(t, dead, dir, nil)
		next.way.down.Store(true)
		for range 2 {
			if left := next.replay(t); left != 1 {
				t.Errorf("records that stay = %d; want 1", left)
			}
			advance(time.Second)
		}
		if got := next.notes.count("journal deferred"); got != 2 {
			t.Errorf("deferred = %d; want 2", got)
		}
		next.way.down.Store(false)
		advance(48 * time.Hour)
		next.wantReplay(t, "stored", 1)
		next.wantGet(t, as(token.NewSID()), 200)
		next.wantCounts(t, 1, 2, 0)
	})
}

func TestALogoutThatFailsIsTriedForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p := newProcess(t, nil, dir, passThrough)
		sid := p.signIn(t)
		advance(31 * time.Minute)
		p.way.down.Store(true)
		p.wantGet(t, as(sid), 200)
		p.die()
		p.store.RevokeSession(sid)
		p.fabric.Override(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
		next := newProcess(t, p, dir, passThrough)
		if left := next.replay(t); left != 1 {
			t.Errorf("records that stay = %d; want 1", left)
		}
		advance(24*time.Hour - time.Second)
		if left := next.replay(t); left != 1 {
			t.Errorf("records that stay just before a day is over = %d; want 1", left)
		}
		advance(time.Second)
		next.wantReplay(t, "dropped", 1)
	})
}

// A hundred records do not wait a hundred times for a store, or a backend, that
// does not answer; and a backend that does not answer holds up no store.
func TestOneFailureIsEnoughForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p := newProcess(t, nil, dir, passThrough)
		var sids []token.SID
		for range 6 {
			sids = append(sids, p.signIn(t))
		}
		advance(31 * time.Minute)
		p.way.down.Store(true)
		for i, sid := range sids {
			p.wantGet(t, as(sid), 200)
			if i%2 == 0 {
				p.store.RevokeSession(sid)
			}
		}
		p.die()
		logouts := 0
		p.fabric.Override(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			logouts++
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		next := newProcess(t, p, dir, passThrough)
		next.way.down.Store(true)
		if left := next.replay(t); left != 6 || next.way.asked.Load() != 1 {
			t.Errorf("%d stay after %d commits; want 6, and 1", left, next.way.asked.Load())
		}
		advance(time.Second)
		next.way.down.Store(false)
		if left := next.replay(t); left != 3 || logouts != 1 || next.notes.count("journal stored") != 3 {
			t.Errorf("%d stay after %d logouts, %v; want 3 and 1, and the others stored", left, logouts, next.notes.all)
		}
		advance(time.Second)
		p.fabric.Override(nil)
		next.wantReplay(t, "discarded", 3)
	})
}

// Another replica finds what a dead one left, and all others hear of it.
func TestTokensOfAJournalAreAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		dead := renewedAndKilled(t, dir)
		heard := make(chan upstream.Notice, 1)
		line := &bus{}
		line.Hear(func(n upstream.Notice) { heard <- n })
		next := newProcess(t, dead, dir, func(c *upstream.Config) { c.Notices = line })
		next.wantReplay(t, "stored", 1)
		if n := <-heard; n.Version != 2 || n.Ref.Backend != "fabric" {
			t.Errorf("announced: %+v; want version 2 of fabric", n)
		}
	})
}

func TestARecordOfAnUnknownBackendIsKeptForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		dead := renewedAndKilled(t, dir)
		next := newProcess(t, dead, dir, func(c *upstream.Config) { c.Name = "other" })
		r := upstream.NewReplayer([]*upstream.Backend{next.Backend}, next.notes, slog.New(slog.NewTextHandler(next.log, nil)))
		replay := func() int {
			return next.journal.Replay(t.Context(), func(ctx context.Context, rec journal.Record) error { return r.Replay(ctx, rec.Text, rec.Written) })
		}
		for range 3 {
			if left := replay(); left != 1 {
				t.Errorf("records that stay = %d; want 1", left)
			}
		}
		if got := strings.Count(next.log.String(), "not configured"); got != 1 {
			t.Errorf("warned %d times; want once:\n%s", got, next.log)
		}
		advance(24*time.Hour - time.Second)
		if left := replay(); left != 1 {
			t.Errorf("records that stay just before a day is over = %d; want 1", left)
		}
		advance(time.Second)
		if left := replay(); left != 0 || next.notes.count("journal dropped") != 1 {
			t.Errorf("after a day %d stay, %v; want it dropped", left, next.notes.all)
		}
	})
}

func TestARecordThatIsNoneIsDropped(t *testing.T) {
	n := &notes{}
	r := upstream.NewReplayer(nil, n, slog.New(slog.DiscardHandler))
	for _, text := range []string{"", "{}", "null", "[", `{"version":-1}`} {
		if err := r.Replay(t.Context(), []byte(text), time.Now()); err != nil {
			t.Errorf("Replay(%q) = %v; want nil", text, err)
		}
	}
	if got := n.count("journal dropped"); got != 5 {
		t.Errorf("dropped = %d; want 5", got)
	}
}

// ledger is a Journal that counts its slots.
type ledger struct {
	mu      sync.Mutex
	last    uint64
	open    map[uint64]bool // whether it is written
	full    bool
	written int
	fails   error
}

func (l *ledger) Reserve() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full {
		return 0, journal.ErrFull
	}
	if l.open == nil {
		l.open = map[uint64]bool{}
	}
	l.last++
	l.open[l.last] = false
	return l.last, nil
}

func (l *ledger) Append(slot uint64, record []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if written, ok := l.open[slot]; !ok || written || len(record) == 0 {
		return fmt.Errorf("slot %d is open: %v, written: %v", slot, ok, written)
	}
	l.open[slot] = true
	l.written++
	return l.fails
}

func (l *ledger) Done(slot uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, slot)
}

// want wants so many slots open and so many records written since the last time.
func (l *ledger) want(t *testing.T, open, written int) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) != open || l.written != written {
		t.Errorf("open slots = %d, records = %d; want %d, %d", len(l.open), l.written, open, written)
	}
	l.written = 0
}

func (l *ledger) set(full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full = full
}

func TestEverySlotIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		w := newWorld(t, func(c *upstream.Config) { c.Journal = l })
		sid := token.NewSID()
		w.wantGet(t, as(sid), 200)
		l.want(t, 0, 1)
		w.wantGet(t, as(sid), 200)
		l.want(t, 0, 0)
		advance(31 * time.Minute)
		w.store.Break("Commit", errCut)
		w.wantGet(t, as(sid), 200)
		l.want(t, 1, 1)
		w.store.Break("Commit", nil)
		advance(time.Minute)
		l.want(t, 0, 0)
		advance(30 * time.Minute)
		w.fabric.Override(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
		w.wantKind(t, as(sid), token.Unavailable)
		l.want(t, 0, 0)
		w.fabric.Override(nil)
	})
}

// Others went on meanwhile, so the tokens that wait are not offered any more.
func TestTheSlotOfOvertakenTokensIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, way := &ledger{}, &cut{}
		w := newWorld(t, func(c *upstream.Config) {
			way.Memory = c.Store.(*upstreamtest.Memory)
			c.Store, c.Journal, c.Notices = way, l, &bus{}
			c.Transport.(*upstreamtest.Fabric).Life = 5 * time.Minute
		})
		other := w.twin(t, func(c *upstream.Config) { c.Store, c.Journal = way.Memory, nil })
		w.wantGet(t, anyone, 200)
		l.want(t, 0, 1)
		advance(6 * time.Minute)
		way.down.Store(true)
		w.wantGet(t, anyone, 200)
		l.want(t, 1, 1)
		advance(leaseOver)
		other.wantGet(t, anyone, 200) // version 2, as the one that waits
		l.want(t, 1, 0)
		advance(5 * time.Minute)
		other.wantGet(t, anyone, 200) // version 3, of which w hears
		advance(time.Minute)
		l.want(t, 0, 0)
	})
}

func TestEverySlotOfALoginIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		w := newWorld(t, func(c *upstream.Config) { c.Account, c.Journal = nil, l })
		w.signIn(t)
		l.want(t, 0, 1)
		if _, err := w.Verify(t.Context(), token.NewSID(), login("wrong")); err == nil {
			t.Error("Verify of a wrong password = nil")
		}
		l.want(t, 0, 0)
		w.store.Break("Commit", errCut)
		if _, err := w.Verify(t.Context(), token.NewSID(), login("alicepass")); err == nil {
			t.Error("Verify without a store = nil")
		}
		l.want(t, 0, 1)
		w.wantCounts(t, 2, 0, 1)
	})
}

func TestAFullJournalBeginsNoLoginOrRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		w := newWorld(t, func(c *upstream.Config) { c.Journal = l })
		l.set(true)
		w.wantKind(t, as(token.NewSID()), token.Unavailable)
		w.wantCounts(t, 0, 0, 0)
		l.set(false)
		advance(2 * time.Second)
		w.wantGet(t, as(token.NewSID()), 200)
		w.wantCounts(t, 1, 0, 0)

		l.set(true)
		advance(29*time.Minute + 50*time.Second) // due, and not over
		w.wantGet(t, as(token.NewSID()), 200)
		w.wantCounts(t, 1, 0, 0)
		advance(time.Minute)
		w.wantKind(t, as(token.NewSID()), token.Unavailable)
		w.wantCounts(t, 1, 0, 0)
		l.set(false)
		advance(2 * time.Second)
		w.wantGet(t, as(token.NewSID()), 200)
		w.wantCounts(t, 1, 1, 0)
	})
}

func TestAFullJournalHoldsUpNoOtherGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *upstream.Config) { c.Journal = &ledger{full: true} })
		other := w.twin(t, func(c *upstream.Config) { c.Journal = nil })
		w.wantKind(t, anyone, token.Unavailable)
		began := time.Now()
		other.wantGet(t, anyone, 200)
		if took := time.Since(began); took > 0 {
			t.Errorf("the other waited %v; want the lease at once", took)
		}
	})
}

func TestAFullJournalBeginsNoPassThroughLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{full: true}
		w := newWorld(t, func(c *upstream.Config) { c.Account, c.Journal = nil, l })
		_, err := w.Verify(t.Context(), token.NewSID(), login("alicepass"))
		wantKind(t, err, token.Unavailable)
		w.wantCounts(t, 0, 0, 0)
		l.set(false)
		w.signIn(t)
	})
}

func TestADiskThatFailsEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{fails: errors.New("no space left on device")}
		w := newWorld(t, func(c *upstream.Config) { c.Journal = l })
		w.wantGet(t, as(token.NewSID()), 200)
		l.want(t, 0, 1)
		again := &world{Backend: upstream.New(w.config), fabric: w.fabric}
		again.wantGet(t, as(token.NewSID()), 200)
		w.wantCounts(t, 1, 0, 0)
	})
}

func TestTheJournalHoldsNoTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		renewedAndKilled(t, dir)
		paths, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
		if err != nil || len(paths) != 1 {
			t.Fatalf("files = %q, %v; want one", paths, err)
		}
		text, err := os.ReadFile(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"attempt", "fabric", "owner"} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%s is readable in the journal", bad)
			}
		}
	})
}
