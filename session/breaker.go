package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	breakAfter = 5           // failures in a row until the store is left alone
	probeEvery = time.Second // and then asked again
	pingGap    = 800 * time.Millisecond
	// callLimit is for one call to the store, all tries of the library included:
	// no answer may wait longer than a second for a store that hangs.
	callLimit = 800 * time.Millisecond
)

var (
	errLeftAlone = errors.New("session: the store failed five times in a row and is asked once a second")
	errQueued    = errors.New("session: the store failed for those who were first in the queue")
)

// breaker keeps a failing store from costing every request its timeout.
type breaker struct {
	mu    sync.Mutex
	fails int       // guarded by mu
	next  time.Time // guarded by mu: when the next probe may go
	last  time.Time // guarded by mu: when it failed last; zero: it answered since
}

func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fails >= breakAfter
}

func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails < breakAfter {
		return true
	}
	if now.Before(b.next) {
		return false
	}
	b.next = now.Add(probeEvery)
	return true
}

func (b *breaker) report(failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !failed {
		b.fails, b.last = 0, time.Time{}
		return
	}
	b.fails++
	b.last = time.Now()
	if b.fails == breakAfter {
		b.next = time.Now().Add(probeEvery)
	}
}

// failedSince reports whether a call failed after at, and none was answered since.
func (b *breaker) failedSince(at time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last.After(at)
}

// contact knows when the store was last heard of. Its times are monotonic.
type contact struct {
	fed      bool         // there is a feed; else only answers count
	lost     atomic.Bool  // since the last ping events may have been missed
	ping     atomic.Int64 // when this replica's own ping last came back
	answered atomic.Int64 // when the store last answered anything
	trust    atomic.Int64 // what was read before this counts as unread
	reset    atomic.Int64 // when events may last have been missed, or another server was found; 0: never
	skew     atomic.Int64
	asked    atomic.Int64 // when the store was last asked for the time, monotonic; 0: never
}

// live reports whether events come in, so that memory may be believed.
func (c *contact) live(now int64) bool {
	return !c.fed || (!c.lost.Load() && now-c.ping.Load() <= int64(pingGap))
}

// last is when the store was last known to tell this replica everything.
func (c *contact) last() int64 {
	if c.fed {
		return c.ping.Load()
	}
	return c.answered.Load()
}

// noticed is how far the clocks must be apart before that is more than the way that
// a ping takes.
const noticed = 2 * time.Second

// aside is how far this machine's clock is ahead of the store's, as far as that can
// be told.
func (c *contact) aside() time.Duration {
	if d := time.Duration(c.skew.Load()); d.Abs() > noticed {
		return d
	}
	return 0
}

func (c *contact) alive(now int64, skew time.Duration) {
	if !c.live(now) {
		c.trust.Store(now)
	}
	c.ping.Store(now)
	c.lost.Store(false)
	c.skew.Store(int64(skew))
}

// ask makes one call to the store behind the breaker. It is detached from the
// client: one who hangs up must not leave a change half told. ErrNotFound,
// ErrExists and ErrOutdated are answers; any other failure becomes Unavailable.
// ErrRefused does too, but a store that cannot be written to can still be read.
func (m *Manager) ask(ctx context.Context, what string, call func(context.Context) error) error {
	if !m.breaker.allow(time.Now()) {
		return unavailable(errLeftAlone)
	}
	return m.tell(ctx, what, call)
}

// tell is ask without the breaker, for ends, which are always worth a try.
func (m *Manager) tell(ctx context.Context, what string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	err := call(ctx)
	answer := err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) || errors.Is(err, ErrOutdated)
	spoke := answer || errors.Is(err, ErrRefused)
	m.breaker.report(!spoke)
	if spoke {
		m.contact.answered.Store(m.now())
	}
	if !answer {
		return unavailable(fmt.Errorf("session: %s: %w", what, err))
	}
	return err
}

func unavailable(cause error) *token.Error {
	return &token.Error{
		Kind: token.Unavailable, Err: cause, RetryAfter: probeEvery,
		Msg: "The session store cannot be asked right now. Try again shortly.",
	}
}

// askClock is how often the store is asked for the time because a token seems to have
// expired, beside the pings.
const askClock = 250 * time.Millisecond

// misjudged reports whether the store's clock and this one are apart in another way
// than was known when a token seemed to have expired: one of them may have been
// changed a moment ago. Now and then it asks the store.
func (m *Manager) misjudged(ctx context.Context, known time.Duration) bool {
	now, last := m.now(), m.contact.asked.Load()
	if now-last >= int64(askClock) && m.contact.asked.CompareAndSwap(last, now) {
		var at time.Time
		err := m.ask(ctx, "time", func(ctx context.Context) (err error) {
			_, at, err = m.o.Throttle.Allow(ctx, nobody, nobody)
			return err
		})
		if err == nil {
			m.contact.skew.Store(int64(time.Since(at)))
		}
	}
	return (m.contact.aside() - known).Abs() > noticed
}

// nobody is the digest of no account and no address.
const nobody = "00000000000000000000000000000000"
