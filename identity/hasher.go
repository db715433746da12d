package identity

import (
	"context"
	"crypto/rand"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Defaults of a Hasher. A hash takes 19 MiB while it runs, anew each time, and
// the garbage collector lets about as much lie again before it runs. Measured
// with 200 logins at once beside 20 MiB of other heap, the process peaked at
// 104 to 144 MB with 2 slots, 143 to 192 with 3, and 405 with 8.
const (
	maxSlots     = 2
	defaultQueue = 64
	retryAfter   = time.Second
)

// Limits of what is hashed, in bytes. Passwords are taken as received, never
// folded and never cut (OWASP ASVS 6.2.8).
const (
	maxUsername = 256
	maxPassword = 1024
)

// Hasher computes argon2id hashes, a few at a time. It is safe for concurrent
// use. All Users of a process should share one.
type Hasher struct {
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
}

// NewHasher returns a Hasher that runs at most slots hashes at once and lets at
// most queue callers wait. Below 1 they are the defaults: GOMAXPROCS slots but
// no more than 2, which keeps a gateway under attack below 150 MB, and 64.
func NewHasher(slots, queue int) *Hasher {
	if slots < 1 {
		slots = min(runtime.GOMAXPROCS(0), maxSlots)
	}
	if queue < 1 {
		queue = defaultQueue
	}
	return &Hasher{slots: make(chan struct{}, slots), queue: int64(queue)}
}

// Hash returns the PHC string of a password under a fresh salt. Errors are
// *token.Error: Malformed for a password of no or more than 1024 bytes,
// Unavailable when the queue is full or ctx ends before its turn.
func (h *Hasher) Hash(ctx context.Context, password token.Secret) (string, error) {
	if n := len(password.Reveal()); n == 0 || n > maxPassword {
		return "", token.Fail(token.Malformed, "a password has 1 to 1024 bytes", nil)
	}
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	out := phc{params: ownParams, salt: make([]byte, ownSalt)}
	rand.Read(out.salt) // never fails: crypto/rand aborts the program instead
	out.key = out.derive(password.Reveal(), ownKey)
	return out.String(), nil
}

// matches reports whether a hash is that of password. The error is that of
// waiting, *token.Error of kind Unavailable.
func (h *Hasher) matches(ctx context.Context, hash phc, password token.Secret) (bool, error) {
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	return hash.matches(password.Reveal()), nil
}

// enter takes a slot, in the queue if there is room. Nobody hashes for a caller
// who has gone.
func (h *Hasher) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return busy(context.Cause(ctx))
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
	}
	if h.waiting.Add(1) > h.queue {
		h.waiting.Add(-1)
		return busy(nil)
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return busy(context.Cause(ctx))
	}
}

func (h *Hasher) leave() { <-h.slots }

func busy(cause error) error {
	return &token.Error{
		Kind:       token.Unavailable,
		Msg:        "too many logins at once; try again in a moment",
		Err:        cause,
		RetryAfter: retryAfter,
	}
}
