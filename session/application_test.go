package session_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// itempath makes the world's issuer one whose refresh tokens prove themselves.
func (w *world) itempath() {
	w.Helper()
	d, err := dialect.Open("itempath", dialect.Settings{})
	if err != nil {
		w.Fatal(err)
	}
	w.iss = w.issuer(d, session.SourceUsers)
	w.people.set(func() { w.people.kind = "application" })
}

func (w *world) issuer(d *dialect.Dialect, source string) *session.Issuer {
	w.Helper()
	keys, err := session.LoadKeys(w.Context(), w.store, w.keys)
	if err != nil {
		w.Fatal(err)
	}
	return &session.Issuer{
		Name: d.ID(), Dialect: d.Name, Source: source, AccessTTL: d.Tokens.AccessTTL, RefreshTTL: d.Tokens.RefreshTTL,
		Shape: d.Shape(keys.For(d.Name, source)), Verifier: w.people,
	}
}

func (w *world) application(refresh token.Secret) (token.Set, error) {
	return w.m.ApplicationToken(w.Context(), w.iss, token.Grant{Op: token.OpApplicationToken, Refresh: refresh})
}

// says checks kind and message of an error.
func (w *world) says(err error, kind token.Kind, msg string) {
	w.Helper()
	w.refused(err, kind)
	if e, ok := errors.AsType[*token.Error](err); !ok || msg != "" && e.Msg != msg {
		w.Errorf("error = %v; want the message %q", err, msg)
	}
}

func TestApplicationTokenOutlivesItsLogin(t *testing.T) {
	still(t, func(w *world) {
		w.itempath()
		login := w.login(session.KindLogin)
		made, err := w.application(login.Refresh)
		if err != nil || made.ExpiresIn != 0 || !made.Refresh.IsZero() {
			w.Fatalf("ApplicationToken = %+v, %v; want a token that never expires", made, err)
		}
		if _, err := w.refresh(login.Refresh); err != nil {
			w.Errorf("the refresh token is used up: %v", err)
		}
		if err := w.m.End(w.Context(), w.alive(login.Access).SID, "revoked"); err != nil {
			w.Fatal(err)
		}
		s := w.alive(made.Access)
		if s.Kind != session.KindAPIToken || s.Identity.Name != "alice" || len(s.Scopes) != 2 || !s.Expires.IsZero() {
			w.Errorf("session = %+v; want an API token of alice with her scopes", s)
		}
		sleep(10 * 365 * 24 * time.Hour)
		w.alive(made.Access)
		w.people.set(func() { w.people.scopes = []string{"read"} })
		if s := w.alive(made.Access); len(s.Scopes) != 1 {
			w.Errorf("scopes = %v; want those that its owner has left", s.Scopes)
		}
		w.people.set(func() { w.people.gone = true })
		_, err = w.check(w.m, made.Access)
		w.refused(err, token.InvalidAccess)
	})
}

func TestApplicationTokenIsListedCountedAndRevoked(t *testing.T) {
	in(t, func(w *world) {
		w.itempath()
		login := w.login(session.KindLogin)
		by := w.alive(login.Access)
		made, err := w.application(login.Refresh)
		if err != nil {
			w.Fatal(err)
		}
		for range 3 {
			w.alive(made.Access)
		}
		sleep(2 * time.Second)
		list, err := w.m.ListAPITokens(w.Context(), w.iss, by)
		if err != nil || len(list) != 1 || list[0].Usage != 3 || list[0].LastUsed.IsZero() || list[0].Description != "application token" || !list[0].Text.IsZero() {
			w.Fatalf("ListAPITokens = %+v, %v; want one with 3 uses and no text", list, err)
		}
		w.told("opened", 2)
		if err := w.m.DeleteAPIToken(w.Context(), w.iss, by, list[0].ID); err != nil {
			w.Fatal(err)
		}
		_, err = w.check(w.m, made.Access)
		w.refused(err, token.InvalidAccess)
	})
}

