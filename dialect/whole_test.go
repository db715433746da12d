package dialect_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/dialect"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// wantWhole compares a JSON answer, member by member.
func wantWhole(t *testing.T, rec *httptest.ResponseRecorder, want map[string]any) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatalf("body %q: %v", rec.Body, err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("the answer (-want +got):\n%s", diff)
	}
}

// The SDK of IP Fabric requires these of users/me; no vector names them all.
func TestFabricsUserIsWhole(t *testing.T) {
	rec := httptest.NewRecorder()
	err := mustOpen(t, "ipfabric/7.0", dialect.Settings{}).Call(token.OpWhoAmI).WriteResponse(rec, token.Set{Identity: token.Identity{
		Name: "alice", ID: "1108612054", Email: "alice@example.com", Groups: []string{"network"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	wantWhole(t, rec, map[string]any{
		"id": "1108612054", "username": "alice", "email": "alice@example.com", "isLocal": true, "ssoProvider": nil,
		"domainSuffixes": []any{}, "roleNames": []any{"network"}, "roleIds": []any{}, "ldapId": nil, "timezone": "UTC",
	})
}

func TestFabricsVersionThatIsGoneIsSaidWhole(t *testing.T) {
	d := mustOpen(t, "ipfabric/7.5", dialect.Settings{})
	rec := httptest.NewRecorder()
	d.Errors.Write(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/snapshots", nil), token.Fail(token.Gone, "no such version", nil))
	var got map[string]string
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got["message"] != "no such version" || got["release_version"] == "" || got["api_version"] == "" {
		t.Errorf("410 = %v; want message, release_version and api_version", got)
	}
}

// RFC 7662 section 2.2.
func TestIntrospectionIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := httptest.NewRecorder()
		err := facCall(t, token.OpIntrospect).WriteResponse(rec, token.Set{
			Active: true, Scopes: []string{"openid", "read"}, Client: "app", ExpiresIn: time.Hour,
			Identity: token.Identity{Name: "alice", ID: "1001"},
		})
		if err != nil {
			t.Fatal(err)
		}
		wantWhole(t, rec, map[string]any{
			"active": true, "scope": "openid read", "client_id": "app", "username": "alice", "token_type": "Bearer",
			"exp": float64(time.Now().Add(time.Hour).Unix()), "sub": "1001",
		})
	})
}

func TestScopesAreAskedForByTheirName(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/oauth/token/", nil)
	g := token.Grant{
		Op: token.OpLogin, Username: "svc", Password: token.NewSecret("p"), Scopes: []string{"openid", "read"},
		Client: &token.Client{ID: "app", Secret: token.NewSecret("s")},
	}
	call := facCall(t, token.OpLogin)
	if err := call.WriteRequest(r, g); err != nil {
		t.Fatal(err)
	}
	back, err := call.ReadRequest(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(g.Scopes, back.Scopes); diff != "" {
		t.Errorf("the scopes changed on the way (-sent +read):\n%s", diff)
	}
}

// TestDiscoveryDocumentIsWhole: clients find everything in it by these names (RFC
// 8414 section 2, OpenID Connect Discovery section 3).
func TestDiscoveryDocumentIsWhole(t *testing.T) {
	d := mustOpen(t, "fac-oauth", dialect.Settings{})
	rec := httptest.NewRecorder()
	if err := d.Call(token.OpDiscovery).WriteResponse(rec, token.Set{Origin: "https://gate.test"}); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	const base = "https://gate.test/api/v1/oauth"
	want := map[string]any{
		"issuer": base, "authorization_endpoint": base + "/authorize/", "token_endpoint": base + "/token/",
		"userinfo_endpoint": base + "/userinfo/", "revocation_endpoint": base + "/revoke_token/",
		"introspection_endpoint": base + "/introspect/", "jwks_uri": base + "/.well-known/keys/",
		"response_types_supported":              []any{"code"},
		"grant_types_supported":                 []any{"authorization_code", "refresh_token", "password"},
		"subject_types_supported":               []any{"public"},
		"id_token_signing_alg_values_supported": []any{"RS256"},
		"token_endpoint_auth_methods_supported": []any{"client_secret_post", "client_secret_basic"},
		"code_challenge_methods_supported":      []any{"S256"},
		"scopes_supported":                      []any{"openid", "read"},
		"claims_supported":                      []any{"aud", "iat", "at_hash", "sub", "iss", "exp", "jti", "nonce"},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("the discovery document (-want +got):\n%s", diff)
	}
}
