package session_test

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// browser opens a browser session.
func (w *world) browser() *session.Session {
	w.Helper()
	portal := *w.iss
	portal.Name, portal.Dialect, portal.RefreshTTL, portal.Clients = "portal", "portal", time.Hour, nil
	set, err := w.m.Login(w.Context(), &portal, session.KindPortal, grant("alice", "right"))
	if err != nil {
		w.Fatal(err)
	}
	s, err := w.m.Check(w.Context(), []*session.Issuer{&portal}, set.Access)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

const (
	aVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

func authorization(client string, change func(*token.Grant)) token.Grant {
	g := token.Grant{Op: token.OpAuthorize, Client: &token.Client{ID: client}, Scopes: []string{"openid", "read"}, Code: &token.CodeRequest{
		ResponseType: "code", RedirectURI: appURI, State: "xyz", Nonce: "n-1", Challenge: challenge, ChallengeMethod: "S256",
	}}
	if change != nil {
		change(&g)
	}
	return g
}

// code gets a code for a client, with a challenge.
func (w *world) code(by *session.Session, client string) token.Secret {
	w.Helper()
	set, err := w.m.Authorize(w.Context(), w.iss, by, authorization(client, nil))
	if err != nil || set.Redirect.Err != nil {
		w.Fatalf("Authorize = %v, %v; want a code", set.Redirect, err)
	}
	return set.Redirect.Code
}

func redemption(client string, code token.Secret) token.Grant {
	return asClient(client, token.Grant{Op: token.OpCode, Code: &token.CodeRequest{
		Code: code, RedirectURI: appURI, Verifier: token.NewSecret(aVerifier),
	}})
}

func TestCodeBecomesTokens(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		by := w.browser()
		for _, client := range []string{"app", "spa"} {
			code := w.code(by, client)
			if len(code.Reveal()) != 30 {
				w.Errorf("the code is %q; want 30 characters", code.Reveal())
			}
			set, err := w.m.Redeem(w.Context(), w.iss, redemption(client, code))
			if err != nil || set.Refresh.IsZero() || !slices.Equal(set.Scopes, []string{"openid", "read"}) {
				w.Fatalf("Redeem = %+v, %v; want tokens", set, err)
			}
			if got, want := set.IDToken.Reveal(), "id "+client+" id-alice n-1 "+set.Access.Reveal(); got != want {
				w.Errorf("id_token = %q; want %q", got, want)
			}
			if s := w.alive(set.Access); s.Identity.Name != "alice" || s.Client != client || !slices.Equal(s.AMR, by.AMR) {
				w.Errorf("session = %+v; want alice's, as the browser proved it", s)
			}
			if next, err := w.refreshAs(client, set.Refresh); err != nil || !next.IDToken.IsZero() {
				w.Errorf("Refresh = %+v, %v; want tokens without an id_token", next, err)
			}
		}
	})
}

func TestCodeIsRefused(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		by := w.browser()
		longer := token.NewSecret(strings.Repeat("a", 129))
		for name, change := range map[string]func(*token.Grant){
			"no verifier":                 func(g *token.Grant) { g.Code.Verifier = token.Secret{} },
			"another verifier":            func(g *token.Grant) { g.Code.Verifier = token.NewSecret(aVerifier[1:] + "x") },
			"the challenge as verifier":   func(g *token.Grant) { g.Code.Verifier = token.NewSecret(challenge) },
			"a verifier that is too long": func(g *token.Grant) { g.Code.Verifier = longer },
			"another address":             func(g *token.Grant) { g.Code.RedirectURI = appURI + "/" },
			"another client":              func(g *token.Grant) { *g = redemption("other", g.Code.Code) },
			"a code of another case":      func(g *token.Grant) { g.Code.Code = token.NewSecret(strings.ToLower(g.Code.Code.Reveal())) },
			"a code cut short":            func(g *token.Grant) { g.Code.Code = token.NewSecret(g.Code.Code.Reveal()[1:]) },
			"another code":                func(g *token.Grant) { g.Code.Code = token.NewSecret(strings.Repeat("A", 30)) },
		} {
			code := w.code(by, "app")
			g := redemption("app", code)
			change(&g)
			_, err := w.m.Redeem(w.Context(), w.iss, g)
			if token.KindOf(err) != token.InvalidRefresh {
				w.Errorf("%s: %v; want refused", name, err)
			}
			if _, err := w.m.Redeem(w.Context(), w.iss, redemption("app", code)); err != nil {
				w.Errorf("%s used the code up: %v", name, err)
			}
		}
	})
}

