package upstream

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// A client session that takes a pin at a backend with an account gets a backend
// session of its own, beside the shared one: the account logs in once more. While
// something is pinned to it, it is renewed by whichever process finds that due;
// afterwards it serves to its end.

// Parts reports whether client sessions may have backend sessions of their own
// beside the account's shared one. Then End must be told of every one that ends.
func (b *Backend) Parts() bool { return b.mode() == modeShared && b.cfg.Dialect.Pin != nil }

// part returns the backend session that a request of a client session is made
// with, and tokens that may be sent: its own if there is one or it takes a pin,
// else the shared one.
func (b *Backend) part(ctx context.Context, sid token.SID, take bool) (*held, *tokens, error) {
	h := b.ownOf(ctx, sid)
	if h == nil && take {
		h = b.client(sid)
	}
	if h == nil {
		t, err := b.current(ctx, b.shared)
		return b.shared, t, err
	}
	t, err := b.currentOwn(ctx, h)
	if err == nil || take || ctx.Err() != nil {
		return h, t, err
	}
	t, err = b.current(ctx, b.shared)
	return b.shared, t, err
}

// ownOf returns what a client session has of its own, or nil. What memory does not
// have the store is asked for, every time: another process may have opened it a
// moment ago. While the store cannot be asked the shared one has to do.
func (b *Backend) ownOf(ctx context.Context, sid token.SID) *held {
	if sid.IsZero() {
		return nil
	}
	now := time.Now()
	if h := b.inMemory(sid); h != nil {
		if t := h.cur.Load(); t != nil && (h.pinned.Load() || t.phase(now) != phaseOver) {
			return h
		}
	}
	if now.UnixNano() < b.blind.Load() {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	ans, err := b.cfg.Store.Acquire(asking, Claim{Ref: b.refOf(sid), Holder: rand.Text(), With: b.with})
	switch {
	case err != nil && ctx.Err() == nil:
		b.blind.Store(now.Add(firstBackOff).UnixNano())
		if b.alarm.due() {
			b.log.Warn("the store cannot be asked for clients' own backend sessions: the shared one is used", "error", err)
		}
		return nil
	case err != nil || ans.State != Fresh:
		return nil
	}
	t, err := b.names.open(b.refOf(sid), ans.Record)
	if err != nil || !ans.Record.Pinned && t.phase(now) == phaseOver {
		return nil
	}
	return b.learn(sid, t, ans.Record.Pinned)
}

// learn takes over what the store has of a client session's own.
func (b *Backend) learn(sid token.SID, t *tokens, pinned bool) *held {
	h := b.client(sid)
	if now := h.cur.Load(); now == nil || now.version < t.version {
		h.cur.CompareAndSwap(now, t)
	}
	h.pinned.Store(pinned)
	return h
}

// currentOwn returns tokens of a client's own that may be sent. Renewing them
// voids the old ones, so from the time on when they are to be renewed a request
// waits for that. The error is InvalidAccess when there are none any more.
func (b *Backend) currentOwn(ctx context.Context, h *held) (*tokens, error) {
	t := h.cur.Load()
	if t != nil {
		p := t.phase(time.Now())
		switch renews := b.canRenew(h, t); {
		case p == phaseGood, !renews && p != phaseOver:
			return t, nil
		case !renews:
			return nil, report(dead, nil, 0)
		}
	}
	return b.await(ctx, h, t)
}

// obtainOwn gets new tokens for a client's own backend session, under the lease.
// Those that something is pinned to are renewed by themselves; if that cannot be,
// the pin is lost. Only a request that takes a pin has others made by a login.
func (b *Backend) obtainOwn(n *turn) (*tokens, error) {
	h := n.h
	old, err := b.newest(n)
	switch {
	case err == nil && n.rec.Pinned:
		var next *tokens
		if next, err = b.successor(old, n.by); err == nil {
			b.rec.UpstreamRenewal(b.cfg.Name, "ok")
			return b.keep(n, next)
		}
		if !ends(err) {
			b.rec.UpstreamRenewal(b.cfg.Name, "unavailable")
			return nil, b.fail(n, err)
		}
		b.rec.UpstreamRenewal(b.cfg.Name, "dead")
	case err != nil && !errors.Is(err, errNoTokens):
		b.log.Error("stored tokens cannot be read", "error", err)
	}
	if next, lost := b.overtaken(n); next != nil || lost != nil {
		return next, lost
	}
	if h.takers.Load() == 0 {
		return nil, b.die(n, err)
	}
	if n.rec.Pinned {
		b.lose(h, err)
		b.unpin(h)
	}
	return b.login(n)
}

// quietFor is for how long a renewal that voids the old token waits for requests
// under way that could not be made again with the new one.
const quietFor = 2 * time.Second

// voids reports whether a renewal ends the tokens before it, so that requests which
// cannot be made again must not be under way meanwhile.
func (b *Backend) voids(h *held) bool { return h.own || b.cfg.Dialect.Tokens.VoidsAccess }

// abide returns the tokens for a request that cannot be made again, when no renewal
// is under way that would void them; done tells the next renewal that it is over.
// Tokens that are good are sent in the end whatever became of the renewal.
func (b *Backend) abide(ctx context.Context, h *held, t *tokens) (now *tokens, done func(), err error) {
	for {
		h.mu.Lock()
		f := h.flight
		if f == nil {
			h.fixed.Add(1)
		}
		h.mu.Unlock()
		if f == nil {
			return t, func() { h.fixed.Add(-1) }, nil
		}
		next, err := b.landing(ctx, f)
		switch {
		case err == nil:
			t = next
		case ctx.Err() != nil || isDead(err) || t.phase(time.Now()) == phaseOver:
			return nil, nil, err
		case h.flying():
			return t, func() {}, nil
		}
	}
}

// quiet waits until no such request is under way, or for long enough.
func (h *held) quiet() {
	for end := time.Now().Add(quietFor); h.fixed.Load() > 0 && time.Now().Before(end); {
		<-time.After(quietFor / 100)
	}
}

// errExpired says that there is no token left to be renewed.
var errExpired = errors.New("the access token has expired")

// errStopped says that the account's password is not tried any more.
var errStopped = errors.New("the backend refused this account's password before, so it is not sent again")

// successor renews an access token by itself and the account's password, so that
// what is pinned to it goes over to the new one. The password counts as an attempt
// that nothing is concluded from: the backend may have refused the token.
func (b *Backend) successor(old *tokens, by time.Time) (*tokens, error) {
	if old.phase(time.Now()) == phaseOver || !b.speaks(token.OpRenew) {
		return nil, errExpired
	}
	g := b.grant(token.OpRenew)
	g.Access = old.access
	a := b.attempt(g)
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	switch ans, err := b.cfg.Store.Attempt(ctx, a); {
	case err != nil:
		return nil, err
	case ans.State == Wait:
		return nil, errors.New("login attempts of this account are under way")
	case ans.State != Done:
		return nil, errStopped
	}
	next, _, err := b.exchange(g, by)
	how := Void
	if err == nil {
		how = Accepted
	}
	b.conclude(a, how)
	return next, err
}

// ends reports whether a renewal by password failed for good.
func ends(err error) bool {
	if errors.Is(err, errExpired) {
		return true
	}
	c := classify(token.OpRenew, err)
	return c == rejected || c == dead || c == localOff
}

// watchEvery is when to look again at what is looked at in every sweep: a little
// earlier, so that none misses it.
func (b *Backend) watchEvery() time.Duration { return b.cfg.Limits.Sweep * 9 / 10 }

// attend looks at the backend session of an owner that lives: it has those
// renewed that something is pinned to, and says when to look again.
func (b *Backend) attend(r Ref, ans Answer) {
	again := stillAlive(ans.Wait)
	if ans.Record.Pinned {
		again = min(again, b.watchEvery()) // the session may end at any time
	}
	sid, err := token.ParseSID(r.Owner)
	if err != nil || !b.Parts() {
		b.postpone(r.Owner, again)
		return
	}
	t, err := b.names.open(r, ans.Record)
	if !ans.Record.Pinned && (err != nil || t.phase(time.Now()) == phaseOver) {
		b.excuse(r.Owner)
		return
	}
	b.postpone(r.Owner, b.watchEvery())
	if !ans.Record.Pinned {
		return
	}
	if err != nil {
		b.join(b.client(sid), nil)
		return
	}
	h := b.learn(sid, t, true)
	if now := h.cur.Load(); now != nil && now.phase(time.Now()) != phaseGood {
		b.join(h, now)
	}
}
