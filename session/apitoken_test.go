package session_test

import (
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func (w *world) make(req token.APITokenRequest) token.APIToken {
	w.Helper()
	t, err := w.m.CreateAPIToken(w.Context(), w.iss, w.alive(w.login(session.KindLogin).Access), req)
	if err != nil {
		w.Fatalf("CreateAPIToken = %v; want no error", err)
	}
	return t
}

func (w *world) checkAPI(m *session.Manager, text token.Secret) (*session.Session, error) {
	return m.CheckAPIToken(w.Context(), []*session.Issuer{w.iss}, text)
}

func TestAPIToken(t *testing.T) {
	in(t, func(w *world) {
		by := w.alive(w.login(session.KindLogin).Access)
		made := w.make(token.APITokenRequest{Description: "nightly", Scopes: []string{"read"}})
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(made.Text.Reveal()) || !regexp.MustCompile(`^[0-9]{10,13}$`).MatchString(made.ID) {
			w.Errorf("text or id %q has another form; want 32 hex and 10 to 13 digits", made.ID)
		}
		if err := w.m.End(w.Context(), by.SID, "logout"); err != nil { // it outlives its maker's login
			w.Fatal(err)
		}
		for range 3 {
			s, err := w.checkAPI(w.m, made.Text)
			if err != nil || s.Kind != session.KindAPIToken || len(s.Scopes) != 1 || s.Scopes[0] != "read" {
				w.Fatalf("CheckAPIToken = %+v, %v; want scope read", s, err)
			}
		}
		_, err := w.check(w.m, made.Text)
		w.refused(err, token.InvalidAccess)
		sleep(2 * time.Second)
		list, err := w.m.ListAPITokens(w.Context(), w.iss, by)
		if err != nil || len(list) != 1 {
			w.Fatalf("ListAPITokens = %v, %v; want one", list, err)
		}
		got := list[0]
		if got.Usage != 3 || got.LastUsed.IsZero() || !got.Text.IsZero() || got.ID != made.ID || len(got.MaxScopes) != 2 || got.UserID != "id-alice" {
			w.Errorf("listed = %+v; want 3 uses and no text", got)
		}
		w.refused(w.m.DeleteAPIToken(w.Context(), w.iss, by, "1234567890"), token.NotFound)
		bob := *by
		bob.Identity.ID = "id-bob"
		w.refused(w.m.DeleteAPIToken(w.Context(), w.iss, &bob, made.ID), token.NotFound)
		if err := w.m.DeleteAPIToken(w.Context(), w.iss, by, made.ID); err != nil {
			w.Fatal(err)
		}
		_, err = w.checkAPI(w.m, made.Text)
		w.refused(err, token.InvalidAPIToken)
	})
}

func TestAPITokenUseIsWrittenOnceAnHour(t *testing.T) {
	in(t, func(w *world) {
		made := w.make(token.APITokenRequest{})
		by := w.alive(w.login(session.KindLogin).Access)
		usage := func() int64 {
			list, err := w.m.ListAPITokens(w.Context(), w.iss, by)
			if err != nil || len(list) != 1 {
				w.Fatalf("ListAPITokens = %v, %v", list, err)
			}
			return list[0].Usage
		}
		for range 120 {
			if _, err := w.checkAPI(w.m, made.Text); err != nil {
				w.Fatal(err)
			}
			sleep(10 * time.Second)
		}
		if n := usage(); n != 1 {
			w.Errorf("usage after 20 minutes = %d; want the first alone", n)
		}
		sleep(41 * time.Minute)
		if n := usage(); n != 120 {
			w.Errorf("usage after an hour = %d; want 120", n)
		}
	})
}

func TestAPITokenExpiryIsSaid(t *testing.T) {
	still(t, func(w *world) {
		made := w.make(token.APITokenRequest{Expires: time.Now().Add(time.Hour)})
		sleep(time.Hour - time.Millisecond)
		if _, err := w.checkAPI(w.m, made.Text); err != nil {
			w.Errorf("CheckAPIToken before its expiry = %v; want no error", err)
		}
		sleep(time.Millisecond)
		_, err := w.checkAPI(w.m, made.Text)
		w.refused(err, token.ExpiredAPIToken)
		by := w.alive(w.login(session.KindLogin).Access)
		if list, err := w.m.ListAPITokens(w.Context(), w.iss, by); err != nil || len(list) != 1 || !list[0].Expired {
			w.Errorf("ListAPITokens = %+v, %v; want it listed as expired", list, err)
		}
		sleep(31 * 24 * time.Hour)
		_, err = w.checkAPI(w.m, made.Text)
		w.refused(err, token.InvalidAPIToken)
	})
}

func TestAPITokenRequestsRefused(t *testing.T) {
	in(t, func(w *world) {
		by := w.alive(w.login(session.KindLogin).Access)
		for name, c := range map[string]struct {
			req  token.APITokenRequest
			want token.Kind
		}{
			"wider scope":    {token.APITokenRequest{Scopes: []string{"read", "settings"}}, token.Denied},
			"past expiry":    {token.APITokenRequest{Expires: time.Now()}, token.Malformed},
			"short text":     {token.APITokenRequest{Chosen: token.NewSecret("1234567")}, token.Malformed},
			"space in text":  {token.APITokenRequest{Chosen: token.NewSecret("12345 678")}, token.Malformed},
			"long statement": {token.APITokenRequest{Description: string(make([]byte, 1025))}, token.Malformed},
		} {
			_, err := w.m.CreateAPIToken(w.Context(), w.iss, by, c.req)
			if err == nil || token.KindOf(err) != c.want {
				w.Errorf("%s = %v; want %s", name, err, c.want)
			}
		}
		for range 200 {
			if _, err := w.m.CreateAPIToken(w.Context(), w.iss, by, token.APITokenRequest{}); err != nil {
				w.Fatalf("CreateAPIToken = %v; want 200 of them", err)
			}
		}
		_, err := w.m.CreateAPIToken(w.Context(), w.iss, by, token.APITokenRequest{})
		w.refused(err, token.Denied)
	})
}

func TestAPITokenCannotMakeAWiderOne(t *testing.T) {
	in(t, func(w *world) {
		s, err := w.checkAPI(w.m, w.make(token.APITokenRequest{Scopes: []string{"read"}}).Text)
		if err != nil {
			w.Fatal(err)
		}
		_, err = w.m.CreateAPIToken(w.Context(), w.iss, s, token.APITokenRequest{Scopes: []string{"write"}})
		w.refused(err, token.Denied)
	})
}

func TestChosenAPITokenIsKnownEverywhere(t *testing.T) {
	in(t, func(w *world) {
		other := w.replica(nil)
		w.run(other)
		text := token.NewSecret("chosen-8")
		_, err := w.checkAPI(other, text) // loads the set without it
		w.refused(err, token.InvalidAPIToken)
		made := w.make(token.APITokenRequest{Chosen: text})
		synctest.Wait()
		late := w.replica(nil)
		w.run(late)
		for name, m := range map[string]*session.Manager{"its own": w.m, "another": other, "a late": late} {
			if _, err := w.checkAPI(m, text); err != nil {
				w.Errorf("CheckAPIToken at %s replica = %v; want no error", name, err)
			}
		}
		by := w.alive(w.login(session.KindLogin).Access)
		_, err = w.m.CreateAPIToken(w.Context(), w.iss, by, token.APITokenRequest{Chosen: text})
		w.refused(err, token.Malformed)
		if err := w.m.DeleteAPIToken(w.Context(), w.iss, by, made.ID); err != nil {
			w.Fatal(err)
		}
		synctest.Wait()
		_, err = w.checkAPI(other, text)
		w.refused(err, token.InvalidAPIToken)
	})
}

func TestAPITokenLosesWhatItsOwnerLoses(t *testing.T) {
	in(t, func(w *world) {
		made := w.make(token.APITokenRequest{})
		w.people.set(func() { w.people.scopes = []string{"read"} })
		if s, err := w.checkAPI(w.m, made.Text); err != nil || len(s.Scopes) != 1 {
			w.Errorf("CheckAPIToken = %+v, %v; want what the owner still has", s, err)
		}
		w.people.set(func() { w.people.gone = true })
		_, err := w.checkAPI(w.m, made.Text)
		w.refused(err, token.InvalidAPIToken)
	})
}

func TestSigningKeysAreSharedAndSealed(t *testing.T) {
	w := newWorld(t, nil)
	first, err := session.LoadKeys(t.Context(), w.store, w.keys)
	if err != nil {
		t.Fatal(err)
	}
	again, err := session.LoadKeys(t.Context(), w.store, w.keys)
	if err != nil {
		t.Fatal(err)
	}
	kid, key := first.Signing()
	if kid2, key2 := again.Signing(); kid2 != kid || !key2.Equal(key) || key.N.BitLen() != 2048 {
		t.Errorf("second load signs with %s; want %s", kid2, kid)
	}
	if pub, err := again.Public(kid); err != nil || !pub.Equal(&key.PublicKey) || session.Thumbprint(pub) != kid {
		t.Errorf("Public(%s) = %v; want the signing key's", kid, err)
	}
	if _, err := again.Public("other"); err == nil || token.KindOf(err) == token.Unavailable {
		t.Errorf("Public of an unknown id = %v; want that there is none", err)
	}
	if _, err := session.LoadKeys(t.Context(), w.store, sealRandom()); err == nil {
		t.Error("LoadKeys under another secret = nil; want an error")
	}
	w.store.SetDown(true)
	if _, err := session.LoadKeys(t.Context(), w.store, w.keys); err == nil {
		t.Error("LoadKeys from a dead store = nil; want an error")
	}
}

func TestAPITokenGivesNoMoreThanItHas(t *testing.T) {
	in(t, func(w *world) {
		owner := w.alive(w.login(session.KindLogin).Access)
		wide, err := w.m.CreateAPIToken(w.Context(), w.iss, owner, token.APITokenRequest{Scopes: []string{"read", "write"}})
		if err != nil {
			w.Fatal(err)
		}
		soon := time.Now().Add(time.Hour)
		narrow, err := w.m.CreateAPIToken(w.Context(), w.iss, owner, token.APITokenRequest{Scopes: []string{"read"}, Expires: soon})
		if err != nil {
			w.Fatal(err)
		}
		by, err := w.m.CheckAPIToken(w.Context(), []*session.Issuer{w.iss}, narrow.Text)
		if err != nil {
			w.Fatal(err)
		}
		for name, req := range map[string]token.APITokenRequest{
			"wider":    {Scopes: []string{"read", "write"}, Expires: soon},
			"for ever": {Scopes: []string{"read"}},
			"longer":   {Scopes: []string{"read"}, Expires: soon.Add(time.Minute)},
		} {
			if _, err := w.m.CreateAPIToken(w.Context(), w.iss, by, req); err == nil || token.KindOf(err) != token.Denied {
				w.Errorf("a token %s = %v; want denied", name, err)
			}
		}
		w.refused(w.m.DeleteAPIToken(w.Context(), w.iss, by, wide.ID), token.Denied)
		none, err := w.m.CreateAPIToken(w.Context(), w.iss, owner, token.APITokenRequest{Scopes: []string{}})
		if err != nil || len(none.Scopes) != 0 {
			w.Errorf("a token of no scopes has %v, %v", none.Scopes, err)
		}
		if err := w.m.DeleteAPIToken(w.Context(), w.iss, by, narrow.ID); err != nil {
			w.Errorf("deleting itself = %v", err)
		}
	})
}

// TestOAuthClientMakesAndDeletesNoAPITokens: what a client was given ends with it
// and with its session, and reaches no further than its scopes.
func TestOAuthClientMakesAndDeletesNoAPITokens(t *testing.T) {
	in(t, func(w *world) {
		user := w.alive(w.login(session.KindLogin).Access)
		ipf := *w.iss
		wide, err := w.m.CreateAPIToken(w.Context(), &ipf, user, token.APITokenRequest{})
		if err != nil {
			w.Fatal(err)
		}
		w.oauth()
		by := w.alive(w.loginBy("app").Access)
		_, err = w.m.CreateAPIToken(w.Context(), &ipf, by, token.APITokenRequest{})
		w.refused(err, token.Denied)
		w.refused(w.m.DeleteAPIToken(w.Context(), &ipf, by, wide.ID), token.Denied)
		if _, err := w.m.CheckAPIToken(w.Context(), []*session.Issuer{&ipf}, wide.Text); err != nil {
			w.Errorf("the user's own token = %v; want it left alone", err)
		}
	})
}