func TestCodeWithoutChallengeTakesNoVerifier(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		plain := authorization("app", func(g *token.Grant) { g.Code.Challenge, g.Code.ChallengeMethod = "", "" })
		set, err := w.m.Authorize(w.Context(), w.iss, w.browser(), plain)
		if err != nil {
			w.Fatal(err)
		}
		g := redemption("app", set.Redirect.Code)
		_, err = w.m.Redeem(w.Context(), w.iss, g)
		w.refused(err, token.InvalidRefresh)
		g.Code.Verifier, g.Code.RedirectURI = token.Secret{}, "" // the vendor's example leaves the address out
		if _, err := w.m.Redeem(w.Context(), w.iss, g); err != nil {
			w.Errorf("Redeem = %v; want tokens", err)
		}
	})
}

func TestCodeLivesAMinute(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		by := w.browser()
		code := w.code(by, "app")
		sleep(time.Minute - time.Millisecond)
		if _, err := w.m.Redeem(w.Context(), w.iss, redemption("app", code)); err != nil {
			w.Errorf("just before its end: %v; want tokens", err)
		}
		code = w.code(by, "app")
		sleep(time.Minute)
		_, err := w.m.Redeem(w.Context(), w.iss, redemption("app", code))
		w.refused(err, token.InvalidRefresh)
	})
}

func TestCodeUsedAgainEndsItsSession(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		code := w.code(w.browser(), "app")
		set, err := w.m.Redeem(w.Context(), w.iss, redemption("app", code))
		if err != nil {
			w.Fatal(err)
		}
		sleep(2 * time.Minute) // the code's own life is over
		_, err = w.m.Redeem(w.Context(), w.iss, redemption("other", code))
		w.refused(err, token.InvalidRefresh)
		w.alive(set.Access) // another client ends nothing
		_, err = w.m.Redeem(w.Context(), w.iss, redemption("app", code))
		w.refused(err, token.InvalidRefresh)
		_, err = w.check(w.m, set.Access)
		w.refused(err, token.InvalidAccess)
		_, err = w.refreshAs("app", set.Refresh)
		w.refused(err, token.InvalidRefresh)
		w.told("ended reuse", 1)
	})
}

func TestParallelRedemptionsGiveOneSetOfTokens(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		code := w.code(w.browser(), "app")
		var wg sync.WaitGroup
		var mu sync.Mutex
		var sets []token.Set
		for range 50 {
			wg.Go(func() {
				set, err := w.m.Redeem(w.Context(), w.iss, redemption("app", code))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					sets = append(sets, set)
				} else if token.KindOf(err) != token.InvalidRefresh {
					w.Errorf("Redeem = %v; want refused", err)
				}
			})
		}
		wg.Wait()
		if len(sets) != 1 {
			w.Fatalf("%d redemptions succeeded; want exactly 1", len(sets))
		}
		sleep(time.Second)
		_, err := w.check(w.replica(nil), sets[0].Access)
		w.refused(err, token.InvalidAccess)
	})
}

func TestCodeOfAUserWhoIsGoneIsRefused(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		code := w.code(w.browser(), "app")
		w.people.set(func() { w.people.gone = true })
		_, err := w.m.Redeem(w.Context(), w.iss, redemption("app", code))
		w.refused(err, token.InvalidRefresh)
	})
}

func TestACodeWhoseAnswerWasLostIsNotGoodAgain(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		by := w.browser()
		w.store.LoseReplies()
		set, err := w.m.Authorize(w.Context(), w.iss, by, authorization("app", nil))
		if err != nil || set.Redirect.Err == nil || set.Redirect.Err.Kind != token.Unavailable {
			w.Fatalf("Authorize = %+v, %v; want the client told that it could not be asked", set.Redirect, err)
		}
		code := w.code(by, "app")
		w.store.LoseReplies()
		for {
			if _, err = w.m.Redeem(w.Context(), w.iss, redemption("app", code)); token.KindOf(err) != token.Unavailable {
				break
			}
		}
		// The session that the code was taken for was ended again, since nobody was told
		// of its tokens.
		w.refused(err, token.InvalidRefresh)
	})
}

