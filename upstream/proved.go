package upstream

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// renewWith has the tokens of a pass-through session renewed with the client's own
// password. Calls with the same credential share a renewal; one with another
// credential makes its own, since only the backend can say whether that is good.
func (b *Backend) renewWith(ctx context.Context, h *held, t *tokens, g token.Grant) error {
	g = token.Grant{Op: token.OpRenew, Username: g.Username, Realm: g.Realm, Password: g.Password, Client: g.Client}
	proof := b.names.digest(g)
	for {
		f := b.joinWith(h, t, &g)
		next, err := b.landing(ctx, f)
		switch {
		case f.proof == proof:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && token.KindOf(err) != token.BadCredentials:
			return err
		case err == nil:
			t = next
		}
	}
}

// obtainWith renews by the client's own password, under the lease. The attempt is
// counted as a login's, unless the backend says that the token is to blame: many
// say the same of both, so that is a refusal all the same, and what becomes of the
// token the next request shows.
func (b *Backend) obtainWith(n *turn, g token.Grant) (*tokens, error) {
	old, err := b.newest(n)
	if err != nil || old.phase(time.Now()) == phaseOver {
		next, lost := b.overtaken(n)
		if next != nil || lost != nil {
			return next, lost
		}
		return nil, b.die(n, errors.Join(errExpired, err))
	}
	a := Attempt{
		Ref: Ref{Owner: b.names.user(g), Backend: b.cfg.Name}, ID: rand.Text(),
		Digest: b.names.digest(g), Window: b.patience(), Keep: keepTries,
	}
	ctx, cancel := detached(storeTimeout)
	defer cancel()
	give := func(err error) (*tokens, error) {
		b.release(Release{Ref: n.h.ref, Holder: n.holder, With: b.with})
		return nil, err
	}
	if err := b.queue(ctx, a); err != nil {
		return give(err)
	}
	g.Access = old.access
	next, _, err := b.exchange(g, n.by)
	if err == nil {
		b.rec.UpstreamRenewal(b.cfg.Name, "ok")
		b.conclude(a, Accepted)
		if next.refresh.IsZero() {
			next.refresh = old.refresh
		}
		return b.keep(n, next)
	}
	c := classify(token.OpRenew, err)
	b.conclude(a, c.trial())
	if c == dead || c == rejected {
		b.rec.UpstreamRenewal(b.cfg.Name, "dead")
		return give(token.Fail(token.BadCredentials, msgBadLogin, err))
	}
	b.rec.UpstreamRenewal(b.cfg.Name, "unavailable")
	b.log.Warn("no renewal at the backend", "error", err)
	return give(unavailable(msgUnavailable, err, asked(err)))
}
