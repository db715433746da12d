package upstream

import (
	"context"
	"crypto/rand"
	"time"
)

// Times and sizes of the sweep.
const (
	sweepBatch  = 64
	lookAgain   = 10 * time.Minute // at a session that lives
	logoutAgain = 30 * time.Second // after a logout that failed
	memorySweep = 10 * time.Minute // what was not used between two of these leaves the memory
)

// Run looks after what is owed to the backend: it logs out what belongs to
// sessions that are gone, and renews what something is pinned to, whichever
// process opened them. It returns the context's error when that ends; it starts
// nothing that outlives it but renewals, which Drain waits for.
func (b *Backend) Run(ctx context.Context) error {
	tick := time.NewTicker(b.cfg.Limits.Sweep)
	defer tick.Stop()
	swept := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if b.mode() != modeOwn && !b.Parts() {
			continue
		}
		b.sweep(ctx)
		if time.Since(swept) >= memorySweep {
			swept = time.Now()
			b.slim()
		}
	}
}

// sweep does the duties that are due.
func (b *Backend) sweep(ctx context.Context) {
	owners, err := b.due(ctx, 0)
	if err != nil {
		if b.alarm.due() {
			b.log.Warn("duties cannot be read from the store", "error", err)
		}
		return
	}
	for _, owner := range owners {
		if ctx.Err() != nil {
			return
		}
		b.dismiss(Ref{Owner: owner, Backend: b.cfg.Name}, true)
	}
}

func (b *Backend) due(ctx context.Context, within time.Duration) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return b.cfg.Duties.Due(ctx, b.cfg.Name, b.pool, within, sweepBatch)
}

// slim drops from memory what no request used since the last time. The store
// has it.
func (b *Backend) slim() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for sid, h := range b.clients {
		if !h.used.Swap(false) && h.idle() {
			delete(b.clients, sid)
		}
	}
}

// idle reports whether nothing is under way and nothing waits to be stored.
func (h *held) idle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.flight == nil && h.pending == nil && h.takers.Load() == 0
}

// dismiss logs a backend session out, once among all processes; with ifGone
// only if the client session that owns it is gone. What cannot be done now
// stays a duty.
func (b *Backend) dismiss(r Ref, ifGone bool) {
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	f := Farewell{Ref: r, Holder: rand.Text(), Lease: 3 * b.patience(), IfGone: ifGone} // renewal, release and logout
	ans, err := b.cfg.Store.End(ctx, f)
	if err != nil {
		b.log.Warn("logout at the backend is left for later: the store cannot be asked", "error", err)
		return
	}
	switch ans.State {
	case Done:
		b.farewell(f, ans.Record)
	case Wait:
		b.postpone(r.Owner, ans.Wait)
	case Alive:
		b.attend(r, ans)
	default:
		b.excuse(r.Owner)
	}
}

// stillAlive returns when to look again at an owner that has so long to live;
// 0 is always.
func stillAlive(ttl time.Duration) time.Duration {
	if ttl <= 0 || ttl > lookAgain {
		return lookAgain
	}
	return max(ttl, time.Second)
}

// farewell logs out the tokens that dismiss took.
func (b *Backend) farewell(f Farewell, rec Record) {
	t, err := b.names.open(f.Ref, rec)
	if err == nil {
		err = b.leave(t, rec.Pinned)
		if err != nil {
			b.log.Warn("logout at the backend failed", "error", err, "again_in", logoutAgain.String())
			b.postpone(f.Ref.Owner, logoutAgain)
			return
		}
	} else {
		b.log.Error("stored tokens cannot be read, so they cannot be logged out", "error", err)
	}
	b.release(Release{Ref: f.Ref, Holder: f.Holder, Version: rec.Version, Outcome: LoggedOut})
	b.excuse(f.Ref.Owner)
}

// postpone has a duty looked at again after d.
func (b *Backend) postpone(owner string, d time.Duration) {
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	if err := b.cfg.Duties.Add(ctx, b.cfg.Name, b.pool, owner, d); err != nil {
		b.log.Warn("a duty keeps its old time", "error", err)
	}
}

// excuse drops a duty that nothing is left to do for.
func (b *Backend) excuse(owner string) {
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	if err := b.cfg.Duties.Remove(ctx, b.cfg.Name, b.pool, owner); err != nil {
		b.log.Warn("a duty is left to be found empty", "error", err)
	}
}

// Drain ends what the Backend has under way: it waits for renewals and logouts,
// offers the store what it has not taken yet, and with LogoutAtDrain logs out
// all that is still logged in, which it knows from the store. It is called when
// no request will come any more. The error is the context's, when there was not
// time enough.
func (b *Backend) Drain(ctx context.Context) error {
	b.drain.Do(func() { close(b.draining) })
	if err := b.crew.wait(ctx); err != nil {
		return err
	}
	if b.cfg.LogoutAtDrain && b.cfg.Duties != nil && b.mode() >= modeShared {
		b.logoutAll(ctx)
	}
	return ctx.Err()
}

// logoutAll does every duty, due or not, once.
func (b *Backend) logoutAll(ctx context.Context) {
	done := map[string]bool{}
	for ctx.Err() == nil {
		owners, err := b.due(ctx, 2*KeepUnused)
		if err != nil {
			b.log.Warn("sessions stay logged in at the backend: duties cannot be read from the store", "error", err)
			return
		}
		before := len(done)
		for _, owner := range owners {
			if !done[owner] && ctx.Err() == nil {
				done[owner] = true
				b.dismiss(Ref{Owner: owner, Backend: b.cfg.Name}, false)
			}
		}
		if len(done) == before {
			return
		}
	}
}
