package tests

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// The account that the gateway uses, and a user who logs in at the backend
// himself.
const (
	serviceUser, servicePassword = "svc-account", "svc-pass-Qm41xWz7Lr"
	backendUser, backendPassword = "bob", "bob-pass-7hTzR2pKqa"
	backendAPIToken              = "9d41c3a7e0b25f6880aa13de57c4b912" // of the backend's making, bob's
)

// seen is one request as it reached the backend.
type seen struct {
	method, uri string // uri as it stood in the request line
	header      http.Header
	body        string
}

// backend is a recording IP Fabric: it gives out opaque
// tokens as cookies, rotates strictly (a used refresh token is dead at once) and
// refuses what it did not issue with the vendor's codes.
type backend struct {
	*httptest.Server
	accessTTL time.Duration
	// other answers calls outside the token API, already authenticated; nil: a
	// short JSON answer.
	other http.HandlerFunc

	mu       sync.Mutex
	requests []seen               // guarded by mu
	access   map[string]time.Time // token to expiry, guarded by mu
	refresh  map[string]string    // token to user, guarded by mu
	counts   map[string]int       // by call, guarded by mu
}

func newBackend(t testing.TB) *backend {
	t.Helper()
	b := unstartedBackend()
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

func unstartedBackend() *backend {
	return &backend{
		accessTTL: time.Hour,
		access:    map[string]time.Time{},
		refresh:   map[string]string{},
		counts:    map[string]int{},
	}
}

// settings point a gateway at the backend, in pass-through mode.
func (b *backend) settings() settings {
	return settings{"BACKEND_URL": b.URL, "BACKEND_SPEAK": "ipfabric/7.0"}
}

// account point a gateway at the backend, in account mode with the usual users.
func (b *backend) account(t testing.TB) settings {
	t.Helper()
	return b.settings().with(
		"BACKEND_USERNAME", serviceUser, "BACKEND_PASSWORD", servicePassword,
		"USERS_FILE", usersFile(t))
}

var ipfPath = regexp.MustCompile(`^/api(?:/v[0-9.]+)?/(.*)$`)

// ServeHTTP answers as the appliance does.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = b.record(r)
	call := ""
	if m := ipfPath.FindStringSubmatch(r.URL.Path); m != nil {
		call = m[1]
	}
	switch {
	case call == "version":
		answerJSON(w, http.StatusOK, `{"apiVersion":"v7.0","releaseVersion":"7.0.12+1"}`)
	case call == "auth/login" && r.Method == http.MethodPost:
		b.login(w, r)
	case call == "auth/token" && r.Method == http.MethodPost:
		b.renew(w, r)
	case strings.HasPrefix(r.URL.Path, "/public/"):
		b.rest(w, r)
	default:
		b.authenticated(w, r, call)
	}
}

// record keeps the request and returns its body again.
func (b *backend) record(r *http.Request) io.ReadCloser {
	var body []byte
	if r.Header.Get("Upgrade") == "" {
		body, _ = io.ReadAll(io.LimitReader(r.Body, 1<<20)) // a broken body is recorded as far as it came
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, seen{r.Method, r.RequestURI, r.Header.Clone(), string(body)})
	return io.NopCloser(bytes.NewReader(body))
}

func (b *backend) login(w http.ResponseWriter, r *http.Request) {
	var in struct{ Username, Password string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, "API_INVALID_CREDENTIALS")
		return
	}
	known := map[string]string{serviceUser: servicePassword, backendUser: backendPassword}
	b.count("login")
	if known[in.Username] == "" || known[in.Username] != in.Password {
		refuse(w, "API_INVALID_CREDENTIALS")
		return
	}
	b.issue(w, in.Username)
}

