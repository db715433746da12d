package upstream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
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
// ones from the backend. One runs at a time for one held.
func (b *Backend) lead(h *held, t *tokens) (*tokens, error) {
	if err := b.settle(h); isDead(err) {
		return nil, err
	} else if err != nil {
		return nil, unavailable(msgStore, err, 0)
	}
	ctx, cancel := detached(b.patience())
	defer cancel()
	c := Claim{Ref: h.ref, Holder: rand.Text(), Lease: b.lease(), With: b.with}
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
				b.adopt(h, next)
				return next, nil
			}
			c.Seen = ans.Record.Version // unreadable: as good as none
		case Lead:
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
	if old != nil && !old.refresh.IsZero() && b.cfg.Dialect.Call(token.OpRefresh) != nil {
		next, _, err := b.exchange(token.Grant{Op: token.OpRefresh, Refresh: old.refresh, Access: old.access})
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
		return nil, b.die(h, holder, rec.Version)
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

// login logs the shared account in. The attempt is counted before it is made.
func (b *Backend) login(h *held, holder string, rec Record) (*tokens, error) {
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	if err := b.cfg.Duties.Add(ctx, b.cfg.Name, b.pool, h.ref.Owner, KeepUnused); err != nil {
		return nil, unavailable(msgStore, err, 0)
	}
	g := token.Grant{Op: token.OpLogin, Username: b.cfg.Account.Username, Password: b.cfg.Account.Password}
	a := Attempt{Ref: h.ref, ID: rand.Text(), Digest: b.names.digest(g), Window: b.lease(), Keep: KeepUnused}
	if err := b.begin(ctx, h, holder, a); err != nil {
		return nil, err
	}
	next, _, err := b.exchange(g)
	if err == nil {
		b.rec.UpstreamLogin(b.cfg.Name, "ok")
		b.log.Info("logged in at the backend")
		return b.keep(h, holder, rec.Version, next) // its commit clears the count
	}
	c := classify(token.OpLogin, err)
	b.rec.UpstreamLogin(b.cfg.Name, loginOutcome(c))
	b.conclude(a, c.trial())
	return nil, b.fail(h, holder, rec.Failures, err)
}

// begin counts an attempt; the error says that it must not be made now.
func (b *Backend) begin(ctx context.Context, h *held, holder string, a Attempt) error {
	ans, err := b.cfg.Store.Attempt(ctx, a)
	switch {
	case err != nil:
		return unavailable(msgStore, err, 0)
	case ans.State == Done:
		return nil
	case ans.State == Wait: // left open by a process that is gone
		e := unavailable(msgUnavailable, nil, ans.Wait)
		b.release(Release{Ref: h.ref, Holder: holder, BackOff: ans.Wait, With: b.with})
		h.rest(ans.Wait, e)
		return e
	}
	b.rec.UpstreamLogin(b.cfg.Name, "stopped")
	b.log.Error("no login is tried: the backend refused this account's password before",
		"remedy", "put the right user name and password in the configuration; a changed one is tried at once")
	e := report(rejected, nil, 0)
	b.release(Release{Ref: h.ref, Holder: holder, BackOff: maxBackOff, With: b.with})
	h.rest(maxBackOff, e)
	return e
}

// conclude says how an attempt ended. If the store cannot be told, the attempt
// stays open and counts as rejected in the end.
func (b *Backend) conclude(a Attempt, how Trial) {
	a.Trial = how
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	if _, err := b.cfg.Store.Attempt(ctx, a); err != nil {
		b.log.Warn("login attempt stays open in the store", "error", err)
	}
}

// trial returns how an attempt ends that failed so.
func (c class) trial() Trial {
	if c == rejected {
		return Rejected
	}
	return Void
}

func loginOutcome(c class) string {
	switch c {
	case rejected:
		return "rejected"
	case localOff:
		return "local_auth_off"
	}
	return "unavailable"
}

// fail ends a flight that the backend did not answer as hoped, and has the
// backend left alone for a while.
func (b *Backend) fail(h *held, holder string, failures int, err error) error {
	c := transient
	if r, ok := errors.AsType[*refusal](err); ok && r.op == token.OpLogin {
		c = classify(token.OpLogin, err)
	}
	wait, level := max(backOff(failures+1), asked(err)), slog.LevelWarn
	if c != transient {
		wait, level = max(wait, maxBackOff), slog.LevelError
		err = fmt.Errorf("%s: %w", strings.TrimSuffix(report(c, nil, 0).Msg, "."), err)
	}
	b.log.Log(context.Background(), level, "no new tokens from the backend", "error", err, "again_in", wait.Round(time.Second).String())
	b.release(Release{Ref: h.ref, Holder: holder, BackOff: wait, With: b.with})
	e := report(c, err, wait)
	h.rest(wait, e)
	return e
}

// die ends a pass-through backend session that cannot be renewed any more.
func (b *Backend) die(h *held, holder string, version uint64) error {
	b.log.Info("a backend session is over", "owner", h.ref.Owner[:6])
	b.release(Release{Ref: h.ref, Holder: holder, Version: version, Outcome: Died})
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
