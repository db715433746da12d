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
)

// lease covers one call to the backend and the commit after it, so that when it
// is over no call made under it is still under way.
func (b *Backend) lease() time.Duration { return b.cfg.CallTimeout + storeTimeout }

// lead gets tokens other than t: those that somebody stored meanwhile, or new
// ones from the backend, with the client's own credential g unless that is nil.
// One runs at a time for one held.
func (b *Backend) lead(h *held, t *tokens, g *token.Grant) (*tokens, error) {
	if err := b.settle(h); isDead(err) {
		return nil, err
	} else if err != nil {
		return nil, unavailable(msgStore, err, 0)
	}
	if h.own {
		h.quiet()
	}
	ctx, cancel := detached(b.patience())
	defer cancel()
	c := Claim{Ref: h.ref, Holder: rand.Text(), Lease: b.lease(), With: b.with, Opens: h.own && h.takers.Load() > 0}
	if t != nil {
		c.Seen = t.version
	}
	for {
		ans, err := b.cfg.Store.Acquire(ctx, c)
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
			switch {
			case h.own:
				return b.obtainOwn(h, c.Holder, ans.Record)
			case g != nil:
				return b.obtainWith(h, c.Holder, ans.Record, *g)
			}
			return b.obtain(h, c.Holder, ans.Record)
		case Wait:
			if !pause(ctx, min(max(ans.Wait, time.Millisecond), pollEvery)) {
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

// obtain gets new tokens from the backend, under the lease: by the refresh
// token, or else by logging in.
func (b *Backend) obtain(h *held, holder string, rec Record) (*tokens, error) {
	old, err := b.names.open(h.ref, rec)
	if err != nil {
		if !errors.Is(err, errNoTokens) {
			b.log.Error("stored tokens cannot be read", "error", err)
		}
		// A store that lost its data does not void what memory holds.
		if old = h.cur.Load(); b.shared == nil {
			old = nil
		}
	}
	if old != nil && !old.refresh.IsZero() && b.speaks(token.OpRefresh) {
		g := b.grant(token.OpRefresh)
		g.Refresh, g.Access = old.refresh, old.access
		next, _, err := b.exchange(g)
		switch {
		case err == nil:
			b.rec.UpstreamRenewal(b.cfg.Name, "ok")
			if next.refresh.IsZero() {
				next.refresh = old.refresh
			}
			return b.keep(h, holder, rec.Version, next)
		case classify(token.OpRefresh, err) != dead && !b.hopeless(old, err):
			b.rec.UpstreamRenewal(b.cfg.Name, "unavailable")
			return nil, b.fail(h, holder, rec.Failures, err)
		}
		b.rec.UpstreamRenewal(b.cfg.Name, "dead")
	}
	return b.replace(h, holder, rec)
}

// replace gets tokens where the old ones can bring none: by logging in, if the
// gateway may. It first makes sure that nobody else has stored new ones
// meanwhile, which may be why the old ones are no good.
func (b *Backend) replace(h *held, holder string, rec Record) (*tokens, error) {
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	ans, err := b.cfg.Store.Acquire(ctx, Claim{Ref: h.ref, Holder: holder, Seen: rec.Version, Lease: b.lease(), With: b.with})
	switch {
	case err != nil:
		return nil, unavailable(msgStore, err, 0)
	case ans.State == Fresh:
		next, err := b.names.open(h.ref, ans.Record)
		if err != nil {
			return nil, unavailable(msgBusy, err, 0)
		}
		b.adopt(h, next)
		return next, nil
	case ans.State == Wait:
		return nil, unavailable(msgBusy, nil, ans.Wait)
	case b.shared == nil:
		return nil, b.die(h, holder, rec, nil)
	}
	return b.login(h, holder, rec)
}

// hopeless reports whether the shared account had better log in although the
// backend did not say in its exact words that the refresh token is no good: it
// answered 401, and there is no access token left to go on with.
func (b *Backend) hopeless(old *tokens, err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.status == http.StatusUnauthorized && b.shared != nil && old.phase(time.Now()) == phaseOver
}

// exchange makes one call that answers tokens, and perhaps whose they are.
func (b *Backend) exchange(g token.Grant) (*tokens, token.Identity, error) {
	ctx, cancel := detached(b.cfg.CallTimeout)
	defer cancel()
	began := time.Now()
	set, err := b.speak(ctx, g)
	if err != nil {
		return nil, token.Identity{}, err
	}
	t, err := tokensOf(set, began)
	return t, set.Identity, err
}

// login logs the account in, for all clients or for the one that h belongs to.
// The attempt is counted before it is made.
func (b *Backend) login(h *held, holder string, rec Record) (*tokens, error) {
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	if err := b.cfg.Duties.Add(ctx, b.cfg.Name, b.pool, h.ref.Owner, b.firstLook(h)); err != nil {
		return nil, unavailable(msgStore, err, 0)
	}
	g := b.grant(token.OpLogin)
	s := &signIn{h: h, holder: holder, rec: rec, grant: g, open: b.attempt(g)}
	if err := b.begin(ctx, h, holder, s.open); err != nil {
		return nil, err
	}
	next, _, err := b.exchange(g)
	if c := challengeIn(err); c != nil {
		next, err = b.prove(s, *c, err)
	}
	if err == nil && b.cfg.Account.ApplicationToken {
		next, err = b.applicationToken(next)
	}
	if err == nil {
		b.rec.UpstreamLogin(b.cfg.Name, "ok")
		b.log.Info("logged in at the backend")
		if h != b.shared { // else the commit clears the count
			b.conclude(s.open, Accepted)
		}
		return b.keep(h, holder, rec.Version, next)
	}
	c := loginClass(err)
	b.rec.UpstreamLogin(b.cfg.Name, loginOutcome(c))
	b.conclude(s.open, c.trial())
	return nil, b.fail(h, holder, rec.Failures, err)
}

// firstLook is when to look at tokens after the login that is about to be made
// for them: a client's own are looked at all the time once they are there.
func (b *Backend) firstLook(h *held) time.Duration {
	if h.own {
		return 2 * b.lease()
	}
	return KeepUnused
}

// applicationToken trades the tokens of a login for one that never expires.
func (b *Backend) applicationToken(t *tokens) (*tokens, error) {
	g := b.grant(token.OpApplicationToken)
	g.Refresh = t.refresh
	ctx, cancel := detached(b.cfg.CallTimeout)
	defer cancel()
	set, err := b.speak(ctx, g)
	if err != nil {
		return nil, err
	}
	return tokensOf(token.Set{Access: set.Access}, time.Now())
}

// fail ends a flight that the backend did not answer as hoped, and has the
// backend left alone for a while.
func (b *Backend) fail(h *held, holder string, failures int, err error) error {
	c := loginClass(err)
	wait, level := max(backOff(failures+1), asked(err)), slog.LevelWarn
	if c != transient {
		wait, level = max(wait, maxBackOff), slog.LevelError
		err = fmt.Errorf("%s: %w", trim(report(c, err, 0).Msg), err)
	}
	b.log.Log(context.Background(), level, "no new tokens from the backend", "error", err, "again_in", wait.Round(time.Second).String())
	b.release(Release{Ref: h.ref, Holder: holder, BackOff: wait, With: b.with})
	e := report(c, err, wait)
	h.rest(wait, e)
	return e
}

// die ends a client's backend session that cannot be renewed any more, because of
// cause, which may be nil. What was pinned to it is lost.
func (b *Backend) die(h *held, holder string, rec Record, cause error) error {
	b.log.Info("a backend session is over", "owner", h.ref.Owner[:6])
	if rec.Pinned {
		b.lose(h, cause)
	}
	b.release(Release{Ref: h.ref, Holder: holder, Version: rec.Version, Outcome: Died})
	b.forget(h)
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
