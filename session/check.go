package session

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// Outcomes of a token check.
const (
	checkOK          = "ok"
	checkInvalid     = "invalid"
	checkExpired     = "expired"
	checkRevoked     = "revoked"
	checkUnavailable = "unavailable"
)

// entry is one token text that was checked, ready to be used again.
type entry struct {
	api        bool   // an API token; else an access token
	exact      bool   // good only while its generation is the newest
	generation uint32 // of an access token
	dialect    string
	issuer     *Issuer // that proved an opaque token; nil: the token says all by itself
	expires    int64   // Unix nanoseconds; 0: not by itself
	live       *live
	shown      atomic.Pointer[Session] // as its owner was at the last use
}

// Check returns the session of an access token that one of the route's issuers
// made. The session is shared by all calls: treat it as read-only, its slices
// too. Junk costs no call to the store, a known token one map look-up.
//
// Errors are *token.Error: InvalidAccess, ExpiredAccess, WrongToken, or
// Unavailable when the store would have to be asked and cannot be.
func (m *Manager) Check(ctx context.Context, issuers []*Issuer, access token.Secret) (*Session, error) {
	return m.check(ctx, issuers, access, false)
}

// CheckAPIToken is Check for an API token. Errors: InvalidAPIToken,
// ExpiredAPIToken, Unavailable.
func (m *Manager) CheckAPIToken(ctx context.Context, issuers []*Issuer, text token.Secret) (*Session, error) {
	return m.check(ctx, issuers, text, true)
}

func (m *Manager) check(ctx context.Context, issuers []*Issuer, text token.Secret, api bool) (*Session, error) {
	if e, ok := m.texts.get(text.Reveal()); ok && e.api == api {
		if s := m.warm(e, issuers, time.Now()); s != nil {
			m.o.Recorder.TokenCheck(e.dialect, checkOK)
			return s, nil
		}
	}
	cold := m.coldAccess
	if api {
		cold = m.coldAPIToken
	}
	aside := m.contact.aside()
	s, dialect, err := cold(ctx, issuers, text)
	if isKind(err, token.ExpiredAccess) && m.misjudged(ctx, aside) {
		s, dialect, err = cold(ctx, issuers, text)
	}
	m.o.Recorder.TokenCheck(dialect, checkOutcome(err))
	if err != nil {
		return nil, callerError(err, api)
	}
	return s, nil
}

// warm returns the session of a token checked before, or nil if anything about
// it needs a second look.
func (m *Manager) warm(e *entry, issuers []*Issuer, now time.Time) *Session {
	b := e.live.belief.Load()
	if b == nil || serving(issuers, e.dialect, b.rec.Origin.Source) == nil {
		return nil
	}
	if e.issuer != nil && !slices.ContainsFunc(issuers, e.issuer.agrees) {
		return nil
	}
	wall, mono := now.Add(-m.contact.aside()).UnixNano(), m.mono(now)
	if wall >= b.end || (e.expires != 0 && wall >= e.expires) || !m.believed(b, mono) {
		return nil
	}
	if e.exact && e.generation < b.rec.Generation {
		return nil
	}
	return m.show(e, b, mono)
}

// show counts a use and returns the session as its owner is now; nil if he is
// gone, or is no application any more and this is an application token.
func (m *Manager) show(e *entry, b *belief, now int64) *Session {
	id, ok := m.current(&b.rec)
	if !ok || !e.api && b.rec.API != nil && id.Kind != applicationKind {
		return nil
	}
	e.live.used.Store(now)
	if b.rec.API != nil {
		e.live.uses.Add(1)
	}
	if s := e.shown.Load(); s != nil && same(&s.Identity, &id) {
		return s
	}
	s := newSession(&b.rec, id, e.expires)
	e.shown.Store(s)
	return s
}

