package upstream

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Times of a pass-through login.
const (
	// opening is within what time the session must exist after its login.
	opening = time.Minute
	// keepTries is for how long a user's rejected logins are remembered. Users
	// get a new password, or the old one back, without telling the gateway.
	keepTries = 15 * time.Minute
)

const (
	msgBadLogin  = "User name or password is wrong."
	msgUserLocal = "The backend has local authentication switched off. Use an API token."
)

// errAccount says that a method for pass-through was called with an account.
var errAccount = errors.New("upstream: this backend is signed in to by an account, not by its clients")

// Verify logs in at the backend with the client's own user name and password
// and keeps the tokens under sid, where they belong to the session that is about
// to be opened. The password is not kept. If no session follows within a minute
// the backend is logged out again.
//
// Failures are a *token.Error, BadCredentials, LocalAuthOff, FactorNeeded or
// Unavailable, or the error of ctx. FactorNeeded has the backend's Challenge, its
// Session replaced by a name of ours; g.Factor answers it. A password, with the
// answer that came with it, that the backend has just refused twice is not sent a
// third time.
func (b *Backend) Verify(ctx context.Context, sid token.SID, g token.Grant) (token.Identity, error) {
	if b.mode() != modeOwn {
		return token.Identity{}, errAccount
	}
	type result struct {
		id  token.Identity
		err error
	}
	done := make(chan result, 1)
	b.crew.run(func() {
		id, err := b.open(sid, g)
		done <- result{id, err}
	})
	select {
	case r := <-done:
		return r.id, r.err
	case <-ctx.Done():
		return token.Identity{}, ctx.Err()
	}
}

// open makes a pass-through login, from the duty to log out again to the
// identity.
func (b *Backend) open(sid token.SID, given token.Grant) (token.Identity, error) {
	ref := b.refOf(sid)
	ctx, cancel := detached(b.patience())
	defer cancel()
	leave, err := b.room(slotKey{ref: ref})
	if err != nil {
		return token.Identity{}, err
	}
	defer leave()
	who := asker{given.Username, given.Realm, clientOf(given.Client).ID}
	answer, err := b.answering(ctx, who, given.Factor)
	if err != nil {
		return token.Identity{}, err
	}
	g := token.Grant{
		Op: token.OpLogin, Username: given.Username, Realm: given.Realm, Password: given.Password,
		Client: b.cfg.Client, Factor: answer,
	}
	if err := b.enter(ctx, ref.Owner, 2*opening); err != nil {
		return token.Identity{}, err
	}
	t, id, err := b.try(ctx, g)
	if err != nil {
		b.excuse(ref.Owner)
		if c := challengeIn(err); c != nil {
			return token.Identity{}, b.passOn(ctx, who, *c)
		}
		return token.Identity{}, err
	}
	b.answered(given.Factor)
	t.version = 1
	c := Commit{Ref: ref, Attempt: rand.Text(), Record: b.names.seal(ref, t), Opening: opening}
	t.attempt = c.Attempt
	ans, err := b.commit(c)
	t.stored.Store(time.Now().UnixNano())
	if err != nil || ans.State != Done {
		b.crew.run(func() {
			b.discard(t, false)
			b.book.done(c)
		})
		return token.Identity{}, unavailable(msgStore, err, 0)
	}
	b.adopt(b.client(sid), t)
	if id, err = b.identify(id, t); err != nil {
		b.End(sid)
		return token.Identity{}, err
	}
	return named(id, g.Username), nil
}

// try makes one counted login attempt of a user. A challenge is returned as the
// backend's refusal.
func (b *Backend) try(ctx context.Context, g token.Grant) (*tokens, token.Identity, error) {
	a := Attempt{
		Ref: Ref{Owner: b.names.user(g), Backend: b.cfg.Name}, ID: rand.Text(),
		Digest: b.names.digest(g), Window: b.patience(), Keep: keepTries,
	}
	if err := b.queue(ctx, a); err != nil {
		return nil, token.Identity{}, err
	}
	t, id, err := b.exchange(g, time.Time{})
	if err == nil {
		b.rec.UpstreamLogin(b.cfg.Name, "ok")
		b.conclude(a, Accepted)
		return t, id, nil
	}
	if challengeIn(err) != nil {
		b.rec.UpstreamLogin(b.cfg.Name, loginOutcome(noFactor))
		b.conclude(a, trialOf(g))
		return nil, id, err
	}
	c := classify(token.OpLogin, err)
	b.rec.UpstreamLogin(b.cfg.Name, loginOutcome(c))
	b.conclude(a, c.trial())
	switch c {
	case rejected:
		return nil, id, token.Fail(token.BadCredentials, msgBadLogin, err)
	case localOff:
		return nil, id, token.Fail(token.LocalAuthOff, msgUserLocal, err)
	case noVersion:
		b.log.Error("no login at the backend", "error", err)
		return nil, id, report(c, err, 0)
	}
	b.log.Warn("no login at the backend", "error", err)
	return nil, id, unavailable(msgUnavailable, err, asked(err))
}

