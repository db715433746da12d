package upstreamtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Fabric is a small IP Fabric of release 7: cookies for tokens, refresh tokens
// that are good once, API tokens. It is an http.Handler and, in process, an
// http.RoundTripper. It counts what it was asked for. Its fields are set before
// use; it is safe for concurrent use.
type Fabric struct {
	Users     map[string]string // passwords by user name
	APITokens map[string]string // user names by API token
	Life      time.Duration     // of access tokens; 0: 30 minutes

	mu       sync.Mutex
	n        int                  // guarded by mu: counts the tokens made
	access   map[string]grantedTo // guarded by mu
	refresh  map[string]string    // guarded by mu: user names
	counts   map[string]int       // guarded by mu: by login, refresh, logout, call, rejected
	override http.Handler         // guarded by mu
}

type grantedTo struct {
	user    string
	till    time.Time
	refresh string // what a logout voids
}

// Override has h answer every request from now on; nil ends that.
func (f *Fabric) Override(h http.Handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.override = h
}

// Count returns how often something was answered with success: login, refresh,
// logout, call; or rejected: logins refused.
func (f *Fabric) Count(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[what]
}

// VoidAccess has no access token made so far be accepted any more.
func (f *Fabric) VoidAccess() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.access)
}

// VoidOldAccess has no access token but the newest be accepted any more.
func (f *Fabric) VoidOldAccess() {
	f.mu.Lock()
	defer f.mu.Unlock()
	newest := fmt.Sprintf("AT%d", f.n)
	for a := range f.access {
		if a != newest {
			delete(f.access, a)
		}
	}
}

// VoidRefresh has no refresh token made so far be accepted any more.
func (f *Fabric) VoidRefresh() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.refresh)
}

// RoundTrip answers in process.
func (f *Fabric) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	out := r.Clone(r.Context())
	if out.Body == nil {
		out.Body = http.NoBody
	}
	defer out.Body.Close()
	w := httptest.NewRecorder()
	f.ServeHTTP(w, out)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// ServeHTTP implements http.Handler.
func (f *Fabric) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	h := f.override
	f.mu.Unlock()
	switch {
	case h != nil:
		h.ServeHTTP(w, r)
	case strings.HasSuffix(r.URL.Path, "/auth/login"):
		f.login(w, r)
	case strings.HasSuffix(r.URL.Path, "/auth/token"):
		f.renew(w, r)
	default:
		f.call(w, r)
	}
}

func (f *Fabric) count(what string) {
	if f.counts == nil {
		f.counts = map[string]int{}
	}
	f.counts[what]++
}

func (f *Fabric) login(w http.ResponseWriter, r *http.Request) {
	var in struct{ Username, Password string }
	err := json.NewDecoder(r.Body).Decode(&in)
	f.mu.Lock()
	defer f.mu.Unlock()
	want, ok := f.Users[in.Username]
	if err != nil || !ok || in.Password != want {
		f.count("rejected")
		refuse(w, "API_INVALID_CREDENTIALS")
		return
	}
	f.count("login")
	f.grant(w, in.Username)
}

func (f *Fabric) renew(w http.ResponseWriter, r *http.Request) {
	var in struct{ RefreshToken string }
	if c, err := r.Cookie("refreshToken"); err == nil {
		in.RefreshToken = c.Value
	} else if json.NewDecoder(r.Body).Decode(&in) != nil {
		in.RefreshToken = "" // refused as any other that is unknown
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	user := f.refresh[in.RefreshToken]
	if user == "" {
		refuse(w, "API_INVALID_REFRESH_TOKEN")
		return
	}
	delete(f.refresh, in.RefreshToken)
	f.count("refresh")
	f.grant(w, user)
}

// grant makes a pair of tokens. The caller holds mu.
func (f *Fabric) grant(w http.ResponseWriter, user string) {
	if f.access == nil {
		f.access, f.refresh = map[string]grantedTo{}, map[string]string{}
	}
	life := f.Life
	if life == 0 {
		life = 30 * time.Minute
	}
	f.n++
	access, refresh := fmt.Sprintf("AT%d", f.n), fmt.Sprintf("RT%d", f.n)
	f.access[access] = grantedTo{user, time.Now().Add(life), refresh}
	f.refresh[refresh] = user
	cookie := func(name, value, path string, age time.Duration) {
		http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: path, MaxAge: int(age / time.Second), HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode})
	}
	cookie("accessToken", access, "/", life)
	cookie("refreshToken", refresh, "/api/auth/token", 24*time.Hour)
	answer(w, http.StatusOK, map[string]any{})
}

func (f *Fabric) call(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	g, code := f.whose(r)
	switch {
	case g.user == "":
		refuse(w, code)
	case err != nil:
		answer(w, http.StatusBadRequest, map[string]any{"code": "API_MALFORMED_REQUEST", "message": "x"})
	case strings.HasSuffix(r.URL.Path, "/auth/logout"):
		f.count("logout")
		delete(f.refresh, g.refresh)
		w.WriteHeader(http.StatusNoContent)
	case strings.HasSuffix(r.URL.Path, "/users/me"):
		answer(w, http.StatusOK, map[string]any{"username": g.user, "id": "1108612054", "email": g.user + "@example.com", "isLocal": true, "roleIds": []string{}, "roleNames": []string{}})
	default:
		f.count("call")
		answer(w, http.StatusOK, map[string]any{"user": g.user, "bytes": len(body)})
	}
}

// whose returns who makes a call, or the code to refuse it with. The caller
// holds mu.
func (f *Fabric) whose(r *http.Request) (g grantedTo, code string) {
	if s := r.Header.Get("X-API-Token"); s != "" {
		return grantedTo{user: f.APITokens[s]}, "API_INVALID_API_TOKEN"
	}
	access, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if c, err := r.Cookie("accessToken"); err == nil && access == "" {
		access = c.Value
	}
	g, ok := f.access[access]
	if !ok {
		return grantedTo{}, "API_INVALID_ACCESS_TOKEN"
	}
	if time.Now().After(g.till) {
		return grantedTo{}, "API_EXPIRED_ACCESS_TOKEN"
	}
	return g, ""
}

func refuse(w http.ResponseWriter, code string) {
	answer(w, http.StatusUnauthorized, map[string]any{"code": code, "message": "x"})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone when this fails
}
