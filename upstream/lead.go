package upstream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Times of the lease protocol.
const (
	// storeTimeout is for one operation of the store; the store's own limits are
	// shorter.
	storeTimeout = 2 * time.Second
	// pollEvery is how often a follower asks whether the leader is done.
	pollEvery = 150 * time.Millisecond
	// fullAgain is when to ask again for a login where there are too many.
	fullAgain = 5 * time.Second
)

// patience is for how long a request waits for a renewal, and within what time a
// call that begins now has ended: as long as it may take, and a little for the
// store.
func (b *Backend) patience() time.Duration { return b.cfg.Limits.Call + storeTimeout }

// turn is one change of tokens under the lease.
type turn struct {
	h      *held
	holder string
	rec    Record
	by     time.Time // when a call that nobody may make a second time must have ended
}

// claim asks for tokens after the version seen, or for the lease to make one call.
func (b *Backend) claim(h *held, holder string, seen uint64) Claim {
	return Claim{
		Ref: h.ref, Holder: holder, Seen: seen, Lease: b.cfg.Limits.Lease, Call: b.patience(), With: b.with,
		Opens: h.own && h.takers.Load() > 0, Strict: b.strict(),
	}
}

// strict reports whether a refresh token is void once it is used.
func (b *Backend) strict() bool { return b.cfg.Dialect.Tokens.Rotates }

// lead gets tokens other than t: those that somebody stored meanwhile, or new
// ones from the backend, with the client's own credential g unless that is nil.
// One runs at a time for one held.
func (b *Backend) lead(h *held, t *tokens, g *token.Grant) (*tokens, error) {
	if err := b.settle(h); isDead(err) {
		return nil, err
	} else if err != nil {
		return nil, unavailable(msgStore, err, 0)
	}
	if b.voids(h) {
		h.quiet()
	}
	ctx, cancel := detached(b.patience())
	defer cancel()
	c := b.claim(h, rand.Text(), 0)
	if t != nil {
		c.Seen = t.version
	}
	for {
		news, by := h.news(), time.Now().Add(b.cfg.Limits.Call)
		ans, err := b.ask(ctx, c)
		if err != nil {
			return nil, unavailable(msgStore, err, 0)
		}
		switch ans.State {
		case Fresh:
			if next, err := b.names.open(h.ref, ans.Record); err == nil {
				h.pinned.Store(ans.Record.Pinned)
				b.adopt(h, next)
				return next, nil
			}
			c.Seen = ans.Record.Version // unreadable: as good as none
		case Lead:
			if rest := b.unsettled(); rest > 0 && pauseOr(ctx, news, rest) {
				continue
			}
			return b.leading(&turn{h, c.Holder, ans.Record, by}, g)
		case Doubt:
			if t != nil && t.phase(time.Now()) != phaseOver {
				e := unavailable(msgBusy, errDoubt, ans.Wait)
				h.rest(min(ans.Wait, firstBackOff), e)
				return nil, e
			}
			fallthrough
		case Wait:
			if !pauseOr(ctx, news, min(max(ans.Wait, time.Millisecond), pollEvery)) {
				return nil, unavailable(msgBusy, nil, ans.Wait)
			}
		case BackOff:
			e := unavailable(msgUnavailable, fmt.Errorf("after a login or renewal that failed, the backend is left alone for another %s", ans.Wait.Round(time.Second)), ans.Wait)
			h.rest(ans.Wait, e)
			return nil, e
		default: // Gone, Dead
			b.forget(h)
			return nil, report(dead, nil, 0)
		}
	}
}

// ask makes a claim. After an outage of the store, or when it may have lost its last
// writes, it only looks for a while, and what it might lead is in doubt.
func (b *Backend) ask(ctx context.Context, c Claim) (Answer, error) {
	wait := b.unsettled()
	if wait > 0 {
		c.Lease = 0
	}
	ans, err := b.cfg.Store.Acquire(ctx, c)
	b.outage.note(err)
	if err == nil && wait > 0 && ans.State == Dead {
		ans = Answer{State: Doubt, Wait: wait}
	}
	return ans, err
}

// errDoubt says why nothing is tried although nobody holds the lease.
var errDoubt = errors.New("a renewal whose gateway is gone may still be under way at the backend")

// leading makes the change that the lease is for, and keeps the lease meanwhile.
func (b *Backend) leading(n *turn, g *token.Grant) (*tokens, error) {
	leave, err := b.reserve(n)
	if err != nil {
		return nil, err
	}
	defer leave()
	done := make(chan struct{})
	defer close(done)
	b.crew.run(func() { b.keepLease(n, done) })
	switch {
	case n.h.own:
		return b.obtainOwn(n)
	case g != nil:
		return b.obtainWith(n, *g)
	}
	return b.obtain(n)
}

