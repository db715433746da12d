package upstream

import (
	"sync/atomic"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// tokens is one version of what a backend gave. It does not change, but for
// accepted.
type tokens struct {
	version uint64
	access  token.Secret
	refresh token.Secret // zero: there is none

	life    time.Duration // of the access token when new; 0: it never expires
	made    time.Time     // zero: long ago, or not known
	renewAt time.Time     // from here on a request has it renewed in the background
	dueAt   time.Time     // from here on a request waits for its renewal
	expires time.Time

	attempt string       // of this process's commit; empty: another process made it
	stored  atomic.Int64 // Unix ns of that commit; 0: it is not stored yet

	accepted atomic.Bool // the backend has taken it at least once, that we saw
}

// as returns the same tokens under another version.
func (t *tokens) as(version uint64) *tokens {
	other := &tokens{
		version: version, access: t.access, refresh: t.refresh,
		life: t.life, made: t.made, renewAt: t.renewAt, dueAt: t.dueAt, expires: t.expires,
	}
	other.accepted.Store(t.accepted.Load())
	return other
}

// shortestLife is the shortest life of an access token that is believed. A
// backend that says less would have it renewed on every request.
const shortestLife = 5 * time.Second

// latestMargin is the most of a token's life that is given away before its end.
const latestMargin = 30 * time.Second

// times sets when to do what, from a token's life and what is left of it.
// Expiry counts from when the token came by this machine's clock, never from
// the backend's.
func (t *tokens) times(life, left time.Duration) {
	if life <= 0 {
		return
	}
	if life < shortestLife {
		life, left = shortestLife, left+shortestLife-life
	}
	t.life = life
	t.expires = time.Now().Add(min(left, life)) // more is of a clock that was set back
	t.made = t.expires.Add(-life)
	// 80 % of its life, a little before or after, so that replicas do not all
	// renew in the same moment.
	part := 0.78 + 0.04*fraction()
	t.renewAt = t.made.Add(time.Duration(part * float64(life)))
	t.dueAt = t.expires.Add(-min(latestMargin, life/10))
}

// phase says what a request may do with tokens.
type phase uint8

const (
	phaseOver  phase = iota // the access token has expired
	phaseDue                // it is good, but renewed before it is sent
	phaseEarly              // it is sent, and renewed meanwhile
	phaseGood               // it is sent
)

func (t *tokens) phase(now time.Time) phase {
	switch {
	case t.life == 0 || now.Before(t.renewAt):
		return phaseGood
	case now.Before(t.dueAt):
		return phaseEarly
	case now.Before(t.expires):
		return phaseDue
	}
	return phaseOver
}

// young reports whether less than half of the life has passed.
func (t *tokens) young(now time.Time) bool {
	return t.life == 0 || now.Before(t.made.Add(t.life/2))
}

// firstUseHold is for how long a renewed token that was refused on its first
// use is not renewed again.
const firstUseHold = 30 * time.Second

// renewable reports whether a refusal of the token is a reason to renew it: a
// backend that has taken it before may have expired it, but one that refuses
// what it gave a moment ago would refuse the next one too. The first tokens of
// all get one renewal without having been taken.
func (t *tokens) renewable(now time.Time) bool {
	return t.accepted.Load() || t.version <= 1 || now.Sub(t.made) >= firstUseHold
}

// accept notes that the backend took the token: it answered with this status,
// and not that it refused the token. A 5xx proves nothing.
func (t *tokens) accept(status int) {
	if status < 500 && !t.accepted.Load() {
		t.accepted.Store(true)
	}
}
