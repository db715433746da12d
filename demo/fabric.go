// Package demo holds what `gatehouse demo` shows: simulated backends, which are
// the served side of a dialect over a toy resource API, and the table of lines
// to paste.
package demo

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"regexp"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// A User is somebody who may log in.
type User struct {
	Name, Password, ID string
	Groups, Scopes     []string
	Admin              bool
	Kind               string   // "application": may have tokens that never expire
	Permissions        []string // "widget": FortiAuthenticator's for tokens
}

// Users are those of the demo's gateway.
func Users() []User {
	return []User{
		{Name: "alice", Password: "alice-demo", ID: "1108612054", Groups: []string{"network"}, Scopes: []string{"read"}},
		{
			Name: "admin", Password: "admin-demo", ID: "1108612055", Groups: []string{"operators"},
			Scopes: []string{"read", "write", "settings", "team"}, Admin: true,
		},
		{Name: "robot", Password: "robot-demo", ID: "1108612056", Scopes: []string{"read"}, Kind: "application"},
	}
}

// Service is the account by which the gateway logs in to a simulated backend.
var Service = User{
	Name: "svc", Password: "svc-demo", ID: "1108612001", Groups: []string{"service"},
	Scopes: []string{"read", "write"}, Admin: false, Permissions: []string{"widget"},
}

type snapshot struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Status       string `json:"status"`
	TotalDevices int    `json:"totalDevCount"`
	Start        int64  `json:"tsStart"` // ms since the epoch
	End          int64  `json:"tsEnd"`
}

type device struct {
	Hostname string `json:"hostname"`
	LoginIP  string `json:"loginIp"`
	Vendor   string `json:"vendor"`
	Family   string `json:"family"`
	Version  string `json:"version"`
	Site     string `json:"siteName"`
}

var snapshots = []snapshot{
	{"9f2c1a60-5a0e-4f0b-8d6a-0c3f5e6b7a81", "Day 1", "done", 4, 1717675200000, 1717675860000},
	{"0b7d4c1e-93a2-4c55-b1f7-6de1a2c3f402", "Day 2", "done", 4, 1717761600000, 1717762290000},
}

var devices = []device{
	{"core-1", "10.0.0.1", "cisco", "ios-xe", "17.9.4", "Prague"},
	{"core-2", "10.0.0.2", "cisco", "ios-xe", "17.9.4", "Prague"},
	{"edge-1", "10.0.1.1", "juniper", "junos", "22.4R3", "Brno"},
	{"fw-1", "10.0.2.1", "fortinet", "fortios", "7.2.8", "Brno"},
}

var versioned = regexp.MustCompile(`^/api/v[0-9]+(\.[0-9]+)?/`)

