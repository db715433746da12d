package tests

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"path"
	"strings"
	"sync"
	"testing"
)

// An appliance is a recording backend of one way to be spoken to. Its log has
// one line for each thing that happened, with its tokens by their number: A1 and
// A2 are its first two access tokens, R1 its first refresh token.
type appliance struct {
	*httptest.Server
	speech speech

	mu      sync.Mutex
	log     []string          // guarded by mu; a line that repeats the one before is left out
	traffic bytes.Buffer      // guarded by mu: every request as it came
	names   map[string]string // token to its number, guarded by mu
	expired map[string]bool   // by number, guarded by mu
	access  int               // given out so far, guarded by mu
	refresh int               // guarded by mu
}

// A speech is a way to be spoken to, as the appliance's side of it.
type speech struct {
	name    string // of the backend in the configuration
	backend string // what is said of it in the configuration, as YAML flow
	// call answers a call of the token API and says that it was one.
	call func(a *appliance, w http.ResponseWriter, r *http.Request, body string) bool
	// credential is what an ordinary request carries, by number or name.
	credential func(a *appliance, r *http.Request) string
	// refuse answers a request whose access token has expired; nil: none expire.
	refuse func(w http.ResponseWriter)
	// first, renewed and ended are the lines of a first request, of one after the
	// access token has expired, and of the end of the gateway; locked are those of
	// a client that takes the lock, makes a call and gives it back, nil without one.
	first, renewed, locked, ended []string
}

func newAppliance(t testing.TB, s speech) *appliance {
	t.Helper()
	a := &appliance{speech: s, names: map[string]string{}, expired: map[string]bool{}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

// ServeHTTP answers calls of the token API, and anything else to who carries a
// good credential.
func (a *appliance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	a.mu.Lock()
	if dump, err := httputil.DumpRequest(r, true); err == nil {
		a.traffic.Write(dump)
	}
	a.mu.Unlock()
	if a.speech.call != nil && a.speech.call(a, w, r, string(body)) {
		return
	}
	who := a.speech.credential(a, r)
	a.mu.Lock()
	refused := a.expired[who] || who == ""
	a.mu.Unlock()
	if refused && a.speech.refuse != nil {
		a.note("refused %s", who)
		a.speech.refuse(w)
		return
	}
	a.note("call %s", who)
	answerJSON(w, http.StatusOK, `{"from":"appliance"}`)
}

func (a *appliance) note(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	if n := len(a.log); n == 0 || a.log[n-1] != line {
		a.log = append(a.log, line)
	}
}

// lines returns the log so far.
func (a *appliance) lines() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.log...)
}

// holds reports whether any request so far held text, as it is or in base64.
func (a *appliance) holds(text string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.traffic.Bytes()
	return bytes.Contains(seen, []byte(text)) || bytes.Contains(seen, []byte(base64.StdEncoding.EncodeToString([]byte(text))))
}

// expire ends all access tokens given out so far.
func (a *appliance) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.access {
		a.expired[fmt.Sprintf("A%d", i+1)] = true
	}
}

// issue makes a pair of tokens.
func (a *appliance) issue() (access, refresh string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	access, refresh = "a"+rand.Text(), "r"+rand.Text()
	a.access++
	a.refresh++
	a.names[access], a.names[refresh] = fmt.Sprintf("A%d", a.access), fmt.Sprintf("R%d", a.refresh)
	return access, refresh
}

// number returns the number of a token; empty if it was not given out.
func (a *appliance) number(token string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.names[token]
}

// bearerNumber is the number of the access token in the Authorization header.
func (a *appliance) bearerNumber(r *http.Request) string {
	text, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return a.number(text)
}

func (a *appliance) credentialIsBearer(r *http.Request) string { return a.bearerNumber(r) }

// fields reads a JSON object of strings.
func fields(body string) map[string]string {
	var raw map[string]any
	_ = json.Unmarshal([]byte(body), &raw) // what cannot be read has no fields
	said := map[string]string{}
	for k, v := range raw {
		said[k], _ = v.(string)
	}
	return said
}

const serviceYAML = `account: {username: ` + serviceUser + `, password_env: PAIRS_PASSWORD`

// isService reports whether a login is the gateway's own account.
func isService(user, password string) bool { return user == serviceUser && password == servicePassword }