// keepLease renews the lease until done. One that is lost all the same ends
// nothing: the call goes on, and its commit counts if nobody else's came before.
func (b *Backend) keepLease(n *turn, done <-chan struct{}) {
	c := b.claim(n.h, n.holder, n.rec.Version)
	c.Call, c.Renew = 0, true
	tick := time.NewTicker(c.Lease / 3)
	defer tick.Stop()
	for {
		news := n.h.news()
		select {
		case <-done:
			return
		case <-tick.C:
		case <-news:
			if b.unsettled() > 0 { // the lease itself may be lost
				b.reclaim(b.claim(n.h, n.holder, n.rec.Version))
				continue
			}
		}
		ctx, cancel := detached(c.Lease / 3)
		if _, err := b.cfg.Store.Acquire(ctx, c); err != nil {
			b.log.Warn("a lease is not renewed: the store cannot be asked", "error", err)
		}
		cancel()
	}
}

// reclaim takes a lease again that the store may have lost, unless somebody else has
// it by now. If its change is over meanwhile the claim comes to nothing: there is
// another version, or a back off.
func (b *Backend) reclaim(c Claim) {
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	c.Strict = false // the call that is in doubt is this one
	if _, err := b.cfg.Store.Acquire(ctx, c); err != nil {
		b.log.Warn("a lease may be lost: the store cannot be asked", "error", err)
	}
}

// extend claims the lease anew for one more call.
func (b *Backend) extend(n *turn) (Answer, error) {
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	c := b.claim(n.h, n.holder, n.rec.Version)
	c.Renew = true
	n.by = time.Now().Add(b.cfg.Limits.Call)
	return b.cfg.Store.Acquire(ctx, c)
}

// obtain gets new tokens from the backend, under the lease: by the refresh
// token, or else by logging in.
func (b *Backend) obtain(n *turn) (*tokens, error) {
	old, err := b.newest(n)
	if err != nil {
		if !errors.Is(err, errNoTokens) {
			b.log.Error("stored tokens cannot be read", "error", err)
		}
		// A store that lost its data does not void what memory holds.
		if old = n.h.cur.Load(); b.shared == nil {
			old = nil
		}
	}
	if old != nil && !old.refresh.IsZero() && b.speaks(token.OpRefresh) {
		g := b.grant(token.OpRefresh)
		g.Refresh, g.Access = old.refresh, old.access
		next, _, err := b.exchange(g, n.by)
		switch {
		case err == nil:
			b.rec.UpstreamRenewal(b.cfg.Name, "ok")
			if next.refresh.IsZero() {
				next.refresh = old.refresh
			}
			return b.keep(n, next)
		case classify(token.OpRefresh, err) != dead && !b.hopeless(old, err):
			b.rec.UpstreamRenewal(b.cfg.Name, "unavailable")
			return nil, b.fail(n, err)
		}
		b.rec.UpstreamRenewal(b.cfg.Name, "dead")
	}
	return b.replace(n)
}

// newest returns the last tokens that there are: those under the lease, or those
// in memory where the store lost their commit, in a failover say. Of an account's
// it may have lost all, and have got others by a login since, so that those in
// memory are preferred for as long as they are good only.
func (b *Backend) newest(n *turn) (*tokens, error) {
	t := n.h.cur.Load()
	if t != nil && t.version > n.rec.Version && (n.h != b.shared || t.phase(time.Now()) != phaseOver) {
		return t, nil
	}
	return b.names.open(n.h.ref, n.rec)
}

// replace gets tokens where the old ones can bring none: by logging in, if the
// gateway may.
func (b *Backend) replace(n *turn) (*tokens, error) {
	next, err := b.overtaken(n)
	switch {
	case next != nil || err != nil:
		return next, err
	case b.shared == nil:
		return nil, b.die(n, nil)
	}
	return b.login(n)
}

// overtaken makes sure, before tokens are given up, that nobody else has stored new
// ones meanwhile, which may be why the old ones are no good, and that nobody is
// about to. It returns those tokens, or nothing if there are none.
func (b *Backend) overtaken(n *turn) (*tokens, error) {
	for {
		ans, err := b.extend(n)
		switch {
		case err != nil:
			return nil, unavailable(msgStore, err, 0)
		case ans.State == Fresh:
			next, err := b.names.open(n.h.ref, ans.Record)
			if err != nil {
				return nil, unavailable(msgBusy, err, 0)
			}
			n.h.pinned.Store(ans.Record.Pinned)
			b.adopt(n.h, next)
			return next, nil
		case ans.State == Gone:
			b.forget(n.h)
			return nil, report(dead, nil, 0)
		case ans.State != Lead:
			return nil, unavailable(msgBusy, nil, ans.Wait)
		case ans.Wait == 0:
			return nil, nil
		}
		if !b.pauseUnlessDraining(context.Background(), min(ans.Wait, pollEvery)) {
			return nil, unavailable(msgBusy, errDraining, 0)
		}
	}
}

// hopeless reports whether the shared account had better log in although the
// backend did not say in its exact words that the refresh token is no good: it
// answered 401, and there is no access token left to go on with.
func (b *Backend) hopeless(old *tokens, err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.status == http.StatusUnauthorized && b.shared != nil && old.phase(time.Now()) == phaseOver
}