// serving returns the issuer by which a route takes tokens of a dialect and
// identity source.
func serving(issuers []*Issuer, dialect, source string) *Issuer {
	for _, i := range issuers {
		if i.Dialect == dialect && i.Source == source {
			return i
		}
	}
	return nil
}

// agrees reports whether another issuer would come to the same answer about an
// opaque token.
func (i *Issuer) agrees(o *Issuer) bool {
	return i == o || i.Name == o.Name && i.Source == o.Source && i.AccessTTL == o.AccessTTL
}

func dialectOf(issuer string) string {
	d, _, _ := strings.Cut(issuer, "/")
	return d
}

// claim is what a token says of itself once its proof is checked.
type claim struct {
	issuer *Issuer
	access token.Access
	opaque bool
}

// parse finds the issuer whose proof a token bears. It asks nobody. Of a token
// that no issuer takes it says what the first one does, in whose form errors are
// written, unless another one knows it for an expired token of its own, or could
// not ask for the key that it names.
func (m *Manager) parse(issuers []*Issuer, text token.Secret) (claim, error) {
	var err error
	for _, i := range issuers {
		a, core, perr := i.Shape.ParseAccess(text)
		switch {
		case perr != nil && m.lasts(a, perr):
			return claim{issuer: i, access: a}, nil
		case perr != nil:
			if err == nil || outranks(perr, err) {
				err = perr
			}
			continue
		case core == nil:
			return claim{issuer: i, access: a}, nil
		}
		if sid, g, ok := openCore(m.codes.access, "access", i, *core); ok {
			a.SID, a.Generation = sid, g
			return claim{issuer: i, access: a, opaque: true}, nil
		}
		if err == nil {
			err = errInvalidAccess
		}
	}
	switch {
	case err != nil && tells(err):
		return claim{}, err
	case isKind(err, token.ExpiredAccess):
		return claim{}, errExpiredAccess
	}
	return claim{}, errInvalidAccess
}

// lasts reports whether a token that has expired by this machine's clock has not by
// the store's.
func (m *Manager) lasts(a token.Access, err error) bool {
	return isKind(err, token.ExpiredAccess) && m.clock().Before(a.ExpiresAt)
}

// outranks reports whether what one issuer says of a token tells more than what
// another one said.
func outranks(err, than error) bool {
	for _, k := range []token.Kind{token.Unavailable, token.ExpiredAccess} {
		if isKind(than, k) {
			return false
		}
		if isKind(err, k) {
			return true
		}
	}
	return false
}

func (m *Manager) coldAccess(ctx context.Context, issuers []*Issuer, text token.Secret) (*Session, string, error) {
	c, err := m.parse(issuers, text)
	if err != nil {
		return nil, firstDialect(issuers), err
	}
	m.house.backends.know(c.issuer)
	l, b, err := m.learn(ctx, c.access.SID, c.access.Generation)
	if err != nil {
		return nil, c.issuer.Dialect, err
	}
	e, err := m.admit(issuers, c, b)
	if err != nil {
		return nil, c.issuer.Dialect, err
	}
	e.live = l
	l.idle.Store(int64(restarts(c.issuer, b.rec.Origin.Kind)))
	s, err := m.enter(ctx, e, b, text)
	return s, e.dialect, err
}

