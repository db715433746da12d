package demo

import (
	"net/http"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// facOAuth shows FortiAuthenticator's OAuth server: a client besides the user, a
// refresh that voids the access token, discovery, revocation.
var facOAuth = Simulation{
	Name: "fac-oauth", Dialect: "fac-oauth/6.x", Product: "FortiAuthenticator 6.x OAuth",
	Client:    Client{ID: "demo-app", Secret: "demo-app-secret-of-no-worth"},
	Resources: func(func(token.SID) bool) http.Handler { return FortiAuthenticator() },
	Lines: []Line{
		{"call without a credential", 401, "invalid_token", `curl -si "$G/api/v1/localusers/" -H "$H"; echo`},
		{"log in with a wrong client secret", 401, "invalid_client", `curl -si "$G/api/v1/oauth/token/" -H "$H" -H "$J" -d '{"grant_type":"password","username":"alice","password":"alice-demo","client_id":"demo-app","client_secret":"wrong"}'; echo`},
		{"log in with a wrong password", 401, "invalid_grant", `curl -si "$G/api/v1/oauth/token/" -H "$H" -H "$J" -d '{"grant_type":"password","username":"alice","password":"wrong","client_id":"demo-app","client_secret":"demo-app-secret-of-no-worth"}'; echo`},
		{"log in: a pair of tokens for this client", 200, "successfully authenticated", `IN=$(curl -si "$G/api/v1/oauth/token/" -H "$H" -H "$J" -d '{"grant_type":"password","username":"alice","password":"alice-demo","client_id":"demo-app","client_secret":"demo-app-secret-of-no-worth"}'); echo "$IN"; AT=$(field access_token); RT=$(field refresh_token)`},
		{"call: the gateway puts its own backend token in", 200, "vpn-ops", facCall},
		{"ask who I am", 200, `"groups":"network"`, `curl -si "$G/api/v1/oauth/userinfo/" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"ask whether the token is good", 200, "expires_in", `curl -si "$G/api/v1/oauth/verify_token/?client_id=demo-app" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"discovery: where everything is", 200, "token_endpoint", `curl -si "$G/api/v1/oauth/.well-known/openid-configuration" -H "$H"; echo`},
		{"refresh: a new pair, and the old access token is void", 200, "refreshed successfully", `OLD=$AT; IN=$(curl -si "$G/api/v1/oauth/token/" -H "$H" -H "$J" -d "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"$RT\",\"client_id\":\"demo-app\",\"client_secret\":\"demo-app-secret-of-no-worth\"}"); echo "$IN"; AT=$(field access_token)`},
		{"call with the old access token", 401, "invalid_token", `curl -si "$G/api/v1/localusers/" -H "$H" -H "Authorization: Bearer $OLD"; echo`},
		{"revoke the token", 200, "", `curl -si "$G/api/v1/oauth/revoke_token/" -H "$H" -u demo-app:demo-app-secret-of-no-worth -d "token=$AT"; echo`},
		{"call after the revocation", 401, "invalid_token", facCall},
	},
}

const facCall = `curl -si "$G/api/v1/localusers/" -H "$H" -H "Authorization: Bearer $AT"; echo`

type localUser struct {
	Username string   `json:"username"`
	Email    string   `json:"email"`
	Groups   []string `json:"user_groups"`
	Active   bool     `json:"active"`
}

var localUsers = []localUser{
	{"vpn-ops", "vpn-ops@example.com", []string{"vpn"}, true},
	{"noc", "noc@example.com", []string{"network", "vpn"}, true},
}

func localUserList(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"meta": map[string]any{"limit": 20, "offset": 0, "total_count": len(localUsers)}, "objects": localUsers,
	})
}