// exchange makes one call that answers tokens, and perhaps whose they are. It ends
// by the given time, unless that is zero; a process that was stopped in between
// does not begin it any more.
func (b *Backend) exchange(g token.Grant, by time.Time) (*tokens, token.Identity, error) {
	ctx, cancel := detached(b.cfg.Limits.Call)
	defer cancel()
	if !by.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, by)
		defer cancel()
	}
	began := time.Now()
	set, err := b.speak(ctx, g)
	if err != nil {
		return nil, token.Identity{}, err
	}
	t, err := tokensOf(set, began)
	return t, set.Identity, err
}

// login logs the account in, for all clients or for the one that n.h belongs to.
// The attempt is counted before it is made.
func (b *Backend) login(n *turn) (*tokens, error) {
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	if err := b.enter(ctx, n.h.ref.Owner, b.firstLook(n.h)); err != nil {
		b.release(Release{Ref: n.h.ref, Holder: n.holder, With: b.with})
		return nil, err
	}
	g := b.grant(token.OpLogin)
	s := &signIn{turn: n, grant: g, open: b.attempt(g)}
	if err := b.begin(ctx, n, s.open); err != nil {
		return nil, err
	}
	next, _, err := b.exchange(g, time.Time{})
	if c := challengeIn(err); c != nil {
		next, err = b.prove(s, *c, err)
	}
	if err == nil && b.cfg.Account.ApplicationToken {
		next, err = b.applicationToken(next)
	}
	if err == nil {
		b.rec.UpstreamLogin(b.cfg.Name, "ok")
		b.log.Info("logged in at the backend")
		if n.h != b.shared { // else the commit clears the count
			b.conclude(s.open, Accepted)
		}
		return b.keep(n, next)
	}
	c := loginClass(err)
	b.rec.UpstreamLogin(b.cfg.Name, loginOutcome(c))
	b.conclude(s.open, c.trial())
	return nil, b.fail(n, err)
}

// enter makes an owner one of those who are logged in at the backend, with when to
// look at it, before the login is made. The error says that there are enough.
func (b *Backend) enter(ctx context.Context, owner string, in time.Duration) error {
	limit := b.cfg.Limits.Sessions
	ok, err := b.cfg.Duties.Enter(ctx, Duty{Backend: b.cfg.Name, Pool: b.pool, Owner: owner, In: in}, limit)
	switch {
	case err != nil:
		return unavailable(msgStore, err, 0)
	case ok:
		return nil
	}
	b.rec.UpstreamLogin(b.cfg.Name, "full")
	if b.alarm.due() {
		b.log.Error("no login is made: as many sessions are open at the backend as max_sessions allows", "max_sessions", limit,
			"remedy", "wait until some end, end some with gatehouse sessions, or raise max_sessions if the backend takes more")
	}
	return unavailable(msgFull, nil, fullAgain)
}

// firstLook is when to look at tokens after the login that is about to be made
// for them: a client's own are looked at all the time once they are there.
func (b *Backend) firstLook(h *held) time.Duration {
	if h.own {
		return 2 * b.patience()
	}
	return KeepUnused
}

// applicationToken trades the tokens of a login for one that never expires.
func (b *Backend) applicationToken(t *tokens) (*tokens, error) {
	g := b.grant(token.OpApplicationToken)
	g.Refresh = t.refresh
	ctx, cancel := detached(b.cfg.Limits.Call)
	defer cancel()
	set, err := b.speak(ctx, g)
	if err != nil {
		return nil, err
	}
	return tokensOf(token.Set{Access: set.Access}, time.Now())
}

// fail ends a flight that the backend did not answer as hoped, and has the
// backend left alone for a while.
func (b *Backend) fail(n *turn, err error) error {
	c := loginClass(err)
	wait, level := max(backOff(n.rec.Failures+1), asked(err)), slog.LevelWarn
	if c != transient {
		wait, level = max(wait, maxBackOff), slog.LevelError
		err = fmt.Errorf("%s: %w", trim(report(c, err, 0).Msg), err)
	}
	b.log.Log(context.Background(), level, "no new tokens from the backend", "error", err, "again_in", wait.Round(time.Second).String())
	b.release(Release{Ref: n.h.ref, Holder: n.holder, BackOff: wait, With: b.with})
	e := report(c, err, wait)
	n.h.rest(wait, e)
	return e
}

// die ends a client's backend session that cannot be renewed any more, because of
// cause, which may be nil. What was pinned to it is lost.
func (b *Backend) die(n *turn, cause error) error {
	b.log.Info("a backend session is over", "owner", n.h.ref.Owner[:6])
	if n.rec.Pinned {
		b.lose(n.h, cause)
	}
	b.release(Release{Ref: n.h.ref, Holder: n.holder, Version: n.rec.Version, Outcome: Died})
	b.forget(n.h)
	return report(dead, nil, 0)
}

// release gives a lease back. Where the store cannot be told, the lease ends by
// itself.
func (b *Backend) release(r Release) {
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	if err := b.cfg.Store.Release(ctx, r); err != nil {
		b.log.Warn("lease is left to run out", "error", err)
	}
}