// speeches are all ways to speak that there are.
var speeches = []speech{
	{
		name: "ipfabric", backend: "speak: ipfabric/7.0, " + serviceYAML + "}",
		call: fabricCalls, credential: (*appliance).credentialIsBearer,
		refuse: func(w http.ResponseWriter) { refuse(w, "API_EXPIRED_ACCESS_TOKEN") },
		first:  []string{"login", "call A1"}, renewed: []string{"refused A1", "refresh R1", "call A2"}, ended: []string{"logout A2"},
	}, {
		name: "oracle-sbc", backend: "speak: oracle-sbc/1.1, " + serviceYAML + "}",
		call: sbcCalls, credential: (*appliance).credentialIsBearer,
		refuse: func(w http.ResponseWriter) {
			answerXML(w, http.StatusUnauthorized, "<errorMessage>Client not authorized.</errorMessage>", "")
		},
		first: []string{"login", "call A1"}, renewed: []string{"refused A1", "login", "call A2"},
		locked: []string{"login", "lock A3", "call A3", "unlock A3"},
	}, {
		name: "fac-fabric", backend: "speak: fac-fabric, " + serviceYAML + "}",
		call: facFabricCalls, credential: (*appliance).credentialIsBearer,
		refuse: func(w http.ResponseWriter) { answerJSON(w, http.StatusUnauthorized, `{"message":"x"}`) },
		first:  []string{"login", "call A1"}, renewed: []string{"refused A1", "refresh R1", "call A2"},
	}, {
		name: "fac-oauth", backend: "speak: fac-oauth, " + "client_id: gw, client_secret_env: PAIRS_CLIENT_SECRET, " + serviceYAML + "}",
		call: facOAuthCalls, credential: (*appliance).credentialIsBearer,
		refuse: func(w http.ResponseWriter) { answerJSON(w, http.StatusUnauthorized, `{"error":"invalid_token"}`) },
		first:  []string{"login", "call A1"}, renewed: []string{"refused A1", "refresh R1", "call A2"}, ended: []string{"logout A2"},
	}, {
		name: "itempath", backend: "speak: itempath, " + serviceYAML + "}",
		call: itemPathCalls, credential: (*appliance).credentialIsBearer,
		refuse: func(w http.ResponseWriter) { answerJSON(w, http.StatusUnauthorized, `{"msg":"Token has expired"}`) },
		first:  []string{"login", "call A1"}, renewed: []string{"refused A1", "refresh R1", "call A2"},
	}, {
		name: "jwt", backend: "speak: jwt",
		credential: jwtSubject, first: []string{"call jwt of alice"},
	}, {
		name: "static", backend: "speak: static, static: {header: X-Api-Key, value_env: PAIRS_API_KEY}",
		credential: func(_ *appliance, r *http.Request) string {
			if r.Header.Get("X-Api-Key") != staticKey || r.Header.Get("Authorization") != "" {
				return ""
			}
			return "the static key"
		},
		first: []string{"call the static key"},
	}, {
		name: "none", backend: "speak: none, identity_headers: {user: X-Remote-User}",
		credential: func(_ *appliance, r *http.Request) string {
			if r.Header.Get("Authorization") != "" {
				return ""
			}
			return "nothing for " + r.Header.Get("X-Remote-User")
		},
		first: []string{"call nothing for alice"},
	},
}

const staticKey = "static-key-4Kd82hQmZt"

func fabricCalls(a *appliance, w http.ResponseWriter, r *http.Request, body string) bool {
	give := func() {
		access, refresh := a.issue()
		w.Header().Add("Set-Cookie", "accessToken="+access+"; Max-Age=1800; Path=/; HttpOnly; Secure; SameSite=Strict")
		w.Header().Add("Set-Cookie", "refreshToken="+refresh+"; Max-Age=86400; Path=/api/auth/token; HttpOnly; Secure; SameSite=Strict")
		answerJSON(w, http.StatusOK, `{}`)
	}
	said := fields(body)
	switch r.Method + " " + r.URL.Path {
	case "POST /api/auth/login":
		if !isService(said["username"], said["password"]) {
			refuse(w, "API_INVALID_CREDENTIALS")
			break
		}
		a.note("login")
		give()
	case "POST /api/auth/token":
		a.note("refresh %s", a.number(said["refreshToken"]))
		give()
	case "POST /api/auth/logout":
		a.note("logout %s", a.bearerNumber(r))
		w.WriteHeader(http.StatusNoContent)
	default:
		return false
	}
	return true
}

