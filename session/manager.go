package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/gatehouse-gateway/gatehouse/seal"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// Limits and lives that are not settings.
const (
	never          = 36500 * 24 * time.Hour // "never expires": so long unused
	keepEnded      = 10 * time.Minute       // an ended session can still be told from an unknown one
	keepEndedToken = 30 * 24 * time.Hour    // and an expired API token
	maxSessions    = 200                    // of one user
	maxAPITokens   = 200                    // of one user
	cacheSize      = 100_000                // tokens and sessions in memory
	tick           = time.Second
)

// Options are what a Manager is made of.
type Options struct {
	Store     Store
	Feed      Feed // nil: none; what other replicas revoke is then known after the 15 s ceiling
	Index     Index
	Roll      Roll // nil: nobody can list users and their sessions
	Keyring   *seal.Keyring
	Throttle  Throttle
	Codes     Codes     // nil: no authorization codes are made
	Directory Directory // nil: identities are not re-read, they stay as proved at login
	Factors   Factors   // nil: nobody has a second factor
	Tries     Tries     // needed with Factors, as is Pushes
	Pushes    Pushes
	Recorder  Recorder     // nil: nobody is told
	Log       *slog.Logger // nil: nothing is logged

	// OnEnd is told of every session that this manager ends, and of those that it
	// happens to find expired, so that what it holds elsewhere ends too. It may be
	// told of one twice and must not wait. Nil: nobody is told.
	OnEnd func(token.SID)
	// OnKeys is told that the signing keys were changed, maybe by another replica.
	// It must not wait. Nil: nobody is told.
	OnKeys func()

	DegradedFor time.Duration // how long checked sessions are served while the store cannot be asked; 0: not at all
}

// Manager applies the rules of sessions. It is safe for concurrent use.
type Manager struct {
	o     Options
	base  time.Time // monotonic times in memory count from here
	codes codes

	breaker breaker
	contact contact
	denied  denied
	texts   *cache[string, *entry]
	lives   *cache[token.SID, *live]
	reads   singleflight.Group
	watched watches

	doors doors  // what logins need: Basic in memory, refreshes in turn
	house *house // what is done later and in the background
}

// NewManager returns a manager. It works at once, but without Run it hears of
// no event, writes no use, and asks the store about every call if there is a
// feed.
func NewManager(o Options) *Manager {
	if o.Recorder == nil {
		o.Recorder = mute{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnKeys == nil {
		o.OnKeys = func() {}
	}
	m := &Manager{o: o, base: time.Now(), codes: newCodes(o.Keyring), doors: newDoors(), house: newHouse()}
	m.contact.fed = o.Feed != nil
	m.contact.lost.Store(true)
	m.texts = newCache[string, *entry](cacheSize, tail, nil)
	m.lives = newCache(cacheSize, sidHash, func(l *live) { l.belief.Store(nil) })
	return m
}

// Run follows the feed, re-reads busy sessions before they are too old to be
// believed, writes uses, and ends what is due. It returns nil when ctx ends and
// its goroutines have, having written what was left to write.
func (m *Manager) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if m.o.Feed != nil {
		g.Go(func() error { return m.o.Feed.Follow(ctx, m.heard) })
	}
	g.Go(func() error { return m.keepHouse(ctx) })
	err := g.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	m.writeUses(last, true)
	if ctx.Err() != nil && (err == nil || errors.Is(context.Cause(ctx), ctx.Err())) {
		return nil
	}
	return err
}

// Know tells the manager of an issuer before it serves anybody, so that sessions
// of its identity source which others opened end at the backend too.
func (m *Manager) Know(i *Issuer) { m.house.backends.know(i) }

// Active returns how many sessions in this replica's memory were used in the
// last five minutes.
func (m *Manager) Active() int {
	n, since := 0, m.now()-int64(5*time.Minute)
	m.lives.each(func(_ token.SID, l *live) bool {
		if u := l.used.Load(); u != 0 && u >= since {
			n++
		}
		return true
	})
	return n
}

// Degraded reports whether the store cannot be asked, or its events do not come
// in, so that sessions are served from memory or asked for one by one.
func (m *Manager) Degraded() bool {
	return m.breaker.open() || !m.contact.live(m.now())
}

// ClockSkew returns how far this replica's clock is ahead of the store's, as of
// the last ping; 0 without a feed. Beyond 5 s either way lives are judged wrong.
func (m *Manager) ClockSkew() time.Duration { return time.Duration(m.contact.skew.Load()) }

// clock returns the time by the store's clock, by which records and tokens say when
// they end.
func (m *Manager) clock() time.Time { return time.Now().Add(-m.contact.aside()) }

// now is the monotonic time since base, at least 1.
func (m *Manager) now() int64 { return m.mono(time.Now()) }

func (m *Manager) mono(t time.Time) int64 { return int64(t.Sub(m.base)) + 1 }

// current returns who the owner of a record is now, and false if he is gone.
func (m *Manager) current(r *Record) (token.Identity, bool) {
	if m.o.Directory == nil || r.Origin.Source != SourceUsers {
		return r.Identity, true
	}
	return m.o.Directory.Current(r.Identity.ID)
}

// What follows an owner in the names of his further lists.
const (
	apiSuffix    = "-api"    // of API tokens
	closedSuffix = "-closed" // of sessions that are closed for refreshing
)

// owner names a user in the index.
func owner(source, id string) string {
	sum := sha256.Sum256([]byte(source + "\x00" + id))
	return hex.EncodeToString(sum[:16])
}

// ownerOf names the list in the index that a record belongs to.
func ownerOf(r *Record) string {
	o := owner(r.Origin.Source, r.Identity.ID)
	if r.API != nil {
		o += apiSuffix
	}
	return o
}

// backends remembers who ends the backend sessions of which source.
type backends struct{ m sync.Map }

func (b *backends) know(i *Issuer) {
	if i.Backend != nil {
		b.m.Store(i.Source, i.Backend)
	}
}

func (b *backends) of(source string) Backend {
	v, _ := b.m.Load(source)
	be, _ := v.(Backend)
	return be
}

// mute is the Recorder of those who want none.
type mute struct{}

func (mute) Login(string, string)      {}
func (mute) Refresh(string, string)    {}
func (mute) Opened()                   {}
func (mute) Ended(string)              {}
func (mute) TokenCheck(string, string) {}