// admit applies the rules of access tokens to a record.
func (m *Manager) admit(issuers []*Issuer, c claim, b *belief) (*entry, error) {
	o, a := &b.rec.Origin, c.access
	if !fits(o, c) || a.Generation > b.rec.Generation+HealAhead {
		return nil, errInvalidAccess
	}
	if serving(issuers, dialectOf(o.Issuer), o.Source) == nil || (c.opaque && o.Issuer != c.issuer.Name) {
		return nil, errInvalidAccess
	}
	e := &entry{generation: a.Generation, dialect: dialectOf(o.Issuer)}
	life, known := c.issuer.accessTTL(o.Client)
	switch {
	case !known && o.Kind == KindLogin:
		return nil, errInvalidAccess // its client is gone
	case o.Kind == KindPortal, o.Kind == KindAPIToken: // lives as long as its session
	case !c.opaque:
		if !a.ExpiresAt.IsZero() {
			e.expires = a.ExpiresAt.UnixNano()
		}
	case life > 0:
		e.expires = b.rec.Made.Add(life).UnixNano()
	}
	if c.opaque {
		e.issuer = c.issuer
	}
	// When an opaque token of an older generation was made is not kept, so one
	// that expires cannot be shown to be good.
	e.exact = c.issuer.VoidsAccess || (c.opaque && e.expires != 0)
	if e.exact && a.Generation < b.rec.Generation {
		return nil, errInvalidAccess
	}
	now := m.clock().UnixNano()
	if now >= b.end || (e.expires != 0 && now >= e.expires) {
		return nil, errExpiredAccess
	}
	return e, nil
}

// fits reports whether a session is one of which there are access tokens like
// this one. Of an application's it is the token without an end of the very
// issuer that made it; of a login's a token without an end is good only where
// the issuer's never end.
func fits(o *Origin, c claim) bool {
	endless := !c.opaque && c.access.ExpiresAt.IsZero()
	switch o.Kind {
	case KindLogin:
		return !endless || c.issuer.AccessTTL == 0
	case KindPortal:
		return true
	case KindAPIToken:
		return endless && o.Issuer == c.issuer.Name
	}
	return false
}

// enter shows the session of a token that passed, and keeps it for next time. A
// user who is gone takes his session with him.
func (m *Manager) enter(ctx context.Context, e *entry, b *belief, text token.Secret) (*Session, error) {
	s := m.show(e, b, m.now())
	if s == nil {
		if err := m.End(ctx, b.rec.SID, reasonUserGone); err != nil {
			m.o.Log.WarnContext(ctx, "session of a gone user could not be ended", "session", b.rec.SID.Short(), "error", err)
		}
		return nil, errRevoked
	}
	m.texts.put(text.Reveal(), e)
	return s, nil
}

// restarts says what use restarts of a session: the sliding life of the portal,
// and that of what never expires.
func restarts(i *Issuer, k Kind) time.Duration {
	switch {
	case k == KindPortal && i.RefreshTTL > 0:
		return i.RefreshTTL
	case i.RefreshTTL == 0, k == KindAPIToken:
		return never
	}
	return 0
}

func newSession(r *Record, id token.Identity, expires int64) *Session {
	s := &Session{
		SID: r.SID, Kind: r.Origin.Kind, Issuer: r.Origin.Issuer, Source: r.Origin.Source, Identity: id, Scopes: id.Scopes,
		AMR: r.Origin.AMR, Client: r.Origin.Client,
	}
	switch {
	case r.API != nil:
		s.Scopes = common(r.API.Scopes, id.Scopes)
	case r.Origin.Client != "": // a token cannot do more than its user
		s.Scopes = common(r.Origin.Scopes, id.Scopes)
	}
	if expires != 0 {
		s.Expires = time.Unix(0, expires)
	}
	return s
}

func firstDialect(issuers []*Issuer) string {
	if len(issuers) == 0 {
		return ""
	}
	return issuers[0].Dialect
}

func checkOutcome(err error) string {
	switch {
	case err == nil:
		return checkOK
	case errors.Is(err, errRevoked):
		return checkRevoked
	case isKind(err, token.ExpiredAccess), isKind(err, token.ExpiredAPIToken):
		return checkExpired
	case isKind(err, token.Unavailable):
		return checkUnavailable
	}
	return checkInvalid
}

// callerError turns an ended or unknown session into what its caller may know.
func callerError(err error, api bool) error {
	switch {
	case !errors.Is(err, errRevoked) && !errors.Is(err, ErrNotFound):
		return err
	case api:
		return errInvalidAPIToken
	}
	return errInvalidAccess
}
