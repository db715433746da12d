package upstream

import (
	"context"
	"crypto/rand"
	"time"
)

// Status is how it stands with a backend, as far as this process and the store know.
type Status struct {
	Name    string
	Speak   string    // "ipfabric/7.0"; empty: it has no token API
	Way     string    // account, pass_through, api_token, jwt, static, none
	State   string    // ready, unused (no login yet), resting (it is left alone after a failure), unknown (the store cannot be asked)
	Trouble string    // why it rests; empty: it does not
	Retry   time.Time // when it is tried again; zero: it does not rest
	Version uint64    // of the account's tokens; 0: there are none
	Expires time.Time // of the account's access token; zero: never, or there is none
}

// Name returns the backend's name in the configuration.
func (b *Backend) Name() string { return b.cfg.Name }

var ways = map[mode]string{
	modeNone: "none", modeHeader: "static", modeMinted: "jwt", modeStatic: "api_token", modeShared: "account", modeOwn: "pass_through",
}

// Status says how it stands. Of pass-through, where each client has its own, it
// tells nothing but the way.
func (b *Backend) Status(ctx context.Context) Status {
	s := Status{Name: b.cfg.Name, Way: ways[b.mode()], State: "ready"}
	if b.cfg.Dialect != nil {
		s.Speak = b.cfg.Dialect.ID()
	}
	if b.shared == nil {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	ans, err := b.cfg.Store.Acquire(ctx, Claim{Ref: b.shared.ref, Holder: rand.Text(), With: b.with})
	switch {
	case err != nil:
		s.State = "unknown"
	case ans.State == Fresh:
		s.Version = ans.Record.Version
		if ans.Record.Life > 0 {
			s.Expires = time.Now().Add(ans.Record.Left)
		}
	default:
		s.State = "unused"
	}
	b.shared.mu.Lock()
	defer b.shared.mu.Unlock()
	if b.shared.why != nil && time.Now().Before(b.shared.hold) {
		s.State, s.Trouble, s.Retry = "resting", b.shared.why.Msg, b.shared.hold
	}
	return s
}

// Retry has the account's credential tried again on every replica, though it was
// refused before or the backend is left alone. It says false where there is no
// account to log in with. The error means that the store could not be asked.
func (b *Backend) Retry(ctx context.Context) (bool, error) {
	if b.shared == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_, err := b.cfg.Store.Attempt(ctx, Attempt{Ref: b.shared.ref, ID: rand.Text(), Trial: Forgiven, Keep: KeepUnused})
	if err != nil {
		return true, unavailable(msgStore, err, 0)
	}
	b.shared.unrest()
	b.log.Info("an operator has the backend tried again")
	b.tell(Notice{Ref: b.shared.ref})
	return true, nil
}