// fabric shows IP Fabric: tokens in cookies, a refresh that rotates, reuse.
var fabric = Simulation{
	Name: "ipfabric", Dialect: "ipfabric/7.0", Product: "IP Fabric 7.0",
	Resources: func(func(token.SID) bool) http.Handler { return Fabric() },
	Lines: []Line{
		{"call without a credential", 401, "API_EXPIRED_ACCESS_TOKEN", `curl -si "$G/api/v7.0/snapshots" -H "$H"; echo`},
		{"log in with a wrong password", 401, "API_INVALID_CREDENTIALS", `curl -si "$G/api/auth/login" -H "$H" -H "$J" -d '{"username":"alice","password":"wrong"}'; echo`},
		{"log in: the tokens come as cookies", 200, "refreshToken=", fabricLogin},
		{"call: the gateway puts its own backend token in", 200, "Day 1", `curl -si "$G/api/v7.0/snapshots" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"ask who I am: the gateway answers about you", 200, `"username":"alice"`, `curl -si "$G/api/v7.0/users/me" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"make an API token: the gateway's, never the appliance's", 200, `"token"`, `curl -si "$G/api/v7.0/api-tokens" -H "$H" -H "$J" -H "Authorization: Bearer $AT" -d '{"description":"ci","expires":null,"scope":["read"]}'; echo`},
		{"call with HTTP Basic", 200, "core-1", `curl -si -u alice:alice-demo "$G/api/v7.0/tables/inventory/devices" -H "$H"; echo`},
		{"refresh: a new pair of tokens", 200, "accessToken=", `IN=$(curl -si "$G/api/auth/token" -H "$H" -H "$J" -d "{\"refreshToken\":\"$RT\"}"); echo "$IN"; AT=$(cookie accessToken)`},
		{"replay the used refresh token, after the grace of 1 s", 401, "API_INVALID_REFRESH_TOKEN", `sleep 2; curl -si "$G/api/auth/token" -H "$H" -H "$J" -d "{\"refreshToken\":\"$RT\"}"; echo`},
		{"call after the replay: reuse has ended the session", 401, "API_INVALID_ACCESS_TOKEN", `curl -si "$G/api/v7.0/snapshots" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"log in again", 200, "accessToken=", fabricLogin},
		{"log out", 204, "", `curl -si -X POST "$G/api/auth/logout" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"call after logging out", 401, "API_INVALID_ACCESS_TOKEN", `curl -si "$G/api/v7.0/snapshots" -H "$H" -H "Authorization: Bearer $AT"; echo`},
	},
}

const fabricLogin = `IN=$(curl -si "$G/api/auth/login" -H "$H" -H "$J" -d '{"username":"alice","password":"alice-demo"}'); echo "$IN"; AT=$(cookie accessToken); RT=$(cookie refreshToken)`

// Fabric is the resource API of a simulated IP Fabric: snapshots and the
// inventory of devices, under any API version. Its callers have been checked
// before they come here. The shapes are IP Fabric's, the data is not.
func Fabric() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/snapshots", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, snapshots) })
	mux.HandleFunc("/api/tables/inventory/devices", inventory)
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound, map[string]string{"code": "API_NOT_FOUND", "message": "Requested Resource Not Found"})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if loc := versioned.FindStringIndex(r.URL.Path); loc != nil {
			r = r.Clone(r.Context())
			r.URL.Path, r.URL.RawPath = "/api/"+r.URL.Path[loc[1]:], ""
		}
		mux.ServeHTTP(w, r)
	})
}

// inventory answers the table query of IP Fabric's UI and SDK: POST with
// columns and pagination, or a plain GET.
func inventory(w http.ResponseWriter, r *http.Request) {
	q := struct {
		Pagination struct{ Limit, Start int }
	}{}
	q.Pagination.Limit = len(devices)
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&q); err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"code": "API_INVALID_INPUT", "message": "the body is not JSON"})
			return
		}
	}
	from := min(max(0, q.Pagination.Start), len(devices))
	to := min(from+max(0, q.Pagination.Limit), len(devices))
	writeJSON(w, http.StatusOK, map[string]any{
		"data": devices[from:to], "_meta": map[string]int{"count": len(devices), "size": to - from, "limit": q.Pagination.Limit, "start": from},
	})
}

var homePage = template.Must(template.New("home").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Simulated IP Fabric</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #8884}</style>
<h1>Simulated IP Fabric</h1>
<p>You see this page through the gateway: it checked who you are, logged in to this system itself, and passed your request on.</p>
<table><tr><th>Host name<th>Address<th>Vendor<th>Version<th>Site</tr>
{{range .}}<tr><td>{{.Hostname}}<td>{{.LoginIP}}<td>{{.Vendor}}<td>{{.Version}}<td>{{.Site}}</tr>
{{end}}</table>
<form method="post" action="/.gatehouse/sign-out"><p><button>Sign out</button></p></form>
</html>
`))

func home(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := homePage.Execute(w, devices); err != nil {
		// The header is out; all that is left is to break off.
		panic(http.ErrAbortHandler)
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, fmt.Appendf(nil, `{"code":"API_ERROR","message":%q}`, "internal error")
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that went away is no error here
}