// trialOf returns how an attempt ends that is answered by a challenge: the
// password was right, but an answer to an earlier challenge was not.
func trialOf(g token.Grant) Trial {
	if g.Factor != nil && !g.Factor.Response.IsZero() {
		return Rejected
	}
	return Accepted
}

// queue counts an attempt, after waiting for others of the same user and
// password that are under way.
func (b *Backend) queue(ctx context.Context, a Attempt) error {
	for {
		ans, err := b.cfg.Store.Attempt(ctx, a)
		switch {
		case err != nil:
			return unavailable(msgStore, err, 0)
		case ans.State == Done:
			return nil
		case ans.State == Stopped:
			b.rec.UpstreamLogin(b.cfg.Name, "stopped")
			return token.Fail(token.BadCredentials, msgBadLogin, nil)
		case !pause(ctx, min(max(ans.Wait, time.Millisecond), pollEvery)):
			return unavailable(msgBusy, nil, ans.Wait)
		}
	}
}

// identify asks the backend whose an access token is, where its API has such a
// call, and adds what it says to what the login said.
func (b *Backend) identify(id token.Identity, t *tokens) (token.Identity, error) {
	if !b.speaks(token.OpWhoAmI) {
		return id, nil
	}
	ctx, cancel := detached(b.cfg.Limits.Call)
	defer cancel()
	set, err := b.speak(ctx, token.Grant{Op: token.OpWhoAmI, Access: t.access})
	if err == nil {
		return merge(id, set.Identity), nil
	}
	// A user who may not read his own entry, or a release that lacks the call.
	if r, ok := errors.AsType[*refusal](err); ok && (r.status == http.StatusForbidden || r.status == http.StatusNotFound) {
		return id, nil
	}
	return id, unavailable(msgUnavailable, err, asked(err))
}

// merge returns what b says, and what a says where b is silent.
func merge(a, b token.Identity) token.Identity {
	if b.Name == "" {
		b.Name = a.Name
	}
	if b.ID == "" {
		b.ID = a.ID
	}
	if b.Email == "" {
		b.Email = a.Email
	}
	if b.Groups == nil {
		b.Groups = a.Groups
	}
	if b.Scopes == nil {
		b.Scopes = a.Scopes
	}
	b.Admin = b.Admin || a.Admin
	return b
}

// named fills what nobody told: the name is the one that the backend took, and
// it serves as id.
func named(id token.Identity, username string) token.Identity {
	if id.Name == "" {
		id.Name = username
	}
	if id.ID == "" {
		id.ID = id.Name
	}
	return id
}

// Renew has the backend's tokens of a session renewed when its client refreshes
// the gateway's. Tokens in the first half of their life are left as they are.
// While the old tokens serve, a renewal that fails is not an error. Failures are
// a *token.Error: InvalidRefresh when the backend session is dead, else
// Unavailable.
//
// A renewal by the client's own password (token.OpRenew) always asks the backend,
// since nothing else proves the password; what it refuses is BadCredentials and
// ends nothing. The password is not kept.
func (b *Backend) Renew(ctx context.Context, sid token.SID, g token.Grant) error {
	h := b.heldBy(sid)
	if h == nil || b.mode() != modeOwn {
		return errAccount
	}
	if g.Op == token.OpRenew && !b.speaks(token.OpRenew) {
		return unavailable(msgUnavailable, errNoCall, 0)
	}
	t := h.cur.Load()
	if t == nil {
		var err error
		if t, err = b.renewed(ctx, h, nil); err != nil {
			return refreshed(err)
		}
	}
	if g.Op == token.OpRenew {
		return refreshed(b.renewWith(ctx, h, t, g))
	}
	now := time.Now()
	if t.young(now) || !b.canRenew(h, t) && t.phase(now) != phaseOver {
		return nil
	}
	_, err := b.renewed(ctx, h, t)
	if err != nil && !isDead(err) && t.phase(time.Now()) != phaseOver {
		return nil
	}
	return refreshed(err)
}

// refreshed says a failure in the terms of a refresh.
func refreshed(err error) error {
	if isDead(err) {
		return token.Fail(token.InvalidRefresh, msgEnded, err)
	}
	return err
}

// End logs out at the backend because the session has ended, and gives back what
// it had pinned there. It does not wait; if the logout fails now it is made
// later, by this process or another. With an account it concerns what the session
// has beside the shared one; see Parts.
func (b *Backend) End(sid token.SID) {
	if b.mode() != modeOwn && !b.Parts() || sid.IsZero() {
		return
	}
	b.mu.Lock()
	delete(b.clients, sid)
	b.mu.Unlock()
	ref := b.refOf(sid)
	b.crew.run(func() { b.dismiss(ref, false) })
}
