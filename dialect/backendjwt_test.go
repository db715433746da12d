package dialect_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func backendJWT(ttl time.Duration) dialect.BackendJWT {
	return dialect.BackendJWT{Keys: testKeys(), Issuer: "https://gate.example.com", Audience: "wiki", TTL: ttl}
}

func TestBackendJWTSaysWhoIsCalling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1500 * time.Millisecond) // not at the beginning of a second
		alice := token.Caller{
			Identity: token.Identity{
				Name: "alice", ID: "1001", Email: "alice@example.net", Groups: []string{"net,work", "ops"},
				Scopes: []string{"read", "write"}, Admin: true, Kind: "application",
			},
			Scopes: []string{"read", "list"},
		}
		now := time.Now()
		for _, tt := range []struct {
			name   string
			caller token.Caller
			want   map[string]any
		}{
			{"all that is known", alice, map[string]any{
				"sub": "1001", "preferred_username": "alice", "email": "alice@example.net", "groups": []any{"net,work", "ops"}, "scope": "read list",
			}},
			{"nothing but a name", token.Caller{Identity: token.Identity{Name: "ü", ID: "2"}}, map[string]any{"sub": "2", "preferred_username": "ü"}},
		} {
			text, err := backendJWT(90 * time.Second).Mint(tt.caller)
			if err != nil {
				t.Fatal(err)
			}
			claims := jwt.MapClaims{}
			parsed, err := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer("https://gate.example.com"), jwt.WithAudience("wiki"),
				jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(time.Now)).ParseWithClaims(text.Reveal(), claims, func(*jwt.Token) (any, error) {
				key, _ := testKeys().Public("kid-one")
				return key, nil
			})
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			if diff := cmp.Diff(parsed.Header, map[string]any{"alg": "RS256", "typ": "JWT", "kid": "kid-one"}); diff != "" {
				t.Errorf("%s: header (-got +want):\n%s", tt.name, diff)
			}
			if id, _ := claims["jti"].(string); len(id) < 22 {
				t.Errorf("%s: jti = %q; want 128 bits", tt.name, id)
			}
			delete(claims, "jti")
			tt.want["iss"], tt.want["aud"] = "https://gate.example.com", "wiki"
			tt.want["iat"], tt.want["nbf"] = float64(now.Unix()), float64(now.Unix())
			tt.want["exp"] = float64(now.Unix() + 91) // the half second is rounded up
			if diff := cmp.Diff(map[string]any(claims), tt.want); diff != "" {
				t.Errorf("%s: claims (-got +want):\n%s", tt.name, diff)
			}
		}
	})
}

// A JWT lives at least for its TTL, and less than a second more.
func TestBackendJWTLivesForItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 7 {
			time.Sleep(170 * time.Millisecond)
			now := time.Now()
			text, err := backendJWT(time.Second).Mint(token.Caller{Identity: token.Identity{Name: "a", ID: "1"}})
			if err != nil {
				t.Fatal(err)
			}
			b, err := base64.RawURLEncoding.DecodeString(strings.Split(text.Reveal(), ".")[1])
			if err != nil {
				t.Fatal(err)
			}
			var claims struct{ Exp int64 }
			if err := json.Unmarshal(b, &claims); err != nil {
				t.Fatal(err)
			}
			if life := time.Unix(claims.Exp, 0).Sub(now); life < time.Second || life >= 2*time.Second {
				t.Errorf("made at %v it lives for %v; want 1s up to 2s", now, life)
			}
		}
	})
}

// What a backend was handed about a caller must not let the backend, or whoever
// reads its log, call the gateway as that caller.
func TestBackendJWTIsNoAccessToken(t *testing.T) {
	text, err := dialect.BackendJWT{Keys: testKeys(), Issuer: "ipf-api", Audience: "ipf-client", TTL: time.Hour}.Mint(
		token.Caller{Identity: token.Identity{Name: "root", ID: "1", Admin: true}, Scopes: []string{"read"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range dialect.Names() {
		d := mustOpen(t, name, dialect.Settings{})
		if a, core, err := d.Shape(testKeys()).ParseAccess(text); err == nil || core != nil {
			t.Errorf("%s takes it for the access token %+v", name, a)
		}
	}
}

func TestBackendJWTHasABound(t *testing.T) {
	mint := func(n int) error {
		_, err := backendJWT(time.Minute).Mint(token.Caller{Identity: token.Identity{Name: "a", ID: "1", Groups: []string{strings.Repeat("g", n)}}})
		return err
	}
	n := 0 // the most that fits
	for step := 8192; step > 0; step /= 2 {
		if mint(n+step) == nil {
			n += step
		}
	}
	if n < 5000 || n > 6144 {
		t.Errorf("groups of %d bytes fit; want about 5.5 KiB, since base64 makes 4 bytes of 3", n)
	}
	if err := mint(n + 1); err == nil || strings.Contains(err.Error(), "gggg") {
		t.Errorf("groups of %d bytes: %v; want an error without them", n+1, err)
	}
}
