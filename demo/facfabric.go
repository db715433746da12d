package demo

import (
	"net/http"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// facStatus and facWidget are what a FortiGate asks of a device in its Security
// Fabric. The paths are those of the vendor's public sample of a connector, the
// fields are made up in its manner.
type facStatus struct {
	Status   string `json:"status"`
	Hostname string `json:"hostname"`
	Serial   string `json:"serial"`
	Model    string `json:"model"`
	Version  string `json:"version"`
	Uptime   int64  `json:"uptime"` // seconds
}

type facWidget struct {
	ID    string         `json:"id"`
	Title string         `json:"title"`
	Data  map[string]int `json:"data"`
}

var facDevice = facStatus{"ok", "fac-1", "FAC-VMTM00000000", "FortiAuthenticator-VM", "v6.6.2", 1209600}

var facWidgets = []facWidget{
	{"users", "User inventory", map[string]int{"local": 42, "remote": 310, "disabled": 3}},
	{"tokens", "FortiTokens", map[string]int{"assigned": 118, "available": 82}},
	{"authentication", "Authentication activity", map[string]int{"succeeded": 2281, "failed": 17}},
}

// fortiAuthenticator shows a token that never expires, and that only some users
// have one.
var fortiAuthenticator = Simulation{
	Name: "fac-fabric", Dialect: "fac-fabric/6.x", Product: "FortiAuthenticator 6.x",
	Resources: func(func(token.SID) bool) http.Handler { return FortiAuthenticator() },
	Lines: []Line{
		{"call without a credential", 401, `"success":"false"`, `curl -si "$G/api/fabric/device/status" -H "$H"; echo`},
		{"log in as a user without the permission widget", 401, "user improperly configured", facLogin("alice")},
		{"log in: the token never expires", 200, `"expires_in":0`, facLogin("admin") + `; OLD=$(field access_token); RT=$(field refresh_token)`},
		{"call: the gateway puts its own backend token in", 200, `"status":"ok"`, `curl -si "$G/api/fabric/device/status" -H "$H" -H "Authorization: Bearer $OLD"; echo`},
		{"refresh: a new pair of tokens", 200, "Token has been refreshed successfully", `IN=$(curl -si "$G/api/fabric/authenticate" -H "$H" -H "$J" -d "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"$RT\"}"); echo "$IN"; AT=$(field access_token)`},
		{"call with the new token", 200, "FortiTokens", `curl -si "$G/api/v1/fabric/widget" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"call with the one before: another device may have it", 200, "FortiTokens", `curl -si "$G/api/v1/fabric/widget/tokens" -H "$H" -H "Authorization: Bearer $OLD"; echo`},
	},
}

func facLogin(user string) string {
	return `IN=$(curl -si "$G/api/fabric/authenticate" -H "$H" -H "$J" -d '{"username":"` + user + `","password":"` + user + `-demo"}'); echo "$IN"`
}

// FortiAuthenticator is the resource API of a simulated FortiAuthenticator: its
// status and its widgets, which FortiOS shows, and its local users. Its callers
// have been checked before they come here.
func FortiAuthenticator() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/fabric/device/status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, facDevice) })
	mux.HandleFunc("GET /api/v1/fabric/widget", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string][]facWidget{"widgets": facWidgets})
	})
	mux.HandleFunc("GET /api/v1/fabric/widget/{id}", func(w http.ResponseWriter, r *http.Request) {
		for _, widget := range facWidgets {
			if widget.ID == r.PathValue("id") {
				writeJSON(w, http.StatusOK, widget)
				return
			}
		}
		facNotFound(w, r)
	})
	mux.HandleFunc("GET /api/v1/localusers/{$}", localUserList)
	mux.HandleFunc("/", facNotFound)
	return mux
}

func facNotFound(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusNotFound, map[string]string{"message": "Not found", "success": "false"})
}
