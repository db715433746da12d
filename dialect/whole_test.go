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
