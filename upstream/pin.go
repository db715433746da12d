package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const (
	msgNobody  = "Log in to take the lock: it belongs to a session."
	msgNoLocks = "The gateway has one token for all clients at this backend, so none of them can take the lock."
)

// step returns what a request does about a pin.
func (b *Backend) step(r *http.Request) dialect.PinStep {
	if b.cfg.Dialect == nil || b.cfg.Dialect.Pin == nil {
		return dialect.PinNone
	}
	return b.cfg.Dialect.Pin.Step(r)
}

// mayTake refuses a request that would take a pin for everybody or for nobody.
func (b *Backend) mayTake(r *http.Request, sid token.SID) *token.Error {
	m := b.mode()
	switch {
	case m != modeShared && m != modeStatic || b.step(r) != dialect.PinTake:
		return nil
	case m == modeStatic:
		return token.Fail(token.Denied, msgNoLocks, nil)
	case sid.IsZero():
		return token.Fail(token.Denied, msgNobody, nil)
	}
	return nil
}

// sendParted sends a request to a backend that pins things to access tokens, with
// the client session's own tokens or the shared ones.
func (b *Backend) sendParted(r *http.Request, sid token.SID) (*http.Response, error) {
	take := b.step(r) == dialect.PinTake
	if take {
		h := b.client(sid)
		h.takers.Add(1)
		defer h.takers.Add(-1)
	}
	h, t, err := b.part(r.Context(), sid, take)
	if err != nil {
		return nil, b.drop(r, err)
	}
	return b.sendHeld(r, h, t)
}

// sendNoted makes one try with t, and notes what it did about a pin. A request
// that would take one and whose answer was lost counts as if it had.
func (b *Backend) sendNoted(r *http.Request, h *held, t *tokens) (*http.Response, error) {
	resp, err := b.send(r)
	step := b.step(r)
	if step == dialect.PinNone || h == b.shared {
		return resp, err
	}
	switch {
	case err == nil && resp.StatusCode >= 200 && resp.StatusCode <= 299:
		b.note(h, t, step == dialect.PinTake)
	case err != nil && step == dialect.PinTake && !unsent(err):
		b.log.Warn("it is not known whether the backend gave a lock; it is kept as if it had", "session", h.ref.Owner[:6], "error", err)
		b.note(h, t, true)
	}
	return resp, err
}

// unsent reports whether a request failed before it could reach the backend.
func unsent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// note keeps in the store whether something is pinned to t, the tokens of h. If
// the client session ended meanwhile nobody will give the pin back, so that is
// done here.
func (b *Backend) note(h *held, t *tokens, pinned bool) {
	h.pinned.Store(pinned)
	if !b.noted(h, t, pinned) {
		b.crew.run(func() { b.insist(h, t, pinned) })
	}
	outcome := "released"
	if pinned {
		outcome = "taken"
	}
	b.rec.UpstreamPin(b.cfg.Name, outcome)
}

// noted reports whether the store knows, or there is nothing for it to know.
func (b *Backend) noted(h *held, t *tokens, pinned bool) bool {
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	ans, err := b.cfg.Pins.Pin(ctx, h.ref, pinned)
	switch {
	case err != nil:
		b.log.Warn("a lock is not noted: the store cannot be asked", "error", err)
		return false
	case ans.State == Dead && h.unstored():
		return false // the tokens are about to be stored
	case ans.State != Done && pinned:
		b.crew.run(func() { b.discard(t, true) })
	}
	return true
}

// insist notes a pin, or that it is gone, as soon as the store can be asked.
func (b *Backend) insist(h *held, t *tokens, pinned bool) {
	ctx, cancel := detached(keepTrying)
	defer cancel()
	for n := 1; b.pauseUnlessDraining(ctx, backOff(n)); n++ {
		if h.pinned.Load() != pinned || b.noted(h, t, pinned) {
			return
		}
	}
	if !b.noted(h, t, pinned) {
		b.log.Error("a lock was never noted: it is not kept after a restart")
	}
}

// unpin notes that a pin is lost while its backend session goes on.
func (b *Backend) unpin(h *held) {
	h.pinned.Store(false)
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	if _, err := b.cfg.Pins.Pin(ctx, h.ref, false); err != nil {
		b.log.Warn("a lost lock is still noted: the store cannot be asked", "error", err)
	}
}

// lose says that a pin is lost because its token ended.
func (b *Backend) lose(h *held, cause error) {
	h.pinned.Store(false)
	b.rec.UpstreamPin(b.cfg.Name, "lost")
	b.log.Error("a client lost its lock: the backend's token that held it could not be renewed", "session", h.ref.Owner[:6], "error", cause)
}

// leave ends tokens at the backend: what is pinned to them is given back first.
// A pin is over with its token.
func (b *Backend) leave(t *tokens, pinned bool) error {
	p := t.phase(time.Now())
	if pinned && p != phaseOver && b.cfg.Dialect.Pin != nil {
		if p == phaseDue && b.shared != nil {
			if next, err := b.successor(t, time.Time{}); err == nil {
				t = next
			} else {
				b.log.Warn("a lock is given back with a token that is about to expire", "error", err)
			}
		}
		if err := over(b.giveBack(t)); err != nil {
			return err
		}
		b.rec.UpstreamPin(b.cfg.Name, "ended")
	}
	return b.logout(t)
}

// giveBack makes the call that gives a pin back, with the tokens that hold it.
func (b *Backend) giveBack(t *tokens) error {
	ctx, cancel := detached(b.cfg.Limits.Call)
	defer cancel()
	return b.underVersion(func(version string) error { return b.giveBackOnce(ctx, version, t) })
}

func (b *Backend) giveBackOnce(ctx context.Context, version string, t *tokens) error {
	method, path := b.cfg.Dialect.Pin.Release(version)
	r, err := http.NewRequestWithContext(ctx, method, b.cfg.URL.JoinPath(path).String(), nil)
	if err != nil {
		return err
	}
	b.injectAccess(r, t.access)
	resp, err := b.cfg.Transport.RoundTrip(r)
	if err != nil {
		return explained(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return b.refusal("", resp)
	}
	return nil
}
