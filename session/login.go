package session

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Limits of what a login may carry, ASVS 6.2.
const (
	maxName     = 256
	maxPassword = 1024
)

// Login proves a user name and password, opens a session of kind KindLogin or
// KindPortal, and mints its tokens. A portal session has only an access token,
// whose life of iss.RefreshTTL starts again with use.
//
// Errors are *token.Error: BadCredentials, LocalAuthOff, FactorNeeded, Throttled
// and Unavailable, the last two with RetryAfter, or what the Verifier says.
// FactorNeeded has a Challenge where the issuer can ask, and for KindPortal a
// Ticket in it, with which Resume goes on.
func (m *Manager) Login(ctx context.Context, iss *Issuer, kind Kind, g token.Grant) (token.Set, error) {
	set, err := m.login(ctx, iss, kind, g)
	m.o.Recorder.Login(iss.Dialect, loginOutcome(err))
	return set, err
}

func (m *Manager) login(ctx context.Context, iss *Issuer, kind Kind, g token.Grant) (token.Set, error) {
	iss, err := iss.forGrant(g, GrantPassword)
	if err != nil {
		return token.Set{}, err
	}
	rec, err := m.open(ctx, iss, kind, g)
	if err != nil {
		return token.Set{}, err
	}
	set, err := m.handOut(ctx, iss, rec)
	if errors.Is(err, ErrOutdated) {
		err = errEndedMeanwhile
	}
	return set, err
}

// handOut mints the tokens of a new session, or ends it again: with ErrOutdated if
// all that its user had was ended since he proved himself.
func (m *Manager) handOut(ctx context.Context, iss *Issuer, rec Record) (token.Set, error) {
	if err := m.bound(ctx, &rec); err != nil {
		return token.Set{}, m.abandon(ctx, &rec, err)
	}
	set, err := m.mint(iss, &rec, rec.Identity, rec.Made)
	if err != nil {
		return token.Set{}, m.abandon(ctx, &rec, err)
	}
	m.o.Recorder.Opened()
	return set, nil
}

// open proves a login and creates its session.
func (m *Manager) open(ctx context.Context, iss *Issuer, kind Kind, g token.Grant) (Record, error) {
	m.house.backends.know(iss)
	scopes, err := iss.scopesOf(g)
	if err != nil {
		return Record{}, err
	}
	sid := token.NewSID()
	id, at, err := m.prove(ctx, iss, sid, kind, g)
	if err != nil {
		return Record{}, err
	}
	amr, err := m.secondFactor(ctx, iss, kind, id, g)
	if err != nil {
		return Record{}, m.halfProved(ctx, iss, kind, ticket{Identity: id, Proved: at}, g, err)
	}
	rec := Record{SID: sid, Identity: id, Origin: Origin{Kind: kind, Issuer: iss.Name, Source: iss.Source, AMR: amr, Proved: at}}
	rec.Origin.Client, rec.Origin.Scopes = iss.clientID(), scopes
	if rec, err = m.create(ctx, rec, lifeOf(iss, kind)); err != nil && iss.Backend != nil {
		iss.Backend.End(sid) // the Verifier logged in there
	}
	return rec, err
}

// create writes a new session and believes it.
func (m *Manager) create(ctx context.Context, rec Record, l Life) (Record, error) {
	begun, a := m.now(), NewAttempt()
	err := m.ask(ctx, "create", func(ctx context.Context) (err error) {
		rec, err = m.o.Store.Create(ctx, a, rec, l)
		return err
	})
	if err != nil {
		return Record{}, err
	}
	m.remember(rec, begun)
	return rec, nil
}