func TestApplicationTokenIsForApplications(t *testing.T) {
	in(t, func(w *world) {
		w.itempath()
		login := w.login(session.KindLogin)
		w.people.set(func() { w.people.kind = "" })
		_, err := w.application(login.Refresh)
		w.refused(err, token.Denied)
		w.people.set(func() { w.people.kind = "application" })
		w.iss.Backend = &backend{}
		_, err = w.application(login.Refresh)
		w.refused(err, token.Denied)
		w.iss.Backend = nil
		for n := range 200 {
			if _, err := w.application(login.Refresh); err != nil {
				w.Fatalf("token %d: %v", n+1, err)
			}
		}
		_, err = w.application(login.Refresh)
		w.refused(err, token.Denied)
	})
}

func TestApplicationTokenNeedsALiveRefreshToken(t *testing.T) {
	still(t, func(w *world) {
		w.itempath()
		login := w.login(session.KindLogin)
		calls := w.store.Calls()
		_, err := w.application(token.NewSecret("junk"))
		w.says(err, token.InvalidRefresh, "Not enough segments")
		_, err = w.application(login.Access)
		w.says(err, token.WrongToken, "Only refresh tokens are allowed")
		if n := w.store.Calls() - calls; n != 0 {
			w.Errorf("two tokens that are no refresh tokens cost %d calls to the store; want 0", n)
		}
		w.store.SetDown(true)
		_, err = w.application(login.Refresh)
		w.refused(err, token.Unavailable)
		w.store.SetDown(false)
		sleep(10 * time.Second) // the breaker's
		if err := w.m.End(w.Context(), w.alive(login.Access).SID, "revoked"); err != nil {
			w.Fatal(err)
		}
		_, err = w.application(login.Refresh)
		w.refused(err, token.InvalidRefresh)
		later := w.login(session.KindLogin)
		w.people.set(func() { w.people.gone = true })
		_, err = w.application(later.Refresh)
		w.refused(err, token.InvalidRefresh)
		w.people.set(func() { w.people.gone = false })
		last := w.login(session.KindLogin)
		sleep(30*24*time.Hour - time.Second)
		if _, err = w.application(last.Refresh); err != nil {
			w.Errorf("in the last second of the refresh token: %v", err)
		}
		sleep(time.Second)
		_, err = w.application(last.Refresh)
		w.says(err, token.InvalidRefresh, "Token has expired")
	})
}

// TestOnlyAnApplicationsTokenHasNoEnd: what the keys sign must also be of a
// session that has such tokens.
func TestOnlyAnApplicationsTokenHasNoEnd(t *testing.T) {
	in(t, func(w *world) {
		w.itempath()
		login := w.login(session.KindLogin)
		made, err := w.application(login.Refresh)
		if err != nil {
			w.Fatal(err)
		}
		now := time.Now()
		mint := func(sid token.SID, life time.Duration) token.Secret {
			a := token.Access{SID: sid, IssuedAt: now}
			if life > 0 {
				a.ExpiresAt = now.Add(life)
			}
			s, err := w.iss.Shape.MintAccess(a, token.Core{})
			if err != nil {
				w.Fatal(err)
			}
			return s
		}
		person, app := w.alive(login.Access).SID, w.alive(made.Access).SID
		w.alive(mint(person, time.Minute))
		w.alive(mint(app, 0))
		_, err = w.check(w.m, mint(person, 0))
		w.refused(err, token.InvalidAccess)
		_, err = w.check(w.m, mint(app, time.Minute))
		w.refused(err, token.InvalidAccess)
		_, err = w.checkAPI(w.m, made.Access)
		w.refused(err, token.InvalidAPIToken)
	})
}

func TestSelfProvingRefreshTokens(t *testing.T) {
	in(t, func(w *world) {
		w.itempath()
		login := w.login(session.KindLogin)
		first, err := w.refresh(login.Refresh)
		if err != nil || !first.Refresh.IsZero() {
			w.Fatalf("Refresh = %+v, %v; want an access token alone", first, err)
		}
		second, err := w.refresh(login.Refresh)
		if err != nil || second.Access == first.Access || first.Access == login.Access {
			w.Errorf("Refresh = %v; want another access token each time", err)
		}
		for _, at := range []token.Secret{login.Access, first.Access, second.Access} {
			w.alive(at)
		}
		calls := w.store.Calls()
		_, err = w.refresh(login.Access)
		w.says(err, token.WrongToken, "Only refresh tokens are allowed")
		_, err = w.check(w.m, login.Refresh)
		w.says(err, token.WrongToken, "Only non-refresh tokens are allowed")
		_, err = w.refresh(token.NewSecret(login.Refresh.Reveal() + "A"))
		w.says(err, token.InvalidRefresh, "Signature verification failed")
		if n := w.store.Calls() - calls; n != 0 {
			w.Errorf("tokens of the wrong type cost %d calls to the store; want 0", n)
		}
		w.told("refresh refused", 2)
		if err := w.m.End(w.Context(), w.alive(login.Access).SID, "revoked"); err != nil {
			w.Fatal(err)
		}
		_, err = w.refresh(login.Refresh)
		w.refused(err, token.InvalidRefresh)
		_, err = w.check(w.m, first.Access)
		w.refused(err, token.InvalidAccess)
	})
}

