package config_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/token"
)

const clientSecret = "a-secret-of-an-app"

func oauthVars(more ...string) []string {
	return append([]string{
		"GATEHOUSE_BACKEND_URL=https://app.example.com", "GATEHOUSE_BACKEND_SPEAK=none", "GATEHOUSE_USERS_FILE=users.yaml",
		"GATEHOUSE_SERVE=fac-oauth", "GATEHOUSE_CONFIG=gate.yaml", "APP_SECRET=" + clientSecret,
	}, more...)
}

func TestClients(t *testing.T) {
	folder(t, map[string]string{"users.yaml": usersYML, "secret": clientSecret + "\n", "gate.yaml": `
clients:
  - {id: legacy, secret_file: secret, grants: [password, refresh_token], access_ttl: 0s, never_as: 2147483647, scopes: [read, write]}
  - {id: web, secret_env: APP_SECRET, redirect_uris: ["https://web.example.com/cb?x=1"], id_token_ttl: 1h}
  - {id: app, type: public, redirect_uris: ["com.example.app:/cb", "http://127.0.0.1/cb", "http://[::1]:8000/cb"], access_ttl: 15m}
  - {id: odd, secret_file: secret, grants: [password], access_ttl: 0s, never_as: omitted, scopes: []}
`})
	got := mustLoad(t, oauthVars()...).Clients
	secret := token.NewSecret(clientSecret)
	code := []string{"authorization_code", "refresh_token"}
	want := []config.Client{
		{ID: "legacy", Secret: secret, Grants: []string{"password", "refresh_token"}, Scopes: []string{"read", "write"}, NeverAs: 2147483647 * time.Second},
		{ID: "web", Secret: secret, Grants: code, RedirectURIs: []string{"https://web.example.com/cb?x=1"}, Scopes: []string{"read"}, AccessTTL: 10 * time.Hour, IDTokenTTL: time.Hour},
		{ID: "app", Public: true, Grants: code, RedirectURIs: []string{"com.example.app:/cb", "http://127.0.0.1/cb", "http://[::1]:8000/cb"}, Scopes: []string{"read"}, AccessTTL: 15 * time.Minute},
		{ID: "odd", Secret: secret, Grants: []string{"password"}, Scopes: []string{}, NeverAs: -1},
	}
	revealed := cmp.Comparer(func(a, b token.Secret) bool { return a.Reveal() == b.Reveal() })
	if diff := cmp.Diff(want, got, revealed); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

func TestFaultsOfClients(t *testing.T) {
	vars := func(more ...string) []string {
		return append([]string{
			"GATEHOUSE_BACKEND_URL=https://app.example.com", "GATEHOUSE_BACKEND_SPEAK=none", "GATEHOUSE_USERS_FILE=users.yaml",
			"GATEHOUSE_SERVE=fac-oauth", "APP_SECRET=hunter2hunter2hu", "SHORT=hunter2hunter2h",
		}, more...)
	}
	one := func(keys string) string { return "clients:\n  - {id: a, secret_env: APP_SECRET, " + keys + "}\n" }
	code := `redirect_uris: ["https://x/cb"]`
	testFaults(t, []faultCase{
		{"no clients", vars("GATEHOUSE_CONFIG=empty"), "", []string{
			"GATEHOUSE_SERVE: fac-oauth/6.x is for OAuth clients, and there are none: list them under clients",
		}},
		{"no id", vars(), "clients:\n  - {secret_env: APP_SECRET, " + code + "}\n", []string{
			"gate.yaml:2 clients[0].id: it is missing: give each client an id, like the one it has at the vendor's server",
		}},
		{"bad id", vars(), "clients:\n  - {id: 'a b', secret_env: APP_SECRET, " + code + "}\n", []string{
			`gate.yaml:2 clients[0].id: "a b" is no client id: use 1 to 128 letters, digits and . _ ~ -`,
		}},
		{"an id twice", vars(), one(code) + "  - {id: a, type: public, " + code + "}\n", []string{
			`gate.yaml:3 clients[1].id: another client has the id "a": give each one of its own`,
		}},
		{"type", vars(), one("type: secret, " + code), []string{
			`gate.yaml:2 clients[0].type: "secret" is not known: use confidential or public`,
		}},
		{"no secret", vars(), "clients:\n  - {id: a, " + code + "}\n", []string{
			"gate.yaml:2 clients[0].secret_file: it is missing: name the file of the client's secret; a client that cannot keep one is type: public",
		}},
		{"a literal secret", vars(), "clients:\n  - {id: a, secret: hunter2, type: public, " + code + "}\n", []string{
			"gate.yaml:2 clients[0].secret: this file names secrets and does not hold them: use secret_file with the name of a file, or secret_env with that of a variable",
		}},
		{"a public secret", vars(), one("type: public, " + code), []string{
			"gate.yaml:2 clients[0].secret_file: a public client has a secret: take it out, or make the client confidential",
		}},
		{"a short secret", vars(), "clients:\n  - {id: a, secret_env: SHORT, " + code + "}\n", []string{
			"gate.yaml:2 clients[0].secret_file: the secret has 15 characters; at least 16 are needed: make one with: openssl rand -hex 64",
		}},
		{"no grants", vars(), one("access_ttl: 1h"), []string{
			"gate.yaml:2 clients[0].grants: the client could not get a token: give it redirect_uris, or grants: [password, refresh_token] if its users type their passwords into it",
		}},
		{"unknown grant", vars(), one("grants: [client_credentials]"), []string{
			`gate.yaml:2 clients[0].grants[0]: "client_credentials" is not known: use password or authorization_code or refresh_token`,
		}},
		{"codes to nowhere", vars(), one("grants: [authorization_code]"), []string{
			"gate.yaml:2 clients[0].redirect_uris: they are missing, and the grant authorization_code needs one: list the addresses to which the client may have codes sent",
		}},
		{"addresses without codes", vars(), one("grants: [password], " + code), []string{
			"gate.yaml:2 clients[0].grants: the client has redirect_uris and may not use authorization_code: add the grant, or take the addresses out",
		}},
		{"lives", vars(), one(code + ", access_ttl: 1500ms, id_token_ttl: 0s"), []string{
			"gate.yaml:2 clients[0].access_ttl: 1500ms is no number of whole seconds: clients are told seconds",
			"gate.yaml:2 clients[0].id_token_ttl: 0s is out of range: take 1s to 9600h",
		}},
		{"never_as of what ends", vars(), one(code + ", never_as: omitted"), []string{
			"gate.yaml:2 clients[0].never_as: the client's tokens do expire: take it out, or set access_ttl: 0s",
		}},
		{"never_as too long", vars(), one(code + ", access_ttl: 0s, never_as: 2147483648"), []string{
			`gate.yaml:2 clients[0].never_as: "2147483648" is not known: write omitted, or a number of seconds up to 2147483647; 0 is the vendor's`,
		}},
		{"scopes", vars(), one(code + `, scopes: [ok, "a b"]`), []string{
			`gate.yaml:2 clients[0].scopes[1]: "a b" is no scope: use printable characters without spaces, quotes and backslashes`,
		}},
		{"addresses", vars(), one(`redirect_uris: ["/cb", "https://*.example.com/cb", "https://x/cb#f", "https://u@x/cb", "http://x/cb", "javascript:alert(1)"]`), []string{
			"gate.yaml:2 clients[0].redirect_uris[0]: it is no absolute URL: write the whole address, like https://app.example.com/callback",
			"gate.yaml:2 clients[0].redirect_uris[1]: it is no absolute URL: write the whole address, like https://app.example.com/callback",
			"gate.yaml:2 clients[0].redirect_uris[2]: it has a fragment: take it out: codes travel in the query",
			"gate.yaml:2 clients[0].redirect_uris[3]: it holds a user name or a password: write the whole address, like https://app.example.com/callback",
			"gate.yaml:2 clients[0].redirect_uris[4]: codes would travel over plain http: use https; http is for this machine only",
			`gate.yaml:2 clients[0].redirect_uris[5]: the scheme "javascript" is not taken: use https, or for an app a scheme of its own like com.example.app`,
		}},
		{"an unknown key", vars(), one(code + ", redirect_uri: x"), []string{
			"gate.yaml:2 clients[0].redirect_uri: there is no such key: did you mean redirect_uris?",
		}},
		{"discovery", vars("GATEHOUSE_DISCOVERY=relative"), one(code), []string{
			`GATEHOUSE_DISCOVERY: "relative" is not known: use absolute or vendor`,
		}},
		{"a backend without its client", []string{
			"GATEHOUSE_BACKEND_URL=https://fac.example.com", "GATEHOUSE_BACKEND_SPEAK=fac-oauth", "GATEHOUSE_SERVE=ipfabric",
		}, "", []string{
			"GATEHOUSE_BACKEND_CLIENT_ID: it is missing, and fac-oauth/6.x is for OAuth clients: name the client that the backend knows the gateway by",
		}},
		{"a backend that knows no clients", backendVars("GATEHOUSE_BACKEND_CLIENT_ID=gw"), "", []string{
			"GATEHOUSE_BACKEND_CLIENT_ID: the backend's token API knows no clients: take it out",
		}},
		{"a client secret alone", backendVars("GATEHOUSE_BACKEND_CLIENT_SECRET=hunter2"), "", []string{
			"GATEHOUSE_BACKEND_CLIENT_ID: it is missing, and there is a client secret: name the client that has it",
		}},
	})
}