// prove checks a login against throttle and Verifier. It returns whose it is, and
// when the proof began by the store's clock.
func (m *Manager) prove(ctx context.Context, iss *Issuer, sid token.SID, kind Kind, g token.Grant) (id token.Identity, at time.Time, err error) {
	if iss.LocalAuthOff {
		return token.Identity{}, at, errLocalAuthOff
	}
	pw := len(g.Password.Reveal())
	if g.Username == "" || len(g.Username) > maxName || pw == 0 || pw > maxPassword {
		return token.Identity{}, at, errBadCredentials
	}
	account, address := m.failureKeys(iss, g)
	arrived := time.Now()
	for _, gate := range []struct {
		key string
		n   int
	}{{address, openAddress}, {account, openAccount}} {
		_, leave, err := m.doors.logins.enter(ctx, gate.key, gate.n, maxQueue)
		if err != nil {
			return token.Identity{}, at, err
		}
		defer leave()
	}
	if m.breaker.failedSince(arrived) {
		return token.Identity{}, at, unavailable(errQueued)
	}
	if at, err = m.allowed(ctx, account, address); err != nil {
		return token.Identity{}, at, err
	}
	id, err = iss.Verifier.Verify(ctx, sid, g)
	if err == nil && iss.otherRealm(g, id) {
		err = errBadCredentials
	}
	if err == nil && iss.Permit != nil {
		if refused := iss.Permit(id); refused != nil {
			err = refused
			if iss.Backend != nil {
				iss.Backend.End(sid) // the Verifier logged in there
			}
		}
	}
	if err == nil {
		return id, at, nil
	}
	failed, err := iss.refusal(kind, g, err)
	if failed {
		m.countFailure(ctx, account, address)
	}
	return token.Identity{}, at, err
}

// refusal says whether a login that a Verifier refused counts as a failure, and
// what the caller is told. A backend's challenge is told where the caller
// can answer it. It counts where he cannot, since every try may send one more
// message to somebody's phone, and after an answer, which was wrong then.
func (i *Issuer) refusal(kind Kind, g token.Grant, err error) (failed bool, told error) {
	switch {
	case token.KindOf(err) == token.BadCredentials:
		return true, err
	case token.KindOf(err) != token.FactorNeeded:
		return false, err
	case i.SecondFactor != token.FactorAsked || kind != KindLogin:
		return true, token.Fail(token.FactorNeeded, errFactorNeeded.Msg, err)
	}
	return g.Factor != nil && !g.Factor.Response.IsZero(), err
}

// allowed asks the throttle, and returns the store's time.
func (m *Manager) allowed(ctx context.Context, account, address string) (now time.Time, err error) {
	var wait time.Duration
	err = m.ask(ctx, "throttle", func(ctx context.Context) (err error) {
		wait, now, err = m.o.Throttle.Allow(ctx, account, address)
		return err
	})
	if err != nil {
		return now, err
	}
	if wait > 0 {
		return now, &token.Error{
			Kind: token.Throttled, RetryAfter: wait,
			Msg: "Too many failed logins. Wait and try again.",
		}
	}
	return now, nil
}

func (m *Manager) countFailure(ctx context.Context, account, address string) {
	err := m.ask(ctx, "count failure", func(ctx context.Context) error {
		return m.o.Throttle.Fail(ctx, account, address)
	})
	if err != nil {
		m.o.Log.WarnContext(ctx, "failed login was not counted", "error", err)
	}
}

// failureKeys are the keyed digests under which failures are counted. Spellings
// of one account share a count, whichever of them are users: else the count
// would tell who exists. So a name counts without its realm and without what
// follows its first @, which some token APIs take for one. The addresses of one
// IPv6 network share a count too, since whoever has one of them has them all.
func (m *Manager) failureKeys(iss *Issuer, g token.Grant) (account, address string) {
	name := strings.ToLower(strings.TrimSpace(g.Username))
	if i := strings.IndexByte(name, '@'); i > 0 {
		name = strings.TrimSpace(name[:i])
	}
	account = strings.Join([]string{"account", iss.Source, name}, "\x00")
	where := g.Address
	if ip, err := netip.ParseAddr(where); err == nil {
		ip = ip.Unmap().WithZone("")
		if where = ip.String(); ip.Is6() {
			p, _ := ip.Prefix(64)
			where = p.String()
		}
	}
	return m.codes.failures.Digest(account)[0], m.codes.failures.Digest("address\x00" + where)[0]
}

// bound enters a session in its owner's list, which ends the least recently used
// ones beyond maxSessions.
func (m *Manager) bound(ctx context.Context, rec *Record) error {
	if err := m.enlist(ctx, rec, rec.End()); err != nil {
		return err
	}
	return m.addTo(ctx, ownerOf(rec), Member{SID: rec.SID, End: rec.End(), Proved: rec.Origin.Proved})
}

