package session_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const appURI = "https://app.example.com/cb"

// oauth makes the world's issuer an OAuth server: app and other are
// confidential, spa is public, and narrow may use codes alone.
func (w *world) oauth() {
	all := []string{session.GrantPassword, session.GrantCode, session.GrantRefresh}
	secret := token.NewSecret("app-secret")
	w.iss.Name, w.iss.Dialect, w.iss.Shape, w.iss.VoidsAccess, w.iss.RefreshTTL = "fac-oauth/6.x", "fac-oauth", shape{opaque: true}, true, 0
	w.iss.MintID = func(t token.IDToken) (token.Secret, error) {
		return token.NewSecret(strings.Join([]string{"id", t.Client, t.Subject, t.Nonce, t.Access.Reveal()}, " ")), nil
	}
	w.iss.Clients = session.NewClients([]session.Client{
		{ID: "app", Secret: secret, Grants: all, RedirectURIs: []string{appURI}, Scopes: []string{"read"}, AccessTTL: time.Hour},
		{ID: "other", Secret: secret, Grants: all, RedirectURIs: []string{appURI}, Scopes: []string{"read", "write"}},
		{ID: "spa", Public: true, Grants: all, RedirectURIs: []string{appURI, appURI + "/2"}, Scopes: []string{"read"}, AccessTTL: time.Minute},
		{ID: "narrow", Secret: secret, Grants: []string{session.GrantCode}, RedirectURIs: []string{appURI}, Scopes: []string{"read"}},
	})
}

// asClient gives a grant a client with its secret.
func asClient(id string, g token.Grant) token.Grant {
	g.Client = &token.Client{ID: id, Secret: token.NewSecret("app-secret")}
	if id == "spa" {
		g.Client.Secret = token.Secret{}
	}
	return g
}

func (w *world) loginBy(client string) token.Set {
	w.Helper()
	set, err := w.m.Login(w.Context(), w.iss, session.KindLogin, asClient(client, grant("alice", "right")))
	if err != nil {
		w.Fatalf("Login as %s = %v; want no error", client, err)
	}
	return set
}

func (w *world) refreshAs(client string, rt token.Secret) (token.Set, error) {
	return w.m.Refresh(w.Context(), w.iss, asClient(client, token.Grant{Op: token.OpRefresh, Refresh: rt}))
}

func TestClientsHaveLivesAndScopesOfTheirOwn(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		for client, want := range map[string]struct {
			life   time.Duration
			scopes []string
		}{"app": {time.Hour, []string{"read"}}, "other": {0, []string{"read", "write"}}, "spa": {time.Minute, []string{"read"}}} {
			set := w.loginBy(client)
			if set.ExpiresIn != want.life || !slices.Equal(set.Scopes, want.scopes) {
				w.Errorf("%s: tokens for %s with %v; want %s with %v", client, set.ExpiresIn, set.Scopes, want.life, want.scopes)
			}
			if s := w.alive(set.Access); s.Client != client || !slices.Equal(s.Scopes, want.scopes) || s.Expires.IsZero() != (want.life == 0) {
				w.Errorf("%s: session of %q with %v until %v", client, s.Client, s.Scopes, s.Expires)
			}
		}
		set := w.loginBy("spa")
		sleep(time.Minute - time.Millisecond)
		w.alive(set.Access)
		sleep(time.Millisecond)
		_, err := w.check(w.m, set.Access)
		w.refused(err, token.ExpiredAccess)
	})
}

func TestATokenCannotDoMoreThanItsUser(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		set := w.loginBy("other")
		w.people.set(func() { w.people.scopes = []string{"write", "admin"} })
		if s := w.alive(set.Access); !slices.Equal(s.Scopes, []string{"write"}) {
			w.Errorf("scopes = %v; want those that both have", s.Scopes)
		}
	})
}