// TestHS256TokenOfAnotherSourceIsJunk: and of another dialect.
func TestHS256TokenOfAnotherSourceIsJunk(t *testing.T) {
	in(t, func(w *world) {
		w.itempath()
		login, own := w.login(session.KindLogin), w.iss
		calls := w.store.Calls()
		keys, err := session.LoadKeys(w.Context(), w.store, w.keys)
		if err != nil {
			w.Fatal(err)
		}
		calls += 1 // of LoadKeys
		d, err := dialect.Open("itempath", dialect.Settings{})
		if err != nil {
			w.Fatal(err)
		}
		for name, k := range map[string]*session.Keys{
			"another source": keys.For("itempath", "backend:one"), "another dialect": keys.For("other", session.SourceUsers), "none": keys,
		} {
			other := *own
			other.Shape, w.iss = d.Shape(k), &other
			_, err = w.check(w.m, login.Access)
			w.says(err, token.InvalidAccess, "Signature verification failed")
			_, err = w.refresh(login.Refresh)
			w.says(err, token.InvalidRefresh, "Signature verification failed")
			if n := w.store.Calls() - calls; n > 0 {
				w.Errorf("%s: %d calls to the store; want 0", name, n)
			}
		}
	})
}

// TestFirstIssuerSaysWhatIsWrong: errors have its form. An expired token is known
// for one by whoever made it.
func TestFirstIssuerSaysWhatIsWrong(t *testing.T) {
	in(t, func(w *world) {
		plain := w.iss
		old := w.login(session.KindLogin)
		w.itempath()
		login := w.login(session.KindLogin)
		sleep(30 * time.Minute)
		check := func(text token.Secret, first, second *session.Issuer) error {
			_, err := w.m.Check(w.Context(), []*session.Issuer{first, second}, text)
			return err
		}
		w.says(check(login.Access, w.iss, plain), token.ExpiredAccess, "Token has expired")
		w.says(check(login.Access, plain, w.iss), token.ExpiredAccess, "Token has expired")
		w.says(check(old.Access, w.iss, plain), token.ExpiredAccess, "expired")
		w.says(check(login.Refresh, w.iss, plain), token.WrongToken, "Only non-refresh tokens are allowed")
		w.says(check(login.Refresh, plain, w.iss), token.InvalidAccess, "bad")
		w.says(check(token.NewSecret("junk"), plain, w.iss), token.InvalidAccess, "bad")
		w.told("check expired", 3)
		away := *plain
		away.Shape = awayShape{}
		w.says(check(token.NewSecret("junk"), plain, &away), token.Unavailable, "away")
		w.says(check(login.Access, &away, w.iss), token.Unavailable, "away")
	})
}

// awayShape cannot ask for its keys.
type awayShape struct{ shape }

func (awayShape) ParseAccess(token.Secret) (token.Access, *token.Core, error) {
	return token.Access{}, nil, token.Fail(token.Unavailable, "away", nil)
}

// TestApplicationTokenEndsWithItsUsersKind: a user who is no application any more
// keeps no token that never expires.
func TestApplicationTokenEndsWithItsUsersKind(t *testing.T) {
	in(t, func(w *world) {
		w.itempath()
		login := w.login(session.KindLogin)
		made, err := w.application(login.Refresh)
		if err != nil {
			w.Fatal(err)
		}
		w.alive(made.Access)
		w.people.set(func() { w.people.kind = "" })
		_, err = w.check(w.m, made.Access)
		w.refused(err, token.InvalidAccess)
		w.alive(login.Access)
	})
}
