package upstream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// held is one backend session as this process knows it.
type held struct {
	ref  Ref
	cur  atomic.Pointer[tokens] // nil: not asked for yet
	used atomic.Bool            // since the last sweep of the memory

	own    bool         // a client session's own beside its account's shared one
	pinned atomic.Bool  // as far as this process knows; the store decides
	takers atomic.Int32 // requests under way that would take a pin
	fixed  atomic.Int32 // requests under way that could not be made again

	settling chan struct{} // holds one while what is pending is being stored

	mu      sync.Mutex
	flight  *flight       // guarded by mu: the change under way; nil: none
	hold    time.Time     // guarded by mu: nothing is tried before
	why     *token.Error  // guarded by mu: what is answered until then
	pending *Commit       // guarded by mu: tokens that the store has not taken yet
	doubted time.Time     // guarded by mu: when a refusal in unknown words last had it renewed
	bell    chan struct{} // guarded by mu: closed by the next notice; nil: nobody waits for it
}

// unstored reports whether tokens wait to be stored.
func (h *held) unstored() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pending != nil
}

// flight is one change of tokens that any number of requests wait for.
type flight struct {
	done   chan struct{}
	tokens *tokens // set before done is closed
	err    error   // set before done is closed
	proof  string  // digest of the client's own credential that it is made with; empty: none
}

// landed is a flight that is over.
func landed(t *tokens, err error) *flight {
	f := &flight{done: make(chan struct{}), tokens: t, err: err}
	close(f.done)
	return f
}

// heldBy returns what is held for a caller; nil if the caller has no backend
// session.
func (b *Backend) heldBy(sid token.SID) *held {
	if b.shared != nil {
		return b.shared
	}
	if sid.IsZero() {
		return nil
	}
	h := b.inMemory(sid)
	if h == nil {
		h = b.client(sid)
	}
	return h
}

// inMemory returns what memory holds for a client session, or nil.
func (b *Backend) inMemory(sid token.SID) *held {
	b.mu.RLock()
	h := b.clients[sid]
	b.mu.RUnlock()
	if h != nil && !h.used.Load() {
		h.used.Store(true)
	}
	return h
}

// client returns what memory holds for a client session, an empty one if there is
// nothing.
func (b *Backend) client(sid token.SID) *held {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.clients[sid]
	if h == nil {
		h = &held{settling: make(chan struct{}, 1), ref: b.refOf(sid), own: b.shared != nil}
		h.used.Store(true)
		b.clients[sid] = h
	}
	return h
}

func (b *Backend) refOf(sid token.SID) Ref { return Ref{Owner: sid.String(), Backend: b.cfg.Name} }

// forget drops what memory holds for a session, as far as it is still h.
func (b *Backend) forget(h *held) {
	sid, err := token.ParseSID(h.ref.Owner)
	if err != nil {
		h.cur.Store(nil)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clients[sid] == h {
		delete(b.clients, sid)
	}
}

// current returns tokens that may be sent. Near the end of their life it has
// them renewed: in the background at first, then before they are sent. When
// that fails they are sent for as long as they are good.
func (b *Backend) current(ctx context.Context, h *held) (*tokens, error) {
	t := h.cur.Load()
	if t != nil {
		p := t.phase(time.Now())
		if p == phaseGood || p != phaseOver && !b.canRenew(h, t) {
			return t, nil
		}
		if p == phaseEarly {
			b.join(h, t)
			return t, nil
		}
	}
	return b.await(ctx, h, t)
}

// canRenew reports whether there is a way to get tokens after these. A client's
// own beside a shared one are left to their end once nothing is pinned to them.
func (b *Backend) canRenew(h *held, t *tokens) bool {
	if h.own {
		return h.pinned.Load() || h.takers.Load() > 0
	}
	return b.shared != nil || !t.refresh.IsZero() && b.speaks(token.OpRefresh)
}

// await gets tokens newer than t, which may be nil.
func (b *Backend) await(ctx context.Context, h *held, t *tokens) (*tokens, error) {
	// What the store holds may be old itself: then that is renewed in turn.
	for range 2 {
		next, err := b.renewed(ctx, h, t)
		if err != nil {
			if t != nil && t.phase(time.Now()) != phaseOver && !isDead(err) {
				return t, nil
			}
			return nil, err
		}
		if t = next; t.phase(time.Now()) >= phaseEarly || !b.canRenew(h, t) && t.phase(time.Now()) != phaseOver {
			return t, nil
		}
	}
	if t.phase(time.Now()) == phaseOver {
		return nil, unavailable(msgBusy, nil, 0)
	}
	return t, nil
}

// renewed waits for tokens other than t, with whoever else waits for them.
func (b *Backend) renewed(ctx context.Context, h *held, t *tokens) (*tokens, error) {
	began := time.Now()
	defer func() { b.rec.UpstreamWait(time.Since(began)) }()
	return b.landing(ctx, b.join(h, t))
}

// landing waits for a flight to be over.
func (b *Backend) landing(ctx context.Context, f *flight) (*tokens, error) {
	patience := time.NewTimer(b.patience())
	defer patience.Stop()
	select {
	case <-f.done:
		return f.tokens, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-patience.C:
		return nil, unavailable(msgBusy, nil, 0)
	}
}

// join returns the flight that makes tokens other than t: one that is over if
// there are some, the one under way, or a new one.
func (b *Backend) join(h *held, t *tokens) *flight { return b.joinWith(h, t, nil) }

// joinWith is join; a new flight is made with the client's own credential g,
// unless that is nil.
func (b *Backend) joinWith(h *held, t *tokens, g *token.Grant) *flight {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.cur.Load(); now != t && now != nil {
		return landed(now, nil)
	}
	if h.flight != nil {
		return h.flight
	}
	if wait := time.Until(h.hold); wait > 0 {
		why := *h.why
		if why.Kind == token.Unavailable {
			why.RetryAfter = max(wait, time.Second)
		}
		return landed(nil, &why)
	}
	f := &flight{done: make(chan struct{})}
	if g != nil {
		f.proof = b.names.digest(*g)
	}
	h.flight = f
	b.crew.run(func() { b.fly(h, t, f, g) })
	return f
}

func (b *Backend) fly(h *held, t *tokens, f *flight, g *token.Grant) {
	f.tokens, f.err = b.lead(h, t, g)
	h.mu.Lock()
	h.flight = nil
	h.mu.Unlock()
	close(f.done)
}

// rest has nothing tried for h during d; requests that need it get why.
func (h *held) rest(d time.Duration, why *token.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hold, h.why = time.Now().Add(d), why
}

// standing returns what the last failure was, if only an operator can mend it;
// else nil.
func (h *held) standing() *token.Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why == nil || h.why.Kind != token.BadGateway {
		return nil
	}
	why := *h.why
	return &why
}

// adopt makes t the current tokens of h.
func (b *Backend) adopt(h *held, t *tokens) {
	h.cur.Store(t)
	b.tellExpiry(h, t)
}

func (b *Backend) tellExpiry(h *held, t *tokens) {
	if b.shared == h && t.life > 0 {
		b.rec.UpstreamTokenExpiry(b.cfg.Name, t.expires)
	}
}