// A client that does not prove itself costs no call to the store, and neither
// does one that may not do what it asks.
func TestClientIsProvedBeforeAnythingIsAsked(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		set := w.loginBy("app")
		wrong := token.NewSecret("app-secreT")
		calls := w.store.Calls()
		for _, c := range []struct {
			name   string
			client *token.Client
			want   token.Kind
		}{
			{"none", nil, token.InvalidClient},
			{"unknown", &token.Client{ID: "ghost", Secret: wrong}, token.InvalidClient},
			{"empty", &token.Client{}, token.InvalidClient},
			{"wrong secret", &token.Client{ID: "app", Secret: wrong}, token.InvalidClient},
			{"no secret", &token.Client{ID: "app"}, token.InvalidClient},
			{"a secret of a public client", &token.Client{ID: "spa", Secret: wrong}, token.InvalidClient},
			{"another grant", &token.Client{ID: "narrow", Secret: token.NewSecret("app-secret")}, token.UnauthorizedClient},
		} {
			g := grant("alice", "right")
			g.Client = c.client
			_, err := w.m.Login(w.Context(), w.iss, session.KindLogin, g)
			w.refused(err, c.want)
			_, err = w.m.Refresh(w.Context(), w.iss, token.Grant{Refresh: set.Refresh, Client: c.client})
			w.refused(err, c.want)
			if c.want == token.InvalidClient {
				_, err = w.m.Redeem(w.Context(), w.iss, token.Grant{Client: c.client, Code: &token.CodeRequest{}})
				w.refused(err, c.want)
				w.refused(w.m.RevokeToken(w.Context(), w.iss, token.Grant{Access: set.Access, Client: c.client}), c.want)
				_, err = w.m.Introspect(w.Context(), w.iss, token.Grant{Access: set.Access, Client: c.client})
				w.refused(err, c.want)
			}
		}
		if n := w.store.Calls() - calls; n != 0 {
			w.Errorf("the store was asked %d times; want 0", n)
		}
		if w.people.proofs != 1 {
			w.Errorf("%d passwords were proved; want 1", w.people.proofs)
		}
		w.told("login client_refused", 13) // codes too
		w.told("refresh refused", 7)
	})
}

func TestScopesBeyondTheClientAreRefused(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		g := asClient("other", grant("alice", "right"))
		g.Scopes = []string{"read"}
		set, err := w.m.Login(w.Context(), w.iss, session.KindLogin, g)
		if err != nil || !slices.Equal(set.Scopes, g.Scopes) {
			w.Fatalf("Login = %v, %v; want the scope asked for", set.Scopes, err)
		}
		g.Scopes = []string{"read", "admin"}
		_, err = w.m.Login(w.Context(), w.iss, session.KindLogin, g)
		w.refused(err, token.InvalidScope)
		r := asClient("other", token.Grant{Refresh: set.Refresh, Scopes: []string{"write"}})
		_, err = w.m.Refresh(w.Context(), w.iss, r)
		w.refused(err, token.InvalidScope)
		r.Scopes = []string{"read"}
		if _, err = w.m.Refresh(w.Context(), w.iss, r); err != nil {
			w.Errorf("Refresh = %v; want tokens: nothing was used up", err)
		}
	})
}

func TestRefreshBelongsToItsClient(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		set := w.loginBy("app")
		_, err := w.refreshAs("other", set.Refresh)
		w.refused(err, token.InvalidRefresh)
		w.alive(set.Access)
		next, err := w.refreshAs("app", set.Refresh)
		if err != nil || next.ExpiresIn != time.Hour || !slices.Equal(next.Scopes, []string{"read"}) {
			w.Fatalf("Refresh = %+v, %v; want tokens for an hour: nothing was revoked", next, err)
		}
		w.alive(next.Access)
		_, err = w.check(w.m, set.Access)
		w.refused(err, token.InvalidAccess)
	})
}

func TestTokensOfAClientThatIsGoneAreRefused(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		set := w.loginBy("app")
		w.iss.Clients = session.NewClients(nil)
		_, err := w.check(w.replica(nil), set.Access)
		w.refused(err, token.InvalidAccess)
	})
}