// addTo enters a session in a list and ends those that are then too many.
func (m *Manager) addTo(ctx context.Context, list string, s Member) error {
	var over []token.SID
	err := m.ask(ctx, "index", func(ctx context.Context) (err error) {
		over, err = m.o.Index.Add(ctx, list, s, maxSessions)
		return err
	})
	if err != nil {
		return err
	}
	for _, sid := range over {
		if err := m.End(ctx, sid, reasonEvicted); err != nil {
			m.o.Log.WarnContext(ctx, "session beyond the bound was not ended", "session", sid.Short(), "error", err)
			continue
		}
		m.unlist(ctx, list, sid)
	}
	return nil
}

// abandon ends a session that nobody was told of, and returns why.
func (m *Manager) abandon(ctx context.Context, rec *Record, why error) error {
	if err := m.End(ctx, rec.SID, reasonRevoked); err != nil {
		m.o.Log.WarnContext(ctx, "abandoned session was not ended", "session", rec.SID.Short(), "error", err)
	}
	return why
}

// lifeOf says how long things of a session live.
func lifeOf(i *Issuer, k Kind) Life {
	or := func(d time.Duration) time.Duration {
		if d == 0 {
			return never
		}
		return d
	}
	switch k {
	case KindPortal:
		return Life{Idle: or(i.RefreshTTL), Keep: keepEnded}
	case KindBasic:
		return Life{Idle: basicFor + basicLinger, Keep: keepEnded}
	}
	return Life{Idle: or(i.RefreshTTL), Access: or(i.AccessTTL), Keep: keepEnded}
}

// mint makes the tokens of a record's generation. now is the store's clock. With
// rotation it depends on nothing else, so that a repeat gets the same tokens.
func (m *Manager) mint(i *Issuer, rec *Record, id token.Identity, now time.Time) (token.Set, error) {
	a := token.Access{Identity: id, SID: rec.SID, Generation: rec.Generation, IssuedAt: rec.Made}
	set := token.Set{Identity: id}
	if rec.Origin.Kind == KindPortal {
		set.ExpiresIn = i.RefreshTTL
	} else if i.AccessTTL > 0 {
		a.ExpiresAt = rec.Made.Add(i.AccessTTL)
		set.ExpiresIn = max(a.ExpiresAt.Sub(now), time.Second) // 0 would mean never
	}
	var err error
	if set.Access, err = i.Shape.MintAccess(a, m.codes.accessCore(i, rec.SID, rec.Generation)); err != nil {
		return token.Set{}, token.Fail(token.Internal, "", err)
	}
	if rec.Origin.Kind == KindLogin {
		if a.ExpiresAt = (time.Time{}); i.RefreshTTL > 0 {
			a.ExpiresAt = rec.Made.Add(i.RefreshTTL)
		}
		if set.Refresh, err = i.Shape.MintRefresh(a, m.codes.refreshCore(i, rec.SID, rec.Generation)); err != nil {
			return token.Set{}, token.Fail(token.Internal, "", err)
		}
		set.RefreshExpiresIn = i.RefreshTTL
	}
	if i.client != nil {
		set.Scopes, set.NeverAs = rec.Origin.Scopes, i.client.NeverAs
	}
	return set, nil
}

// unknownName stands in logs for a user name that may be anything.
const unknownName = "unknown"

// KnownName returns a name that somebody typed if the issuer's Verifier keeps a
// list of users and he is on it, else "unknown": a password typed into the wrong
// field must not get into a log. It asks nobody.
func (i *Issuer) KnownName(typed string) string {
	users, ok := i.Verifier.(interface {
		Find(name string) (token.Identity, bool)
	})
	if ok {
		if id, known := users.Find(typed); known {
			return id.Name
		}
	}
	return unknownName
}

func loginOutcome(err error) string {
	if err == nil {
		return "ok"
	}
	switch k := token.KindOf(err); k {
	case token.BadCredentials, token.Throttled, token.LocalAuthOff, token.Malformed, token.FactorNeeded:
		return k.String()
	case token.InvalidRefresh: // a code
		return token.BadCredentials.String()
	}
	if clientFault(err) {
		return "client_refused"
	}
	return "unavailable"
}