func TestAuthorizeNeedsABrowserSession(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		api := w.alive(w.loginBy("app").Access)
		elsewhere := *w.browser()
		elsewhere.Source = "backend:x"
		for name, by := range map[string]*session.Session{"nobody": nil, "a token": api, "another source": &elsewhere} {
			_, err := w.m.Authorize(w.Context(), w.iss, by, authorization("app", nil))
			if token.KindOf(err) != token.Missing {
				w.Errorf("%s: %v; want a sign-in asked for", name, err)
			}
		}
	})
}

func TestRequestsThatGoNowhere(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		by := w.browser()
		for _, uri := range []string{
			"https://app.example.com/cb/", "https://app.example.com/cb?x=1", "https://app.example.com:443/cb",
			"https://user@app.example.com/cb", "https://App.example.com/cb", "https://app.example.com/CB",
			"https://app.example.com/cb#x", "https://app.example.com/x/../cb", "https://app.example.com.evil.example/cb",
			"https://app.example.com/%63b", "http://app.example.com/cb", "//app.example.com/cb", "javascript:alert(1)",
		} {
			set, err := w.m.Authorize(w.Context(), w.iss, by, authorization("app", func(g *token.Grant) { g.Code.RedirectURI = uri }))
			if token.KindOf(err) != token.Malformed || set.Redirect != nil {
				w.Errorf("%s: %+v, %v; want no redirect", uri, set.Redirect, err)
			}
		}
		for client, uri := range map[string]string{"ghost": appURI, "spa": ""} { // two are registered: which is meant?
			_, err := w.m.Authorize(w.Context(), w.iss, by, authorization(client, func(g *token.Grant) { g.Code.RedirectURI = uri }))
			w.refused(err, token.Malformed)
		}
	})
}

func TestRequestsWhoseErrorGoesToTheClient(t *testing.T) {
	in(t, func(w *world) {
		w.oauth()
		by := w.browser()
		sum := sha256.Sum256(nil)
		padded := base64.URLEncoding.EncodeToString(sum[:])
		for _, c := range []struct {
			name, client string
			change       func(*token.Grant)
			want         token.Kind
		}{
			{"no response_type", "app", func(g *token.Grant) { g.Code.ResponseType = "" }, token.Malformed},
			{"implicit", "app", func(g *token.Grant) { g.Code.ResponseType = "token" }, token.UnsupportedGrant},
			{"hybrid", "app", func(g *token.Grant) { g.Code.ResponseType = "code id_token" }, token.UnsupportedGrant},
			{"a scope too many", "app", func(g *token.Grant) { g.Scopes = []string{"openid", "write"} }, token.InvalidScope},
			{"method plain", "app", func(g *token.Grant) { g.Code.ChallengeMethod = "plain" }, token.Malformed},
			{"no method", "app", func(g *token.Grant) { g.Code.ChallengeMethod = "" }, token.Malformed},
			{"method without a challenge", "app", func(g *token.Grant) { g.Code.Challenge = "" }, token.Malformed},
			{"a challenge that is none", "app", func(g *token.Grant) { g.Code.Challenge = "x" }, token.Malformed},
			{"a padded challenge", "app", func(g *token.Grant) { g.Code.Challenge = padded }, token.Malformed},
			{"public without a challenge", "spa", func(g *token.Grant) { g.Code.Challenge, g.Code.ChallengeMethod = "", "" }, token.Malformed},
			{"a nonce of 1025 bytes", "app", func(g *token.Grant) { g.Code.Nonce = strings.Repeat("n", 1025) }, token.Malformed},
		} {
			set, err := w.m.Authorize(w.Context(), w.iss, by, authorization(c.client, c.change))
			if err != nil || set.Redirect == nil || set.Redirect.Err == nil || set.Redirect.Err.Kind != c.want ||
				set.Redirect.URI != appURI || set.Redirect.State != "xyz" || !set.Redirect.Code.IsZero() {
				w.Errorf("%s: %+v, %v; want the client told of %s", c.name, set.Redirect, err, c.want)
			}
		}
		set, err := w.m.Authorize(w.Context(), w.iss, by, authorization("app", func(g *token.Grant) { g.Code.Nonce = strings.Repeat("n", 1024) }))
		if err != nil || set.Redirect.Err != nil {
			w.Errorf("a nonce of 1024 bytes: %+v, %v; want a code", set.Redirect, err)
		}
	})
}
