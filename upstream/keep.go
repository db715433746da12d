package upstream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Times of offers to a store that cannot be asked.
const (
	keepTrying = 24 * time.Hour
	// offerEvery is short: whoever asks the store first once it is back, and finds
	// the tokens before, renews those, which the backend has voided.
	offerEvery = time.Second
)

// keep stores new tokens and makes them current. When the store cannot be
// asked they are used from memory all the same, since the old ones may be void
// by now, and stored as soon as it can.
func (b *Backend) keep(n *turn, t *tokens) (*tokens, error) {
	h := n.h
	t.version, t.attempt = n.rec.Version+1, rand.Text()
	c := &Commit{Ref: h.ref, Attempt: t.attempt, Holder: n.holder, Record: b.names.seal(h.ref, t)}
	c.Record.Pinned = h.pinned.Load() // the store knows better; the journal does not
	stored, ans, err := b.put(*c, t)
	if err != nil {
		b.log.Warn("new tokens are kept in memory: the store cannot be asked", "error", err)
		h.mu.Lock()
		h.pending = c
		h.mu.Unlock()
		b.adopt(h, t)
		b.crew.run(func() { b.offer(h) })
		return t, nil
	}
	if ans.State == Gone { // nobody is to present the tokens that these have voided
		b.release(Release{Ref: h.ref, Holder: n.holder, Version: n.rec.Version, Outcome: Died})
	}
	return b.kept(h, stored, ans)
}

// put commits t, behind whatever version is stored: a store that lost commits, in
// a failover say, has tokens that came before t. It returns t under the version
// that it was stored with.
func (b *Backend) put(c Commit, t *tokens) (*tokens, Answer, error) {
	for first := c.Attempt; ; {
		ans, err := b.commit(c)
		if err != nil || !behind(ans, c) {
			if err == nil {
				t.stored.Store(time.Now().UnixNano())
			}
			return t, ans, err
		}
		b.log.Warn("the store lost tokens of this backend; those after them are stored anew", "stored", ans.Record.Version, "here", c.Record.Version)
		t = t.as(ans.Record.Version + 1)
		pinned := c.Record.Pinned
		t.attempt = fmt.Sprint(first, ".", t.version) // the same for all who do this at once
		c.Attempt, c.Record = t.attempt, b.names.seal(c.Ref, t)
		c.Record.Pinned = pinned
	}
}

// behind reports whether the store has only what came before a commit, and not the
// version that it follows.
func behind(ans Answer, c Commit) bool {
	return ans.State == Stale && ans.Record.Version < c.Record.Version
}

// commit offers new tokens to the store. They are in the journal until it
// answers.
func (b *Backend) commit(c Commit) (Answer, error) {
	b.book.write(c)
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	ans, err := b.cfg.Store.Commit(ctx, c)
	if err == nil && !behind(ans, c) {
		b.book.done(c)
	}
	return ans, err
}

// kept acts on the answer to a commit of t. Tokens that lost to others, or whose
// session is gone, are logged out again. Not so where a later version is stored:
// they may have won, if the answer to an earlier try was lost, and been renewed
// since, so that a logout could end what goes on with their successors.
func (b *Backend) kept(h *held, t *tokens, ans Answer) (*tokens, error) {
	if ans.State == Done {
		b.adopt(h, t)
		b.tell(Notice{Ref: h.ref, Version: t.version})
		if h.own {
			b.postpone(h.ref.Owner, b.watchEvery())
		}
		return t, nil
	}
	pinned := h.pinned.Load() && ans.State == Gone // else it is pinned to the others
	if ans.State == Gone || ans.State == Stale && ans.Record.Version == t.version {
		b.crew.run(func() { b.discard(t, pinned) })
	}
	if ans.State == Stale || ans.State == Fresh {
		other, err := b.names.open(h.ref, ans.Record)
		if err != nil {
			return nil, unavailable(msgBusy, err, 0)
		}
		h.pinned.Store(ans.Record.Pinned)
		b.adopt(h, other)
		return other, nil
	}
	b.forget(h)
	return nil, report(dead, nil, 0)
}

// discard logs out tokens that nobody will use, and gives back what is pinned to
// them.
func (b *Backend) discard(t *tokens, pinned bool) {
	if err := b.leave(t, pinned); err != nil {
		b.log.Warn("unused tokens stay logged in until they expire", "error", err)
	}
}

// settle stores what the store could not take before, if there is such.
func (b *Backend) settle(h *held) error {
	h.settling <- struct{}{}
	defer func() { <-h.settling }()
	h.mu.Lock()
	c := h.pending
	h.mu.Unlock()
	if c == nil {
		return nil
	}
	t := h.cur.Load()
	if t == nil || t.version != c.Record.Version {
		h.settled(c)
		b.book.done(*c)
		return nil
	}
	again := *c
	again.Record = b.names.seal(h.ref, t) // what is left of its life is less now
	t, ans, err := b.put(again, t)
	if err != nil {
		return err
	}
	h.settled(c)
	_, err = b.kept(h, t, ans)
	return err
}

func (h *held) settled(c *Commit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pending == c {
		h.pending = nil
	}
}

// offer tries to store pending tokens until it succeeds, the process drains, or
// it has been long enough. A store that hangs is tried by one at a time.
func (b *Backend) offer(h *held) {
	ctx, cancel := detached(keepTrying)
	defer cancel()
	for {
		more := b.pauseUnlessDraining(ctx, offerEvery)
		b.offering <- struct{}{}
		err := b.settle(h)
		<-b.offering
		if err == nil || isDead(err) {
			return
		}
		if !more {
			b.log.Error("tokens were never stored: after a restart they have to be had anew")
			return
		}
	}
}

// pauseUnlessDraining waits, and reports whether there is time to go on.
func (b *Backend) pauseUnlessDraining(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-b.draining:
		return false
	case <-ctx.Done():
		return false
	}
}

// logout ends tokens at the backend. If the access token has expired it is
// renewed for that, since the refresh token would live on. What the backend
// refuses is over already.
func (b *Backend) logout(t *tokens) error {
	op := token.OpLogout
	if !b.speaks(op) {
		op = token.OpRevoke
	}
	if !b.speaks(op) {
		return nil
	}
	if t.phase(time.Now()) == phaseOver {
		if t.refresh.IsZero() || !b.speaks(token.OpRefresh) {
			return nil
		}
		g := b.grant(token.OpRefresh)
		g.Refresh, g.Access = t.refresh, t.access
		next, _, err := b.exchange(g, time.Time{})
		if err != nil {
			return over(err)
		}
		if next.refresh.IsZero() {
			next.refresh = t.refresh
		}
		t = next
	}
	ctx, cancel := detached(b.cfg.Limits.Call)
	defer cancel()
	g := b.grant(op)
	g.Access, g.Refresh = t.access, t.refresh
	_, err := b.speak(ctx, g)
	return over(err)
}

// over returns nil where a failed logout leaves nothing to be logged out: the
// backend knows the token no more.
func over(err error) error {
	if r, ok := errors.AsType[*refusal](err); ok && final(r) {
		return nil
	}
	return err
}
