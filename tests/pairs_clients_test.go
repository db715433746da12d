package tests

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A vendor is a client of one token API, as scripts written for the appliance
// are.
type vendor struct {
	name  string // of the dialect that is served
	login func(v *visitor) answer
	// refresh gets new tokens with what the last answer gave; nil: the API has no
	// such call.
	refresh func(v *visitor) answer
	// renew gets a new token while the old one is good, with the password again;
	// nil: the API has no such call.
	renew  func(v *visitor) answer
	logout func(v *visitor) answer // nil: the API has no such call
	// read takes the tokens out of an answer; it leaves alone what is not there.
	read func(v *visitor, a answer)
	// What calls without a credential and with an expired one are answered, and
	// what the answer holds.
	missing, expired int
	missingText      string
	expiredText      string
}

// A visitor is a client on its way through one pair.
type visitor struct {
	t       testing.TB
	c       *client
	host    string
	access  string
	refresh string
	secrets []string // every credential of its own so far
}

func (v *visitor) send(q request) answer {
	v.t.Helper()
	q.host = v.host
	return v.c.must(v.t, q)
}

// call makes an ordinary call with the access token there is.
func (v *visitor) call() answer {
	v.t.Helper()
	q := request{path: "/things/1"}
	if v.access != "" {
		q.header = bearer(v.access)
	}
	return v.send(q)
}

// post makes a call without a body with the access token there is.
func (v *visitor) post(path string) answer {
	v.t.Helper()
	return v.send(request{method: http.MethodPost, path: path, header: bearer(v.access)})
}

// keep takes new tokens.
func (v *visitor) keep(access, refresh string) {
	if access != "" {
		v.access = access
		v.secrets = append(v.secrets, access)
	}
	if refresh != "" {
		v.refresh = refresh
		v.secrets = append(v.secrets, refresh)
	}
}

func jsonBody(pairs ...string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	b, _ := json.Marshal(m) // strings always marshal
	return string(b)
}

func readJSON(accessKey, refreshKey string) func(*visitor, answer) {
	return func(v *visitor, a answer) {
		said := fields(a.body)
		v.keep(said[accessKey], said[refreshKey])
	}
}

// vendors are the clients of all token APIs that are served.
var vendors = []vendor{
	{
		name: "ipfabric",
		login: func(v *visitor) answer {
			return v.send(request{method: "POST", path: "/api/auth/login", body: jsonBody("username", "alice", "password", userPassword)})
		},
		refresh: func(v *visitor) answer {
			return v.send(request{method: "POST", path: "/api/auth/token", header: http.Header{"Cookie": {"refreshToken=" + v.refresh}}})
		},
		logout: func(v *visitor) answer {
			return v.send(request{method: "POST", path: "/api/auth/logout", header: bearer(v.access)})
		},
		read:    func(v *visitor, a answer) { v.keep(a.cookie("accessToken"), a.cookie("refreshToken")) },
		missing: 401, missingText: "API_EXPIRED_ACCESS_TOKEN", expired: 401, expiredText: "API_EXPIRED_ACCESS_TOKEN",
	}, {
		name: "oracle-sbc",
		login: func(v *visitor) answer {
			return v.send(request{method: "POST", path: "/rest/v1.2/auth/token", header: http.Header{"Authorization": {basicAuth("alice", userPassword)}}})
		},
		renew: func(v *visitor) answer {
			h := http.Header{"Authorization": {basicAuth("alice", userPassword)}, "Content-Type": {"x-www-form-urlencoded"}}
			return v.send(request{method: "POST", path: "/rest/v1.2/auth/token", header: h, body: "accessToken=" + url.QueryEscape(v.access)})
		},
		read: func(v *visitor, a answer) {
			var got struct {
				Access string `xml:"data>accessToken"`
			}
			if xml.Unmarshal([]byte(a.body), &got) == nil {
				v.keep(got.Access, "")
			}
		},
		missing: 401, missingText: "Client not authorized.", expired: 401, expiredText: "Client not authorized.",
	}, {
		name: "fac-fabric",
		login: func(v *visitor) answer {
			return v.send(request{method: "POST", path: "/api/fabric/authenticate", body: jsonBody("username", "alice", "password", userPassword)})
		},
		refresh: func(v *visitor) answer {
			return v.send(request{method: "POST", path: "/api/fabric/authenticate", body: jsonBody("grant_type", "refresh_token", "refresh_token", v.refresh)})
		},
		read:    readJSON("access_token", "refresh_token"),
		missing: 401, missingText: `"success":"false"`, expired: 401, expiredText: `"success":"false"`,
	}, {
		name: "fac-oauth",
		login: func(v *visitor) answer {
			return v.send(request{method: "POST", path: "/api/v1/oauth/token/", body: jsonBody(
				"grant_type", "password", "username", "alice", "password", userPassword, "client_id", "script", "client_secret", clientSecret)})
		},
		refresh: func(v *visitor) answer {
			return v.send(request{method: "POST", path: "/api/v1/oauth/token/", body: jsonBody(
				"grant_type", "refresh_token", "refresh_token", v.refresh, "client_id", "script", "client_secret", clientSecret)})
		},
		logout: func(v *visitor) answer {
			return v.send(request{method: "POST", path: "/api/v1/oauth/revoke_token/", body: jsonBody(
				"client_id", "script", "client_secret", clientSecret, "token", v.access)})
		},
		read:    readJSON("access_token", "refresh_token"),
		missing: 401, missingText: `"error"`, expired: 401, expiredText: `"error"`,
	}, {
		name: "itempath",
		login: func(v *visitor) answer {
			return v.send(request{method: "POST", path: "/api/users/login", body: jsonBody("username", "alice", "password", userPassword)})
		},
		refresh: func(v *visitor) answer {
			return v.send(request{method: "POST", path: "/api/users/refresh", header: bearer(v.refresh)})
		},
		read:    readJSON("accessToken", "refreshToken"),
		missing: 401, missingText: "Missing Authorization Header", expired: 401, expiredText: "Token has expired",
	},
}

// clientSecret is that of OAuth clients, at the gateway and at the backend.
const clientSecret = "client-secret-pW6sYc31Lq"

// secretsOf are the credentials that must never reach an appliance.
func (v *visitor) secretsOf() []string {
	return append([]string{userPassword, "alice:" + userPassword}, v.secrets...)
}

// wantAnswer checks status and text of an answer.
func (v *visitor) wantAnswer(what string, a answer, status int, text string) {
	v.t.Helper()
	wantStatus(v.t, what, a, status)
	if !strings.Contains(a.body, text) {
		v.t.Errorf("%s = %s; want it to hold %s", what, a.body, text)
	}
}
