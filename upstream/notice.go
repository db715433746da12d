package upstream

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// tell has every process hear of a commit. Nothing waits for it: who does not hear
// finds out by asking.
func (b *Backend) tell(n Notice) {
	if b.cfg.Notices == nil {
		return
	}
	b.crew.run(func() {
		ctx, cancel := detached(storeTimeout)
		defer cancel()
		if err := b.cfg.Notices.Tell(ctx, n); err != nil && b.alarm.due() {
			b.log.Warn("new tokens are not announced: the others find them by asking", "error", err)
		}
	})
}

// heard takes a notice: who waits for tokens looks at once, and older tokens in
// memory make room for the new ones.
func (b *Backend) heard(n Notice) {
	if n.Lost {
		b.shaken.Store(time.Now().Add(b.cfg.Limits.Lease / 2).UnixNano())
		for _, h := range b.all() {
			h.ring()
		}
		b.crew.run(b.offerAgain)
		return
	}
	h := b.find(n.Ref)
	if h == nil {
		return
	}
	h.ring()
	if n.Version == 0 {
		h.unrest()
		return
	}
	if t := h.cur.Load(); t != nil && t.version < n.Version && !h.flying() {
		b.crew.run(func() { b.look(h, t) })
	}
}

// find returns what this process holds of a backend session, or nil.
func (b *Backend) find(r Ref) *held {
	switch {
	case r.Backend != b.cfg.Name:
		return nil
	case b.shared != nil && b.shared.ref == r:
		return b.shared
	}
	sid, err := token.ParseSID(r.Owner)
	if err != nil {
		return nil
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.clients[sid]
}

// look takes tokens newer than t from the store. If they cannot be had, t stays:
// the backend will say whether it is good.
func (b *Backend) look(h *held, t *tokens) {
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	ans, err := b.cfg.Store.Acquire(ctx, Claim{Ref: h.ref, Holder: rand.Text(), Seen: t.version, With: b.with})
	if err != nil || ans.State != Fresh {
		return
	}
	next, err := b.names.open(h.ref, ans.Record)
	if err != nil || !h.cur.CompareAndSwap(t, next) {
		return
	}
	h.pinned.Store(ans.Record.Pinned)
	b.tellExpiry(h, next)
}

// recently is for how long tokens that the store has taken are offered to it again
// once it may have lost its last writes.
const recently = time.Minute

// offerAgain stores the last commits of this process again, where the store has lost
// them. If somebody else has renewed the tokens before them meanwhile, that stays.
func (b *Backend) offerAgain() {
	for _, h := range b.all() {
		t := h.cur.Load()
		if t == nil || t.attempt == "" || time.Since(time.Unix(0, t.stored.Load())) > recently {
			continue
		}
		b.offering <- struct{}{}
		ans, err := b.commit(Commit{Ref: h.ref, Attempt: t.attempt, Record: b.names.seal(h.ref, t)})
		<-b.offering
		switch {
		case err != nil:
			b.log.Warn("whether the store has lost tokens is not known: it cannot be asked", "error", err)
		case ans.State == Done:
			b.tell(Notice{Ref: h.ref, Version: t.version})
		}
	}
}

// all returns all that this process holds.
func (b *Backend) all() []*held {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := make([]*held, 0, len(b.clients)+1)
	if b.shared != nil {
		list = append(list, b.shared)
	}
	for _, h := range b.clients {
		list = append(list, h)
	}
	return list
}

// unsettled returns for how long a refresh token that is good once is not to be sent
// yet: the store may have lost a lease, whose holder still renews it, or lack a
// commit, whose maker is about to offer it.
func (b *Backend) unsettled() time.Duration {
	if !b.strict() {
		return 0
	}
	return max(0, time.Until(time.Unix(0, b.shaken.Load())), b.outage.rest())
}

// news returns a channel that the next notice closes.
func (h *held) news() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bell == nil {
		h.bell = make(chan struct{})
	}
	return h.bell
}

func (h *held) ring() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bell != nil {
		close(h.bell)
		h.bell = nil
	}
}

// unrest ends a rest: what failed before is tried again.
func (h *held) unrest() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hold = time.Time{}
}

func (h *held) flying() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.flight != nil
}

// pauseOr waits until news come, or for d. It reports whether there is time to go
// on.
func pauseOr(ctx context.Context, news <-chan struct{}, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-news:
		return true
	case <-ctx.Done():
		return false
	}
}