func answerXML(w http.ResponseWriter, status int, messages, data string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>`+ // the caller may be gone
		"\n<response><data>%s</data><messages>%s</messages><links/></response>", data, messages)
}

func sbcCalls(a *appliance, w http.ResponseWriter, r *http.Request, body string) bool {
	switch r.Method + " " + r.URL.Path {
	case "POST /rest/v1.1/configuration/lock", "POST /rest/v1.1/configuration/unlock":
		a.note("%s %s", path.Base(r.URL.Path), a.bearerNumber(r))
		w.WriteHeader(http.StatusNoContent)
		return true
	case "POST /rest/v1.1/auth/token":
	default:
		return false
	}
	user, password, ok := r.BasicAuth()
	if !ok || !isService(user, password) {
		answerXML(w, http.StatusUnauthorized, "<errorMessage>Client not authorized.</errorMessage>", "")
		return true
	}
	a.note("login")
	if body != "" {
		a.note("renewal by a body of %d bytes", len(body))
	}
	access, _ := a.issue()
	answerXML(w, http.StatusOK, "", "<accessToken>"+access+"</accessToken>")
	return true
}

func facFabricCalls(a *appliance, w http.ResponseWriter, r *http.Request, body string) bool {
	if r.Method != http.MethodPost || r.URL.Path != "/api/fabric/authenticate" {
		return false
	}
	said := fields(body)
	switch {
	case said["grant_type"] == "refresh_token":
		a.note("refresh %s", a.number(said["refresh_token"]))
	case isService(said["username"], said["password"]):
		a.note("login")
	default:
		answerJSON(w, http.StatusUnauthorized, `{"message":"x"}`)
		return true
	}
	access, refresh := a.issue()
	answerJSON(w, http.StatusOK, `{"access_token":"`+access+`","expires_in":0,"message":"successfully authenticated",`+
		`"refresh_token":"`+refresh+`","scope":"read","success":"true","token_type":"Bearer"}`)
	return true
}

func facOAuthCalls(a *appliance, w http.ResponseWriter, r *http.Request, body string) bool {
	said := fields(body)
	client := said["client_id"] == "gw" && said["client_secret"] == clientSecret
	switch r.Method + " " + r.URL.Path {
	case "POST /api/v1/oauth/token/":
	case "POST /api/v1/oauth/revoke_token/":
		a.note("logout %s", a.number(said["token"]))
		answerJSON(w, http.StatusOK, `{}`)
		return true
	default:
		return false
	}
	switch {
	case client && said["grant_type"] == "refresh_token":
		a.note("refresh %s", a.number(said["refresh_token"]))
	case client && said["grant_type"] == "password" && isService(said["username"], said["password"]):
		a.note("login")
	default:
		answerJSON(w, http.StatusUnauthorized, `{"error":"invalid_client"}`)
		return true
	}
	access, refresh := a.issue()
	answerJSON(w, http.StatusOK, `{"access_token":"`+access+`","expires_in":3600,"message":"successfully authenticated",`+
		`"refresh_token":"`+refresh+`","scope":"read","status":"success","token_type":"Bearer"}`)
	return true
}

func itemPathCalls(a *appliance, w http.ResponseWriter, r *http.Request, body string) bool {
	switch r.Method + " " + r.URL.Path {
	case "POST /api/users/login":
		if said := fields(body); !isService(said["username"], said["password"]) {
			answerJSON(w, http.StatusUnauthorized, `{"login":false}`)
			break
		}
		a.note("login")
		access, refresh := a.issue()
		answerJSON(w, http.StatusOK, `{"login":true,"accessToken":"`+access+`","refreshToken":"`+refresh+`"}`)
	case "POST /api/users/refresh":
		a.note("refresh %s", a.bearerNumber(r))
		access, _ := a.issue()
		answerJSON(w, http.StatusOK, `{"accessToken":"`+access+`"}`)
	default:
		return false
	}
	return true
}

// jwtSubject tells whose token the gateway made, without checking its signature:
// another test does that.
func jwtSubject(_ *appliance, r *http.Request) string {
	text, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Name string `json:"preferred_username"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return "jwt of " + claims.Name
}