// renew takes the refresh token from the body, or from the cookie if the body is
// empty.
func (b *backend) renew(w http.ResponseWriter, r *http.Request) {
	var in struct{ RefreshToken string }
	_ = json.NewDecoder(r.Body).Decode(&in) // an empty body is the cookie form
	if c, err := r.Cookie("refreshToken"); err == nil && in.RefreshToken == "" {
		in.RefreshToken = c.Value
	}
	b.count("refresh")
	b.mu.Lock()
	user, ok := b.refresh[in.RefreshToken]
	delete(b.refresh, in.RefreshToken)
	b.mu.Unlock()
	if !ok {
		refuse(w, "API_INVALID_REFRESH_TOKEN")
		return
	}
	b.issue(w, user)
}

func (b *backend) issue(w http.ResponseWriter, user string) {
	access := "eyJ" + rand.Text() + "." + rand.Text() + "." + rand.Text()
	refresh := rand.Text() + rand.Text() + rand.Text() + "1108612054"
	b.mu.Lock()
	b.access[access] = time.Now().Add(b.accessTTL)
	b.refresh[refresh] = user
	b.mu.Unlock()
	for _, c := range []*http.Cookie{
		{Name: "accessToken", Value: access, Path: "/", MaxAge: int(b.accessTTL.Seconds())},
		{Name: "refreshToken", Value: refresh, Path: "/api/auth/token", MaxAge: 86400},
	} {
		c.HttpOnly, c.Secure, c.SameSite = true, true, http.SameSiteStrictMode
		http.SetCookie(w, c)
	}
	answerJSON(w, http.StatusOK, `{}`)
}

func (b *backend) authenticated(w http.ResponseWriter, r *http.Request, call string) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if c, err := r.Cookie("accessToken"); err == nil && token == "" {
		token = c.Value
	}
	b.mu.Lock()
	expires, ok := b.access[token]
	b.mu.Unlock()
	switch {
	case r.Header.Get("X-Api-Token") == backendAPIToken && call == "users/me":
		b.count("whoami by API token")
		b.me(w)
	case r.Header.Get("X-Api-Token") == backendAPIToken:
		b.rest(w, r)
	case r.Header.Get("X-Api-Token") != "":
		refuse(w, "API_INVALID_API_TOKEN")
	case !ok:
		refuse(w, "API_INVALID_ACCESS_TOKEN")
	case time.Now().After(expires):
		refuse(w, "API_EXPIRED_ACCESS_TOKEN")
	case call == "auth/logout":
		b.count("logout")
		w.WriteHeader(http.StatusNoContent)
	case call == "users/me":
		b.me(w)
	default:
		b.rest(w, r)
	}
}

func (b *backend) me(w http.ResponseWriter) {
	answerJSON(w, http.StatusOK, `{"id":"1108612054","username":"`+backendUser+`","email":"bob@example.net","isLocal":true,"roleIds":["admin"],"roleNames":["admin"]}`)
}

func (b *backend) rest(w http.ResponseWriter, r *http.Request) {
	b.count("call")
	if b.other != nil {
		b.other(w, r)
		return
	}
	answerJSON(w, http.StatusOK, `{"data":[],"from":"backend"}`)
}

func (b *backend) count(call string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[call]++
}

// counted returns how often a call was made: login, refresh, logout, or call for
// all else that was let in.
func (b *backend) counted(call string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts[call]
}

// seen returns the requests so far.
func (b *backend) seen() []seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]seen(nil), b.requests...)
}

// secrets returns every token given out, and the passwords.
func (b *backend) secrets() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := []string{servicePassword, backendPassword}
	for s := range b.access {
		all = append(all, s)
	}
	for s := range b.refresh {
		all = append(all, s)
	}
	return all
}

func refuse(w http.ResponseWriter, code string) {
	answerJSON(w, http.StatusUnauthorized, `{"code":"`+code+`","message":"refused"}`)
}

func answerJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the caller may be gone
}

// forgetAll voids every token given out so far, as a restart of the appliance
// with a new signing key does.
func (b *backend) forgetAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.access)
	clear(b.refresh)
}

// expireAll lets every access token given out so far expire.
func (b *backend) expireAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for token := range b.access {
		b.access[token] = time.Now().Add(-time.Second)
	}
}
