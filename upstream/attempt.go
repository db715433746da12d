package upstream

import (
	"context"
	"crypto/rand"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// attempt returns the attempt that a call with the account's password is. The
// seed of its second factor is part of the credential: a corrected one is tried
// at once.
func (b *Backend) attempt(g token.Grant) Attempt {
	if seed := b.cfg.Account.TOTPSecret; !seed.IsZero() {
		g.Factor = &token.Factor{Response: seed}
	}
	return Attempt{Ref: b.shared.ref, ID: rand.Text(), Digest: b.names.digest(g), Window: b.patience(), Keep: KeepUnused}
}

// begin counts an attempt; the error says that it must not be made now.
func (b *Backend) begin(ctx context.Context, n *turn, a Attempt) error {
	ans, err := b.cfg.Store.Attempt(ctx, a)
	switch {
	case err != nil:
		return unavailable(msgStore, err, 0)
	case ans.State == Done:
		return nil
	case ans.State == Wait: // left open by a process that is gone
		e := unavailable(msgUnavailable, nil, ans.Wait)
		b.release(Release{Ref: n.h.ref, Holder: n.holder, BackOff: ans.Wait, With: b.with})
		n.h.rest(ans.Wait, e)
		return e
	}
	b.rec.UpstreamLogin(b.cfg.Name, "stopped")
	b.log.Error("no login is tried: the backend refused this account's password or second factor before",
		"remedy", "put the right user name, password and TOTP secret in the configuration, which is then tried at once; if they are right, gatehouse backends retry "+b.cfg.Name+" tries them again")
	e := report(rejected, nil, 0)
	if why := n.h.standing(); why != nil {
		e = why
	}
	b.release(Release{Ref: n.h.ref, Holder: n.holder, BackOff: maxBackOff, With: b.with})
	n.h.rest(maxBackOff, e)
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
	switch c {
	case rejected, noFactor:
		return Rejected
	case noToken:
		return Accepted
	}
	return Void
}

func loginOutcome(c class) string {
	switch c {
	case rejected:
		return "rejected"
	case localOff:
		return "local_auth_off"
	case noVersion, noToken:
		return "misconfigured"
	case noFactor:
		return "factor_needed"
	}
	return "unavailable"
}