func TestDefaultRealm(t *testing.T) {
	in(t, func(w *world) {
		for _, c := range []struct {
			realm, defaults, named string
			ok                     bool
		}{
			{"", "", "", true},
			{"corp", "", "", true},
			{"", "corp", "", true},
			{"corp", "corp", "", true},
			{"corp", "lab", "", false},
			{"corp", "lab", "corp", true},
		} {
			w.iss.DefaultRealm = c.defaults
			w.iss.Verifier = realmed{w.people, c.realm}
			g := grant("alice", "right")
			g.Realm = c.named
			_, err := w.m.Login(w.Context(), w.iss, session.KindLogin, g)
			if c.ok && err != nil || !c.ok && token.KindOf(err) != token.BadCredentials {
				w.Errorf("%+v: %v", c, err)
			}
		}
		w.told("login bad_credentials", 1)
	})
}

func TestRevokingATokenEndsItsSession(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		for name, of := range map[string]func(token.Set) token.Secret{
			"access":  func(s token.Set) token.Secret { return s.Access },
			"refresh": func(s token.Set) token.Secret { return s.Refresh },
		} {
			set := w.loginBy("app")
			g := token.Grant{Op: token.OpRevoke, Access: of(set)}
			w.refused(w.m.RevokeToken(w.Context(), w.iss, asClient("other", g)), token.InvalidClient)
			w.alive(set.Access)
			w.store.SetDown(true)
			w.refused(w.m.RevokeToken(w.Context(), w.iss, asClient("app", g)), token.Unavailable)
			w.store.SetDown(false)
			for range 2 { // the second time it is not known any more
				if err := w.m.RevokeToken(w.Context(), w.iss, asClient("app", g)); err != nil {
					w.Fatalf("%s: %v; want no error", name, err)
				}
			}
			_, err := w.check(w.m, set.Access)
			w.refused(err, token.InvalidAccess)
			_, err = w.refreshAs("app", set.Refresh)
			w.refused(err, token.InvalidRefresh)
			sleep(time.Second)
		}
		calls := w.store.Calls()
		junk := token.Grant{Op: token.OpRevoke, Access: token.NewSecret("junk")}
		if err := w.m.RevokeToken(w.Context(), w.iss, asClient("app", junk)); err != nil || w.store.Calls() != calls {
			w.Errorf("junk: %v after %d calls; want no error and none", err, w.store.Calls()-calls)
		}
	})
}

func TestIntrospection(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		ask := func(client string, text token.Secret) (token.Set, error) {
			return w.m.Introspect(w.Context(), w.iss, asClient(client, token.Grant{Op: token.OpIntrospect, Access: text}))
		}
		first := w.loginBy("app")
		set, err := w.refreshAs("app", first.Refresh)
		if err != nil {
			w.Fatal(err)
		}
		got, err := ask("app", set.Access)
		if err != nil || !got.Active || got.Client != "app" || got.Identity.Name != "alice" || !slices.Equal(got.Scopes, []string{"read"}) ||
			got.ExpiresIn <= 59*time.Minute || got.ExpiresIn > time.Hour {
			w.Errorf("access token: %+v, %v", got, err)
		}
		if got, err = ask("app", set.Refresh); err != nil || !got.Active || got.ExpiresIn != 0 {
			w.Errorf("refresh token: %+v, %v", got, err)
		}
		for name, text := range map[string]token.Secret{
			"old access": first.Access, "old refresh": first.Refresh, "junk": token.NewSecret("junk"), "nothing": {},
		} {
			if got, err := ask("app", text); err != nil || got.Active {
				w.Errorf("%s: %+v, %v; want not active", name, got, err)
			}
		}
		if got, err := ask("other", set.Access); err != nil || got.Active || got.Identity.Name != "" {
			w.Errorf("another client's token: %+v, %v; want not active and nothing else", got, err)
		}
		_, err = ask("spa", set.Access)
		w.refused(err, token.InvalidClient)
		if err := w.m.RevokeToken(w.Context(), w.iss, asClient("app", token.Grant{Access: set.Access})); err != nil {
			w.Fatal(err)
		}
		if got, err := ask("app", set.Access); err != nil || got.Active {
			w.Errorf("revoked: %+v, %v; want not active", got, err)
		}
		w.store.SetDown(true)
		cold := w.replica(nil)
		_, err = cold.Introspect(w.Context(), w.iss, asClient("app", token.Grant{Access: set.Access}))
		w.refused(err, token.Unavailable)
	})
}
