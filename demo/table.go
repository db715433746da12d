package demo

import (
	"fmt"
	"io"
	"strings"
)

// Places are the addresses that the table names.
type Places struct {
	Gateway string // http://127.0.0.1:8080
	Host    string // the route's host: ipfabric.localhost
	Port    string // http://localhost:8081, the same backend on a port of its own
	Backend string // http://127.0.0.1:40123
	Admin   string // http://127.0.0.1:9090
}

// A Line is a command to paste and what it answers.
type Line struct {
	Label  string // what it shows
	Status int    // the HTTP status it prints
	Text   string // something its output contains; may be empty
	Shell  string
}

// WriteTable prints URLs, users and lines. A line's label has the form
// "# label → status text".
func WriteTable(w io.Writer, p Places) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nGatehouse demo: a simulated IP Fabric 7.0 behind the gateway. Nothing outlives this process; Ctrl-C ends it.\n\n")
	row := func(name, value, note string) { fmt.Fprintf(&b, "  %-9s %-30s %s\n", name, value, note) }
	row("gateway", p.Gateway, "for Host "+p.Host)
	row("browser", p.Port, "the same on a port of its own; sign in as one of the users")
	row("backend", p.Backend, "the simulated IP Fabric; the gateway logs in there as "+Service.Name)
	row("metrics", p.Admin+"/metrics", "")
	for _, u := range Users() {
		row("user", u.Name+" / "+u.Password, "scopes "+strings.Join(u.Scopes, ", "))
	}
	fmt.Fprintf(&b, "\nPaste into a shell, from the top. After the arrow: the status it answers, and what to look for.\n\n%s\n", setup(p))
	for _, l := range Lines(p) {
		fmt.Fprintf(&b, "\n# %s → %d", l.Label, l.Status)
		if l.Text != "" {
			b.WriteString(" " + l.Text)
		}
		fmt.Fprintf(&b, "\n%s\n", l.Shell)
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// setup makes the names that the lines use: where to ask, and cookie, which
// finds a cookie in the answer kept in $IN.
func setup(p Places) string {
	return fmt.Sprintf("G=%s H='Host: %s' J='Content-Type: application/json'\n", p.Gateway, p.Host) +
		`cookie() { printf '%s\n' "$IN" | sed -n "s/^[Ss]et-[Cc]ookie: $1=\([^;]*\).*/\1/p"; }`
}

// Lines are the commands, one for each thing worth seeing, in an order in which
// they work.
func Lines(p Places) []Line {
	login := `IN=$(curl -si "$G/api/auth/login" -H "$H" -H "$J" -d '{"username":"alice","password":"alice-demo"}'); echo "$IN"; AT=$(cookie accessToken); RT=$(cookie refreshToken)`
	return []Line{
		{"call without a credential", 401, "API_EXPIRED_ACCESS_TOKEN", `curl -si "$G/api/v7.0/snapshots" -H "$H"; echo`},
		{"log in with a wrong password", 401, "API_INVALID_CREDENTIALS", `curl -si "$G/api/auth/login" -H "$H" -H "$J" -d '{"username":"alice","password":"wrong"}'; echo`},
		{"log in: the tokens come as cookies", 200, "refreshToken=", login},
		{"call: the gateway puts its own backend token in", 200, "Day 1", `curl -si "$G/api/v7.0/snapshots" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"ask who I am: the gateway answers about you", 200, `"username":"alice"`, `curl -si "$G/api/v7.0/users/me" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"make an API token: the gateway's, never the appliance's", 200, `"token"`, `curl -si "$G/api/v7.0/api-tokens" -H "$H" -H "$J" -H "Authorization: Bearer $AT" -d '{"description":"ci","expires":null,"scope":["read"]}'; echo`},
		{"call with HTTP Basic", 200, "core-1", `curl -si -u alice:alice-demo "$G/api/v7.0/tables/inventory/devices" -H "$H"; echo`},
		{"refresh: a new pair of tokens", 200, "accessToken=", `IN=$(curl -si "$G/api/auth/token" -H "$H" -H "$J" -d "{\"refreshToken\":\"$RT\"}"); echo "$IN"; AT=$(cookie accessToken)`},
		{"replay the used refresh token, after the grace of 1 s", 401, "API_INVALID_REFRESH_TOKEN", `sleep 2; curl -si "$G/api/auth/token" -H "$H" -H "$J" -d "{\"refreshToken\":\"$RT\"}"; echo`},
		{"call after the replay: reuse has ended the session", 401, "API_INVALID_ACCESS_TOKEN", `curl -si "$G/api/v7.0/snapshots" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"log in again", 200, "accessToken=", login},
		{"log out", 204, "", `curl -si -X POST "$G/api/auth/logout" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"call after logging out", 401, "API_INVALID_ACCESS_TOKEN", `curl -si "$G/api/v7.0/snapshots" -H "$H" -H "Authorization: Bearer $AT"; echo`},
		{"metrics", 200, "gatehouse_logins_total", `curl -si ` + p.Admin + `/metrics | grep -E '^HTTP|^gatehouse_logins_total'`},
	}
}
